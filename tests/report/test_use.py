"""The page as it is used: by keyboard, pointer and screen reader, without a script, in the dark, in a small window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.report import page

from . import axe, runs, verdicts
from .browser import CHROMIUM, Browser, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
FIGURE = "document.querySelector('figure.chart')"
VIEW = f"{FIGURE}.querySelector('.tools span').textContent"
READ = f"{FIGURE}.querySelector('.tools output').textContent"
TOLD = f"JSON.parse({FIGURE}.querySelector('script').textContent)"
SETTLED = "new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))"
PIXELS = """(canvas) => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const at = (x, y) => 4 * (Math.floor(y) * canvas.width + Math.floor(x));
    return (x, y) => `rgb(${pixels.subarray(at(x, y), at(x, y) + 3).join(', ')})`;
}"""
COLOUR = """(name) => {
    const probe = document.createElement('p').style;
    probe.color = getComputedStyle(document.querySelector('figure.chart')).getPropertyValue(`--${name}`);
    return probe.color;
}"""
PANELS = ("latency", "offered", "backlog", "lanes")
WITH_HISTORIES = "with histories"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each made-up verdict, and of one with histories."""
    found = {}
    for name, make in verdicts.ALL.items():
        found[name] = tmp_path_factory.mktemp(name) / "index.html"
        found[name].write_text(page.render(make()), "utf-8")
    folder = tmp_path_factory.mktemp("histories")
    runs.written(folder, ["broker_crash", "entry_frozen"])
    return {**found, WITH_HISTORIES: page.write(folder)}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def chart(tab: Browser, pages: dict[str, Path]) -> Browser:
    """A page with charts, scrolled to the first."""
    tab.log.clear()
    tab.show(pages[WITH_HISTORIES].as_uri())
    scrolled(tab)
    return tab


def scrolled(tab: Browser) -> None:
    """Every chart is drawn, and the first one in view."""
    for n in range(tab.run("document.querySelectorAll('figure.chart').length") - 1, -1, -1):
        tab.run(f"document.querySelectorAll('figure.chart')[{n}].scrollIntoView()")
        tab.run(SETTLED)
    tab.run(f"if ({FIGURE}) {FIGURE}.scrollIntoView()")


def view(tab: Browser) -> tuple[float, float]:
    """From when to when the first chart shows."""
    first, last = tab.run(VIEW).replace(" s", "").split(" to ")
    return float(first), float(last)


def place(tab: Browser, panel: str, seconds: float) -> tuple[float, float]:
    """Where a moment is in a panel's middle, in the window."""
    over = f"{FIGURE}.querySelectorAll('.u-over')[{PANELS.index(panel)}].getBoundingClientRect()"
    left, top, wide, high = tab.run(f"(({{left, top, width, height}}) => [left, top, width, height])({over})")
    first, last = view(tab)
    return left + wide * (seconds - first) / (last - first), top + high / 2


