"""What a load balancer saw of the services whose way to the broker was broken, or that came up without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from harness.guarantees._base import NS, Clause, inconclusive
from harness.guarantees._connections import Connection, LinkKey, connections
from harness.guarantees._returns import UNTOLD, WITHHELD, WORKING, Hit, effective_at, healed_at, hits
from harness.history.reader import FaultSpan, History
from harness.verdict import Doubt, Finding, Verdict

STARTS = Clause(
    "degrades.starts", "s", timing=True, at_start=True, sources=frozenset({"health"}), needs=frozenset({"live"})
)
HEALTH = Clause(
    "degrades.health", "s", timing=True, sources=frozenset({"health", "connections"}), needs=frozenset({"health"})
)
LIVE, READY = "live", "ready"
AWAY = frozenset({"absent", "frozen", "kill", "pause", "refused", "silent"})
"""Faults of whose links nothing crosses from the effect until they are healed."""
ENDING = frozenset({"crash_loop", "restart", "terminate"})
"""Faults of whose links nothing crosses from the broker's exit until it is started again."""
ONE_WAY = ("way to", "way from")
"""What a fault says that leaves the other way of its link open."""
OPENED = frozenset({"made", "open", "mended", "replaced"})
"""What a link tells when something may cross it again."""
SAID_NS = NS // 2
"""Who said so long without a break that it is red knows it: five answers in a row."""
BACK = frozenset({"started", "ready", "resumed", "listening"})
"""What a broker tells when it may be there again."""


class Look(NamedTuple):
    """An answer that was new, or is told again; until the next one it is what a replica answers.

    `says` is whether it is the replica's own word, a status, and not that none came.
    """

    t_ns: int
    green: bool
    asked_ns: int
    says: bool


Looks = Mapping[tuple[str, str], Sequence[Look]]
"""By replica and what was asked of it."""


class Part(NamedTuple):
    """One thing that was promised: how long it took, how long it may, and what was seen; `never`: not at all."""

    value: float
    bound: float
    told: str
    never: bool = False

    @property
    def late(self) -> bool:
        """Whether the promise was broken."""
        return self.never or self.value > self.bound


class Short(NamedTuple):
    """Something that did not come to be, and was watched for less than it may take."""

    told: str


def looks(history: History) -> Looks:
    """What each replica answered, by time."""
    found: dict[tuple[str, str], list[Look]] = defaultdict(list)
    for line in history.lines("health"):
        says = line["answer"].isdigit()
        found[line["node"], line["what"]].append(Look(line["t_ns"], line["green"], line["from_ns"], says))
    return found


def since(seen: Sequence[Look], from_ns: int, until_ns: int, *, green: bool) -> int | None:
    """When the answer was first so from a moment on: that moment itself where it was so already. None: never."""
    before = [look for look in seen if look.t_ns <= from_ns]
    if before and before[-1].green is green:
        return from_ns
    return next((look.t_ns for look in seen if from_ns < look.t_ns <= until_ns and look.green is green), None)


def starts(history: History, bound: float) -> Finding:
    """Each service that says that it lives said so within the bound of its start, while the broker was not there."""
    spans = [span for span in history.faults() if span.kind == WITHHELD and span.effective_ns is not None]
    if not spans:
        return _not_asked(STARTS, "the broker was there when the services started")
    span, seen = spans[0], looks(history)
    nodes = sorted(node for node, asked in history.meta["health"].items() if LIVE in asked)
    lives = [_life(history, span, node, seen.get((node, LIVE), ()), bound) for node in nodes]
    return _finding(STARTS, [life for life in lives if life is not None], "each lived without a broker", (span.id,))


def _life(history: History, span: FaultSpan, node: str, seen: Sequence[Look], bound: float) -> Part | Short | None:
    """How long a replica took from its start until it was live; None: it was not started."""
    told = [line for line in history.lines("node") if line["node"] == node]
    started = next((line["t_ns"] for line in told if line["event"] == "started"), None)
    if started is None:
        return None
    until = span.healed_ns or span.effective_ns or started
    ends = [line["t_ns"] for line in told if line["event"] == "exited" and started <= line["t_ns"] < until]
    watched = (until - started) / NS
    if ends:
        return Part(watched, bound, f"{node} ended by itself after {(ends[0] - started) / NS:.3f} s", never=True)
    live = since(seen, started, until, green=True)
    if live is not None:
        return Part((live - started) / NS, bound, f"{node} after {(live - started) / NS:.3f} s")
    if watched <= bound or not seen:
        return Short(f"{node} was not live, and was watched for {watched if seen else 0:.1f} s alone")
    return Part(watched, bound, f"{node} never, in {watched:.1f} s", never=True)


