"""A timeline as SVG, drawn here, so that it can be read, printed and copied where no script runs.

Everything that lies on the axis of time is in nested `<svg class="plot">`, 1,000 units wide whatever the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from markupsafe import Markup, escape

from harness.report._asked import ROWS
from harness.report.reading import evidence
from harness.report.shape import Fault, Scenario
from harness.report.text import count, moment, number
from harness.report.timeline import Bar, Timeline

LEFT, WIDE, RIGHT = 168, 1000, 12
TOP, HIGH, LOW, LANE, ROOM = 4, 150, 44, 15, 12
"""Heights: of the latency's panel, of a small one, of a lane; and the room between panels."""
KINDS = {"ok": "ok", "open": "accepted, no end seen", "fail": "refused (fail)", "unknown": "unknown"}
"""The kinds of operation, and what they are called."""
LETTER = 7.5
"""Units of a letter of a fault's name, about."""
FINE = 4
"""Units between steps of the backlog, of which each is as high as it was in between: finer ones cannot be seen."""
SIZES = (1, 10, 100)
"""A mark is larger from so many operations on."""


class _Sheet:
    """What was drawn so far, and down to where."""

    def __init__(self, line: Timeline) -> None:
        self.line, self.y, self.parts = line, TOP, list[str]()
        self.per_column = WIDE * line.step_s / (line.to_s - line.from_s)

    def x(self, seconds: float) -> float:
        span = self.line.to_s - self.line.from_s
        return min(max((seconds - self.line.from_s) / span, 0.0), 1.0) * WIDE

    def label(self, text: str, y: float, *, css: str = "name") -> None:
        self.parts.append(f'<text class="{css}" x="{LEFT - 8}" y="{y:.0f}">{escape(text)}</text>')

    def plot(self, height: int, inner: Iterable[str]) -> None:
        self.parts.append(
            f'<svg class="plot" x="{LEFT}" y="{self.y}" width="{WIDE}" height="{height}">{"".join(inner)}</svg>'
        )


def draw(line: Timeline, scenario: Scenario) -> Markup:
    """The chart; empty where there is no timeline."""
    if line.why_not:
        return Markup("")
    sheet = _Sheet(line)
    faults = scenario["faults"]
    _names_of_faults(sheet, faults)
    top = sheet.y
    _latency(sheet)
    _rate(sheet)
    if line.polled or line.again:
        _backlog(sheet)
    for lane in line.lanes:
        _lane(sheet, lane.name, lane.bars, lane.closes)
    sheet.y += ROOM if line.lanes else 0
    for name, bars in recovery(line, scenario).items():
        _lane(sheet, name, bars, (), css="back")
    bottom = sheet.y + 4
    sheet.y = bottom
    _axis(sheet, top)
    bands = f'<svg class="plot" x="{LEFT}" y="{top}" width="{WIDE}" height="{bottom - top}">{"".join(_bands(sheet, faults, bottom - top))}</svg>'  # noqa: E501
    words = escape(_summary(line, scenario))
    return Markup(
        f'<svg class="timeline" role="img" aria-label="{words}" viewBox="0 0 {LEFT + WIDE + RIGHT} {sheet.y}">'
        f"{bands}{''.join(sheet.parts)}</svg>"
    )


def _summary(line: Timeline, scenario: Scenario) -> str:
    kinds = {kind: sum(cell.n for cell in line.cells if cell.kind == kind) for kind in KINDS}
    told = ", ".join(f"{n:,} {KINDS[kind]}" for kind, n in kinds.items() if n) or "no operations"
    during = "; ".join(f"{fault['kind']} of {fault['target']}" for fault in scenario["faults"]) or "no fault"
    return (
        f"Timeline of {scenario['id']} from {moment(line.from_s)} to {moment(line.to_s)}: {told}; {during}."
        " The tables below tell the same."
    )


def _names_of_faults(sheet: _Sheet, faults: Sequence[Fault]) -> None:
    """Each in the first of four lines that has room for it; those without are told below the chart."""
    lines: list[float] = [-1.0] * min(len(faults), 4)
    for fault in faults:
        begun = fault["effective"] if fault["effective"] is not None else fault["asked"]
        if begun is None:
            continue
        at, words = sheet.x(begun), fault_name(fault)
        wide = LETTER * len(words)
        left, anchor, shift = (at - wide, "end", -3) if at > WIDE * 0.7 else (at, "start", 3)
        row = next((row for row, end in enumerate(lines) if left > end), None)
        if row is None:
            continue
        lines[row] = left + wide
        sheet.parts.append(
            f'<text class="fault-name" text-anchor="{anchor}" x="{LEFT + at + shift:.1f}"'
            f' y="{sheet.y + 12 + 14 * row}">{escape(words)}</text>'
        )
    sheet.y += 14 * len(lines) + 6


