"""What observers and the probe saw while a fault lasted: the pieces of evidence that several faults share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from harness.history import probes
from harness.history.reader import FaultSpan, History
from harness.runtime.contract import Way

LinkKey = tuple[str, str]
SETTLE_NS = 30_000_000
"""Records sent so shortly after the effect may have crossed before it: left out."""
ACKED_LATE_NS = 100_000_000
"""The same for bytes as the kernel counts them, which are acknowledged up to 40 ms late."""
RESET = "ECONNRESET"
"""How a connection of the probe's ends that was cut off."""
LEAST_RECORDS = 10
"""Fewer probe records than this prove nothing."""
LEAST_FRESH = 3
"""The same of the probe's fresh connections, of which there are fewer."""
SHARE_SEEN = 0.8
"""Of what was asked, or of what should cross: so much at least must be seen of it (docs/faults.md)."""


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


def silenced(counts: Mapping[str, float], ways: Iterable[str] = ("to", "from", "round")) -> bool:
    """Records crossed before; under the fault enough were sent those ways, and none arrived."""
    told = [way for way in ways if f"{way}_sent" in counts]
    return bool(told) and all(
        counts[f"{way}_before"] > 0 and counts[f"{way}_sent"] >= LEAST_RECORDS and not counts[f"{way}_got"]
        for way in told
    )


def bytes_moved(history: History, span: FaultSpan, link: LinkKey) -> dict[str, float]:
    """By how much the kernel's counts of the link's bytes grew while the fault lasted.

    A connection that ends takes its bytes along, so only growth from one count to the next is added up.
    """
    start, end = window(history, span)
    lines = [
        line
        for line in history.lines("bytes")
        if (line["source"], line["target"]) == link and start + ACKED_LATE_NS <= line["t_ns"] <= end
    ]
    return {
        f"{name}_bytes": float(sum(max(after[name] - before[name], 0) for before, after in pairwise(lines)))
        for name in ("to_in", "to_out", "from_in", "from_out")
    }


def partitioned(history: History, span: FaultSpan, link: LinkKey, way: Way) -> dict[str, float]:
    """Evidence that nothing crossed `link` that way, and, of one way, that the other was whole.

    On a link to a service the probe sees the way round alone: there the kernel's bytes tell the ways apart. In a
    partition nobody is told: where the probe's connections are cut off it is something else.
    """
    counts, moved = crossed(history, span, link), bytes_moved(history, span, link)
    counts["reset"] = probes.ends(history, span.id, link, span.asked_ns, window(history, span)[1]).count(RESET)
    ways = ("to", "from") if way == "both" else (way,)
    alone = "round_sent" in counts
    # Nobody answers what never arrived: on a link to a service a cut of `to` leaves nothing to cross the other way.
    carrying = ("to",) if alone and "to" in ways else ways
    bit = silenced(counts, ("round",) if alone else ways) and not counts["reset"]
    bit &= all(moved[f"{one}_in_bytes"] > 0 for one in carrying) and not any(moved[f"{one}_out_bytes"] for one in ways)
    if way != "both":
        other: Way = "from" if way == "to" else "to"
        whole = {} if alone else _on_old_connections(history, span, link, other)
        counts |= whole
        if not alone:
            sent, got = whole[f"{other}_old_sent"], whole[f"{other}_old_got"]
            bit &= sent >= LEAST_RECORDS and got >= SHARE_SEEN * sent
        elif way == "from":
            bit &= moved["to_out_bytes"] > 0
    return {**counts, **moved, "bit": bit}


def slowed(history: History, span: FaultSpan, link: LinkKey, asked_ms: float) -> dict[str, float]:
    """Evidence that the probe's median round trip grew by what was asked, or nearly."""
    start, end = window(history, span)
    before, n_before = probes.median_rtt_ms(history, span.id, link, 0, span.asked_ns)
    under, n_under = probes.median_rtt_ms(history, span.id, link, start + SETTLE_NS, end)
    grown = under - before >= SHARE_SEEN * asked_ms and min(n_before, n_under) >= LEAST_RECORDS
    return {"before_ms": before, "under_ms": under, "asked_ms": asked_ms, "records": n_under, "bit": grown}


def said(history: History, node: str, words: str, from_ns: int, to_ns: int) -> int:
    """How many lines with these words the node printed in that time."""
    lines = (line for line in history.lines("output") if line["node"] == node and words in line["text"])
    return sum(from_ns <= line["t_ns"] <= to_ns for line in lines)


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


def cuts(history: History, link: LinkKey, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """When the link was cut in that time, and mended again in it, as it told itself."""
    found, cut_ns = [], None
    for line in history.lines("link"):
        if (line["source"], line["target"]) == link and from_ns <= line["t_ns"] <= to_ns:
            if line["event"] == "cut":
                cut_ns = line["t_ns"]
            elif line["event"] == "mended" and cut_ns is not None:
                found.append((cut_ns, line["t_ns"]))
                cut_ns = None
    return found


def fresh(history: History, span: FaultSpan, link: LinkKey, *errors: str) -> dict[str, float]:
    """The probe's fresh connections under the fault: how many were tried, answered, and ended by these errors.

    `none_lived` is 1 where enough were, nearly all by these errors, and none was answered. The last one may outlive
    the fault, and between a reset and the next connection the link refuses for some milliseconds.
    """
    start, end = window(history, span)
    tried = [
        record
        for record in probes.records(history, span.id, link, "fresh")
        if start + SETTLE_NS <= record.sent_ns <= end
    ]
    answered = sum(record.got_ns is not None and record.got_ns <= end for record in tried)
    ended = sum(record.error in errors for record in tried)
    none_lived = not answered and ended >= max(LEAST_FRESH, SHARE_SEEN * len(tried))
    return {"fresh": len(tried), "answered": answered, "ended": ended, "none_lived": none_lived}


def _on_old_connections(history: History, span: FaultSpan, link: LinkKey, way: Way) -> dict[str, float]:
    """What crossed that way on the connections from before the fault, as long as these lived."""
    start, end = window(history, span)
    sent = [
        record
        for record in probes.records(history, span.id, link)
        if record.way == way and record.old and start + SETTLE_NS <= record.sent_ns <= end
    ]
    got = sum(record.got_ns is not None and record.got_ns <= end for record in sent)
    return {f"{way}_old_sent": len(sent), f"{way}_old_got": got}
