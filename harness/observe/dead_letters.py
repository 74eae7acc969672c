"""Dead letters: what the system gave up, heard where its file says. They arrive on the connection of the taps."""

from __future__ import annotations

from harness.history.rows import Step
from harness.observe.taps import Subscription
from harness.system.model import SystemFile

SOURCE = "dead letters"


def subscriptions(system: SystemFile) -> list[Subscription]:
    """What the dead letters of a system's workloads ask for, each once: a terminal sighting of its operation."""
    tables = dict.fromkeys(workload.dead for workload in system.workloads.values() if workload.dead is not None)
    return [
        Subscription(dead.subject, Step.DEAD_LETTER, SOURCE, dead.op, dead.ref, dead.reason, dead.payload, dead.attempt)
        for dead in tables
    ]
