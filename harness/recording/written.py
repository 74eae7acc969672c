"""What was injected by hand, as an outage file that plays the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.history.lines import FaultSpan, fault_spans
from harness.outage import Event, Outage
from harness.recording.typed import Typed
from harness.system import _toml

NS = 1_000_000_000
SOON_NS = NS
"""What began so soon after the fault before it was over is told as following it."""
LEAST_S = 0.1
"""The least that times are told to."""
PLACE = "# What happened, in a sentence, in the place of this one:"


@dataclass
class Injected:
    """A fault that was injected by hand, and the history's lines that tell of it."""

    typed: Typed
    lasts: bool
    """Whether it goes on until it is healed; else it is over by itself."""
    lines: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def span(self) -> FaultSpan:
        """When it was asked for, effective and healed."""
        return fault_spans(self.lines)[0]

    @property
    def ended_ns(self) -> int | None:
        """When it was told to be over, or was over by itself; None where it was not."""
        healing = max((line["t_ns"] for line in self.lines if line["event"] == "healing"), default=None)
        return healing if self.lasts else self.span.healed_ns or healing

    @property
    def failed(self) -> str:
        """Why it did not take effect, as far as that is known."""
        return next((str(line["detail"]) for line in self.lines if line["event"] == "failed"), "")


def outage(injected: Iterable[Injected], says: str, rate: float | None) -> Outage | None:
    """The outage that these were, those left out that are still on; None where there is none that took effect."""
    events = tuple(_events(injected))
    if not events:
        return None
    return Outage(says=says, events=events) if rate is None else Outage(says=says, rate=rate, events=events)


def _events(injected: Iterable[Injected]) -> Iterator[Event]:
    """In the order of their effects, from the first of them on. One hard on the heels of another follows it."""
    spans = [(one.span, one.ended_ns, one) for one in injected]
    effects = [
        (span.effective_ns, ended_ns, span, one)
        for span, ended_ns, one in spans
        if span.effective_ns is not None and ended_ns is not None
    ]
    effects = sorted(effects, key=lambda effect: effect[0])
    before: FaultSpan | None = None
    for effective_ns, ended_ns, span, one in effects:
        told: dict[str, object] = {"what": one.typed.what, **one.typed.parameters}
        if before is None or before.healed_ns is None or not 0 <= span.asked_ns - before.healed_ns < SOON_NS:
            told["at"] = _seconds(effective_ns - effects[0][0])
        if one.typed.on:
            told["on"] = one.typed.on
        told["for_s"] = max(LEAST_S, _seconds(ended_ns - effective_ns))
        yield Event.model_validate(told)
        before = span


def _seconds(ns: int) -> float:
    return round(ns / NS, 1)


def text(outage: Outage) -> str:
    """An outage as a file, with a place for a sentence."""
    lines = [PLACE, f"says = {_value(outage.says)}"]
    lines += [f"rate = {_value(outage.rate)}"] if outage.rate is not None else []
    for event in outage.events:
        lines += ["", "[[events]]"]
        given = event.model_dump(exclude_unset=True)
        first = [name for name in ("at", "what", "on") if name in given]
        last = ["for_s"]
        others = [name for name in given if name not in (*first, *last)]
        lines += [f"{_toml.key(name)} = {_value(given[name])}" for name in (*first, *others, *last)]
    return "\n".join(lines) + "\n"


def _value(value: str | int | float | bool) -> str:
    return _toml.text(value) if isinstance(value, str) else _toml.plain(value)
