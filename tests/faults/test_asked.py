"""What a fault is asked wrongly is told before anything is made: what, where and how it goes."""

from __future__ import annotations

import dataclasses
import inspect
from types import SimpleNamespace
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest

from harness.errors import UsageError
from harness.faults import REGISTRY, Fault, Stage, asked, load_all

load_all()


def _fault(kind: str, *, role: str = "broker", active: tuple[Fault, ...] = (), **parameters: Any) -> Fault:
    links = {("load", "there-0"): SimpleNamespace(can_lose=lambda: None)}
    stage = SimpleNamespace(active=active, runtime=SimpleNamespace(links=links))
    provider = SimpleNamespace(name=parameters.pop("to", "there-0"), role=role)
    return REGISTRY[kind](cast(Any, stage), None, provider, **parameters)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("latency", {"latency_ms": 0}),
        ("latency", {"latency_ms": 20, "jitter_ms": 30}),
        ("bandwidth", {"rate_bytes_s": 10}),
        ("bandwidth", {"rate_bytes_s": 10_000_000}),
        ("bandwidth", {"rate_bytes_s": 5_000, "way": "from", "role": "dependency"}),
        ("slicer", {"size_bytes": 100, "delay_ms": 0}),
        ("slicer", {"size_bytes": 50_000, "delay_ms": 5}),
        ("data_limit", {"limit_bytes": 0}),
        ("data_limit", {"limit_bytes": 100_000, "role": "dependency"}),
        ("slow_close", {"delay_ms": 10}),
        ("flapping", {"down_s": 0.01}),
        ("packet_loss", {"share": 2}),
    ],
)
def test_figures_that_cannot_be_are_told(kind: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="fix:"):
        _fault(kind, **parameters).check()


@pytest.mark.parametrize("kind", ["silent", "frozen", "reset", "refused", "flapping", "packet_loss"])
def test_a_link_is_under_one_fault_of_its_own_at_a_time(kind: str) -> None:
    _fault(kind).check()
    with pytest.raises(UsageError, match="load - there-0 is under silent already"):
        _fault(kind, active=(_fault("silent"),)).check()
    _fault(kind, active=(_fault("silent", to="elsewhere-0"),)).check()


def test_a_link_that_is_not_there_is_told() -> None:
    with pytest.raises(
        UsageError, match=r"silent: there is no link from load to nowhere-0\n  fix: did you mean 'load - there-0'"
    ):
        _fault("silent", to="nowhere-0").check()


NODE = SimpleNamespace(name="there-0", role="broker", alive=True)
STAGE = cast(
    Stage,
    SimpleNamespace(
        active=(),
        entry="load",
        subject="there",
        runtime=SimpleNamespace(nodes={}, links={("load", "there-0"): SimpleNamespace(can_lose=lambda: None)}),
    ),
)


def _words() -> list[tuple[str, str]]:
    """Every parameter of every fault that is a word: its fault, and its name."""
    hints = {kind: get_type_hints(fault) for kind, fault in REGISTRY.items()}
    fields = [
        (kind, field.name) for kind, fault in REGISTRY.items() for field in dataclasses.fields(fault) if field.init
    ]
    return [(kind, name) for kind, name in fields if get_origin(hints[kind][name]) is Literal]


def _made(kind: str, **parameters: object) -> Fault:
    """The fault as a scenario asks for it, on what its fields name."""
    targets: dict[str, object] = {"node": NODE, "provider": NODE, "source": None, "replicas": [NODE]}
    fields = {field.name for field in dataclasses.fields(REGISTRY[kind])}
    known = {name: target for name, target in targets.items() if name in fields}
    return asked(kind, REGISTRY[kind], STAGE, (), {**known, **REGISTRY[kind].EXAMPLE, **parameters})


def test_the_words_of_faults_are_all_looked_at() -> None:
    assert {("restart", "by"), ("kill", "reopen"), ("rolling_restart", "by"), ("silent", "way")} <= {*_words()}


@pytest.mark.parametrize(("kind", "name"), _words())
def test_a_mistyped_word_is_told_with_those_that_there_are(kind: str, name: str) -> None:
    words = get_args(get_type_hints(REGISTRY[kind])[name])
    for word in words:
        _made(kind, **{name: word}).check()
    with pytest.raises(UsageError, match=f"{kind}: {name} is '{words[0]}x'") as told:
        _made(kind, **{name: words[0] + "x"}).check()
    assert all(repr(word) in told.value.fix for word in words)


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("latency", {"latency_ms": "200"}, "latency: latency_ms is '200'\n  fix: a number"),
        ("latency", {"latency_ms": True}, "latency: latency_ms is True"),
        ("latency", {"provider": None}, "latency: provider is None\n  fix: a node, such as run.broker"),
        ("latency", {"wya": "to"}, "no parameter of latency is called 'wya'\n  fix: did you mean 'way'"),
        ("kill", {"node": "broker-0"}, "kill: node is 'broker-0'\n  fix: a node"),
        ("kill", {"node": None}, "run.entry is None where the load"),
        ("rolling_restart", {"replicas": NODE}, "fix: a list of nodes, such as run.workers"),
        ("crash_loop", {"times": 2.5}, "crash_loop: times is 2.5\n  fix: a whole number"),
        ("poison", {"payload": 3}, "poison: payload is 3\n  fix: text"),
        ("poison", {"stage": 3}, "no parameter of poison is called 'stage'"),
        ("restart", {"version": 2}, "restart: version is 2\n  fix: text, or None"),
        ("burst", {"times": "5"}, "burst: times is '5'\n  fix: a number"),
    ],
)
def test_parameters_of_another_kind_or_name_are_told(kind: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as told:
        _made(kind, **parameters).check()
    assert said in str(told.value)


def test_a_parameter_that_is_missing_is_told_with_how_it_goes() -> None:
    with pytest.raises(UsageError, match="latency: missing a required argument: 'latency_ms'") as told:
        asked("latency", REGISTRY["latency"], STAGE, (None, NODE), {})
    assert told.value.fix == "run.faults.latency(source, provider, latency_ms, jitter_ms=0.0, *, way='both')"
    with pytest.raises(UsageError, match="too many positional arguments"):
        asked("pause", REGISTRY["pause"], STAGE, (NODE, NODE), {})


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_each_fault_has_an_example_of_what_it_needs(kind: str) -> None:
    """So that it is tried, by itself, wherever all faults are."""
    known = {"stage", "node", "provider", "source", "replicas", *REGISTRY[kind].EXAMPLE}
    parameters = inspect.signature(REGISTRY[kind]).parameters.values()
    needed = {one.name for one in parameters if one.default is inspect.Parameter.empty}
    assert needed <= known, f"{REGISTRY[kind].__name__}.EXAMPLE lacks {', '.join(sorted(needed - known))}"


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_what_is_asked_as_it_should_be_is_taken(kind: str) -> None:
    if kind != "absent":  # which must not be there
        _made(kind).check()
