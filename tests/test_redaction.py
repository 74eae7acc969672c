"""What is secret is in no file of a run: values of {env:...}, and what `prepare` kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PASSWORD = 'p4ss "w\\rd/é'
SYSTEM = """
[system]
name = "secretive"
[broker]
version = "2.12.8"
include = "their.conf"
connect = { user = "app", password = "{env:NATS_PASSWORD}" }
[streams.WORK]
subjects = ["work.>"]
[services.talker]
role = "dependency"
command = ["{python}", "talker.py", "{port}"]
ports = { http = 8080 }
env = { SECRET = "{env:NATS_PASSWORD}" }
ready = "/"
[[prepare]]
request = { url = "{talker.url}/token" }
keep = { token = "$.token" }
[workloads.work]
kind = "jetstream"
rate = 20
publish = { url = "{broker.url}", subject = "work.one" }
stream = "WORK"
"""
CONF = """
authorization { users = [ { user: app, password: $NATS_HARNESS_TEST_SECRET } ] }
"""
TALKER = """
import http.server, json, os, sys
TOKEN = "t0ken-never-to-be-seen"
print("my secret is", os.environ["SECRET"], "and my token", TOKEN, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", self.path, "token", TOKEN, flush=True)
        body = json.dumps({"token": TOKEN}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_no_secret_in_any_file(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text(SYSTEM)
    quoted = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "their.conf").write_text(CONF.replace("$NATS_HARNESS_TEST_SECRET", f'"{quoted}"'))
    (tmp_path / "talker.py").write_text(TALKER)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "--system", str(tmp_path / "ours.toml"), "-k", "calm", "-j", "1"],
        cwd=work,
        env={**os.environ, "NATS_PASSWORD": PASSWORD, "NATS_HARNESS_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = "".join(path.read_text() for path in work.glob("reports/*-*/scenarios/*/logs/talker-0.log"))
    assert "my secret is [redacted]" in said
    for secret in (PASSWORD, quoted, "t0ken-never-to-be-seen"):
        for path in work.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path
        assert secret not in done.stdout + done.stderr
