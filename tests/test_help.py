"""The help is worth reading, what it shows can be typed, and shells complete it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness import cli
from harness.shells import SHELLS
from harness.system.loader import ready_systems
from tests.report.verdicts import calm
from tests.test_telling import LOST, made

COMMANDS = cli.main.commands


def shown(*words: str) -> str:
    done = CliRunner().invoke(cli.main, [*words, "--help"])
    assert done.exit_code == 0
    return done.output


def examples(text: str) -> Iterator[list[str]]:
    """The command lines that a help shows, by words."""
    for line in re.findall(r"^    (nats-harness .*)$", text, re.MULTILINE):
        yield shlex.split(line)[1:]


def test_every_command_is_listed_with_its_whole_sentence_in_the_order_of_use() -> None:
    text = shown()
    listed = re.findall(r"^  ([a-z]+)  +(\S.*\.)$", text.partition("Commands:\n")[2], re.MULTILINE)
    assert [name for name, _ in listed] == list(COMMANDS)
    assert list(COMMANDS)[:4] == ["demo", "init", "run", "list"]
    assert "..." not in text.partition("Commands:")[2]
    for code in ("0", "1", "2", "64", "130"):
        assert re.search(rf"^    {code} +\w", text, re.MULTILINE)
    assert len(list(examples(text))) >= 3


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_more_than_its_name_and_shows_how_it_is_typed(name: str) -> None:
    text = shown(name)
    assert all(len(line) <= 80 for line in text.splitlines())
    options = [one for one in COMMANDS[name].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []
    if name != "completion":
        assert [words[0] for words in examples(text)] in ([name], [name, name], [name] * 3)


def test_what_the_help_of_a_recording_shows_can_be_typed() -> None:
    record = COMMANDS["outage"].commands["record"]  # type: ignore[attr-defined]
    typed = [*examples(shown("outage", "record")), *examples(shown("outage"))]
    assert len(typed) == 3
    for words in typed:
        assert words[:2] == ["outage", "record"]
        record.make_context("nats-harness", words[2:])


@pytest.mark.parametrize(
    "words", [words for name in ("", *COMMANDS) for words in examples(shown(*filter(None, [name])))]
)
def test_what_a_help_shows_can_be_typed(words: list[str]) -> None:
    COMMANDS[words[0]].make_context("nats-harness", words[1:])


def completed(*words: str, folder: Path) -> list[str]:
    """What click answers to a shell whose cursor is at the end of these words."""
    asked = {"COMP_WORDS": shlex.join(["nats-harness", *words]), "COMP_CWORD": str(len(words))}
    if words[-1] == "":
        asked["COMP_WORDS"] = shlex.join(["nats-harness", *words[:-1]])
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'nats-harness'; from harness.cli import main; main()"],
        cwd=folder, env={"_NATS_HARNESS_COMPLETE": "bash_complete", **asked}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line.startswith("plain,")]


def test_commands_systems_runs_and_scenarios_are_completed(tmp_path: Path) -> None:
    for name in ("20261125-1", "20261126-2"):
        made(tmp_path / "reports", name, calm(), LOST)
    assert completed("re", folder=tmp_path) == ["replay"]
    assert completed("run", "--system", "", folder=tmp_path) == ready_systems()
    assert completed("judge", "", folder=tmp_path) == ["latest", "20261126-2", "20261125-1"]
    assert completed("weaknesses", "latest", "20261125", folder=tmp_path) == ["20261125-1"]
    assert completed("replay", "20261125-1", "c", folder=tmp_path) == ["calm[hardened]", "crash[hardened]"]
    assert completed("replay", "reports/20261125-1", "ca", folder=tmp_path) == ["calm[hardened]"]


def test_what_cannot_be_read_completes_nothing(tmp_path: Path) -> None:
    assert completed("replay", "latest", "", folder=tmp_path) == []
    (tmp_path / "reports/one").mkdir(parents=True)
    for text in ("", "[]", '{"planned": 1}', '{"planned": [{}]}'):
        (tmp_path / "reports/one/plan.json").write_text(text)
        assert completed("replay", "one", "", folder=tmp_path) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_takes_its_script(shell: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_NATS_HARNESS_COMPLETE={shell}_complete" in done.output
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(done.output)
        subprocess.run([shell, "-n", str(script)], check=True, timeout=30)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_by_the_documented_line(tmp_path: Path) -> None:
    command = (
        'eval "$(nats-harness completion bash)"; complete -p nats-harness; COMP_WORDS=(nats-harness nig); COMP_CWORD=1'
    )
    command += '; _nats_harness_completion nats-harness; echo "${COMPREPLY[@]}"'
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", command], env={"PATH": path}, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "nightly", done.stderr


def test_a_shell_that_is_unknown_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["completion", "csh"])
    assert ended.value.code == 64
