"""Made-up verdicts, rich enough to look at: `python -m tests.report.verdicts FOLDER` writes them, pages included."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.verdict import Expectation, Finding, Verdict, exit_code, merge

JSON = dict[str, Any]
RUN = "20261125-151200-ab12"
KILL = {
    "id": 1,
    "kind": "kill",
    "target": "broker-0",
    "how": "SIGKILL",
    "asked": 2.003,
    "effective": 2.0071,
    "healed": 5.2112,
    "bit": True,
    "evidence": {"connections_lost": 3, "pidfd_readable": 1, "probe_lost": 301},
}


def finding(clause: str, verdict: str = "holds", **given: Any) -> JSON:
    """A finding with the fields that are not given filled in."""
    base: JSON = {
        "clause": clause,
        "verdict": verdict,
        "bound": 0,
        "measured": 0,
        "unit": "operations",
        "counted": 431,
        "reason": "431 accepted, each with its one result",
        "ops": [],
        "ops_total": 0,
        "stories": [],
        "faults": [],
    }
    return base | given


def good_findings() -> list[JSON]:
    """What a scenario of the hardened state shows."""
    seconds: JSON = {"unit": "s", "bound": 5}
    return [
        finding("no_loss"),
        finding("no_phantoms", counted=433, reason="433 sightings, all of this run's operations"),
        finding("effects", reason="431 accepted with one effect each; 2 unknown with at most one"),
        finding("available.failed", bound=None, measured=0.0214, unit="share", counted=433, reason="9 of 433 failed"),
        finding("available.latency", bound=None, measured=18.4, unit="ms", reason="p95 of 424 answers"),
        finding("reconnects.notices", measured=0.0123, counted=3, reason="told by the fault", faults=[1], **seconds),
        finding("reconnects.reconnects", measured=1.2104, counted=3, reason="3 links, the last is web-0", **seconds),
        finding("reconnects.works", measured=1.91, counted=3, reason="first result after healing", **seconds),
    ]


def lost_finding(total: int = 1204) -> JSON:
    """no_loss violated, with ids and the story of one."""
    return finding(
        "no_loss",
        "violated",
        measured=total,
        counted=12431,
        reason=f"{total} of 12431 accepted have no result 20 s after healing, and the last poll answered pending",
        ops=[f"7f3a9k2m-0-{n}" for n in range(118, 118 + min(total, 20))],
        ops_total=total,
        stories=[
            {
                "op": "7f3a9k2m-0-118",
                "lines": [
                    "offered at +3.120 s to web-0, as intended at +3.119 s",
                    "accepted at +3.131 s (202), ref 5b0d2a44-9f",
                    "kill of broker-0 effective at +2.007 s, healed at +5.211 s",
                    "never seen on search.jobs.query",
                    "pending in every poll until +31.402 s, the final one included",
                ],
            },
            {
                "op": "7f3a9k2m-0-119",
                "lines": ["offered at +3.153 s", "accepted at +3.160 s (202)", "pending to the end"],
            },
        ],
        faults=[1],
    )


def scenario(
    name: str,
    state: str = "hardened",
    *,
    exposes: Mapping[str, str] | None = None,
    findings: Sequence[JSON] | None = None,
    faults: Sequence[JSON] = (KILL,),
    **given: Any,
) -> JSON:
    """A scenario whose verdict follows from its findings, as harness.verdict has it."""
    found = good_findings() if findings is None else list(findings)
    typed = [Finding(f["clause"], Verdict(f["verdict"]), f["bound"], reason=f["reason"]) for f in found]
    expectation = Expectation(dict(exposes or {}))
    unexpected = expectation.unexpected(typed)
    base: JSON = {
        "id": f"{name}[{state}]",
        "scenario": name,
        "says": "The broker dies with queries in flight, and comes back.",
        "state": state,
        "expect": "exposed" if state == "documented" else "holds",
        "verdict": merge(f.verdict for f in typed).value,
        "as_expected": not unexpected,
        "reasons": [sentence for _, sentence in unexpected],
        "seconds": 14.237,
        "cost": {
            "start": 1.41,
            "stop_load": 0.2,
            "final_reads": 1.24,
            "judging": 0.11,
            "writing": 0.07,
            "teardown": 0.31,
            "windows_and_waits": 10.9,
        },
        "repro": f"nats-harness replay {RUN} '{name}[{state}]' --seed 20261125",
        "operations": {"offered": 433, "ok": 424, "fail": 7, "unknown": 2},
        "faults": copy.deepcopy(list(faults)),
        "findings": found,
        "reproduced": expectation.reproduced(typed),
        "exposes": dict(exposes or {}),
        "not_judged": {},
        "ended": [],
        "troubles": [],
    }
    return base | given


def run(scenarios: Sequence[JSON], *, missing: Sequence[str] = (), **given: Any) -> JSON:
    """A run whose exit follows from its scenarios."""
    worst = [
        Verdict.INCONCLUSIVE if s["verdict"] == "inconclusive" else Verdict.VIOLATED
        for s in scenarios
        if not s["as_expected"]
    ]
    code = exit_code(worst, judged=sum(bool(s["findings"]) for s in scenarios), missing=len(missing))
    reasons = [f"{s['id']}: {reason}" for s in scenarios for reason in s["reasons"]]
    base: JSON = {
        "schema": 1,
        "run": RUN,
        "started": "2026-11-25T15:12:00.412+00:00",
        "seconds": 187.42,
        "system": "telhawk",
        "runtime": "processes",
        "versions": {
            "nats-server": "2.12.8",
            "toxiproxy": "2.12.0",
            "nats-py": "2.16.0",
            "python": "3.11.2",
            "nats-harness": "0.1.0",
            "kernel": "6.1.0-31-amd64",
        },
        "seed": 20261125,
        "states": {"hardened": {"expect": "holds"}},
        "verdict": merge(Verdict(s["verdict"]) for s in scenarios).value,
        "as_expected": code == 0,
        "exit": code,
        "reasons": reasons + [f"{id_} was planned and has no verdict" for id_ in missing],
        "scenarios": list(scenarios),
        "weaknesses": {},
        "skipped": [],
        "missing": list(missing),
    }
    return base | given


def calm(state: str = "hardened") -> JSON:
    """The scenario without a fault."""
    return scenario("calm", state, findings=good_findings()[:5], faults=[], seconds=8.02)


def green() -> JSON:
    """Everything is as expected, in one state."""
    return run(
        [
            calm(),
            scenario("broker_crash"),
            scenario("broker_paused", not_judged={"redelivers": 'effects = { attempt = "$.n" }'}),
        ],
        skipped=[
            {"id": "worker_killed[hardened]", "reason": 'telhawk has no worker: needs a service with role = "worker"'}
        ],
    )


def red() -> JSON:
    """Something that should hold is violated: accepted work is lost, and a freeze is noticed too late."""
    late = finding(
        "reconnects.notices", "violated", bound=5, measured=8.214, unit="s", counted=1, faults=[2], ops=[],
        reason="web-0's first close by the client came 8.2 s after the freeze took effect",
    )  # fmt: skip
    frozen = KILL | {"id": 2, "kind": "partition", "target": "web-0 to broker-0", "how": "frozen"}
    return run(
        [
            calm(),
            scenario("broker_crash", findings=[lost_finding(), *good_findings()[1:]]),
            scenario("entry_frozen", findings=[*good_findings()[:5], late], faults=[frozen]),
            scenario("broker_paused"),
        ]
    )


def inconclusive() -> JSON:
    """A fault without evidence, one scenario missing, one that raised."""
    unseen = KILL | {"bit": False, "effective": None, "healed": None, "evidence": {}}
    doubtful = [
        f | {"verdict": "inconclusive", "reason": "no evidence: kill of broker-0 was not seen to bite"}
        for f in good_findings()
    ]
    raised = scenario(
        "entry_silent",
        findings=[],
        troubles=[{"name": "harness error", "detail": "StartError: search-1 was not ready in 10 s"}],
    )
    return run(
        [
            calm(),
            scenario(
                "broker_crash",
                findings=doubtful,
                faults=[unseen],
                troubles=[{"name": "no evidence", "detail": "kill of broker-0"}],
            ),
            raised,
        ],
        missing=["broker_paused[hardened]"],
    )


def _both_states(shows: bool) -> JSON:
    lost = [
        lost_finding(87),
        *good_findings()[1:5],
        finding("converges.drained", "violated", bound=15, measured=None, unit="s", reason="> 15 s"),
    ]
    held = good_findings()
    late = finding(
        "reconnects.notices",
        "violated",
        bound=5,
        measured=None,
        unit="s",
        counted=1,
        reason="not in the 6.0 s observed",
    )
    crash = scenario("broker_crash", "documented", exposes={"M3": "no_loss"}, findings=lost if shows else held)
    paused = scenario("broker_paused", "documented", exposes={"C3": "reconnects.notices"}, findings=[*held[:5], late])
    where = [
        {
            "scenario": "broker_crash",
            "state": "documented",
            "clause": "no_loss",
            "verdict": "violated" if shows else "holds",
            "wanted": "violated",
        },
        {"scenario": "broker_crash", "state": "hardened", "clause": "no_loss", "verdict": "holds", "wanted": "holds"},
    ]
    notices = [
        {
            "scenario": "broker_paused",
            "state": "documented",
            "clause": "reconnects.notices",
            "verdict": "violated",
            "wanted": "violated",
        }
    ]
    return run(
        [calm(), scenario("broker_crash"), calm("documented"), crash, paused],
        states={"hardened": {"expect": "holds"}, "documented": {"expect": "exposed"}},
        weaknesses={
            "M3": {"says": "Nothing is kept while the broker is away.", "reproduced": shows, "where": where},
            "C3": {"says": "", "reproduced": True, "where": notices},
        },
    )


def exposed() -> JSON:
    """Both states, and the weaknesses show as they must: violated, and as expected."""
    return _both_states(shows=True)


def unexposed() -> JSON:
    """A weakness that should show did not."""
    return _both_states(shows=False)


def empty() -> JSON:
    """Nothing was judged."""
    return run([], states={}, reasons=["nothing was judged"])


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[2J\x1b]0;title\x07red",
    "line\r\nFAKE as expected",
    "\u202egnp.exe\u2066",
    "\ud800 lone",
    "javascript:alert(1)//",
    "../../etc/passwd",
]


def hostile() -> JSON:
    """Every text that a system under test can reach, and more, is out to hurt."""
    evil = " ".join(HOSTILE)
    long = "x" * 9000
    bad = finding(
        f"no_loss.{evil}", "violated", reason=evil + long, unit=evil, ops=[evil, "7f3a9k2m-0-" + "1" * 400],
        ops_total=2, stories=[{"op": evil, "lines": [evil, long]}], faults=[1],
    )  # fmt: skip
    fault = KILL | {"kind": evil, "target": evil, "how": evil, "evidence": {evil: 1.5}}
    only = scenario(
        evil, says=evil, findings=[bad], faults=[fault], not_judged={evil: evil}, repro=evil,
        cost={evil: 1.0, "a.b": 2.0},
        ended=[evil], troubles=[{"name": "bypass", "detail": evil}],
    )  # fmt: skip
    return run(
        [only], system=evil, versions={evil: evil}, skipped=[{"id": evil, "reason": evil}], missing=[evil],
        reasons=[evil], weaknesses={evil: {"says": evil, "reproduced": False, "where": []}},
        states={evil: {"expect": "holds"}},
    )  # fmt: skip


def large() -> JSON:
    """As many scenarios as the reference stack will have, in two states."""
    names = [f"scenario_with_a_rather_long_name_{n}" for n in range(30)]
    more = [
        finding(f"{g}.{c}")
        for g in ("degrades", "drains", "redelivers", "observable", "converges")
        for c in ("starts", "finishes", "told_apart", "dead_letters")
    ]
    return run(
        [scenario(name, state, findings=[*good_findings(), *more]) for state in ("hardened", "other") for name in names]
    )


ALL = {make.__name__: make for make in (green, red, inconclusive, exposed, unexposed, empty, hostile, large)}


def main(folder: Path) -> None:
    """Writes each verdict and its page to `folder`/NAME/."""
    from harness.report import page

    for name, make in ALL.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "verdict.json").write_text(json.dumps(make()), encoding="utf-8")
        print(page.write(folder / name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
