"""nats-harness: breaks systems built on NATS on purpose, and says with evidence which promises they kept.

What a scenario needs is exported here: the marks `needs`, `calm`, `started_with`, the type `Run` of what a scenario
holds, and the guarantees that it can expect. Each is imported when it is first asked for, so that a suite that has
the plugin installed and does not use it pays nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.guarantees.available import Available as available
    from harness.guarantees.bounded import Bounded as bounded
    from harness.guarantees.converges import Converges as converges
    from harness.guarantees.degrades import Degrades as degrades
    from harness.guarantees.drains import Drains as drains
    from harness.guarantees.effects import Effects as effects
    from harness.guarantees.no_loss import NoLoss as no_loss
    from harness.guarantees.no_phantoms import NoPhantoms as no_phantoms
    from harness.guarantees.observable import Observable as observable
    from harness.guarantees.reconnects import Reconnects as reconnects
    from harness.guarantees.redelivers import Redelivers as redelivers
    from harness.marks import calm, needs, started_with
    from harness.run import Run

_WHERE = {
    "Run": "harness.run:Run",
    "available": "harness.guarantees.available:Available",
    "bounded": "harness.guarantees.bounded:Bounded",
    "calm": "harness.marks:calm",
    "converges": "harness.guarantees.converges:Converges",
    "degrades": "harness.guarantees.degrades:Degrades",
    "drains": "harness.guarantees.drains:Drains",
    "effects": "harness.guarantees.effects:Effects",
    "needs": "harness.marks:needs",
    "no_loss": "harness.guarantees.no_loss:NoLoss",
    "no_phantoms": "harness.guarantees.no_phantoms:NoPhantoms",
    "observable": "harness.guarantees.observable:Observable",
    "reconnects": "harness.guarantees.reconnects:Reconnects",
    "redelivers": "harness.guarantees.redelivers:Redelivers",
    "started_with": "harness.marks:started_with",
}

__all__ = [
    "Run",
    "available",
    "bounded",
    "calm",
    "converges",
    "degrades",
    "drains",
    "effects",
    "needs",
    "no_loss",
    "no_phantoms",
    "observable",
    "reconnects",
    "redelivers",
    "started_with",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
