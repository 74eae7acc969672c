"""Lines for a terminal: a scenario done, a scenario failed, the summary of a run, of a night. Pure functions.

Whether colours are used is in a Look, never asked for here; text that comes from a system under test cannot colour,
move or hide anything (`text.plain`), and what the terminal's encoding lacks is written as an escape.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO, cast

from harness.report import reading
from harness.report.decided import Decided
from harness.report.reading import EXITS, Standing
from harness.report.shape import Finding, Night, Run, Scenario
from harness.report.text import TIMES, count, plain, plain_tree, quantity, seconds
from harness.verdict import Verdict

_CODES = {"bold": "1", "quiet": "2", "good": "32", "bad": "1;31", "doubt": "33", "shown": "35"}
_STYLES = {0: "good", 1: "bad", 2: "doubt"}
_FEW = 3
_REASONS = 6


@dataclass(frozen=True, slots=True)
class Look:
    """How lines may look: in colour or not, how wide (0: as wide as they come), in which encoding."""

    colour: bool = False
    width: int = 0
    encoding: str = "utf-8"

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Look:
        """The look that suits `stream`: colour on a terminal only, and not under NO_COLOR or TERM=dumb."""
        terminal = stream.isatty()
        colour = terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        width = shutil.get_terminal_size().columns if terminal else 0
        return cls(colour, width, stream.encoding or "ascii")

    def paint(self, words: str, *styles: str) -> str:
        """`words` in the first style that has a name, or as they are."""
        code = next((_CODES[style] for style in styles if style), "")
        return f"\x1b[{code}m{words}\x1b[0m" if self.colour and code else words

    def fit(self, words: str, taken: int) -> str:
        """`words`, cut to what is left of the width after `taken` columns."""
        left = self.width - taken
        return words if not self.width or len(words) <= left else f"{words[: max(left - 3, 12)]}..."

    def encoded(self, line: str) -> str:
        """`line` with what the encoding lacks written as escapes, so that printing never fails."""
        return line.encode(self.encoding, "backslashreplace").decode(self.encoding)


def scenario_lines(scenario: Mapping[str, Any], look: Look) -> list[str]:
    """One line: mark, id, verdict, seconds, as expected or not, and the finding that says most.

    `scenario` is an entry of a run's verdict.json, or a scenario's own verdict.json.
    """
    one = cast(Scenario, plain_tree(dict(scenario)))
    return [look.encoded(_scenario_line(one, look, width=max(len(one["id"]), 34)))]


def failure(scenario: Mapping[str, Any]) -> str:
    """Why a scenario that is not as expected fails its test: what to look at, in plain lines, with its replay."""
    one = cast(Scenario, plain_tree(dict(scenario)))
    return "\n".join(_look_at(one, Look()))


def summary_lines(
    verdict: Mapping[str, Any], look: Look, *, report: str = "", decided: Decided | None = None, code: int | None = None
) -> list[str]:
    """The end of a run: the table, the first of what to look at, weaknesses, what was not judged, the decision.

    `verdict` is the run's verdict.json; `report` says where the page is, `decided` what a policy makes of the run,
    `code` its exit, where that is not the verdict's.
    """
    run = cast(Run, plain_tree(dict(verdict)))
    ended = run["exit"] if code is None else code
    return [look.encoded(line) for line in _summary(run, look, plain(report), decided, ended)]


def night_lines(nightly: Mapping[str, Any], look: Look, decided: Decided | None = None) -> list[str]:
    """The summary of a night from nightly.json: a line a run, what the exit means, and what a policy makes of it."""
    night = cast(Night, plain_tree(dict(nightly)))
    width = max((len(run["system"]) for run in night["runs"]), default=0)
    lines = []
    for run in night["runs"]:
        lines.append(f"{_exit(run['exit'], look, 15)}  {run['system']:{width}}  {run['run']}  exit {run['exit']}")
        if again := run.get("again"):
            told = f"again, alone: {', '.join(again['scenarios'])}"
            lines.append(f"{_exit(again['exit'], look, 15)}  {told}  {again['run']}  exit {again['exit']}")
    lines += [f"unproven: {sentence}" for sentence in night.get("unproven", ())]
    lines.append(f"{count(len(night['runs']), 'run')} this night: {_exit(night['exit'], look)} (exit {night['exit']})")
    lines += _by_policy(decided, look)
    return [look.encoded(line) for line in lines]


def _exit(code: int, look: Look, width: int = 0) -> str:
    headline = EXITS.get(code, (f"Exit {code}", ""))[0]
    return look.paint(f"{headline:{width}}", _STYLES.get(code, "bad"))


def _style(scenario: Scenario) -> str:
    if scenario["as_expected"]:
        return "good"
    return "doubt" if reading.wrong(scenario) is Verdict.INCONCLUSIVE else "bad"


def _mark(scenario: Scenario) -> str:
    return {"good": "ok  ", "doubt": "??  ", "bad": "FAIL"}[_style(scenario)]


def _expected(scenario: Scenario) -> str:
    if not scenario["as_expected"]:
        return "NOT AS EXPECTED"
    shown = [weakness for weakness, seen in scenario["reproduced"].items() if seen]
    return f"as expected, reproduces {', '.join(shown)}" if shown and scenario["exposes"] else "as expected"


def _scenario_line(scenario: Scenario, look: Look, *, width: int) -> str:
    style = _style(scenario)
    head = f"{_mark(scenario)} {scenario['id']:{width}}  {scenario['verdict']:12}  {seconds(scenario['seconds']):>10}  "
    expected = _expected(scenario)
    tail = look.fit(_telling(scenario), len(head) + len(expected) + 2)
    line = f"{look.paint(head[:4], style)}{head[4:]}{look.paint(expected, style)}"
    return f"{line}{look.paint(f'; {tail}', 'quiet')}" if tail else line


def _telling(scenario: Scenario) -> str:
    finding = reading.telling(scenario)
    if finding is None:
        nothing = count(len(scenario["findings"]), "finding") if scenario["findings"] else "nothing was judged"
        return scenario["reasons"][0] if scenario["reasons"] else nothing
    clause, verdict, stands = finding["clause"], finding["verdict"], reading.standing(scenario, finding)
    if stands is Standing.HOLDS:
        return f"nearest its bound: {clause} {_measured(finding)}"
    if verdict == Verdict.HOLDS:
        return f"{clause} holds, and was to be violated"
    if verdict == Verdict.INCONCLUSIVE or finding["measured"] is None:
        return f"{clause} {verdict}: {finding['reason']}"
    return f"{clause} {_measured(finding)}"


def _measured(finding: Finding) -> str:
    """`8.2 s, bound 5 s`, `87 operations, bound 0`."""
    unit = finding["unit"] if finding["unit"] in {*TIMES, "share"} else ""
    bound = quantity(finding["bound"], unit)
    return f"{reading.measured(finding)}, bound {bound}"


def _summary(run: Run, look: Look, report: str, decided: Decided | None, code: int) -> Iterator[str]:
    sums = reading.sums(run)
    yield look.paint(f"nats-harness: {run['system']}, run {run['run']}", "bold")
    yield from _table(run["scenarios"], look)
    wanted = reading.to_look_at(run)
    for scenario in wanted[:_FEW]:
        yield ""
        yield from _look_at(scenario, look)
    if len(wanted) > _FEW:
        yield ""
        where = f": {report}" if report else ""
        yield f"and {len(wanted) - _FEW:,} more that are not as expected, in full on the page{where}"
    yield from _weaknesses(run, look)
    yield from _listed("not judged, for want of a line in the system file", list(_not_judged(run)), look)
    yield from _listed("ended by themselves", list(_ended_meanwhile(run)), look)
    yield from _listed("skipped", [f"{skip['id']}: {skip['reason']}" for skip in run["skipped"]], look)
    yield from _listed("planned, but without a verdict", run["missing"], look, "doubt")
    yield ""
    yield (
        f"{sums.judged:,} of {count(sums.planned, 'planned scenario')} judged, {sums.skipped:,} skipped; "
        f"{sums.operations['offered']:,} operations: {sums.operations['ok']:,} ok, {sums.operations['fail']:,} fail, "
        f"{sums.operations['unknown']:,} unknown; {sums.faults_say()}"
    )
    headline, sentence = EXITS[code]
    style = {0: "good", 1: "bad"}.get(code, "doubt")
    yield f"{look.paint(headline.upper(), style)} (exit {code}, {seconds(run['seconds'])}). {sentence}"
    yield from (f"  {reason}" for reason in run["reasons"][:_REASONS])
    if len(run["reasons"]) > _REASONS:
        yield f"  and {len(run['reasons']) - _REASONS:,} more"
    yield from _by_policy(decided, look)
    if report:
        yield f"report: {report}"


def _by_policy(decided: Decided | None, look: Look) -> Iterator[str]:
    """What a policy makes of it, with the first of its reasons; nothing where there is none."""
    if decided is not None:
        answer = look.paint(decided.answer, _STYLES[decided.exit])
        yield f"{answer} by {plain(decided.policy)}. {decided.headline}"
        yield from (f"  {one.text}" for one in decided.reasons[:_REASONS])
        if len(decided.reasons) > _REASONS:
            yield f"  and {len(decided.reasons) - _REASONS:,} more"


def _table(scenarios: Sequence[Scenario], look: Look) -> Iterator[str]:
    if not scenarios:
        yield "no scenario left a verdict"
        return
    width = max(len(scenario["id"]) for scenario in scenarios)
    numbers = f"{'offered':>9} {'ok':>9} {'fail':>7} {'unknown':>7}  {'faults':>6}"
    yield look.paint(f"     {'scenario':{width}}  {'verdict':12}  {numbers}  expected", "quiet")
    for scenario in scenarios:
        counts, faults = scenario["operations"], scenario["faults"]
        bit = f"{sum(fault['bit'] for fault in faults)}/{len(faults)}" if faults else "-"
        yield (
            f"{look.paint(_mark(scenario), _style(scenario))} {scenario['id']:{width}}  {scenario['verdict']:12}  "
            f"{counts['offered']:>9,} {counts['ok']:>9,} {counts['fail']:>7,} {counts['unknown']:>7,}  {bit:>6}  "
            f"{look.paint(_expected(scenario), _style(scenario))}"
        )


def _look_at(scenario: Scenario, look: Look) -> Iterator[str]:
    mark = look.paint(_mark(scenario), _style(scenario))
    yield f"{mark} {look.paint(scenario['id'], 'bold')}: {scenario['verdict']}, not as expected"
    unexpected = reading.findings(scenario, Standing.UNEXPECTED)
    for finding in unexpected:
        if not reading.bare(finding):
            yield from _in_full(finding, look)
    undecided: dict[str, list[str]] = {}
    for finding in filter(reading.bare, unexpected):
        undecided.setdefault(finding["reason"], []).append(finding["clause"])
    for reason, clauses in undecided.items():
        yield f"  {look.paint(', '.join(clauses), 'doubt')} inconclusive: {reason or 'no reason was recorded'}"
    yield from (f"  {reason}" for reason in reading.reasons_besides(scenario))
    yield from (f"  {end}" for end in _ended(scenario))
    yield from _troubles(scenario)
    yield f"  run it again: {look.paint(scenario['repro'], 'bold')}"


def _troubles(scenario: Scenario) -> Iterator[str]:
    """Each, but of many of a name the first."""
    seen: Counter[str] = Counter()
    for trouble in scenario["troubles"]:
        seen[trouble["name"]] += 1
        if seen[trouble["name"]] <= _FEW:
            yield f"  trouble: {trouble['name']}{': ' if trouble['detail'] else ''}{trouble['detail']}"
    yield from (f"  trouble: {name}: {number - _FEW:,} more" for name, number in seen.items() if number > _FEW)


def _in_full(finding: Finding, look: Look) -> Iterator[str]:
    margin = reading.margin(finding)
    style = "doubt" if finding["verdict"] == Verdict.INCONCLUSIVE else "bad"
    reason = finding["reason"] or "no reason was recorded"
    yield f"  {look.paint(finding['clause'], style)} {finding['verdict']}: {reason}"
    yield (f"    measured {_measured(finding)}{f' ({margin})' if margin else ''}, counted {finding['counted']:,}")
    if finding["ops"]:
        shown, more = reading.named(finding, _FEW)
        yield f"    operations: {', '.join(shown)}{f' and {more:,} more' if more else ''}"
    for story in finding["stories"][:1]:
        yield f"    what happened to {story['op']}:"
        yield from (f"      {line}" for line in story["lines"])


def _weaknesses(run: Run, look: Look) -> Iterator[str]:
    if not run["weaknesses"]:
        return
    done = [name for name, weakness in run["weaknesses"].items() if weakness["reproduced"]]
    yield ""
    yield f"weaknesses reproduced: {len(done)} of {len(run['weaknesses'])}{': ' if done else ''}{', '.join(done)}"
    for name, weakness in run["weaknesses"].items():
        if not weakness["reproduced"]:
            yield f"  {look.paint(name, 'bad')} was not reproduced"
            for where in weakness["where"]:
                if where["verdict"] != where["wanted"]:
                    came = f"{where['clause']} was to be {where['wanted']}, came out as {where['verdict']}"
                    yield f"    {where['scenario']}[{where['state']}]: {came}"


def _ended(scenario: Scenario) -> Iterator[str]:
    ends = scenario["ended"]
    yield from ends[:_FEW]
    if len(ends) > _FEW:
        yield f"and {len(ends) - _FEW:,} more ends of nodes by themselves"


def _ended_meanwhile(run: Run) -> Iterator[str]:
    """Of scenarios that came out as expected: the others tell it themselves."""
    for scenario in run["scenarios"]:
        if scenario["as_expected"]:
            yield from (f"{scenario['id']}: {end}" for end in _ended(scenario))


def _not_judged(run: Run) -> Iterator[str]:
    for guarantee, line, ids in reading.not_judged(run):
        where = "" if len(ids) == len(run["scenarios"]) else f" (in {', '.join(ids[:_FEW])}"
        more = f" and {len(ids) - _FEW:,} more" if len(ids) > _FEW else ""
        yield f"{guarantee}: add {line}{f'{where}{more})' if where else ''}"


def _listed(what: str, lines: Sequence[str], look: Look, style: str = "") -> Iterator[str]:
    if lines:
        yield ""
        yield look.paint(f"{what}: {len(lines)}", style)
        yield from (f"  {line}" for line in lines)
