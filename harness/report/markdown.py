"""summary.md: a run, or a night, in Markdown, as a job's summary shows it.

Text of a system under test can be neither markup nor a mention nor a link there. What is too long is cut at a line,
and its last line says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from harness.report import reading
from harness.report.decided import Decided
from harness.report.reading import EXITS, Standing
from harness.report.shape import Finding, Night, Run, Scenario
from harness.report.text import count, plain, plain_tree, seconds

FILE = "summary.md"
LONGEST = 1024 * 1024
"""Bytes that GitHub takes as the summary of a step; of a longer one it shows nothing at all."""

_FEW = 3
_NEAREST = 5
_REASONS = 6
_SAFE_CODE = re.compile(r"[\w .,:;/=()\[\]{}%+*'\"!?@#~^$&-]+")
_MARKUP = re.compile(
    r"@+|[\\`*\[\]<>|~#!$&]|(?<!\w)_|_(?!\w)|(?<=:)//|(?<=www)\.|^[-+=]|^\d{1,9}[.)](?=\s|$)", re.IGNORECASE
)


def run_lines(verdict: Mapping[str, Any], decided: Decided | None = None) -> list[str]:
    """The lines for a run's verdict.json, which must be valid (`schema.validate`), first what a policy makes of it."""
    return [*_by_policy(decided), *_run(cast(Run, plain_tree(dict(verdict))), level=2)]


def night_lines(
    nightly: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]], decided: Decided | None = None
) -> list[str]:
    """The lines for a night: its one decision, a row a run, what is wrong, then each run, the worst first."""
    night = cast(Night, plain_tree(dict(nightly)))
    runs = [cast(Run, plain_tree(dict(verdict))) for verdict in verdicts]
    lines = [*_by_policy(decided), f"## Night of {count(len(night['runs']), 'run')}: {_exit(night['exit'])}", ""]
    lines += [row(["system", "run", "came out as"]), row(["---"] * 3)]
    for one in night["runs"]:
        lines.append(row([code(one["system"]), code(one["run"] or "none"), _exit(one["exit"])]))
        if again := one.get("again"):
            whom = f"{code(one['system'])}, alone: {', '.join(map(code, again['scenarios']))}"
            lines.append(row([whom, code(again["run"] or "none"), _exit(again["exit"])]))
    lines.append("")
    worst_first = sorted(runs, key=lambda run: (1, 2, 0).index(run["exit"]))
    for run in worst_first:
        lines += [f"- {prose(run['system'])}: {prose(reason)}" for reason in _few(run["reasons"]) if run["exit"]]
    lines += [f"- unproven: {prose(one)}" for one in night.get("unproven", ())]
    for run in worst_first:
        lines += ["", *_run(run, level=3)]
    return lines


def _by_policy(decided: Decided | None) -> Iterator[str]:
    if decided is not None:
        yield f"## {decided.answer} by {code(decided.policy)} on {decided.day}"
        yield ""
        yield decided.headline
        yield ""
        if decided.reasons:
            yield from (f"- {prose(reason)}" for reason in _few([one.text for one in decided.reasons]))
            yield ""