def health(history: History, red_s: float, untold_s: float, green_s: float) -> Finding:
    """The replicas whose link to the broker was hit were red in time, green again in time, and live all the while."""
    spans = [span for span in history.faults() if span.effective_ns is not None]
    clients, brokers = set(history.meta["clients"]), set(history.meta["brokers"])
    if not any(source in clients and target in brokers for span in spans for source, target in span.links):
        return _not_asked(HEALTH, "no link to the broker was under a fault")
    all_connections, seen = connections(history), looks(history)
    asked = {node for node, what in history.meta["health"].items() if READY in what}
    found = [hit for hit in hits(history, all_connections) if hit[1][0] in asked]
    due = [hit for hit in found if hit[0].kind not in WORKING]
    if found and not due:
        return _not_asked(HEALTH, f"under {found[0][0].kind} a connection may live on")
    parts: list[Part | Short] = []
    for hit in due:
        red_within = untold_s if hit[0].kind in UNTOLD else red_s
        parts += _red(hit, seen, red_within, all_connections)
        parts += _green_between(history, hit, seen, red_within, all_connections)
        parts += _green(hit, seen, green_s)
        parts += _live(hit, seen, green_s)
    told = "; ".join(part.told for part in parts if isinstance(part, Part))
    return _finding(HEALTH, parts, told, sorted({span.id for span, *_ in due}))


def _red(hit: Hit, seen: Looks, bound: float, known: Mapping[LinkKey, Sequence[Connection]]) -> Iterator[Part | Short]:
    span, link, _ = hit
    node, effect, healed = link[0], effective_at(span, link), healed_at(span, link)
    answers = seen.get((node, READY), ())
    at = since(answers, effect, healed, green=False)
    if at is not None:
        yield Part((at - effect) / NS, bound, f"{node} was red after {(at - effect) / NS:.3f} s")
        return
    if span.kind not in UNTOLD and any(
        effect < (c.reached_ns or 0) <= effect + bound * NS for c in known.get(link, ()) if c.opened_ns > effect
    ):
        return  # it was connected again before it had to be red
    watched = (min([healed, *(look.t_ns for look in answers[-1:])]) - effect) / NS
    if watched <= bound:
        yield Short(f"{node} was not red, and was watched for {max(watched, 0):.1f} s alone")
    else:
        yield Part(watched, bound, f"{node} was never red, in {watched:.1f} s", never=True)


def _green_between(
    history: History, hit: Hit, seen: Looks, bound: float, known: Mapping[LinkKey, Sequence[Connection]]
) -> Iterator[Part]:
    """For how long a replica that knew that it is red was green while nothing can have crossed its link."""
    (span, link, _), answers = hit, seen.get((hit[1][0], READY), ())
    effect, (away, until) = effective_at(span, link), _away(history, hit, known)
    others = [one for one in history.faults() if one.id != span.id and any(key[0] == link[0] for key in one.links)]
    alone = not any(one.asked_ns < until and (one.healed_ns or until) > away for one in others)
    begin = _knew(answers, away, until, int(bound * NS), alone=alone)
    green = [
        (look.asked_ns, min(after.asked_ns if after else look.t_ns, until))
        for look, after in zip(answers, [*answers[1:], None], strict=False)
        if look.green and begin < look.asked_ns and look.t_ns < until
    ]
    if green:
        at, lasted = (green[0][0] - effect) / NS, sum(end - start for start, end in green) / NS
        told = f"{link[0]} was green again at +{at:.1f} s, while the broker was away, for {lasted:.1f} s"
        yield Part(lasted, 0.0, told, never=True)


