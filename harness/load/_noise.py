"""How late the load itself is: its loop, its arrivals, and the processor time that it takes. A line a second."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from harness.errors import HistoryError
from harness.history.recorder import Recorder

_STEP_S = 0.005
_EVERY_NS = 1_000_000_000
LATE_NS = 50_000_000
"""Later than this, an arrival or our own loop spoils timing."""


class Noise:
    """Watches the load's loop."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._slips_ns: list[int] = []

    def slip(self, late_ns: int) -> None:
        """An arrival was offered `late_ns` after its intended time."""
        self._slips_ns.append(late_ns)

    async def run(self) -> None:
        """Measures until cancelled; each second a line and a clock anchor."""
        lags_ns: list[int] = []
        from_ns, cpu_s = time.monotonic_ns(), time.process_time()
        while True:
            before_ns = time.monotonic_ns()
            await asyncio.sleep(_STEP_S)
            now_ns = time.monotonic_ns()
            lags_ns.append(max(0, now_ns - before_ns - int(_STEP_S * 1e9)))
            if now_ns - from_ns < _EVERY_NS:
                continue
            cores = (time.process_time() - cpu_s) / ((now_ns - from_ns) / 1e9)
            slips_ns, self._slips_ns = self._slips_ns, []
            with suppress(HistoryError):  # a full disk, of which the files' headers tell
                self._recorder.line(
                    "noise",
                    what="load",
                    lag_p99_ms=_p99_ms(lags_ns),
                    lag_max_ms=max(lags_ns) / 1e6,
                    late_share=max(_late(lags_ns), _late(slips_ns)),
                    from_ns=from_ns,
                    slip_p99_ms=_p99_ms(slips_ns),
                    arrivals=len(slips_ns),
                    cpu={"load": round(cores, 3)},
                )
                self._recorder.anchor()
            lags_ns, from_ns, cpu_s = [], now_ns, time.process_time()


def _late(values_ns: list[int]) -> float:
    """The share of what was more than LATE_NS late; 0 of nothing."""
    return round(sum(value > LATE_NS for value in values_ns) / len(values_ns), 4) if values_ns else 0.0


def _p99_ms(values_ns: list[int]) -> float:
    """The 99th percentile, in ms; 0 of nothing."""
    return sorted(values_ns)[int(len(values_ns) * 0.99)] / 1e6 if values_ns else 0.0
