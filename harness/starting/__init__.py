"""Where a team begins: the files that `nats-harness init` writes, from nothing or from a compose file."""
