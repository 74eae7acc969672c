"""The toxics of a link's proxy, in Toxiproxy's terms and units. Pure.

Gates are made with the proxy, changed by PATCH and never removed: an end dies within some 20 ms of a latency toxic's
removal. All else is added for a fault and removed after it.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.runtime.contract import Way
from harness.runtime.proxy import Stream, Toxic

WAYS: Mapping[Way, tuple[Way, ...]] = {"both": ("to", "from"), "to": ("to",), "from": ("from",)}
_STREAMS: Mapping[Way, Stream] = {"to": "upstream", "from": "downstream"}


def latency(way: Way, latency_ms: float = 0, jitter_ms: float = 0) -> Toxic:
    """The gate that delays one way by `latency_ms`, give or take `jitter_ms`; 0 delays nothing."""
    return Toxic(f"latency_{way}", "latency", _STREAMS[way], {"latency": round(latency_ms), "jitter": round(jitter_ms)})


def rate(way: Way, bytes_s: float | None = None) -> Toxic:
    """The gate that lets so many bytes a second through one way; 0 none, None, which turns it off, as many as come."""
    kilobytes_s = max(1, round(bytes_s / 1000)) if bytes_s else 0
    return Toxic(f"rate_{way}", "bandwidth", _STREAMS[way], {"rate": kilobytes_s}, on=bytes_s is not None)


def gates() -> list[Toxic]:
    """Every gate, open."""
    return [gate for way in WAYS["both"] for gate in (latency(way), rate(way))]


def passing(kind: str, way: Way, attributes: Mapping[str, int]) -> Toxic:
    """A toxic that a fault adds; `kind` and `attributes` are Toxiproxy's."""
    return Toxic(f"{kind}_{way}", kind, _STREAMS[way], attributes)


def told(figures: Mapping[str, float]) -> str:
    """Attributes for people, without those that are 0."""
    return ", ".join(f"{name} {value:g}" for name, value in figures.items() if value)