def _bands(sheet: _Sheet, faults: Sequence[Fault], height: int) -> Iterator[str]:
    for fault in faults:
        title = f"<title>{escape(fault_words(fault))}</title>"
        begun, healed = fault["effective"], fault["healed"]
        if begun is not None:
            left, right = sheet.x(begun), sheet.x(healed if healed is not None else sheet.line.to_s)
            css = "band" if fault["bit"] else "band doubted"
            yield f'<rect class="{css}" x="{left:.1f}" y="0" width="{max(right - left, 1):.1f}" height="{height}">{title}</rect>'  # noqa: E501
            if healed is not None:
                yield f'<path class="edge" d="M{right:.1f} 0v{height}"/>'
        begun = begun if begun is not None else fault["asked"]
        if begun is not None:
            yield f'<path class="edge{"" if fault["bit"] else " doubted"}" d="M{sheet.x(begun):.1f} 0v{height}"/>'


def fault_name(fault: Fault) -> str:
    """What stands beside its band."""
    return f"{fault['id']} {fault['kind']} {fault['target']}"[:60] + ("" if fault["bit"] else " (no evidence)")


def fault_words(fault: Fault) -> str:
    """A fault in one line: what, how, when, and what proves it."""
    how = f" ({fault['how']})" if fault["how"] else ""
    proof = f"with evidence: {evidence(fault)}" if fault["bit"] else "without evidence that it bit"
    times = f"effective {moment(fault['effective'])}, healed {moment(fault['healed'])}"
    return f"{fault['id']} {fault['kind']} of {fault['target'] or 'nothing named'}{how}, {times}, {proof}"


def _latency(sheet: _Sheet) -> None:
    """Each operation where it was offered and as high as its answer was late; above them those never answered."""
    known = [cell.y for cell in sheet.line.cells if cell.y is not None]
    low = math.floor(min(known, default=0) / ROWS)
    high = max(math.ceil((max(known, default=ROWS) + 1) / ROWS), low + 1)
    scale = (HIGH - 30) / (ROWS * (high - low))

    def y(row: int | None) -> int:
        return 18 if row is None else round(HIGH - 2 - (row - low * ROWS) * scale)

    sheet.label("latency", sheet.y + 8, css="name strong")
    for power in range(low, high + 1):
        at = y(power * ROWS)
        sheet.label(f"{number(10.0**power)} ms" if power < 3 else f"{number(10.0 ** (power - 3))} s", sheet.y + at + 4)
    if any(cell.y is None for cell in sheet.line.cells):
        sheet.label("never answered", sheet.y + 22)
    grid = (f'<path class="grid" d="M0 {y(power * ROWS)}h{WIDE}"/>' for power in range(low, high + 1))
    sheet.plot(HIGH, [*grid, *_marks(sheet, y)])
    sheet.y += HIGH + ROOM


