"""Health: what a load balancer would see of each replica, asked past every proxy.

A URL is asked on a connection of its own each time, as a load balancer does, and so that no service that is told to
stop waits for one of ours. Whatever comes of it is an answer: also that nobody is there, or that none came in time.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, monotonic_ns

from harness.errors import why
from harness.history.recorder import Recorder
from harness.observe import _http
from harness.observe._base import Gap

READY, LIVE = "ready", "live"
"""What is asked: whether a replica should be given work, and whether it lives."""
EVERY_S: Mapping[str, float] = {READY: 0.1, LIVE: 0.25}
ANSWERS_WITHIN_S = 1.0
"""A later answer is none: `timeout`."""
TOLD_EVERY_S = 1.0
"""An answer that does not change is told so often, to show that it was read."""
MISSED_AFTER_S = 2.0
"""Where nothing was asked for longer than this, our own loop stood still: a gap."""
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Errors of our own side of a connection, which say nothing of the replica."""

Target = tuple[str, str]
"""A replica, and what it is asked: ("web-0", "ready")."""


@dataclass(slots=True)
class _Seen:
    """What a target answered last: of which `told` was recorded, when it was asked, and when it had answered."""

    answer: str = ""
    told: str = ""
    from_ns: int = 0
    t_ns: int = 0
    told_s: float = 0.0


class Health:
    """Records lines of kind `health` for the URL of each of `targets`."""

    def __init__(self, recorder: Recorder, targets: Mapping[Target, str]) -> None:
        self.source = "health"
        self._recorder, self._targets = recorder, targets
        self._seen = {target: _Seen() for target in targets}
        self._gaps = {target: Gap(recorder, self.source) for target in targets}
        self._looks = 0

    async def watch(self) -> None:
        """Asks until cancelled."""
        await asyncio.gather(*(self._watch(target, url) for target, url in self._targets.items()))

    async def final(self) -> None:
        """Tells the last answers; the read is complete where each target was being read to the end."""
        for target, seen in self._seen.items():
            if seen.answer:
                self._tell(target, seen)
        complete = not any(gap.is_open for gap in self._gaps.values()) and all(s.answer for s in self._seen.values())
        now = monotonic_ns()
        self._recorder.line("read", t_ns=now, source=self.source, complete=complete, count=self._looks, from_ns=now)

    async def _watch(self, target: Target, url: str) -> None:
        every_s, gap, seen = EVERY_S[target[1]], self._gaps[target], self._seen[target]
        last_ns = monotonic_ns()
        while True:
            due = monotonic() + every_s
            asked_ns = monotonic_ns()
            if asked_ns - last_ns > MISSED_AFTER_S * 1e9:
                gap.open("our own loop stood still", from_ns=last_ns)
            try:
                answer = await _answer(url)
            except OSError as error:
                gap.open(f"{target[0]}: {why(error)}", from_ns=last_ns)
            else:
                gap.close()
                last_ns = asked_ns
                self._looks += 1
                seen.answer, seen.from_ns, seen.t_ns = answer, asked_ns, monotonic_ns()
                if answer != seen.told or monotonic() - seen.told_s >= TOLD_EVERY_S:
                    self._tell(target, seen)
            await asyncio.sleep(max(due - monotonic(), 0))

    def _tell(self, target: Target, seen: _Seen) -> None:
        seen.told, seen.told_s = seen.answer, monotonic()
        self._recorder.line(
            "health",
            t_ns=seen.t_ns,
            node=target[0],
            what=target[1],
            answer=seen.answer,
            green=seen.answer.startswith("2"),
            from_ns=seen.from_ns,
        )


async def _answer(url: str) -> str:
    """What came of asking: a status, or why there was none. Raises OSError where the failure was our own."""
    try:
        return str((await _http.get(url, within_s=ANSWERS_WITHIN_S)).status)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        if error.errno in OURS:
            raise
        return why(error)
