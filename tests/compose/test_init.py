"""`nats-harness init`: what it writes loads and says what to do next, and nothing is written over unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UsageError
from harness.starting import init
from harness.starting._system_file import Made
from harness.starting.init import SCENARIO, SYSTEM_FILE, begin
from harness.system.loader import load_system
from tests.survival.harness_process import run

FILES = Path(__file__).parent / "files"


def test_what_it_writes_runs_green_as_it_stands(tmp_path: Path) -> None:
    begun = begin(tmp_path, None, force=False)
    assert begun.open == []
    for command, told in zip(begun.next[:2], ("broker_crash[default]", "1 of 1 planned scenario judged"), strict=True):
        done = run(tmp_path, *command.split()[1:])
        assert done.returncode == 0, done.stdout + done.stderr
        assert told in done.stdout


@pytest.mark.timed
def test_its_scenario_runs_green(tmp_path: Path) -> None:
    begun = begin(tmp_path, None, force=False)
    done = run(tmp_path, *begun.next[2].split()[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 fault with evidence" in done.stdout


def test_the_commented_part_loads_too(tmp_path: Path) -> None:
    """What a reader takes the comment signs off from is a system file as well."""
    begin(tmp_path, None, force=False)
    before, _, after = (tmp_path / SYSTEM_FILE).read_text().partition("# ---- Your services")
    services = [line.removeprefix("# ") for line in after.splitlines() if line.startswith("# ") and _is_toml(line)]
    services += [line[1:] for line in after.splitlines() if line == "#"]
    (tmp_path / SYSTEM_FILE).write_text(before + "\n".join(services))
    system = load_system(tmp_path / SYSTEM_FILE)
    assert (system.entry(), system.workers(), list(system.workloads)) == ("web", ["worker"], ["jobs", "orders"])


def _is_toml(line: str) -> bool:
    return line.startswith("# [") or " = " in line


def test_nothing_is_written_over_unasked(tmp_path: Path) -> None:
    (tmp_path / SYSTEM_FILE).write_text("mine")
    with pytest.raises(UsageError, match=r"nats-harness\.toml is there already\n  fix: use --force"):
        begin(tmp_path, None, force=False)
    assert (tmp_path / SYSTEM_FILE).read_text() == "mine"
    assert not (tmp_path / SCENARIO).exists()
    begin(tmp_path, None, force=True)
    assert load_system(tmp_path / SYSTEM_FILE).system.name == "ours"


def test_an_error_of_the_compose_file_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        begin(tmp_path, FILES / "cluster.yml", force=False)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_load_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compose.yml").write_text("services: {nats: {image: nats}, web: {image: web}}")
    monkeypatch.setattr(init, "made_from", lambda *_: Made('[system]\nname = "UP"\n'))
    with pytest.raises(
        UsageError, match=r"compose\.yml: the system file made of it does not load: [^$]*'name = \"UP\"'"
    ):
        begin(tmp_path / "new", tmp_path / "compose.yml", force=False)
    assert list((tmp_path / "new").iterdir()) == []


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["init", "--compose", str(FILES / "shop.yml")])
    assert said.exit_code == 0, said.output
    for line in (
        "written: nats-harness.toml, scenarios/test_first.py",
        "  api: entry: it publishes port 3000, and it talks to the broker",
        "  environment: set before a run: export API_TOKEN=... DATABASE_PASSWORD=...",
        "  nats-harness run --system nats-harness.toml --runtime containers -k calm",
    ):
        assert line in said.output.splitlines()
    again = CliRunner().invoke(main, ["init"])
    assert again.exit_code == 64
