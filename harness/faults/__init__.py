"""Faults: what goes wrong on purpose. One small class a file; `REGISTRY` finds each by itself."""

from harness.faults._asked import asked, bind
from harness.faults._base import REGISTRY, Fault, Stage, applied, load_all, tell_evidence

__all__ = ["REGISTRY", "Fault", "Stage", "applied", "asked", "bind", "load_all", "tell_evidence"]
