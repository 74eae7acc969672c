"""What a run ran on: the versions that a verdict must name, since a red one may be a pair of versions."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from harness.runtime.binaries import TOXIPROXY_VERSION

COMMIT_WITHIN_S = 5.0
PACKAGES = ("nats-harness", "nats-py", "locust", "toxiproxy-python")


def versions(nats_server: str) -> dict[str, str]:
    """Name to version: the broker's as the system file pins it, toxiproxy's as built, packages, Python, the machine.

    `commit` is that of the folder that one works in, with `-dirty` where files of it have changed since.
    """
    found = {"nats-server": nats_server, "toxiproxy": TOXIPROXY_VERSION}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found |= _commit()
    found |= {"python": platform.python_version(), "kernel": platform.release()}
    return found | {"machine": platform.machine(), "cores": str(os.cpu_count() or 1)}


@cache
def _commit() -> Mapping[str, str]:
    """Of the repository around the working folder; nothing where there is none, or no git."""
    asked = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    environ = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(asked, capture_output=True, text=True, env=environ, timeout=COMMIT_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {} if done.returncode else {"commit": done.stdout.strip()}