def _marks(sheet: _Sheet, y: object) -> Iterator[str]:
    """One path for each kind and size; neighbours of one row are one stroke."""
    assert callable(y)
    step = 2 ** (sheet.line.halved - sheet.line.halved // 3)
    for kind in KINDS:
        for size in range(len(SIZES)):
            least, most = SIZES[size], SIZES[size + 1] if size + 1 < len(SIZES) else math.inf
            chosen = [c for c in sheet.line.cells if c.kind == kind and least <= c.n < most]
            rows: dict[int, list[int]] = {}
            for cell in chosen:
                rows.setdefault(y(cell.y), []).append(cell.x)
            strokes = [
                _stroke(kind, round(first * sheet.per_column), at, round((last - first) * sheet.per_column))
                for at, columns in sorted(rows.items())
                for first, last in _runs(sorted(columns), step)
            ]
            if strokes:
                yield f'<path class="mark {kind} size-{size}" d="{"".join(strokes)}"/>'


def _stroke(kind: str, x: int, y: int, wide: int) -> str:
    """A dot, or a stroke of dots; what came to no end is a tick, so that its shape tells it apart."""
    return f"M{x} {y - 3}v6m0-3h{wide}" if kind == "open" else f"M{x} {y}h{wide}"


def _runs(columns: Sequence[int], step: int) -> Iterator[tuple[int, int]]:
    first = last = columns[0]
    for column in columns[1:]:
        if column - last > step:
            yield first, last
            first = column
        last = column
    yield first, last


def _rate(sheet: _Sheet) -> None:
    """What was offered a second; what of it was refused, unknown, or came to no end is filled."""
    line = sheet.line
    fine = line.slice_s / 4
    most = max((one.offered for one in line.rate), default=0)
    sheet.label("offered", sheet.y + 12, css="name strong")
    sheet.label(f"up to {number(most / fine)} a second", sheet.y + 27)
    scale = (LOW - 6) / (most or 1)
    wide = WIDE * fine / (line.to_s - line.from_s)
    inner = [f'<path class="grid" d="M0 {LOW - 1}h{WIDE}"/>']
    for css, values in (
        ("offered", [(one.x, one.offered) for one in line.rate]),
        ("wanting", [(one.x, one.offered - one.ok) for one in line.rate]),
    ):
        strokes = "".join(
            f"M{x * wide:.0f} {LOW - 1}V{LOW - 1 - n * scale:.0f}h{wide:.1f}V{LOW - 1}z" for x, n in values if n
        )
        inner += [f'<path class="{css}" d="{strokes}"/>'] if strokes else []
    sheet.plot(LOW, inner)
    sheet.y += LOW + ROOM


def _backlog(sheet: _Sheet) -> None:
    """Accepted work that has come to no end, as steps; ticks above it are deliveries and effects seen once more."""
    line = sheet.line
    most = max((n for _, n in line.backlog), default=0)
    sheet.label("backlog", sheet.y + 12, css="name strong")
    sheet.label(f"up to {count(most, 'operation')}" if line.polled else "not known", sheet.y + 27)
    if line.again:
        sheet.label(f"again: {sum(n for _, n in line.again):,}", sheet.y + 41)
    scale = (LOW - 12) / (most or 1)
    highest: dict[int, int] = {}
    for x, n in line.backlog:
        at = round(x * sheet.per_column / FINE) * FINE
        highest[at] = max(highest.get(at, 0), n)
    path, before = f"M0 {LOW - 1}", LOW - 1
    for at, n in highest.items():
        y = round(LOW - 1 - n * scale)
        path += f"H{at}V{y}" if y != before else ""
        before = y
    ticks = "".join(f"M{x * sheet.per_column:.0f} 0v8" for x, _ in line.again)
    sheet.plot(
        LOW,
        [
            f'<path class="grid" d="M0 {LOW - 1}h{WIDE}"/>',
            f'<path class="backlog" d="{path}H{WIDE}V{LOW - 1}z"/>' if line.backlog else "",
            f'<path class="again" d="{ticks}"/>' if ticks else "",
        ],
    )
    sheet.y += LOW + ROOM


def _lane(sheet: _Sheet, name: str, bars: Sequence[Bar], closes: Sequence[float], *, css: str = "lane") -> None:
    """A thick stroke where there was a connection (or recovery went on), a tick where one closed."""
    middle = LANE // 2
    strokes: dict[str, list[str]] = {css: [], f"{css} unended": []}
    for bar in _thinned([(sheet.x(bar.from_s), sheet.x(bar.to_s), bar.ended) for bar in bars]):
        unended = css == "back" and not bar[2]
        strokes[f"{css} unended" if unended else css].append(f"M{bar[0]:.0f} {middle}h{max(bar[1] - bar[0], 3):.0f}")
    ticks = "".join(f"M{x} 1v{LANE - 3}" for x in sorted({round(sheet.x(one)) for one in closes}))
    inner = [f'<path class="{kind}" d="{"".join(found)}"/>' for kind, found in strokes.items() if found]
    sheet.label(name if len(name) <= 30 else f"{name[:29]}…", sheet.y + 11)
    sheet.plot(LANE, [*inner, f'<path class="close" d="{ticks}"/>' if ticks else ""])
    sheet.y += LANE


def _thinned(bars: Sequence[tuple[float, float, bool]]) -> list[tuple[float, float, bool]]:
    """Bars nearer to each other than the eye can tell are one."""
    found: list[tuple[float, float, bool]] = []
    for left, right, ended in bars:
        if found and left - found[-1][1] < 0.5:
            found[-1] = (found[-1][0], max(right, found[-1][1]), ended)
        else:
            found.append((left, right, ended))
    return found


def recovery(line: Timeline, scenario: Scenario) -> dict[str, Sequence[Bar]]:
    """The parts of recovery; how long it took until a client noticed is in the findings that name one fault."""
    begun = {fault["id"]: fault["effective"] for fault in scenario["faults"]}
    bars = [
        Bar(start, start + finding["measured"])
        for finding in scenario["findings"]
        if finding["clause"] == "reconnects.notices" and finding["measured"] is not None and len(finding["faults"]) == 1
        if (start := begun.get(finding["faults"][0])) is not None
    ]
    return {**({"notices": bars} if bars else {}), **line.recovery}


def _axis(sheet: _Sheet, top: int) -> None:
    line = sheet.line
    step = _round_step((line.to_s - line.from_s) / 10)
    first, last = math.ceil(line.from_s / step), math.floor(line.to_s / step)
    words = "".join(
        f'<text class="tick" x="{LEFT + sheet.x(n * step):.1f}" y="{sheet.y + 14}">{n * step:+g} s</text>'
        for n in range(first, last + 1)
    )
    sheet.parts.append(f'<path class="axis" d="M{LEFT} {sheet.y}h{WIDE}"/>{words}')
    sheet.y += 22


def _round_step(least: float) -> float:
    power = 10 ** math.floor(math.log10(least))
    return next(float(f"{m * power:g}") for m in (1, 2, 5, 10) if m * power >= least)
