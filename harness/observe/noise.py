"""Noise: what our own loop and this machine did to the measuring: its lag, who used the cores, and who had to wait.

Our loop goes first, so that its lag says little of the services. For them a witness speaks, a process of their weight.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import fmean
from time import monotonic, monotonic_ns

from harness.history.recorder import Recorder

SLEEP_S = 0.005
EVERY_S = 1.0
LATE_MS = 50.0
"""Later than this our own loop spoils timing."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
WITNESS = (sys.executable, "-I", "-S", str(Path(__file__).with_name("_witness.py")))
"""The command of the witness, each of whose lines is for `Noise.witnessed`."""

Groups = Callable[[], Mapping[str, Iterable[int]]]
"""The processes of each group now: "broker" -> pids."""


class Noise:
    """Records a line of kind `noise` each second for the process it runs in, which is called `what`."""

    def __init__(self, recorder: Recorder, groups: Groups, *, what: str = "runner") -> None:
        self.source = "noise"
        self._recorder, self._groups, self._what = recorder, groups, what
        self._used: dict[int, int] = {}  # pid -> ticks of processor time, as read before
        self._all = _busy()
        self._stretches: list[float] = []

    def witnessed(self, line: str) -> None:
        """The witness's work took so many times longer than it needed."""
        self._stretches.append(float(line))

    async def watch(self) -> None:
        """Measures until cancelled: how much later than asked our loop wakes up, in milliseconds."""
        self._cores(1.0)
        while True:
            from_ns, lags = monotonic_ns(), list[float]()
            while monotonic_ns() - from_ns < EVERY_S * 1e9:
                due = monotonic() + SLEEP_S
                await asyncio.sleep(SLEEP_S)
                # What came during a stall waited as well: a stall of 50 ms counts for each 5 ms of it.
                lag_ms = (monotonic() - due) * 1e3
                lags += [lag_ms - past_ms for past_ms in range(0, max(int(lag_ms), 1), int(SLEEP_S * 1e3))]
            self._tell(from_ns, sorted(lags))

    async def final(self) -> None:
        """Nothing is left to read."""

    def _tell(self, from_ns: int, lags: list[float]) -> None:
        seconds = (monotonic_ns() - from_ns) / 1e9
        cores, before = self._cores(seconds), self._all
        self._all = _busy()
        others = (self._all - before) / TICKS_A_SECOND / seconds - sum(cores.values())
        stretches, self._stretches = self._stretches, []
        self._recorder.line(
            "noise",
            what=self._what,
            from_ns=from_ns,
            lag_p99_ms=round(lags[int(len(lags) * 0.99)], 3),
            lag_max_ms=round(lags[-1], 3),
            late_share=round(sum(lag > LATE_MS for lag in lags) / len(lags), 4),
            cpu=cores,
            others=round(max(others, 0.0), 3),
            stretch=round(fmean(stretches), 2) if stretches else None,
        )

    def _cores(self, seconds: float) -> dict[str, float]:
        """Cores that each group used since this was called last; a process counts from its second reading on."""
        cores, used = {}, {}
        for group, pids in self._groups().items():
            ticks = 0
            for pid in pids:
                used[pid] = _ticks(pid)
                ticks += max(used[pid] - self._used.get(pid, used[pid]), 0)
            cores[group] = round(ticks / TICKS_A_SECOND / seconds, 3)
        self._used = used
        return cores


def _busy() -> int:
    """Processor time that was given to anybody, or stolen from this machine, in clock ticks (proc(5), /proc/stat)."""
    with open("/proc/stat", "rb") as file:
        user, nice, system, _idle, _iowait, *rest = map(int, file.readline().split()[1:9])
    return user + nice + system + sum(rest)


def _ticks(pid: int) -> int:
    """Processor time of a process and the children that it reaped, in clock ticks (proc(5), fields 14 to 17)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))
