"""An order service on JetStream: a shop takes orders, packers work them, a depot remembers what was done."""
