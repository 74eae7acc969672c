"""What a replay says is not as it was then, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import bundle, plan
from harness.errors import UsageError
from harness.run.judging import without_secrets
from harness.run.versions import versions
from harness.series import replay
from harness.system.loader import load_system

BARE = load_system("bare")
NATS = BARE.broker.version or ""


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder of a run with the system file of its one scenario."""
    folder = tmp_path / "scenarios" / "calm-default"
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(without_secrets(BARE))
    return tmp_path


def _told(kept: Path, then: dict[str, str], system: str = "bare") -> list[str]:
    return list(replay._differences(kept, then, system))


def test_what_is_as_it_was_is_not_told(kept: Path) -> None:
    assert _told(kept, versions(NATS)) == []


def test_another_broker_is_told(kept: Path) -> None:
    assert _told(kept, versions("2.10.0")) == [f"nats-server was 2.10.0, here it is {NATS}"]


def test_another_system_file_is_told(kept: Path) -> None:
    (file,) = kept.glob("scenarios/*/system.toml")
    text = file.read_text()
    file.write_text(f"# a word more\n{text.replace('rate = 50 ', 'rate = 300 ')}")
    assert text != file.read_text()
    (told,) = _told(kept, versions(NATS))
    assert told == "workloads.messages.rate of the system was 300, here it is 50"


def test_what_a_system_file_says_reaches_no_terminal_as_it_is(kept: Path) -> None:
    (file,) = kept.glob("scenarios/*/system.toml")
    file.write_text(file.read_text() + '\n["\\u001b[2J"]\n"a\\nb" = "\\u001b"\n')
    assert all(line.isprintable() for line in _told(kept, versions(NATS)))


def test_another_system_is_told_in_a_few_lines(kept: Path) -> None:
    told = _told(kept, versions(NATS), "telhawk")
    assert 'system.name of the system was "bare", here it is "telhawk"' in told
    assert len(told) <= replay.MOST_KEYS + 2
    assert told[-1].endswith(" more of the system")


def test_where_there_is_no_system_file_versions_are_told_first(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = plan.Planned("calm[default]", "calm", "default", "holds", {}, "test_calm.py", 1, [], True, "test_calm")
    gone = str(kept / "gone.toml")
    made = plan.Plan("one", "mine", gone, "processes", 1, None, str(kept), {}, [entry])
    found = {"versions": {**versions(NATS), "python": "2.7"}, "scenarios": [], "missing": ["calm[default]"]}
    monkeypatch.setattr(bundle, "is_bundle", lambda name: False)
    monkeypatch.setattr(plan, "find_run", lambda reports, name: kept)
    monkeypatch.setattr(plan, "read_plan", lambda folder: made)
    monkeypatch.setattr(plan, "merged", lambda folder, seconds: json.loads(json.dumps(found)))
    with pytest.raises(UsageError, match=r"gone\.toml"):
        replay.replay(kept, "one", None)
    assert "not the same as then: python was 2.7, here it is " in capsys.readouterr().err
