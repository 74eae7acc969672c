"""Controls of what is counted, in calm: the pure system holds every promise, and each sin breaks exactly its own.

The finding must name the operations that the system itself says it wronged, all of them and no other.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness import Run, available

from .control import Came, came_of

COUNTED = ("no_loss", "no_phantoms", "effects", "available.failed")


async def short(run: Run) -> None:
    """Two seconds of work, and no fault."""
    async with run.load():
        await run.steady(2)


async def in_calm(folder: Path, sins: str, settles_s: float = 1.0) -> Came:
    return await came_of(short, folder, sins=sins, calm=True, settles_s=settles_s)


async def test_the_pure_system_holds(tmp_path: Path) -> None:
    came = await in_calm(tmp_path, "none")
    came.must("holds", *COUNTED)
    assert came.verdict["as_expected"]
    assert came.verdict["operations"]["ok"] == came.verdict["operations"]["offered"] >= 100
    assert all(finding["measured"] == 0 and not finding["ops"] for finding in map(came.finding, COUNTED))


async def test_no_loss(tmp_path: Path) -> None:
    """Work that is never done, and work whose result is forgotten; the second was done, as its effect tells."""
    came = await in_calm(tmp_path, "lose,forget")
    came.must_name("no_loss", came.confessed("lose", "forget"))
    came.must_name("available.failed", came.confessed("lose", "forget"))
    came.must_name("effects", came.confessed("lose"))
    came.must("holds", "no_phantoms")
    assert not came.verdict["as_expected"]


async def test_effects(tmp_path: Path) -> None:
    """Work that is done twice, and work that is not done though its result says so."""
    came = await in_calm(tmp_path, "double,skip")
    came.must_name("effects", came.confessed("double", "skip"))
    came.must("holds", "no_loss", "no_phantoms", "available.failed")


async def test_no_phantoms(tmp_path: Path) -> None:
    """Deeds that nobody offered, deeds of nobody, and results of others; those are open ends, and not proved lost."""
    came = await in_calm(tmp_path, "phantom,unmarked,crossed")
    came.must_name("no_phantoms", came.confessed("ghost", "crossed"))
    assert came.finding("no_phantoms")["measured"] == len(came.confessed("ghost", "unmarked", "crossed"))
    came.must_name("available.failed", came.confessed("crossed"))
    came.must("holds", "effects")
    came.must("inconclusive", "no_loss")


async def test_a_crossed_result_is_one_whatever_is_unclear_besides(tmp_path: Path) -> None:
    """Records that name two operations make unclear what rests on them, and not what an answer of its own tells."""
    came = await in_calm(tmp_path, "crossed,paired")
    came.must_name("no_phantoms", came.confessed("crossed"))
    reason = came.finding("no_phantoms")["reason"]
    assert len(re.findall(r"the result of [\w-]+ carries [\w-]+: ", reason)) == 1, reason
    came.must("inconclusive", "effects", "no_loss")
    assert came.finding("effects")["reason"].startswith("ids unclear: a record of effects names ")
    assert not came.verdict["as_expected"]


async def test_a_record_that_names_two_operations_is_no_crossing(tmp_path: Path) -> None:
    """A result may tell of others in a list, and a line of the output too. An effect that names two is unclear."""
    came = await in_calm(tmp_path / "beside", "beside")
    assert came.confessed("beside")
    came.must("holds", *COUNTED)
    came = await in_calm(tmp_path / "paired", "paired")
    assert came.confessed("paired")
    came.must("inconclusive", "no_phantoms", "effects")


async def test_available(tmp_path: Path) -> None:
    """Refusals, one of them of work that was done; honest failures; and results that come, but late."""
    came = await in_calm(tmp_path, "refuse,deny,late,fail", settles_s=5.5)
    came.must_name("available.failed", came.confessed("refuse", "deny", "late", "fail"))
    share = len(came.confessed("refuse", "deny", "late", "fail")) / came.verdict["operations"]["offered"]
    assert abs(came.finding("available.failed")["measured"] - share) < 1e-6
    came.must("holds", "no_loss", "no_phantoms", "effects")
    assert f"{len(came.confessed('deny'))} refused, yet done" in came.finding("effects")["reason"]


async def bounded(run: Run) -> None:
    """The same, and nothing may hang."""
    async with run.load():
        await run.steady(2)
    run.expect(available())


async def test_hangs(tmp_path: Path) -> None:
    """Requests that nobody answers: the client gives them up at the deadline. The others are answered all the same."""
    came = await came_of(bounded, tmp_path, sins="hang", calm=True)
    came.must_name("available.hangs", came.confessed("hang"))
    came.must_name("available.failed", came.confessed("hang"))
    came.must("holds", "no_loss", "no_phantoms", "effects")


async def test_what_is_refused_late_or_failed_does_not_hang(tmp_path: Path) -> None:
    came = await came_of(bounded, tmp_path, sins="refuse,late,fail,slow", calm=True, settles_s=5.5)
    came.must("holds", "available.hangs")
    assert came.finding("available.hangs")["bound"] == came.finding("available.hangs")["measured"] == 0
