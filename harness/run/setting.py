"""What one scenario is run with: the entry of the plan and what the session adds."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.system.model import SystemFile

NONCE_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Setting:
    """Everything that a Run needs to know before it starts anything.

    `hardening` is the spec of the state ("all", "none", "a,b"), None where the system has no measures. `folder` is the
    scenario's own: nothing else is written. `replicas` are other numbers of replicas than the file's; `without` is what
    is not started, the broker or nothing. `runtime` is where the system runs: containers or processes. `hold`
    is where it stops for somebody who looks (harness.run.holding).
    """

    system: SystemFile
    planned_id: str
    scenario: str
    state: str
    settles_s: float
    hardening: str | None
    expect: str
    exposes: Mapping[str, str]
    calm: bool
    run: str
    seed: int
    folder: Path
    repro: str
    replicas: Mapping[str, int] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    runtime: str = "processes"
    hold: frozenset[str] = frozenset()
    says: str = ""

    @property
    def nonce(self) -> str:
        """The 8 characters that begin every `{op}`: the scenario's own, the same in no other run."""
        digest = hashlib.sha256(f"{self.run}/{self.planned_id}".encode()).digest()
        return "".join(NONCE_LETTERS[byte % len(NONCE_LETTERS)] for byte in digest[:8])

    def draw(self, what: str, choices: list[str]) -> str:
        """One of the choices, the same for the same seed, scenario and purpose."""
        return random.Random(f"{self.seed}/{self.planned_id}/{what}").choice(sorted(choices))
