"""What the documents show is run: system files, scenarios, commands, one-liners, links."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic_ns

import click
import pytest

import harness
from harness import cli, marks, outage, plan
from harness.faults import load_all
from harness.guarantees import REGISTRY, clause_names
from harness.history.recorder import Recorder, write_meta
from harness.history.rows import OpId, Outcome, Step
from harness.report import schema
from harness.run import Run, judging
from harness.run.meta import meta
from harness.run.setting import Setting
from harness.runtime import binaries
from harness.system.loader import load_system, ready_systems

from .pages import (
    CONSOLES,
    DOCS,
    PAGES,
    ROOT,
    Block,
    blocks,
    commands,
    commands_of,
    links,
    scenario_functions,
    shown,
    slugs,
    spans,
    stock_scenarios,
)

TAGS = {"", *CONSOLES, "toml", "toml system", "toml outage", "toml gate"}
TAGS |= {"python scenario", "python history", "python measure"}
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "no:cacheprovider", "-q"]
PYTEST += ["-o", "asyncio_default_fixture_loop_scope=function"]
LIST_ALL = """
import json, sys
from harness.cli import main
for args in json.load(sys.stdin):
    try:
        main(args)
    except SystemExit as ended:
        print("EXIT", json.dumps([ended.code, args]))
"""


def ran(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_every_block_has_a_known_tag_and_every_command_a_known_program() -> None:
    assert {block.tag for block in blocks()} <= TAGS
    assert {words[0] for _, words in commands()} <= {"make", "nats-harness", "pytest", "python"}


@pytest.mark.parametrize("block", blocks("toml system", "toml"), ids=lambda block: block.where)
def test_system_files_load(block: Block, tmp_path: Path) -> None:
    if block.tag == "toml":
        assert tomllib.loads(block.text)
        return
    (tmp_path / "their.conf").write_text("max_payload: 1MB\n")
    (tmp_path / "system.toml").write_text(block.text)
    system = load_system(tmp_path / "system.toml", clauses=clause_names())
    plan.check_exposes(system.states, stock_scenarios(), where=block.where)


@pytest.mark.parametrize("block", blocks("toml outage"), ids=lambda block: block.where)
def test_outages_load(block: Block, tmp_path: Path) -> None:
    (tmp_path / f"shown{outage.SUFFIX}").write_text(block.text)
    assert outage.load(tmp_path / f"shown{outage.SUFFIX}").events


def test_scenarios_are_collected(tmp_path: Path) -> None:
    """By their files: a folder would be taken for all that telhawk's states name."""
    names = []
    for number, block in enumerate(blocks("python scenario")):
        (tmp_path / f"test_block_{number}.py").write_text(block.text)
        names += [f"test_block_{number}.py::{function.name}" for function in scenario_functions(block.text)]
    files = sorted(path.name for path in tmp_path.glob("test_*.py"))
    output = ran([*PYTEST, "--collect-only", "--nats-system", "telhawk", *files], tmp_path)
    assert names
    assert [name for name in names if f"{name}[hardened]" not in output] == []


@pytest.mark.parametrize("block", blocks("python scenario"), ids=lambda block: block.where)
def test_scenarios_use_what_there_is(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="faults"), attr=kind)):
                given = {keyword.arg: None for keyword in node.keywords if keyword.arg}
                inspect.signature(load_all()[kind]).bind(None, *node.args, **given)
            case ast.Attribute(value=ast.Name(id="run"), attr=name):
                assert name == "faults" or hasattr(Run, name), f"{block.where}: run.{name}"
            case ast.Call(func=ast.Name(id="needs"), args=args):
                assert {ast.literal_eval(arg) for arg in args} <= set(plan.NEEDS)
            case ast.Call(func=ast.Name(id=name)) if name in REGISTRY:
                bounds = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
                getattr(harness, name)(**bounds)


@pytest.mark.parametrize(("where", "words"), commands_of("nats-harness"))
def test_commands_parse(where: str, words: list[str]) -> None:
    command = cli.main.commands[words[0]]
    try:
        command.make_context("nats-harness", words[1:])
    except click.UsageError as error:
        pytest.fail(f"{where}: {error.format_message()}")


def test_what_commands_choose_is_there() -> None:
    """Each `list`, and each `run` as a `list`, of a system that comes with the harness: none is wrong usage."""
    chosen = []
    for _, words in commands_of("nats-harness"):
        named = words[words.index("--system") + 1] if "--system" in words else "telhawk"
        if words[0] in ("run", "list") and named in ready_systems() and "--scenarios" not in words:
            text = re.sub(r" (-j|--seed) \d+", "", shlex.join(["list", *words[1:]]))
            chosen.append(shlex.split(text))
    command = [sys.executable, "-c", LIST_ALL]
    done = subprocess.run(command, input=json.dumps(chosen), capture_output=True, text=True, timeout=120, check=False)
    exits = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("EXIT ")]
    assert chosen
    assert exits == [[0, args] for args in chosen], done.stderr