def point(tab: Browser, kind: str, at: tuple[float, float], **more: Any) -> None:
    tab("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], **more)


def shaded(tab: Browser, panel: str, seconds: float) -> bool:
    """Is the ground there that of a fault? Looked at just above the plot, where no mark is."""
    n, first, last = PANELS.index(panel), *view(tab)
    return bool(
        tab.run(f"""(() => {{
            const over = {FIGURE}.querySelectorAll('.u-over')[{n}], canvas = {FIGURE}.querySelectorAll('canvas')[{n}];
            const by = canvas.width / canvas.clientWidth;
            const x = over.offsetLeft + over.clientWidth * ({seconds} - {first}) / ({last} - {first});
            return ({PIXELS})(canvas)(x * by, (over.offsetTop - 1) * by) === ({COLOUR})('shown-bg');
        }})()""")
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", [*(name for name in verdicts.ALL if name != "large"), WITH_HISTORIES])
def test_axe_finds_nothing(name: str, dark: bool, tab: Browser, pages: dict[str, Path]) -> None:
    script = axe.source()
    if script is None:
        pytest.skip("axe-core is not here: it needs npm and a network, once")
    tab.show(pages[name].as_uri(), dark=dark)
    tab.run("for (const one of document.querySelectorAll('details')) one.open = true")
    scrolled(tab)
    assert tab.run("document.querySelectorAll('figure.drawn').length") == (2 if name == WITH_HISTORIES else 0)
    tab.run(script + "; 0")
    tab.run("axe.run({resultTypes: ['violations']}).then((found) => { window.found = found })")
    violations = tab.run("found.violations.map((one) => [one.id, one.help, one.nodes.slice(0, 3).map((n) => n.html)])")
    assert violations == []
    assert tab.run("found.passes.length") > 15


@pytest.mark.parametrize("name", [*verdicts.ALL, WITH_HISTORIES])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_refused_and_nothing_runs_out_of_the_window(
    name: str, width: int, tab: Browser, pages: dict[str, Path]
) -> None:
    tab.log.clear()
    tab.show(pages[name].as_uri(), width=width)
    tab.run("for (const one of document.querySelectorAll('details')) one.open = true")
    scrolled(tab)
    assert tab.run("document.querySelectorAll('figure.drawn').length") == (2 if name == WITH_HISTORIES else 0)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.log == []


def test_keys_zoom_and_move_and_zero_shows_the_whole(chart: Browser) -> None:
    whole = view(chart)
    assert list(whole) == [chart.run(f"{TOLD}.from"), chart.run(f"{TOLD}.to")]
    wide = whole[1] - whole[0]
    chart.run("document.querySelector('figure.chart .wide').focus()")
    chart.key("+")
    assert view(chart) == pytest.approx((whole[0] + wide / 4, whole[0] + wide * 3 / 4), abs=0.002)
    assert "offered" in chart.run(READ)
    chart.key("ArrowRight")
    assert view(chart) == pytest.approx((whole[0] + wide * 3 / 8, whole[0] + wide * 7 / 8), abs=0.002)
    chart.key("ArrowLeft")
    chart.key("-")
    assert view(chart) == whole
    chart.key("+")
    chart.key("0")
    assert view(chart) == whole


def test_buttons_zoom_and_move_and_stop_at_the_ends(chart: Browser) -> None:
    whole = view(chart)
    wide = whole[1] - whole[0]
    left, middle, all_of_it = (0, 0.5), (0.25, 0.75), (0, 1)
    steps = [("zoom in", middle), ("earlier", left), ("earlier", left), ("later", middle), ("zoom out", all_of_it)]
    for tool, share in [*steps, ("zoom in", middle), ("the whole time", all_of_it)]:
        chart.run(f"document.querySelector('.tools [aria-label=\"{tool}\"]').click()")
        assert view(chart) == pytest.approx([whole[0] + wide * one for one in share], abs=0.002)
    for _ in range(30):
        chart.run("document.querySelector('.tools [aria-label=\"zoom in\"]').click()")
    assert view(chart)[1] - view(chart)[0] == pytest.approx(wide / 2000, abs=0.002)


@pytest.mark.parametrize("panel", PANELS)
def test_drawing_over_a_panel_zooms_all_of_them_and_a_double_click_shows_the_whole(panel: str, chart: Browser) -> None:
    whole = view(chart)
    begin, end = place(chart, panel, 4.0), place(chart, panel, 10.0)
    point(chart, "mouseMoved", begin)
    point(chart, "mousePressed", begin, button="left", buttons=1, clickCount=1)
    point(chart, "mouseMoved", ((begin[0] + end[0]) / 2, end[1]), button="left", buttons=1)
    point(chart, "mouseMoved", end, button="left", buttons=1)
    point(chart, "mouseReleased", end, button="left", clickCount=1)
    assert view(chart) == pytest.approx((4.0, 10.0), abs=0.05)
    chart.run(SETTLED)
    assert [shaded(chart, one, 5.0) for one in PANELS] == [True] * 4
    for click in (1, 2):
        point(chart, "mousePressed", end, button="left", buttons=1, clickCount=click)
        point(chart, "mouseReleased", end, button="left", clickCount=click)
    assert view(chart) == whole


@pytest.mark.parametrize("modifier", [2, 8], ids=["ctrl", "shift"])
def test_the_wheel_zooms_where_the_pointer_is_and_only_with_a_key(modifier: int, chart: Browser) -> None:
    whole = view(chart)
    at = place(chart, "offered", 5.0)
    point(chart, "mouseWheel", at, deltaX=0, deltaY=-100, modifiers=modifier)
    first, last = view(chart)
    assert last - first == pytest.approx(0.8 * (whole[1] - whole[0]), abs=0.01)
    assert place(chart, "offered", 5.0)[0] == pytest.approx(at[0], abs=1)
    point(chart, "mouseWheel", at, deltaX=0, deltaY=100, modifiers=modifier)
    assert view(chart) == pytest.approx(whole, abs=0.002)
    point(chart, "mouseWheel", at, deltaX=0, deltaY=-100)
    assert view(chart) == pytest.approx(whole, abs=0.002)


def test_a_fault_is_shaded_through_all_panels_from_effective_to_healed(chart: Browser) -> None:
    [fault] = chart.run(f"{TOLD}.faults")
    assert fault["from"] < fault["to"]
    for panel in PANELS:
        assert [shaded(chart, panel, s) for s in (fault["from"] - 0.1, fault["from"] + 0.1)] == [False, True]
        assert [shaded(chart, panel, s) for s in (fault["to"] - 0.1, fault["to"] + 0.1)] == [True, False]


def test_every_operation_is_in_a_mark_of_its_colour(chart: Browser) -> None:
    lacking = chart.run(f"""(() => {{
        const told = {TOLD}, over = {FIGURE}.querySelector('.u-over'), canvas = {FIGURE}.querySelector('canvas');
        const inks = {{ ok: 'good', open: 'bad', fail: 'bad', unknown: 'doubt' }}, pixel = ({PIXELS})(canvas);
        const lacking = [], all = Object.entries(told.cells).flatMap(([kind, rows]) => rows.flatMap(([y, ...flat]) => {{
            let x = 0;
            return flat.filter((_, n) => n % 2 === 0).map((gap) => [kind, x += gap]);
        }}));
        for (const [kind, x] of all) {{
            const at = over.offsetLeft + over.clientWidth * x * told.step / (told.to - told.from);
            const column = Array.from({{ length: canvas.height }}, (_, y) => pixel(at, y));
            if (!column.includes(({COLOUR})(inks[kind]))) lacking.push([kind, x]);
        }}
        return [all.length, lacking];
    }})()""")
    assert lacking == [382, []]


def test_the_pointer_reads_what_lies_there_and_the_row_below_it(chart: Browser) -> None:
    proof = chart.run("document.querySelector('.faults li').textContent")
    assert "with evidence: " in proof
    point(chart, "mouseMoved", place(chart, "latency", 6.0))
    told = chart.run(READ).split("\n")
    assert float(told[0].split(" s")[0]) == pytest.approx(6.0, abs=0.02)
    assert "no end seen" in told[1]
    assert told[1].startswith("here: ")
    rows = "[...document.querySelector('table.slices').tBodies[0].rows]"
    before = f"(row) => parseFloat(row.cells[0].textContent) <= {float(told[0].split(' s')[0])}"
    row = chart.run(f"{rows}.filter({before}).pop().cells[1].textContent")
    assert f"offered {row}" in told[-1]
    assert proof not in told
    point(chart, "mouseMoved", place(chart, "offered", 3.0))
    assert proof in chart.run(READ).split("\n")
    point(chart, "mouseMoved", place(chart, "latency", 5.0))
    assert "1 unknown, never answered" in chart.run(READ)


def test_the_pointer_reads_the_lane_below_it(chart: Browser) -> None:
    lanes = [one["name"] for one in chart.run(f"{TOLD}.lanes")]
    n, many = lanes.index("web-0 to broker-0"), len(lanes) + len(chart.run(f"{TOLD}.recovery"))
    high = chart.run(f"{FIGURE}.querySelectorAll('.u-over')[3].clientHeight")
    for seconds, says in ((6.0, "no connection"), (3.0, "+0.000 s to +5.500 s")):
        x, middle = place(chart, "lanes", seconds)
        point(chart, "mouseMoved", (x, middle + high * ((n + 0.5) / many - 0.5)))
        assert f"web-0 to broker-0: {says}" in chart.run(READ).split("\n")


def test_one_cursor_goes_through_all_panels(chart: Browser) -> None:
    point(chart, "mouseMoved", place(chart, "backlog", 6.0))
    cursors = (
        f"[...{FIGURE}.querySelectorAll('.u-cursor-x')].map((one) => Math.round(one.getBoundingClientRect().left))"
    )
    assert len(chart.run(cursors)) == 4
    assert len(set(chart.run(cursors))) == 1


def test_a_screen_reader_is_told_the_same_as_by_the_svg(chart: Browser) -> None:
    for attribute in ("role", "aria-label"):
        of = f"{FIGURE}.querySelector('{{}}').getAttribute('{attribute}')"
        assert chart.run(of.format(".panels")) == chart.run(of.format("svg.timeline"))
    assert chart.run(f"{FIGURE}.querySelector('.panels').getAttribute('aria-label')").startswith("Timeline of ")
    assert chart.run(f"getComputedStyle({FIGURE}.querySelector('svg.timeline')).display") == "none"


def test_another_scheme_another_size_and_finer_pixels_are_followed(chart: Browser) -> None:
    assert shaded(chart, "backlog", 3.0)
    for scheme in ("dark", "light"):
        chart("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
        chart.run(SETTLED)
        assert shaded(chart, "backlog", 3.0)
        assert not shaded(chart, "backlog", 7.0)
    for width, finer in ((700, 1), (400, 2), (1280, 1)):
        chart("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=finer, mobile=False)
        chart.run(SETTLED)
        canvas = f"{FIGURE}.querySelector('canvas')"
        wide, around = chart.run(f"(({{width, clientWidth}}) => [width / clientWidth, clientWidth])({canvas})")
        assert wide == finer
        assert around == chart.run(f"{FIGURE}.querySelector('.wide').clientWidth") < width
        assert [shaded(chart, "lanes", s) for s in (3.0, 7.0)] == [True, False]
    assert chart.log == []


def test_without_uplot_the_svg_stays_and_the_rest_works(tab: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    html = pages[WITH_HISTORIES].read_text("utf-8")
    assert html.count("var uPlot") == 1
    file = tmp_path / "index.html"
    file.write_text(html.replace("var uPlot", "var  uPlot"), "utf-8")
    tab.log.clear()
    tab.show(file.as_uri())
    scrolled(tab)
    assert any("Content Security Policy" in line for line in tab.log)
    assert tab.run(f"getComputedStyle({FIGURE}.querySelector('svg.timeline')).display") == "block"
    assert tab.run("document.querySelectorAll('.panels, .tools').length") == 0
    assert tab.run("document.querySelectorAll('.replay button').length") > 0


def test_a_command_is_copied(chart: Browser) -> None:
    chart.run("navigator.clipboard.writeText = async (words) => { window.copied = words }")
    button = "document.querySelector('.replay button')"
    assert chart.run(f"{button}.getAttribute('aria-label')") == "copy the command"
    chart.run(f"{button}.focus()")
    chart.key("Enter")
    assert chart.run("window.copied") == chart.run("document.querySelector('.replay pre').textContent")
    assert chart.run(f"{button}.textContent") == "copied"


def test_without_a_script_everything_is_there(tab: Browser, pages: dict[str, Path]) -> None:
    tab.show(pages[WITH_HISTORIES].as_uri(), script=False)
    root = tab("DOM.getDocument", depth=-1)["root"]
    text = str(root)
    for words in ("timeline", "no end seen", "never seen, though it was watched for"):
        assert words in text
    assert "'nodeName': 'SUMMARY'" in text
    for made in ("BUTTON", "CANVAS", "OUTPUT"):
        assert f"'nodeName': '{made}'" not in text
    svg = tab("DOM.querySelector", nodeId=root["nodeId"], selector="svg.timeline")["nodeId"]
    assert tab("DOM.getBoxModel", nodeId=svg)["model"]["width"] > 900


def test_print_shows_the_svg_and_no_tools(chart: Browser) -> None:
    shown = "getComputedStyle(document.querySelector('{}')).display"
    places = {".tools": "none", ".replay button": "none", ".panels": "none", "svg.timeline": "block"}
    assert {place: chart.run(shown.format(place)) for place in places} != places
    chart("Emulation.setEmulatedMedia", media="print")
    assert {place: chart.run(shown.format(place)) for place in places} == places
    chart("Emulation.setEmulatedMedia", media="")
    assert chart.run(shown.format(".panels")) == "block"


def test_the_table_of_promises_fits_a_usual_window(tab: Browser, tmp_path: Path) -> None:
    name = "worker_terminated_alone"
    clients = verdicts.finding("bounded.returns", bound=50, measured=1, unit="connections")
    unseen = verdicts.finding("effects", "inconclusive", reason="noise")
    run = verdicts.run([verdicts.scenario(name, findings=[clients, unseen, *verdicts.good_findings()])])
    file = tmp_path / "index.html"
    file.write_text(page.render(run), "utf-8")
    tab.show(file.as_uri(), width=1280)
    assert name in tab.run("document.querySelector('.promises').innerText")
    around = "document.querySelector('.promises').parentElement"
    assert tab.run(f"{around}.scrollWidth <= {around}.clientWidth")
    names = "[...document.querySelectorAll('.promises tbody th code')].map((one) => one.getClientRects().length)"
    assert set(tab.run(names)) == {1}


def test_no_caption_runs_out_of_a_small_window(tab: Browser, pages: dict[str, Path]) -> None:
    for path in (pages["exposed"], pages[WITH_HISTORIES]):
        tab.show(path.as_uri(), width=400)
        tab.run("for (const one of document.querySelectorAll('details')) one.open = true")
        widest = (
            "Math.max(...[...document.querySelectorAll('caption')].map((one) => one.getBoundingClientRect().right))"
        )
        assert tab.run(widest) <= 400


def test_a_line_below_a_link_leaves_underscores_to_be_seen(tab: Browser, pages: dict[str, Path]) -> None:
    tab.show(pages["red"].as_uri())
    style = "getComputedStyle(document.querySelector('.decision a'))"
    assert tab.run(f"parseFloat({style}.textUnderlineOffset) / parseFloat({style}.fontSize)") >= 0.25
