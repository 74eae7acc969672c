"""Writing a run's page, one shaped as telhawk's in a nightly is and one over a million operations; and opening it.

Whole processes, interpreter and imports included; each tells its own largest resident set, since what a parent counts
is at least what it had itself when it forked. Every operation made must be in a mark of the page. Where Chromium
is installed it opens the first page: until it can be used, and until a chart that is scrolled to is drawn.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import histories
from bench.figures import Figure, middle
from bench.processes import Spent, spent
from harness.history.compact import compact
from tests.guarantees.synthetic import BROKER, ENTRY_LINK, HEALED, HIT, WORKER_LINK, Story, story
from tests.report import verdicts
from tests.report.browser import CHROMIUM, browser

MILLION = 1_000_000
SCENARIOS, OPERATIONS = 45, 300
NIGHTLY_S, MILLION_S, MILLION_MIB, MOST_MB, INTERACTIVE_S = 3.0, 10.0, 600, 3.0, 1.0
STORIES_IN = 5
"""Of so many scenarios one tells the stories of three operations."""
_INTERACTIVE = "performance.getEntriesByType('navigation')[0].domInteractive / 1000"
_CHART = """new Promise((done) => {
    const figure = [...document.querySelectorAll('figure.chart')].pop();
    for (let one = figure; one; one = one.parentElement) if (one.tagName === 'DETAILS') one.open = true;
    const began = performance.now();
    const look = () => {
        if (figure.classList.contains('drawn')) done((performance.now() - began) / 1000);
        else requestAnimationFrame(look);
    };
    figure.scrollIntoView();
    look();
})"""
_WRITE = """
import sys
from pathlib import Path
from harness.report import page
page.write(Path(sys.argv[1]))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def figures(*, rounds: int) -> list[Figure]:
    """Medians of so many rounds; of memory the most."""
    with TemporaryDirectory() as temporary:
        nightly, million = Path(temporary) / "nightly", Path(temporary) / "million"
        made = {nightly: make_nightly(nightly), million: make_million(million, MILLION)}
        taken: dict[Path, list[Spent]] = {nightly: [], million: []}
        for _ in range(rounds):
            for folder, runs in taken.items():
                runs.append(spent([sys.executable, "-c", _WRITE, str(folder)]))
        sizes = {folder: checked(folder, total) for folder, total in made.items()}
        opened = opening(nightly / "index.html", rounds) if CHROMIUM else []
    name = f"page of {SCENARIOS} scenarios"
    found = []
    for folder, what, most_s in ((nightly, name, NIGHTLY_S), (million, "page of 1 M operations", MILLION_S)):
        runs = taken[folder]
        found += [
            Figure(what, middle([run.wall_s for run in runs], 2), "s", "at most", most_s),
            Figure(f"{what}: processor time", middle([run.cpu_s for run in runs], 2), "s"),
            Figure(f"{what}: memory", round(max(int(run.told) / 1024 for run in runs)), "MiB", "at most", MILLION_MIB),
            Figure(f"{what}: size", round(sizes[folder], 2), "MB", "at most", MOST_MB),
        ]
    return found + opened


def opening(page: Path, rounds: int) -> list[Figure]:
    """How long a browser takes until the page can be used, and until a chart is drawn; medians."""
    interactive, chart = list[float](), list[float]()
    with TemporaryDirectory() as temporary, browser(Path(temporary)) as tab:
        for _ in range(rounds):
            tab.show(page.as_uri())
            interactive.append(tab.run(_INTERACTIVE))
            chart.append(tab.run(_CHART))
    return [
        Figure(f"page of {SCENARIOS} scenarios: interactive", middle(interactive, 2), "s", "at most", INTERACTIVE_S),
        Figure(f"page of {SCENARIOS} scenarios: a chart drawn", middle(chart, 2), "s", "at most", INTERACTIVE_S),
    ]


def make_nightly(folder: Path, scenarios: int = SCENARIOS, operations: int = OPERATIONS) -> int:
    """A run of so many scenarios, each with so many operations; how many there are in all."""
    with story() as told:
        told.load(0, 20_000)
        ops = [told.op(n * 20_000 // operations, took=2 + n % 90, ref=f"their-{n}") for n in range(operations)]
        for n, op in enumerate(ops[3:], start=3):
            told.done(op, n * 20_000 // operations)
        _watched(told)
        told.ended()
        compact(told.folder)
        lost = verdicts.lost_finding(3) | {
            "stories": [{"op": told.marker(op), "lines": ["offered", "accepted"]} for op in ops[:3]]
        }
        good = verdicts.good_findings()
        for n in range(scenarios):
            shutil.copytree(told.folder, folder / "scenarios" / f"scenario_{n}-hardened" / "history")
    _verdict(
        folder, [verdicts.scenario(f"scenario_{n}", findings=good if n % STORIES_IN else [lost, *good[1:]])
                 for n in range(scenarios)]
    )  # fmt: skip
    return scenarios * operations


def make_million(folder: Path, operations: int) -> int:
    """A run of one scenario with so many operations, of which there are so many in all."""
    histories.make(folder / "scenarios" / "large-hardened" / "history", operations)
    _verdict(folder, [verdicts.scenario("large")])
    return operations


def checked(folder: Path, total: int) -> float:
    """The size of the page in MB. Raises AssertionError unless it charts each scenario, and every operation."""
    html = (folder / "index.html").read_text("utf-8")
    counts = [int(told.replace(",", "")) for told in re.findall(r"([\d,]+) operations in [\d,]+ marks", html)]
    scenarios = json.loads((folder / "verdict.json").read_text("utf-8"))["scenarios"]
    assert html.count('class="timeline"') == len(counts) == len(scenarios), "a timeline is missing"
    assert sum(counts) == total, f"{sum(counts):,} of {total:,} operations are in the page"
    return len(html.encode()) / 1e6


def _watched(told: Story) -> None:
    """A fault, and as many lines of the kinds that observers write as in a scenario of telhawk's."""
    told.fault(HIT, HEALED, "kill", links=(ENTRY_LINK, WORKER_LINK), nodes=(BROKER,))
    for n in range(570):
        told.line("probe", HIT + n, fault=1, link=list(ENTRY_LINK), way="to", n=n, sent_ns=n, got_ns=n + 1)
    for n in range(95):
        told.connection(ENTRY_LINK, f"127.0.0.1:{n}", n * 200, closed=n * 200 + 150)
    for n in range(110):
        told.line("health", n * 180, node=BROKER, what="ready", answer="200", green=True, from_ns=n)
    for n in range(170):
        told.line("output", n * 110, node=BROKER, text=f"line {n} of what a service prints, as long as they often are")
    told.line("phase", 30_000, name="evidence", from_ns=0)


def _verdict(folder: Path, scenarios: list[verdicts.JSON]) -> None:
    (folder / "verdict.json").write_text(json.dumps(verdicts.run(scenarios)))