def test_other_commands() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for where, words in commands_of("make"):
        assert words[0] in targets, where
    for where, words in commands_of("pytest"):
        options = {word.removeprefix("--nats-") for word in words if word.startswith("--nats-")}
        assert options <= set(marks.SETTINGS), where
    for where, words in commands_of("python"):
        if words[:2] == ["-m", "pytest"]:
            paths = [word for word in words[2:] if "/" in word]
            assert paths, where
            assert [path for path in paths if not (ROOT / path).exists()] == [], where


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reports/latest: a run of one scenario, recorded and judged as a run does it."""
    root = tmp_path_factory.mktemp("run")
    made = plan.new_run(root / "reports")
    system = load_system("bare")
    planned = plan.Planned("crash[default]", "crash", "default", "holds", {}, "test_ours.py", 1, [], False, "crash")
    setting = Setting(
        system=system,
        planned_id=planned.id,
        scenario=planned.scenario,
        state=planned.state,
        settles_s=1,
        hardening=None,
        expect=planned.expect,
        exposes={},
        calm=False,
        run=made.name,
        seed=1,
        folder=made / "scenarios" / planned.folder,
        repro="",
    )
    history = setting.folder / "history"
    write_meta(history, meta(setting))
    recorder = Recorder(history, name="load-0", nonce=setting.nonce, writer=0)
    recorder.line("load", event="started")
    recorder.line("fault", event="asked", id=1, fault="kill", target="broker-0", links=[["load", "broker-0"]])
    recorder.line("fault", event="effective", id=1)
    for n in range(30):
        recorder.finish(recorder.begin("messages", monotonic_ns()), Outcome.OK, seq=n + 1)
        for step in (Step.EFFECT, Step.RESULT):
            recorder.sight(step, t_ns=1, source="stream", op=OpId(0, n), seq=n + 1, proved=step is Step.RESULT)
    for event in ("healing", "healed"):
        recorder.line("fault", event=event, id=1)
    recorder.line("fault", id=1, event="evidence", bit=True, evidence={"connections": 1})
    recorder.line("output", node="broker-0", text="[INF] Server is ready")
    recorder.line("read", source="stream", complete=True, count=30, from_ns=0)
    recorder.close()
    judging.judge_scenario(setting.folder)
    judging.keep(setting.folder, system)
    states = {"default": {"expect": "holds", "hardening": None}}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    plan.write_plan(made, plan.Plan(made.name, "bare", "bare", "processes", 1, None, "", states, [planned], (), now))
    verdict = plan.merged(made, seconds=1.0)
    schema.validate(verdict)
    assert verdict["exit"] == 0, verdict["reasons"]
    plan.write_json(made / "verdict.json", verdict)
    return root


def test_one_liners_run(folder: Path) -> None:
    codes = [words[1] for _, words in commands_of("python") if words[0] == "-c"]
    assert len(codes) >= 2
    outputs = [ran([sys.executable, "-c", code], folder) for code in codes]
    assert any("messages" in output and "30" in output for output in outputs)
    assert any("kill broker-0" in output for output in outputs)


@pytest.mark.parametrize("block", blocks("python history"), ids=lambda block: block.where)
def test_snippets_read_a_history(block: Block, folder: Path) -> None:
    assert "crash[default] 30 operations" in ran([sys.executable, "-c", block.text], folder)


@pytest.mark.parametrize("block", blocks("python measure"), ids=lambda block: block.where)
def test_measurements_run(block: Block, tmp_path: Path) -> None:
    binaries.toxiproxy_server(print)
    assert ran([sys.executable, "-c", block.text], tmp_path).strip()


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_files_that_are_named_are_there(page: Path) -> None:
    """Each path in code that begins with a folder of the repository; `<name>` and `*` stand for any name."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in (".git", "reports")}
    named = [word for word in spans(page) if re.fullmatch(r"[\w.<>*/-]+", word) and word.partition("/")[0] in folders]
    paths = {re.sub(r"<\w+>", "*", word).rstrip("/") for word in named if "/" in word}
    assert sorted(path for path in paths if not any(ROOT.glob(path))) == []


def test_whom_contributing_names_is_there() -> None:
    """Each module that is named without its folder, and each class or constant, somewhere in the sources."""
    sources = [path for name in ("harness", "tests") for path in (ROOT / name).rglob("*.py")]
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text("utf-8"))}
    named = spans(ROOT / "CONTRIBUTING.md")
    modules = {word for word in named if re.fullmatch(r"\w+\.py", word)}
    names = {word for word in named if re.fullmatch(r"[A-Z]\w+(\.\w+)?", word)}
    assert len(modules) > 5
    assert len(names) > 5
    assert sorted(modules - {path.name for path in sources}) == []
    assert sorted(word for word in names if not {*word.split(".")} <= words) == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target, there, anchor in links(page):
        assert there.exists(), target
        assert not anchor or anchor in slugs(there), target


def test_every_page_is_linked() -> None:
    linked = {there for page in PAGES for _, there, _ in links(page)}
    assert [shown(page) for page in PAGES if page.is_relative_to(DOCS) and page not in linked] == []


@pytest.mark.parametrize("name", ["report.png", "timeline.png"])
def test_the_pictures_are_small(name: str) -> None:
    assert 0 < (DOCS / name).stat().st_size < 300_000


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_no_place_of_one_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.:])/(?:home|root|tmp|work)/\S*", page.read_text("utf-8")) == []