def _few(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - _REASONS
    return [*reasons[:_REASONS], f"and {more:,} more"] if more > 0 else list(reasons)


def fitted(lines: Iterable[str], longest: int = LONGEST) -> str:
    """The lines as a text of at most `longest` bytes; a cut one says so at its end; empty if that is too long."""
    said = list(lines)
    whole = "\n".join(said) + "\n"
    if len(whole.encode("utf-8")) <= longest:
        return whole
    kept, left = [], longest - len(_cut(len(said)).encode("utf-8"))
    for line in said:
        left -= len(line.encode("utf-8")) + 1
        if left < 0:
            break
        kept.append(line)
    return "".join(f"{line}\n" for line in kept) + _cut(len(said) - len(kept)) if kept else ""


def _cut(lines: int) -> str:
    return f"\n**Cut here: {lines:,} more lines do not fit. The page, index.html, has everything.**\n"


def prose(text: str) -> str:
    """Foreign text as Markdown that shows as it stands, also within a table."""
    return _MARKUP.sub(_escape, plain(text).strip())


def _escape(found: re.Match[str]) -> str:
    if found[0].startswith("@"):  # a mention is looked for in what is shown, so that a backslash is no help
        return f"`{found[0]}`"
    return f"{found[0][:-1]}\\{found[0][-1]}"


def code(text: str) -> str:
    """An id or a command as code; one that could end it, or a table's cell, is shown as prose."""
    shown = plain(text)
    return f"`{shown}`" if _SAFE_CODE.fullmatch(shown) and shown.strip() == shown else prose(shown)


def row(cells: Sequence[str]) -> str:
    """A row of a table, of cells that are Markdown."""
    return f"| {' | '.join(cells)} |"


def _exit(exit_: int) -> str:
    return f"{EXITS.get(exit_, ('not as expected', ''))[0].lower()} (exit {exit_})"


def _run(run: Run, *, level: int) -> Iterator[str]:
    sums, deeper = reading.sums(run), "#" * (level + 1)
    yield f"{'#' * level} {prose(run['system'])}: {_exit(run['exit'])}"
    yield ""
    yield EXITS[run["exit"]][1]
    yield ""
    yield from (f"- {prose(reason)}" for reason in _few(run["reasons"]))
    yield (
        f"- {sums.judged:,} of {count(sums.planned, 'planned scenario')} judged, {sums.skipped:,} skipped, "
        f"{sums.missing:,} missing; {count(sums.operations['offered'], 'operation')} offered; {sums.faults_say()}"
    )
    for scenario in reading.to_look_at(run):
        yield from ["", *_look_at(scenario, deeper)]
    yield from _weaknesses(run, deeper)
    yield from _nearest(run, deeper)
    yield from _table(run, deeper)
    yield from _listed("Not judged, for want of a line in the system file", _not_judged(run), deeper)
    yield from _listed("Skipped", [f"{code(one['id'])}: {prose(one['reason'])}" for one in run["skipped"]], deeper)
    yield from _listed("Planned, and without a verdict", [code(one) for one in run["missing"]], deeper)
    versions = ", ".join(f"{prose(name)} {prose(version)}" for name, version in run["versions"].items())
    yield ""
    yield (
        f"Run {code(run['run'])} of {prose(run['started']) or 'no known time'}, {seconds(run['seconds'])}, "
        f"seed {run['seed']}, runtime {prose(run['runtime'])}. {versions}"
    )


def _look_at(scenario: Scenario, heading: str) -> Iterator[str]:
    yield f"{heading} {prose(scenario['id'])}: {scenario['verdict']}, not as expected"
    yield ""
    for finding in reading.findings(scenario, Standing.UNEXPECTED):
        reason = prose(finding["reason"]) or "no reason was recorded"
        yield f"- {code(finding['clause'])} {finding['verdict']}: {reason}; {_numbers(finding)}"
        if finding["ops"]:
            shown, more = reading.named(finding, _FEW)
            yield f"  - operations: {', '.join(map(code, shown))}{f' and {more:,} more' if more else ''}"
        for story in finding["stories"][:1]:
            yield f"  - what happened to {code(story['op'])}: {'; '.join(map(prose, story['lines']))}"
    yield from (f"- {prose(reason)}" for reason in reading.reasons_besides(scenario))
    yield from (f"- trouble: {prose(one['name'])}: {prose(one['detail'])}" for one in scenario["troubles"][:_FEW])
    yield f"- run it again: {code(scenario['repro'])}"


def _numbers(finding: Finding) -> str:
    margin = reading.margin(finding)
    numbers = f"measured {prose(reading.measured(finding))}, bound {prose(reading.bound(finding))}"
    return f"{numbers}{f' ({margin})' if margin else ''}"


def _weaknesses(run: Run, heading: str) -> Iterator[str]:
    shown = [name for name, one in run["weaknesses"].items() if one["reproduced"]]
    if run["weaknesses"]:
        yield from ["", f"{heading} Weaknesses reproduced: {len(shown)} of {len(run['weaknesses'])}", ""]
        yield row(["weakness", "what it is", "shows in", "reproduced"])
        yield row(["---"] * 4)
    for name, one in run["weaknesses"].items():
        scenarios = dict.fromkeys(f"{where['scenario']} {where['clause']}" for where in one["where"])
        places = ", ".join(map(code, scenarios))
        yield row([prose(name), prose(one["says"]), places, "yes" if one["reproduced"] else "**no**"])


def _nearest(run: Run, heading: str) -> Iterator[str]:
    """The times that used most of their bounds."""
    timed = [
        (found["measured"] / found["bound"], scenario["id"], found)
        for scenario in run["scenarios"]
        for found in reading.findings(scenario, Standing.HOLDS)
        if reading.margin(found) and found["bound"] and found["measured"] is not None
    ]
    if timed:
        yield from ["", f"{heading} Nearest their bounds", ""]
        yield row(["scenario", "clause", "measured", "bound", "used"])
        yield row(["---"] * 5)
    for _, id_, found in sorted(timed, key=lambda one: -one[0])[:_NEAREST]:
        cells = [prose(reading.measured(found)), prose(reading.bound(found)), reading.margin(found)]
        yield row([code(id_), code(found["clause"]), *cells])


def _table(run: Run, heading: str) -> Iterator[str]:
    if run["scenarios"]:
        yield from ["", f"{heading} Scenarios", ""]
        yield row(["scenario", "verdict", "expected", "offered", "ok", "fail", "unknown", "faults with evidence"])
        yield row([*["---"] * 3, *["---:"] * 5])
    for scenario in run["scenarios"]:
        counts, faults = scenario["operations"], scenario["faults"]
        numbers = [f"{counts[name]:,}" for name in ("offered", "ok", "fail", "unknown")]
        bit = f"{sum(fault['bit'] for fault in faults)} of {len(faults)}" if faults else "none planned"
        as_expected = "yes" if scenario["as_expected"] else "**no**"
        yield row([code(scenario["id"]), scenario["verdict"], as_expected, *numbers, bit])


def _not_judged(run: Run) -> list[str]:
    return [
        f"{code(one.guarantee)} in {count(len(one.ids), 'scenario')}: add {code(one.line)}"
        for one in reading.not_judged(run)
    ]


def _listed(what: str, lines: Sequence[str], heading: str) -> Iterator[str]:
    if lines:
        yield from ["", f"{heading} {what}: {len(lines)}", "", *(f"- {line}" for line in lines)]
