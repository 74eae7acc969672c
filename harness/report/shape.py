"""verdict.json and nightly.json as types: what verdict.schema.json says, for mypy. A test holds the two together."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Operations(TypedDict):
    """How many operations a scenario offered, and what became of them."""

    offered: int
    ok: int
    fail: int
    unknown: int


class Fault(TypedDict):
    """One fault: its times are seconds since the scenario's load began, None what was never seen."""

    id: int
    kind: str
    target: str
    how: str
    asked: float | None
    effective: float | None
    healed: float | None
    bit: bool
    evidence: dict[str, float]


class Story(TypedDict):
    """What is known of one operation, in order, a sentence a line."""

    op: str
    lines: list[str]


class Finding(TypedDict):
    """What one clause came out as; `ops` are at most 20 of the `ops_total` offending operations."""

    clause: str
    verdict: str
    bound: float | None
    measured: float | None
    unit: str
    counted: int
    reason: str
    ops: list[str]
    ops_total: int
    stories: list[Story]
    faults: list[int]


class Trouble(TypedDict):
    """What went wrong in the measuring; `name` from the closed list `harness.verdict.TROUBLES`."""

    name: str
    detail: str


class Scenario(TypedDict):
    """One scenario in one state. `exposes` maps a weakness to the clause that must be violated."""

    id: str
    scenario: str
    says: NotRequired[str]
    state: str
    expect: str
    verdict: str
    as_expected: bool
    reasons: list[str]
    seconds: float
    cost: dict[str, float]
    repro: str
    operations: Operations
    faults: list[Fault]
    findings: list[Finding]
    reproduced: dict[str, bool]
    exposes: dict[str, str]
    not_judged: dict[str, str]
    ended: list[str]
    troubles: list[Trouble]


class ScenarioFile(Scenario):
    """A scenario's own verdict.json; `unexpected` is the worst of what is not as expected."""

    schema: int
    unexpected: NotRequired[str]
    versions: NotRequired[dict[str, str]]


class Where(TypedDict):
    """What a weakness wanted of one scenario, and what came."""

    scenario: str
    state: str
    clause: str
    verdict: str
    wanted: str


class Weakness(TypedDict):
    """What it `says`; reproduced: in every place of `where` the clause came out as wanted."""

    says: str
    reproduced: bool
    where: list[Where]


class Skip(TypedDict):
    """A scenario that this system cannot run, and why."""

    id: str
    reason: str


class Expected(TypedDict):
    """What a state is expected to show."""

    expect: str


class Run(TypedDict):
    """A run's verdict.json."""

    schema: int
    run: str
    started: str
    seconds: float
    system: str
    runtime: str
    versions: dict[str, str]
    seed: int
    states: dict[str, Expected]
    verdict: str
    as_expected: bool
    exit: int
    reasons: list[str]
    scenarios: list[Scenario]
    weaknesses: dict[str, Weakness]
    skipped: list[Skip]
    missing: list[str]


class NightAgain(TypedDict):
    """The run in which scenarios were asked again that our own noise had kept from being judged; its exit counts."""

    run: str
    scenarios: list[str]
    exit: int


class NightRun(TypedDict):
    """One run of a night."""

    run: str
    system: str
    exit: int
    again: NotRequired[NightAgain]


class Night(TypedDict):
    """nightly.json; `exit` is the worst of its runs', and at least 2 where something is `unproven`.

    `unproven` says which fault never had evidence, and which clause was judged on nothing, all night long.
    """

    schema: NotRequired[int]
    runs: list[NightRun]
    unproven: NotRequired[list[str]]
    exit: int
