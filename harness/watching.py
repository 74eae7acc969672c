"""The live view of a run: what goes on now, a line a scenario, below the lines of those that are done.

It reads what scenarios write into their folders, once a second, and is seen on a terminal alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from time import monotonic, monotonic_ns
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.load.live import Counts, LiveView
from harness.report.text import count, plain, seconds

RATE_OVER_S = 2.0
COLUMNS = 5
LINES = "lines-*.jsonl"


class Watched:
    """One scenario that goes on: what its folder tells so far."""

    def __init__(self, id_: str, folder: Path) -> None:
        self.id, self._history, self._began = id_, folder / "history", monotonic()
        self._phase, self._load = "", ""
        self._read: dict[Path, int] = {}
        self._faults: dict[int, str] = {}
        self._view: LiveView | None = None

    def update(self) -> None:
        """Reads what was added to its folder since."""
        for line in self._lines():
            if line["kind"] == "phase":
                self._phase = line["name"]
            elif line["kind"] == "load" and line["event"] in ("started", "stopping", "stopped"):
                self._load = line["event"]
                self._view = self._view or LiveView(self._history)
            elif line["kind"] == "fault" and line["event"] == "asked":
                self._faults[line["id"]] = plain(f"{line['fault']} of {line['target']}")
            elif line["kind"] == "fault" and line["event"] in ("healing", "failed"):
                self._faults.pop(line["id"], None)

    def cells(self, *, waits: bool = False) -> list[str]:
        """Its id, for how long, what goes on, operations a second, and what became of them.

        `waits`: another one is being started, and one at a time is.
        """
        counts, rate = Counts(), 0.0
        if self._view is not None:
            self._view.update()
            now_ns = monotonic_ns()
            counts = self._view.counts()
            rate = self._view.begun(now_ns - int(RATE_OVER_S * 1e9), now_ns).offered / RATE_OVER_S
        outcomes = f"{counts.ok:,} ok  {counts.fail:,} fail  {counts.unknown:,} unknown  {counts.in_flight:,} under way"
        offering = self._load == "started"
        return [
            self.id,
            seconds(self.for_s),
            "waits for another to start" if waits and not self._phase else self.doing,
            f"{rate:.0f}/s" if offering else "",
            outcomes if counts.offered else "",
        ]

    @property
    def for_s(self) -> float:
        """For how long it goes on."""
        return monotonic() - self._began

    @property
    def starting(self) -> bool:
        """Whether its system is being started."""
        return bool(self._phase) and not self._load

    @property
    def doing(self) -> str:
        """The faults that are on, or how far it is."""
        if self._faults:
            return f"under {', '.join(self._faults.values())}"
        if not self._load:
            return "starts"
        return "is offered work" if self._load == "started" else "reads to the end"

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The whole lines that were added since, by the runner and by the load's processes."""
        for path in sorted(self._history.glob(LINES)):
            read = self._read.get(path, 0)
            try:
                with path.open("rb") as file:
                    file.seek(read)
                    text = file.read()
            except OSError:  # not there any more: what is done is kept in columns
                continue
            whole = text[: text.rfind(b"\n") + 1]
            self._read[path] = read + len(whole)
            yield from (json.loads(line) for line in whole.splitlines())


class Watching:
    """The view of a run on a terminal. From `start` to `stop` all lines go through `say`.

    `planned` are the ids of its scenarios; `before` says how many seconds some of them took in an earlier run.
    """

    def __init__(self, planned: Sequence[str], terminal: TextIO, before: Mapping[str, float]) -> None:
        self._planned, self._unexpected, self._at_a_time = len(planned), 0, 1
        self._to_begin = [*planned]
        self._before, self._took = before, list[float]()
        self._on: dict[str, Watched] = {}
        self._console = Console(file=terminal, highlight=False)
        self._live = Live(
            get_renderable=self._shown, console=self._console, refresh_per_second=1, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip

    def start(self) -> None:
        """Begins to show."""
        self._live.start()

    def stop(self) -> None:
        """Takes the view away; the lines stay."""
        self._live.stop()
        self._console.file.close()

    def begins(self, key: str, id_: str, folder: Path) -> None:
        """A scenario goes on from now."""
        self._on[key] = Watched(id_, folder)
        self._to_begin = [one for one in self._to_begin if one != id_]
        self._at_a_time = max(self._at_a_time, len(self._on))

    def ends(self, key: str, *, as_expected: bool) -> None:
        """It is done."""
        if (watched := self._on.pop(key, None)) is not None:
            self._took.append(watched.for_s)
            self._unexpected += not as_expected

    def say(self, line: str) -> None:
        """Prints a line above the view."""
        self._console.print(Text.from_ansi(line), soft_wrap=True)

    def _shown(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for _ in range(COLUMNS):
            table.add_column(no_wrap=True)
        going = [*self._on.values()]
        for watched in going:
            watched.update()
        for watched in going:
            waits = any(other.starting for other in going if other is not watched)
            table.add_row(*map(Text, watched.cells(waits=waits)))
        return Group(table, Text(self._sum(), style="dim", no_wrap=True, overflow="ellipsis"))

    def _sum(self) -> str:
        told = f"{len(self._took)} of {count(self._planned, 'scenario')} done"
        told += f", {self._unexpected} not as expected" if self._unexpected else ""
        left_s = self._left_s()
        return told if left_s < 1 else f"{told}, about {seconds(left_s)} left"

    def _left_s(self) -> float:
        """By how long each took before, else by how long one takes; 0 where nobody knows yet, or any moment now."""
        usual = [*self._took] or [*self._before.values()]
        if not usual:
            return 0.0
        going = [max(0.0, self._before.get(one.id, mean(usual)) - one.for_s) for one in [*self._on.values()]]
        to_come = [self._before.get(id_, mean(usual)) for id_ in self._to_begin]
        return max(sum([*going, *to_come]) / self._at_a_time, *going, *to_come, 0.0)
