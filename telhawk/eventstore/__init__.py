"""The event store: what OpenSearch is to the real stack, with HTTP in front of SQLite."""