def _knew(answers: Sequence[Look], away: int, until: int, bound_ns: int, *, alone: bool) -> int:
    """When a replica knew that it is red: it was so and had to be by then; or it had said so for long enough before it
    was green again, which was green before and is under no other fault (`alone`) that it can have spoken of. Else at
    the end of the time.
    """
    red = since(answers, away, until, green=False)
    knew = until if red is None else max(red, away + bound_ns)
    said: int | None = None
    before = [look for look in answers if look.t_ns <= away]
    for look in answers if alone and before and before[-1].green else ():
        if look.green and said is not None and look.asked_ns > said + SAID_NS:
            return min(knew, said + SAID_NS)
        if look.green or not look.says:
            said = None
        elif said is None and look.t_ns > away:
            said = look.t_ns
    return knew


def _away(history: History, hit: Hit, known: Mapping[LinkKey, Sequence[Connection]]) -> tuple[int, int]:
    """From when until when it is certain that the broker was away from a replica; no time at all where it never is."""
    span, link, _ = hit
    node, broker = link
    begin, until = effective_at(span, link), span.healing_ns
    if span.kind not in AWAY | ENDING or span.how in ONE_WAY or until is None:
        return begin, begin
    if any(key[0] == node and key != link and key[1] in history.meta["brokers"] for key in known):
        return begin, begin  # it has another broker
    nodes = history.lines("node")
    if span.kind in ENDING:
        ends = [line["t_ns"] for line in nodes if line["node"] == broker and line["event"] == "exited"]
        begin = min((end for end in ends if span.asked_ns <= end), default=until)
    over = [line["t_ns"] for line in nodes if line["node"] == broker and line["event"] in BACK]
    over += [line["t_ns"] for line in nodes if line["node"] == node and line["event"] in ("started", "exited")]
    over += [
        line["t_ns"]
        for line in history.lines("link")
        if (line["source"], line["target"]) == link and line["event"] in OPENED
    ]
    over += [other.healing_ns or begin for other in history.faults() if link in other.links or broker in other.nodes]
    if span.kind != "silent":  # there the proxy connects, and lets nothing pass
        over += [c.reached_ns or 0 for c in known.get(link, ())]
    return begin, min([until, *(t_ns for t_ns in over if t_ns > begin)])


def _green(hit: Hit, seen: Looks, bound: float) -> Iterator[Part | Short]:
    node, healed = hit[1][0], healed_at(*hit[:2])
    answers = seen.get((node, READY), ())
    last = answers[-1].t_ns if answers else healed
    at, watched = since(answers, healed, last, green=True), (last - healed) / NS
    if at is not None:
        yield Part((at - healed) / NS, bound, f"{node} was green again after {(at - healed) / NS:.3f} s")
    elif watched <= bound:
        yield Short(f"{node} was not green again, and was watched for {max(watched, 0):.1f} s alone")
    else:
        yield Part(watched, bound, f"{node} was never green again, in {watched:.1f} s", never=True)


def _live(hit: Hit, seen: Looks, green_s: float) -> Iterator[Part]:
    """How long a replica did not say that it lives, from the effect on: not for a moment may it."""
    (span, link, _), answers = hit, seen.get((hit[1][0], LIVE), ())
    until = healed_at(span, link) + int(green_s * NS)
    at = since(answers, effective_at(span, link), until, green=False) if answers else None
    if at is not None:
        again = since(answers, at, until, green=True) or min(until, answers[-1].t_ns)
        yield Part((again - at) / NS, 0.0, f"{link[0]} was not live for {(again - at) / NS:.3f} s", never=True)


def _finding(clause: Clause, parts: Sequence[Part | Short], kept: str, faults: Sequence[int]) -> Finding:
    """Violated by any part that is late. Its value is that of the part that is nearest to its bound, or most beyond."""
    late = [part for part in parts if isinstance(part, Part) and part.late]
    short = [part.told for part in parts if isinstance(part, Short)]
    if (short and not late) or not parts:
        sentence = "; ".join(short) or "no replica that tells was hit"
        return inconclusive(clause.name, Doubt.TOO_LITTLE, sentence, unit=clause.unit, faults=faults)
    judged = late or [part for part in parts if isinstance(part, Part)]
    worst = max(judged, key=lambda part: part.value - part.bound)
    reason = "; ".join(part.told for part in late) if late else kept
    verdict = Verdict.VIOLATED if late else Verdict.HOLDS
    return Finding(clause.name, verdict, worst.bound, worst.value, clause.unit, len(parts), reason, faults=faults)


def _not_asked(clause: Clause, why: str) -> Finding:
    return Finding(clause.name, Verdict.HOLDS, unit=clause.unit, reason=f"not asked: {why}")
