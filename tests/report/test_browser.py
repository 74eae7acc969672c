"""The page in a real browser: the policy lets its style through, and nothing runs out of the window."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.report import page

from . import verdicts
from .verdicts import JSON

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
MEASURE = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")


def browse(html: str, folder: Path, *, width: int = 1280) -> tuple[str, str]:
    """The page as the browser has it in the end, and what it wrote to its log."""
    file = folder / "index.html"
    file.write_text(html, encoding="utf-8")
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},900",
        "--dump-dom",
        file.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def complaints(log: str) -> list[str]:
    return [line for line in log.splitlines() if "Content Security Policy" in line]


def test_the_policy_lets_the_style_through_and_nothing_else(tmp_path: Path) -> None:
    html = page.render(verdicts.hostile())
    _, log = browse(html.replace("</body>", "<style>p { color: red }</style></body>"), tmp_path)
    assert len(complaints(log)) == 1
    assert "style" in complaints(log)[0]


def test_the_policy_keeps_other_scripts_out(tmp_path: Path) -> None:
    dom, log = browse(page.render(verdicts.red()).replace("</body>", MEASURE), tmp_path)
    assert "<title>NO-GO: telhawk" in dom
    assert len(complaints(log)) == 1
    assert "script" in complaints(log)[0]


@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("make", [verdicts.hostile, verdicts.large], ids=["hostile", "large"])
def test_nothing_runs_out_of_the_window(make: Callable[[], JSON], width: int, tmp_path: Path) -> None:
    measured = POLICY.sub("", page.render(make())).replace("</body>", MEASURE)
    dom, _ = browse(measured, tmp_path, width=width)
    found = re.search(r"<title>(\d+) of (\d+)</title>", dom)
    assert found is not None
    assert int(found[1]) <= int(found[2])
