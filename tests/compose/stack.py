"""A compose file brought up with docker-compose under a name of its own, and nothing of it left afterwards."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

JSON = Any
T = TypeVar("T")
UP_WITHIN_S = 300
SEEN_WITHIN_S = 60.0
KINDS = ("container", "network", "volume")


@dataclass(frozen=True)
class Images:
    """Images that are on this machine: Python with the packages, nats-server, and Toxiproxy."""

    base: str
    nats: str
    toxiproxy: str


class Stack:
    """A context manager; `variables` are the compose file's."""

    def __init__(self, file: Path, images: Images, variables: Mapping[str, str] | None = None) -> None:
        self.name = f"nats-harness-test-{secrets.token_hex(4)}"
        self._file = file
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ},
            "BASE": images.base,
            "NATS_IMAGE": images.nats,
            "TOXIPROXY_IMAGE": images.toxiproxy,
            "TAG": self.name,
            **dict.fromkeys(("WEB_PORT", "NATS_MONITOR_PORT", "TOXIPROXY_PORT"), "0"),
            **(variables or {}),
        }

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self("--profile", "chaos", "down", "--volumes", "--remove-orphans", "--timeout", "2")
        # By name: the same image can have another name, under which another test runs it.
        if built := self._built():
            docker("image", "rm", "--force", *built)
        assert self.left() == []

    def __call__(self, *words: str) -> str:
        """Runs docker-compose, and what it printed."""
        command = ["docker-compose", "--project-name", self.name, "--file", str(self._file), *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=UP_WITHIN_S)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def left(self) -> list[str]:
        """What the engine still has of it."""
        label = f"label=com.docker.compose.project={self.name}"
        found = [line for kind in KINDS for line in docker(kind, "ls", *_all(kind), "-q", "--filter", label).split()]
        return found + self._built()

    def _built(self) -> list[str]:
        listed = ("--filter", f"reference=*:{self.name}", "--format", "{{.Repository}}:{{.Tag}}")
        return docker("image", "ls", *listed).split()

    def inspect(self, service: str) -> list[JSON]:
        """What the engine knows of each container of a service."""
        ids = self("ps", "-q", service).split()
        found: list[JSON] = json.loads(docker("container", "inspect", *ids)) if ids else []
        return found

    def health(self, service: str) -> set[str]:
        """The health of its containers."""
        return {container["State"]["Health"]["Status"] for container in self.inspect(service)}

    def address(self, service: str, port: int) -> str:
        """Where a port is published."""
        return f"http://{self('port', service, str(port)).strip()}"


def _all(kind: str) -> list[str]:
    return ["--all"] if kind == "container" else []


def docker(*words: str) -> str:
    """Runs docker, and what it printed."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def ask(url: str, body: JSON = None, headers: Mapping[str, str] | None = None) -> tuple[int, JSON]:
    """Status and JSON of an answer; POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(look: Callable[[], T], wanted: Callable[[T], bool], what: str, within_s: float = SEEN_WITHIN_S) -> T:
    """Looks until it is as wanted."""
    deadline = time.monotonic() + within_s
    while not wanted(seen := look()):
        assert time.monotonic() < deadline, f"{what} did not come within {within_s:g} s: {seen}"
        time.sleep(0.2)
    return seen
