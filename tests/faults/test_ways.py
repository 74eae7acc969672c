"""Each way of each link fault, on a broker's link and on a service's: what it shows, and no other fault shows.

One run of each system goes through all of them. Then the evidence of each cut is asked of the time of every other: a
cut that would also find its evidence where another was at work could not tell what it did.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.faults import REGISTRY, load_all
from harness.history.reader import FaultSpan, History
from harness.run import Run

from .lab import can_lose, judged

load_all()
Asked = tuple[str, dict[str, Any]]
LASTS_S = 1.0
ONE_WAY = ("to", "from")  # what both ways do is shown by test_no_op
LOSSES: list[Asked] = [("packet_loss", {"way": way}) for way in ONE_WAY if can_lose()]
CUTS: list[Asked] = [(kind, {"way": way}) for kind in ("silent", "frozen") for way in ("both", *ONE_WAY)]
TOLD: list[Asked] = [("refused", {}), ("reset", {}), ("reset", {"new": "reset"})]
OF_BROKER: list[Asked] = [
    *CUTS,
    *TOLD,
    *[("latency", {"latency_ms": 100, "way": way}) for way in ONE_WAY],
    *[("bandwidth", {"rate_bytes_s": 10_000, "way": way}) for way in ONE_WAY],
    *[("slicer", {"size_bytes": 100, "delay_ms": 5, "way": way}) for way in ONE_WAY],
    *[("data_limit", {"limit_bytes": 10_000, "way": way}) for way in ONE_WAY],
    ("slow_close", {"delay_ms": 200}),
    ("flapping", {"down_s": 0.15, "up_s": 0.15, "cut": "refused"}),
    *LOSSES,
]
OF_SERVICE: list[Asked] = [
    *CUTS,
    *TOLD,
    ("latency", {"latency_ms": 250, "way": "from"}),
    ("bandwidth", {"rate_bytes_s": 5_000}),
    ("slicer", {"size_bytes": 100, "delay_ms": 5, "way": "to"}),
    ("data_limit", {"limit_bytes": 5_000}),
    ("slow_close", {"delay_ms": 200}),
    ("flapping", {"down_s": 0.2, "up_s": 0.2}),
    *LOSSES,
]


def _run(folder: Path, asked: list[Asked], **where: Any) -> tuple[dict[str, Any], History]:
    async def scenario(run: Run) -> None:
        source = run.workers[0] if run.workers else None
        provider = run.dependency_of(source) if source else run.broker
        async with run.load():
            for kind, parameters in asked:
                async with getattr(run.faults, kind)(source, provider, **parameters):
                    await run.steady(LASTS_S)
                await run.recovered(within_s=5)

    verdict = judged(scenario, folder, **where)
    return verdict, History.open(folder / "history")


@pytest.fixture(scope="module")
def of_broker(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], History]:
    return _run(tmp_path_factory.mktemp("broker") / "run", OF_BROKER)


@pytest.fixture(scope="module")
def of_service(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], History]:
    return _run(tmp_path_factory.mktemp("service") / "run", OF_SERVICE, system="telhawk", hardening="all")


def _all_bit(verdict: dict[str, Any], asked: list[Asked]) -> None:
    missed = [(fault["kind"], fault["how"], fault["evidence"]) for fault in verdict["faults"] if not fault["bit"]]
    assert not missed
    assert [fault["kind"] for fault in verdict["faults"]] == [kind for kind, _ in asked]


def test_every_way_of_a_broker_s_link_bites(of_broker: tuple[dict[str, Any], History]) -> None:
    _all_bit(of_broker[0], OF_BROKER)


def test_every_way_of_a_service_s_link_bites(of_service: tuple[dict[str, Any], History]) -> None:
    _all_bit(of_service[0], OF_SERVICE)


def _finds(asked: Asked, history: History, span: FaultSpan) -> bool:
    """Whether a fault would find its evidence in the time of that one."""
    source, provider = (SimpleNamespace(name=name) for name in span.links[0])
    provider.role = "broker" if provider.name.startswith("broker") else "dependency"
    kind, parameters = asked
    fault = REGISTRY[kind](cast(Any, None), source, provider, **parameters)  # type: ignore[call-arg]
    return fault.evidence(history, span)["bit"] > 0


@pytest.mark.parametrize("where", ["of_broker", "of_service"])
def test_a_cut_finds_no_evidence_in_the_time_of_another(where: str, request: pytest.FixtureRequest) -> None:
    """But where what crosses cannot tell them apart: see `_alike`."""
    _, history = request.getfixturevalue(where)
    spans = dict(zip(map(_name, CUTS + TOLD), history.faults(), strict=False))
    for asked in CUTS + TOLD:
        found = {name for name, span in spans.items() if _finds(asked, history, span)}
        alike = _alike(asked)
        assert alike <= found <= alike | (_silent_answers(asked) if where == "of_service" else set()), asked


def _name(asked: Asked) -> str:
    kind, parameters = asked
    return " ".join((kind, *parameters.values()))


def _alike(asked: Asked) -> set[str]:
    """In whose times a cut finds its evidence: nobody sees whether bytes that do not arrive are lost or held."""
    kind, parameters = asked
    if kind == "refused" or asked == ("reset", {}):  # a refusal through a container's published port looks like a reset
        return {kind, "reset reset"}
    if "way" not in parameters:
        return {_name(asked)}
    return {f"{kind} {parameters['way']}" for kind in ("silent", "frozen")}


def _silent_answers(asked: Asked) -> set[str]:
    """A service answers nothing when nothing reaches it: a cut of `to` may look like one of both ways."""
    if asked[1].get("way") not in ("both", "to"):
        return set()
    return {f"{kind} {way}" for kind in ("silent", "frozen") for way in ("both", "to")}
