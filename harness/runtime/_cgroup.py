"""Whether a container is frozen, as the kernel tells on this machine: its freezer, in either version of cgroups."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MOUNTED = Path("/sys/fs/cgroup")


class Freezer(NamedTuple):
    """The file that tells the state of one cgroup, and what it says when everything in it is frozen."""

    path: Path
    says: str

    def frozen(self) -> bool | None:
        """Whether all of it is frozen; None where that cannot be read (any more)."""
        try:
            return self.says in self.path.read_text().splitlines()
        except OSError:
            return None


def freezer(pid: int) -> Freezer | None:
    """The freezer of a process; None where it cannot be found."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    groups = {controllers: path.lstrip("/") for _, controllers, path in (line.split(":", 2) for line in lines)}
    found = []
    if "freezer" in groups:
        found.append(Freezer(MOUNTED / "freezer" / groups["freezer"] / "freezer.state", "FROZEN"))
    if "" in groups:
        found.append(Freezer(MOUNTED / groups[""] / "cgroup.events", "frozen 1"))
    return next((one for one in found if one.path.is_file()), None)
