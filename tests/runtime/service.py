"""A service for tests: answers GET, tells its environment and arguments, and ends as it is asked to.

python service.py PORT [CONFIG]    BEHAVE: die, deaf (never listens), sick (503), stubborn (ignores SIGTERM), fork
STARTS: a file that gets an x at each start
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

BEHAVE = os.environ.get("BEHAVE", "")
HOST = "0.0.0.0" if os.environ.get("PYTHONPATH") == "/opt/packages" else "127.0.0.1"  # in a container of ours


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/end":
            os._exit(4)
        config = Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else ""
        starts = Path(os.environ["STARTS"]).read_text().count("x") if "STARTS" in os.environ else 0
        about = {"env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(), "config": config, "starts": starts}
        body = json.dumps(about).encode()
        self.send_response(503 if BEHAVE == "sick" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


class Server(http.server.HTTPServer):
    allow_reuse_address = True


def main() -> None:
    print("hello", os.getpid(), flush=True)
    if "STARTS" in os.environ:
        with open(os.environ["STARTS"], "a") as starts:
            starts.write("x")
    if BEHAVE == "die":
        print("no such luck", file=sys.stderr, flush=True)
        sys.exit(7)
    if BEHAVE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    if BEHAVE == "fork":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], process_group=0)
        print("forked", child.pid, flush=True)
    if BEHAVE == "deaf":
        signal.pause()
    Server((HOST, int(sys.argv[1])), Handler).serve_forever()


main()
