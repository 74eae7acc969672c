"""What observers and the probe saw while a fault lasted: the pieces of evidence that several faults share."""

from __future__ import annotations

from harness.history import probes
from harness.history.reader import FaultSpan, History

LinkKey = tuple[str, str]
SETTLE_NS = 30_000_000
"""Records sent so shortly after the effect may have crossed before it: left out."""
LEAST_RECORDS = 10
"""Fewer probe records than this prove nothing."""


def window(history: History, span: FaultSpan) -> tuple[int, int]:
    """From the effect (or, where none was seen, from the asking) to the moment at which healing began."""
    healing = [line["t_ns"] for line in history.lines("fault") if line["id"] == span.id and line["event"] == "healing"]
    start = span.effective_ns if span.effective_ns is not None else span.asked_ns
    return start, healing[0] if healing else (span.healed_ns or start)


def crossed(history: History, span: FaultSpan, link: LinkKey) -> dict[str, float]:
    """Probe records sent and answered over `link` while the fault lasted, by way."""
    start, end = window(history, span)
    before = probes.counts(history, span.id, link, 0, span.asked_ns)
    under = probes.counts(history, span.id, link, start + SETTLE_NS, end)
    counts: dict[str, float] = {}
    for way in ("to", "from", "round"):
        if way in under:
            sent, got = under[way]
            counts |= {f"{way}_before": before.get(way, (0, 0))[1], f"{way}_sent": sent, f"{way}_got": got}
    return counts


def silenced(counts: dict[str, float]) -> bool:
    """Records crossed before; under the fault enough were sent, and none arrived, either way."""
    before = [count for name, count in counts.items() if name.endswith("_before")]
    sent = [count for name, count in counts.items() if name.endswith("_sent")]
    got = [count for name, count in counts.items() if name.endswith("_got")]
    return bool(before) and min(before) > 0 and min(sent) >= LEAST_RECORDS and not any(got)


def connections_closed(history: History, span: FaultSpan) -> tuple[int, int]:
    """Connections open on the fault's links when it was asked for, and how many of them the proxies saw closed."""
    _, end = window(history, span)
    open_at: dict[tuple[str, str, str], bool] = {}
    closed: set[tuple[str, str, str]] = set()
    for line in history.lines("connection"):
        key = (line["source"], line["target"], line["client"])
        if line["via"] != "proxy" or key[:2] not in span.links or line.get("probe"):
            continue
        if line["t_ns"] <= span.asked_ns:
            open_at[key] = line["event"] == "opened"
        elif line["t_ns"] <= end and line["event"] == "closed":
            closed.add(key)
    were_open = {key for key, is_open in open_at.items() if is_open}
    return len(were_open), len(were_open & closed)
