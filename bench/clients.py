"""How right the moments are on which `reconnects` rests, against a client that logs its own monotonic clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from bench.figures import Figure, middle
from tests.observe.lab import LINK, MS, client, held, lab, until

HELD_S = 1.6
"""Longer than two of the client's pings, 0.3 s apart."""


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many rounds: how far from the client's own moments of giving up and of being back."""
    found: dict[str, list[float]] = {}
    for how in ("silent", "frozen"):
        for _ in range(rounds):
            with TemporaryDirectory() as temporary:
                for name, off_ms in asyncio.run(_round(Path(temporary), how)).items():
                    found.setdefault(f"{name} under a {how} link", []).append(off_ms)
    return [
        Figure(f"{name}, off the client's clock", middle(values, 2), "ms", "at most", _target(name))
        for name, values in sorted(found.items())
    ]


def _target(name: str) -> float:
    """The kernel is asked for what a stopped proxy cannot log."""
    return 100.0 if name == "notices under a frozen link" else 10.0


async def _round(folder: Path, how: Literal["silent", "frozen"]) -> dict[str, float]:
    async with client() as app, lab(folder) as opened:
        link = opened.runtime.links[LINK]
        app.say(link.url)
        await until(lambda: app.when("connected"), within_s=15)
        effective = await link.cut(how)
        await held(HELD_S)
        closed = opened.connection_lines(app.name, event="closed", by="client")[0]
        gave_up = app.when("disconnected", effective)
        healed = await link.mend()
        await until(lambda: app.when("reconnected", healed), within_s=10)
        back = next(told for told in app.told if told[0] >= healed and told[1].startswith("reconnected"))
        name = back[1].split()[1]
        await until(lambda: opened.connection_lines(name, event="reached"), within_s=3)
        reached = opened.connection_lines(name, event="reached")[0]
        assert gave_up is not None
        return {
            "notices": abs(closed["t_ns"] - gave_up) / MS,
            # A client says that it is back once it has shaken hands; the broker says when the connection came.
            "reconnects": max(0.0, (back[0] - reached["t_ns"]) / MS),
        }
