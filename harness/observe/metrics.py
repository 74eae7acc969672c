"""Metrics: what a scraper would see of each replica, asked past every proxy.

Of all that a replica tells, the metrics that the system file names are kept: once at first, and when one changes. A
scrape that failed while the replica's process ran is kept too, each one; while there was no process it is a gap.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic_ns

from harness.errors import why
from harness.history.recorder import Recorder
from harness.observe import _http
from harness.observe._base import Gap

SCRAPES_EVERY_S = 0.5
ANSWERS_WITHIN_S = 2.0

Values = dict[str, float | None]
"""The file's word for a metric ("lost") and the sum of its samples; None where it has none, or no number."""


@dataclass(frozen=True, slots=True)
class Target:
    """A replica, where it tells its metrics, which of them count, and whether its process runs."""

    node: str
    url: str
    names: Mapping[str, str]
    alive: Callable[[], bool]


class Metrics:
    """Records lines of kind `metrics` for each of `targets`."""

    def __init__(self, recorder: Recorder, targets: list[Target]) -> None:
        self.source = "metrics"
        self._recorder, self._targets = recorder, targets
        self._told: dict[str, Values] = {}
        self._gaps = {target.node: Gap(recorder, gap_of(target.node)) for target in targets}
        self._count = 0

    async def watch(self) -> None:
        """Scrapes until cancelled."""
        await asyncio.gather(*map(self._watch, self._targets))

    async def final(self) -> None:
        """Scrapes once more; the read is complete if every replica answered."""
        from_ns = monotonic_ns()
        answered = await asyncio.gather(*map(self._scrape, self._targets))
        self._recorder.line("read", source=self.source, complete=all(answered), count=self._count, from_ns=from_ns)

    async def _watch(self, target: Target) -> None:
        while True:
            await self._scrape(target)
            await asyncio.sleep(SCRAPES_EVERY_S)

    async def _scrape(self, target: Target) -> bool:
        asked_ns, gap = monotonic_ns(), self._gaps[target.node]
        try:
            answer = await _http.get(target.url, within_s=ANSWERS_WITHIN_S)
            if answer.status != 200:
                raise OSError(f"status {answer.status}")
            values = read(answer.body.decode(errors="replace"), target.names)
        except (OSError, ValueError) as error:
            if target.alive():
                what = "no answer in time" if isinstance(error, TimeoutError) else why(error)
                self._recorder.line("metrics", node=target.node, from_ns=asked_ns, error=what)
            else:
                gap.open("its process does not run", from_ns=asked_ns)
            return False
        gap.close()
        self._count += 1
        if values != self._told.get(target.node):
            self._told[target.node] = values
            self._recorder.line("metrics", node=target.node, from_ns=asked_ns, values=values)
        return True


def gap_of(node: str) -> str:
    """The source that a gap names while a replica without a process is not scraped."""
    return f"metrics {node}"


def read(text: str, names: Mapping[str, str]) -> Values:
    """The metrics of these names in Prometheus' text, the samples of each added up; ValueError where it is no such."""
    from prometheus_client.parser import text_string_to_metric_families  # 0.1 s, where somebody asks for it alone

    found: dict[str, float] = {}
    wanted = frozenset(names.values())
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in wanted:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return {word: value if math.isfinite(value := found.get(name, math.nan)) else None for word, name in names.items()}
