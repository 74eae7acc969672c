"""Whatever a system says, it neither breaks, scripts nor leaks into an artefact of its run.

One small system, whose ids, headers, addresses, variables, lines and bodies are out to hurt, and which loses half of
its work, so that the report has much to tell of it. Then every file that the run left is read, and what it printed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.history.reader import History
from harness.history.rows import Step
from tests.report.test_browser import CHROMIUM, browse, complaints

SCRIPT = "<script>document.title='scripted'</script><img src=x onerror=\"document.title='scripted'\">"
ESCAPES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b31m \u202eleft \x00"
UNSAFE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202e]")
SECRETS = {
    "an {env:...} in a URL": "p4ss-env",
    "written into a URL of the file": "p4ss-url",
    "written into a header of the file": "p4ss-header",
    "written into connect": "p4ss-connect",
    "kept by prepare": "p4ss-kept",
    "the service's own, in a URL that it prints": "p4ss-own",
    "the service's own, in a header that it prints": "p4ss-bearer",
    "the service's own, in an error that it answers": "p4ss-error",
}
SYSTEM = """
[system]
name = "hostile"
[broker]
version = "2.12.8"
include = "their.conf"
connect = { user = "app", password = "p4ss-connect" }
[services.desk]
role = "entry"
command = ["{python}", "desk.py", "{port}"]
ports = { http = 80 }
ready = "/up"
[services.desk.env]
NATS_URL = "nats://app:{env:HOSTILE_PASSWORD}@{broker.host}:{broker.port}"
CACHE_URL = "redis://cache:p4ss-url@127.0.0.1:6379/0"
EVIL = "<script>alert(1)</script>"
[[prepare]]
request = { url = "{desk.url}/token" }
keep = { token = "$.token" }
[workloads.jobs]
kind = "http-async"
rate = 10
answers_s = 2
results_s = 2
dead = { subject = "dead.>", op = "$.note" }
taps = [{ subject = "jobs.>", op = "$.note", step = "published" }]
[workloads.jobs.submit]
method = "POST"
url = "{desk.url}/jobs"
headers = { Authorization = "Bearer {token}", X-Api-Key = "p4ss-header" }
json = { note = "{op}" }
accepted = [202]
refused = [503]
ref = "$.id"
[workloads.jobs.poll]
url = "{desk.url}/jobs?note={op}"
headers = { Authorization = "Basic p4ss-header" }
every_s = 0.2
done = { "$.status" = ["done"] }
gone = [404]
[promises]
settles_s = 1
"""
CONF = 'authorization { users = [ { user: app, password: "p4ss-connect" }, { user: desk, password: "p4ss-env" } ] }\n'
DESK = """
import http.server, json, os, socket, sys, threading
from urllib.parse import unquote, urlsplit

SCRIPT, ESCAPES = json.load(open("hurts.json"))
BROKER = urlsplit(os.environ["NATS_URL"].replace("app:", "desk:"))

def tell(text):
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)

USER = {"verbose": False, "headers": True, "user": "desk", "pass": BROKER.password, "name": SCRIPT + ESCAPES}
HEAD = b"NATS/1.0\\r\\nX-Evil: " + SCRIPT.encode() + b"\\r\\n\\r\\n"
TURN = threading.Lock()
LINK = socket.create_connection((BROKER.hostname, BROKER.port))
LINK.sendall(b"CONNECT " + json.dumps(USER).encode() + b"\\r\\n")

def publish(subject, data):
    sizes = b"%d %d" % (len(HEAD), len(HEAD) + len(data))
    with TURN:
        LINK.sendall(b"HPUB " + subject + b" " + sizes + b"\\r\\n" + HEAD + data + b"\\r\\nPING\\r\\n")
        while b"PONG" not in LINK.recv(4096):
            pass

