"""Chromium by its own debugging protocol, over a pipe: what a page shows, measures, logs and does with keys."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One tab of a browser."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._n, self._left = send, receive, 0, b""
        self.log: list[str] = []
        """What the page wrote to its console, refusals of its policy included."""
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """Asks the browser, and waits for its answer."""
        self._n += 1
        asked = {"id": self._n, "method": method, "params": params}
        asked |= {"sessionId": self._session} if self._session else {}
        os.write(self._send, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._n:
                assert "error" not in told, told["error"]
                found: dict[str, Any] = told["result"]
                return found
            self._note(told)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            part = os.read(self._receive, 1 << 20)
            assert part, "the browser is gone"
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told

    def _note(self, told: dict[str, Any]) -> None:
        self._events.append(told)
        params = told.get("params", {})
        if told.get("method") == "Log.entryAdded":
            self.log.append(str(params["entry"]["text"]))
        if told.get("method") == "Runtime.exceptionThrown":
            self.log.append(str(params["exceptionDetails"]))

    def show(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True) -> None:
        """Goes to a page, and waits until it is loaded."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media="", features=[scheme])
        self("Emulation.setScriptExecutionDisabled", value=not script)
        self._events.clear()
        self("Page.navigate", url=url)
        while not any(one.get("method") == "Page.loadEventFired" for one in self._events):
            self._note(self._next())

    def run(self, expression: str) -> Any:
        """What an expression comes to in the page; a promise is waited for."""
        found = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def key(self, name: str) -> None:
        """Presses a key, a letter by itself or by its name."""
        text = name if len(name) == 1 else {"Enter": "\r"}.get(name, "")
        code = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}.get(name, 0)
        self("Input.dispatchKeyEvent", type="keyDown", key=name, text=text, windowsVirtualKeyCode=code)
        self("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)

    def picture(self, path: Path) -> None:
        """Writes what is to be seen in the window."""
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`; it ends with the block."""
    to_browser, send = os.pipe()
    receive, from_browser = os.pipe()
    # The browser has the pipe at 3 and 4; a shell puts it there.
    command = f'exec "$0" "$@" 3</dev/fd/{to_browser} 4>/dev/fd/{from_browser}'
    process = subprocess.Popen(
        ["sh", "-c", command, str(CHROMIUM), *QUIET, "--remote-debugging-pipe", f"--user-data-dir={folder / 'tab'}"],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(send, receive)
    finally:
        os.close(send)
        os.close(receive)
        process.terminate()
        process.wait(10)
