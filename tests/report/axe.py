"""axe-core, which looks for what a screen reader or a keyboard cannot use; npm fetches it, once, for tests alone."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


@cache
def source() -> str | None:
    """Its script; None where npm or a network is missing. Raises AssertionError where it is not what it was."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nats-harness" / f"axe-core-{VERSION}.tgz"
    if not kept.exists() and not _fetched(kept):
        return None
    assert base64.b64encode(hashlib.sha512(kept.read_bytes()).digest()).decode() == SHA512, f"{kept}: another file"
    with tarfile.open(kept) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode("utf-8")


def _fetched(kept: Path) -> bool:
    npm = shutil.which("npm")
    if npm is None:
        return False
    with TemporaryDirectory() as folder:
        command = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", folder]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
        packed = Path(folder) / f"axe-core-{VERSION}.tgz"
        if done.returncode or not packed.exists():
            return False
        kept.parent.mkdir(parents=True, exist_ok=True)
        half = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copy(packed, half)
        half.replace(kept)
    return True
