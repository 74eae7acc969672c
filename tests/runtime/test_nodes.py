"""What a node says of what it cannot be started with, and the looks by which it is known to be ready."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path

import pytest

from harness.errors import StartError
from harness.runtime._ready import by_command, by_log, by_port, listens

from .conftest import Opener
from .world import INCLUDING, service


async def test_a_command_that_does_not_exist_is_told(opened: Opener) -> None:
    with pytest.raises(StartError, match="'no-such-command' cannot be run: No such file"):
        await opened(service("").replace('"{python}"', '"no-such-command"'))


async def test_the_other_ways_of_being_ready(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        look = by_port(("127.0.0.1", port), partial(listens, ("127.0.0.1", port)))
        assert await look() == f"nobody listens on 127.0.0.1:{port}"
        server.listen()
        assert await look() == ""
    assert await by_log("^hello [0-9]+$", lambda: ["a", "hello 7"])() == ""
    assert await by_log("^hello [0-9]+$", lambda: ["hello x"])() == "no line matches '^hello [0-9]+$'"
    expected = {
        "true": "",
        "false": "false exited with 1",
        "no-such": "no-such cannot be run: No such file or directory",
    }
    for command, seen in expected.items():
        assert await by_command([command], env={"PATH": os.environ["PATH"]}, cwd=tmp_path)() == seen


async def test_a_command_that_is_not_content_or_hangs_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"PATH": os.environ["PATH"], "TABLE": "jobs"}
    script = "echo looking; echo no table $TABLE in $(pwd) >&2; exit 3"
    look = by_command(["sh", "-c", script], env=environment, cwd=tmp_path)
    assert await look() == f"sh exited with 3: no table jobs in {tmp_path}"
    monkeypatch.setattr("harness.runtime._ready.COMMAND_WITHIN_S", 0.3)
    hangs = by_command(["sh", "-c", "sleep 60 & sleep 60"], env=environment, cwd=tmp_path)
    assert await hangs() == "sh ran for more than 0.3 s"


@pytest.mark.parametrize(
    ("ready", "seen"),
    [
        ('{ log = "^up [0-9]+$" }', r"no line matches '\^up \[0-9\]\+\$'"),
        ('{ command = ["sh", "-c", "echo $WANTED is away >&2; exit 1"] }', "sh exited with 1: the table is away"),
    ],
)
async def test_a_service_that_never_shows_itself_ready_is_told(opened: Opener, ready: str, seen: str) -> None:
    with pytest.raises(StartError, match=rf"store-0: was not ready in 2 s; last seen: {seen}"):
        await opened(service(f'ready = {ready}\nenv = {{ WANTED = "the table" }}'), ready_within_s=2)


@pytest.mark.parametrize(
    ("include", "said"),
    [
        ("accounts { APP { users: [ { user: app, password: pw } ] } }", "accounts { \\$SYS { users"),
        ("no such thing {", "the configuration is refused"),
    ],
)
async def test_an_included_configuration_that_does_not_go_with_ours_is_told(
    opened: Opener, tmp_path: Path, include: str, said: str
) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "their.conf").write_text(include)
    with pytest.raises(StartError, match=said):
        await opened(INCLUDING, ready_within_s=1)
