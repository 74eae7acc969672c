"""`python -m harness` is `nats-harness`."""

from harness.cli import main

main()