tell(f"connected to {os.environ['NATS_URL']} and {os.environ['CACHE_URL']} as redis://own:p4ss-own@db:6379")
tell(SCRIPT + ESCAPES + json.dumps({"level": SCRIPT, "url": "amqp://own:p4ss-own@db", "token": "p4ss-kept"}))

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = 0

    def answer(self, code, /, **fields):
        body = json.dumps(fields).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Evil", SCRIPT)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/token":
            return self.answer(200, token="p4ss-kept")
        if self.path == "/up":
            return self.answer(200)
        note = unquote(self.path.partition("=")[2])
        lost = int(note.rsplit("-", 1)[1]) % 2
        tell(f"asked with Authorization: {self.headers['Authorization']} of {note} {SCRIPT}{ESCAPES}")
        self.answer(404 if lost else 200, status="done", error=SCRIPT, proxy="http://u:p4ss-error@proxy")

    def do_POST(self):
        note = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["note"]
        Handler.seen += 1
        tell(f"{dict(self.headers)} Authorization: Bearer p4ss-bearer {note} {ESCAPES}")
        data = json.dumps({"note": note, "evil": SCRIPT + ESCAPES}).encode()
        publish(b"jobs." + str(Handler.seen % 3).encode(), data)
        if Handler.seen % 5 == 0:
            publish(b"dead.<script>", data)
        if Handler.seen % 7 == 0:
            return self.answer(500, error=f"{SCRIPT}{ESCAPES} http://u:p4ss-error@proxy refused")
        self.answer(202, id=f"{note}{SCRIPT}{ESCAPES}")

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Left:
    """What a run left behind."""

    folder: Path
    printed: str
    code: int

    @property
    def files(self) -> Mapping[str, bytes]:
        """Every file, by its path below the folder."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def one(self, name: str) -> Path:
        """The one file of the run that is called so, at its top."""
        (found,) = self.folder.glob(f"reports/*-*/{name}")
        return found


def made(folder: Path, desk: str, *arguments: str) -> Left:
    place, work = folder / "system", folder / "work"
    place.mkdir()
    work.mkdir()
    (place / "ours.toml").write_text(SYSTEM)
    (place / "their.conf").write_text(CONF)
    (place / "desk.py").write_text(desk)
    (place / "hurts.json").write_text(json.dumps([SCRIPT, ESCAPES]))
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "--system", str(place / "ours.toml"), "-k", "calm", *arguments],
        cwd=work,
        env={**os.environ, "HOSTILE_PASSWORD": "p4ss-env", "NATS_HARNESS_STATE": str(folder / "state")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Left(work, done.stdout + done.stderr, done.returncode)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return made(tmp_path_factory.mktemp("hostile"), DESK)


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """The desk says all that hurts, and ends before it is ready."""
    return made(tmp_path_factory.mktemp("dead"), DESK.partition("class Handler")[0] + "sys.exit(SCRIPT + ESCAPES)")


def test_there_is_much_to_tell(left: Left) -> None:
    """Half of the work is lost, and all that hurts came as far as the history; else the tests below show nothing."""
    assert left.code == 1, left.printed
    (scenario,) = json.loads(left.one("verdict.json").read_bytes())["scenarios"]
    (no_loss,) = [finding for finding in scenario["findings"] if finding["clause"] == "no_loss"]
    assert (no_loss["verdict"], len(no_loss["stories"]) > 0) == ("violated", True), no_loss
    history = History.open(left.one("scenarios/calm-default/history"))
    assert {SCRIPT + ESCAPES} <= {
        str(operation.ref).partition("<")[1] + str(operation.ref).partition("<")[2]
        for operation in history.operations()
    }
    assert {Step.PUBLISHED, Step.DEAD_LETTER} <= {sighting.step for sighting in history.sightings()}
    said = "\n".join(line["text"] for line in history.lines("output"))
    for text in (
        SCRIPT,
        ESCAPES,
        "redis://[redacted]@127.0.0.1",
        "Authorization: Bearer [redacted] ",
        "'X-Api-Key': '[redacted]'",
    ):
        assert text in said


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_no_secret_is_in_any_artefact(left: Left, dead: Left, secret: str) -> None:
    for run in (left, dead):
        assert [name for name, data in run.files.items() if secret.encode() in data] == []
        assert secret not in run.printed


def test_the_service_was_given_its_secrets(left: Left) -> None:
    """What is hidden is hidden from files alone: the broker and the desk let each other in."""
    history = History.open(left.one("scenarios/calm-default/history"))
    assert any(sighting.step is Step.PUBLISHED for sighting in history.sightings())


def test_no_control_character_is_in_what_a_terminal_shows(left: Left, dead: Left) -> None:
    for run in (left, dead):
        texts = {name: data.decode() for name, data in run.files.items() if not name.endswith((".parquet", ".sqlite"))}
        assert any(name.endswith("desk-0.log") for name in texts)
        for name, text in {**texts, "printed": run.printed}.items():
            assert not (found := set(UNSAFE.findall(text))), (name, found)


def test_nothing_of_it_is_markup_of_the_page(left: Left, dead: Left) -> None:
    for run in (left, dead):
        html = run.one("index.html").read_text("utf-8")
        charts = html.count('<figure class="chart"')
        # its own; where there are charts, what draws them, and the numbers of each
        assert html.count("<script") == 1 + (2 + charts if charts else 0)
        assert "<img" not in html
    assert "&lt;script&gt;document.title=" in left.one("index.html").read_text("utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
def test_a_browser_runs_nothing_of_it(left: Left, tmp_path: Path) -> None:
    dom, log = browse(left.one("index.html").read_text("utf-8"), tmp_path)
    assert "<title>NO-GO: hostile" in dom
    assert complaints(log) == []


def test_a_run_that_is_judged_again_tells_as_little(left: Left) -> None:
    run = left.one("verdict.json").parent
    done = subprocess.run(
        [sys.executable, "-m", "harness", "judge", str(run)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert not UNSAFE.search(done.stdout + done.stderr)
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS.values())


def test_a_file_with_mistakes_is_told_without_obeying_it(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text('[system]\nname = "\\u001b[31m"\n[broker]\n"\\u009b31m\\u202e" = 1\n[workloads."\\u001b[2J"]\n')
    command = [sys.executable, "-m", "harness", "run", "--system", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, UNSAFE.findall(done.stderr)) == (64, [])
    assert "\\x9b31m\\u202e" in done.stderr
