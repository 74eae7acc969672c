"""The page as it is used: by keyboard, pointer and screen reader, without a script, in the dark, in a small window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report import page

from . import axe, runs, verdicts
from .browser import CHROMIUM, Browser, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
CHART = "document.querySelector('svg.timeline')"
VIEW = f"{CHART}.querySelector('svg.plot').getAttribute('viewBox')"
TICKS = f"[...{CHART}.querySelectorAll('.tick')].map((tick) => tick.textContent)"
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
    tab.run(f"{CHART}.scrollIntoView({{block: 'center'}})")
    tab.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
    return tab


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", [*(name for name in verdicts.ALL if name != "large"), WITH_HISTORIES])
def test_axe_finds_nothing(name: str, dark: bool, tab: Browser, pages: dict[str, Path]) -> None:
    script = axe.source()
    if script is None:
        pytest.skip("axe-core is not here: it needs npm and a network, once")
    tab.show(pages[name].as_uri(), dark=dark)
    tab.run("for (const one of document.querySelectorAll('details')) one.open = true")
    tab.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
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
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.log == []


def test_keys_zoom_and_move_and_zero_shows_the_whole(chart: Browser) -> None:
    whole = chart.run(TICKS)
    chart.run("document.querySelector('figure.chart .wide').focus()")
    chart.key("+")
    assert chart.run(VIEW).split()[:3:2] == ["250", "500"]
    near = chart.run(TICKS)
    assert near != whole
    chart.key("ArrowRight")
    assert chart.run(VIEW).split()[0] == "375"
    chart.key("ArrowLeft")
    chart.key("0")
    assert chart.run(VIEW).split()[:3:2] == ["0", "1000"]
    assert chart.run(TICKS) == whole


def test_words_move_with_what_they_name(chart: Browser) -> None:
    name = f"{CHART}.querySelector('.fault-name')"
    before = float(chart.run(f"{name}.getAttribute('x')"))
    at = float(chart.run(f"{name}.dataset.x"))
    for tool in ("zoom in", "earlier"):
        chart.run(f"document.querySelector('.tools [aria-label=\"{tool}\"]').click()")
    left, wide = (float(part) for part in chart.run(VIEW).split()[:3:2])
    after = float(chart.run(f"{name}.getAttribute('x')"))
    assert after == pytest.approx(168 + (at - left) / wide * 1000 + 3, abs=0.1)
    assert after != before
    assert chart.run(f"{name}.getAttribute('visibility')") == "visible"
    for _ in range(3):
        chart.run("document.querySelector('.tools [aria-label=\"later\"]').click()")
    assert chart.run(f"{name}.getAttribute('visibility')") == "hidden"


def test_the_pointer_reads_the_row_below_it(chart: Browser) -> None:
    left, top, wide = chart.run(f"(({{left, top, width}}) => [left, top, width])({CHART}.getBoundingClientRect())")
    x = left + wide * (168 + 1000 * 6 / 20.5) / 1180
    chart("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=top + 100)
    told = chart.run("document.querySelector('.tools output').textContent")
    rows = "[...document.querySelector('table.slices').tBodies[0].rows]"
    before = f"(row) => parseFloat(row.cells[0].textContent) <= {float(told.split(' s')[0])}"
    row = chart.run(f"{rows}.filter({before}).pop().cells[1].textContent")
    assert f"offered {row}" in told
    assert "no end seen" in told


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
    size = tab("DOM.getDocument", depth=-1)["root"]
    text = str(size)
    for words in ("timeline", "no end seen", "never seen, though it was watched for"):
        assert words in text
    assert "'nodeName': 'SUMMARY'" in text
    assert "'nodeName': 'BUTTON'" not in text


def test_print_shows_the_tables_and_no_tools(chart: Browser) -> None:
    chart("Emulation.setEmulatedMedia", media="print")
    shown = "getComputedStyle(document.querySelector('{}')).display"
    assert chart.run(shown.format(".tools")) == "none"
    assert chart.run(shown.format(".replay button")) == "none"
    assert chart.run(shown.format("svg.timeline")) == "block"
    chart("Emulation.setEmulatedMedia", media="")


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
