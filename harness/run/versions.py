"""What a run ran on: the versions that a verdict must name, since a red one may be a pair of versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from harness.runtime.binaries import TOXIPROXY_VERSION

PACKAGES = ("nats-harness", "nats-py", "locust", "toxiproxy-python")


def versions(nats_server: str) -> dict[str, str]:
    """Name to version: the broker's as the system file pins it, toxiproxy's as built, packages, Python, the machine."""
    found = {"nats-server": nats_server, "toxiproxy": TOXIPROXY_VERSION}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found |= {"python": platform.python_version(), "kernel": platform.release()}
    return found | {"machine": platform.machine(), "cores": str(os.cpu_count() or 1)}
