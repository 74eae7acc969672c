"""The command `nats`, whose `bench` is what a publisher written in Go reaches: for the bench alone, built once."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

NATS_CLI_VERSION = "0.5.1"
NATS_CLI_MODULE = "github.com/nats-io/natscli"


def nats_cli() -> Path:
    """NATS_CLI, or the one in the cache; built there in a minute or two where it is not. Raises Missing."""
    from harness.runtime._build import go_install, only_one
    from harness.runtime.binaries import cache_folder, fetch_wheel

    if named := os.environ.get("NATS_CLI"):
        return Path(named)
    target = cache_folder() / f"nats-cli-{NATS_CLI_VERSION}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        only_one(target.with_name(f"{target.name}.lock"), _tell),
        tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent, ignore_cleanup_errors=True) as scratch,
    ):
        if not target.is_file():
            package = f"{NATS_CLI_MODULE}/nats@v{NATS_CLI_VERSION}"
            go_install(package, Path(scratch), _tell, fetch_wheel).replace(target)
    return target


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
