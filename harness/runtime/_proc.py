"""What /proc says of a process: who it is, whose session it is in, whether it runs. Linux only.

A pid alone proves nothing, since it is given out again; a pid with its start time names one process until the next
boot (proc(5), field 22). A pid is not given out again while a session of that number still has members (the kernel
frees the number with its last use), which is what makes the members of a dead leader's session provable.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

DEAD_STATES = frozenset("ZXx")
STOPPED = "T"


class Identity(NamedTuple):
    """One process of this boot: its pid and its start, in clock ticks after boot."""

    pid: int
    start: int


class Stat(NamedTuple):
    """One line of /proc/<pid>/stat, as far as it is needed."""

    identity: Identity
    state: str
    session: int


def stat(pid: int) -> Stat | None:
    """What /proc says of `pid`; None where there is no such process. A zombie is still there, in state Z."""
    return _read_stat(f"/proc/{pid}/stat", pid)


def identity(pid: int) -> Identity | None:
    """Pid and start time of a process that is there (a zombie counts), or None."""
    found = stat(pid)
    return found.identity if found else None


def alive(process: Identity) -> bool:
    """Whether this very process still runs or is stopped; a zombie is dead."""
    found = stat(process.pid)
    return found is not None and found.identity == process and found.state not in DEAD_STATES


def task_states(pid: int) -> str:
    """The states of all tasks of a process, each once, sorted ("T": all stopped); empty when it is gone."""
    states = set()
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return ""
    for task in tasks:
        found = _read_stat(f"/proc/{pid}/task/{task}/stat", pid)
        if found:
            states.add(found.state)
    return "".join(sorted(states))


def children(pid: int) -> list[int]:
    """The processes that the main task of a process started and that are still there (proc(5))."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def inner_pid(pid: int) -> int:
    """The number of a process in its own, innermost namespace; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), 0)


def runs(pid: int) -> bool:
    """Whether a task of the process is neither stopped nor dead."""
    return not DEAD_STATES.issuperset(task_states(pid).replace(STOPPED, ""))


def members(leaders: Collection[Identity]) -> list[Stat]:
    """Every living process that is provably of the sessions that `leaders` lead or led, the leaders included.

    A process is one when its session is the leader's pid, it did not start before the leader, and the leader's pid is
    not held by another process by now.
    """
    wanted = {}
    for leader in leaders:
        holder = identity(leader.pid)
        if holder is None or holder == leader:
            wanted[leader.pid] = leader.start
    return [
        found
        for found in _all()
        if found.session in wanted and found.identity.start >= wanted[found.session] and found.state not in DEAD_STATES
    ]


def signal_one(process: Identity, number: int) -> int | None:
    """Sends a signal to this very process; its pidfd (the caller closes it), or None when it is gone."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # The pidfd is opened first: what holds the pid now is what the signal goes to.
    if identity(process.pid) != process:
        os.close(pidfd)
        return None
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        os.close(pidfd)
        return None
    return pidfd


def send(process: Identity, number: int) -> None:
    """Sends a signal to this very process; nothing where it is gone."""
    pidfd = signal_one(process, number)
    if pidfd is not None:
        os.close(pidfd)


def end_sessions(leaders: Collection[Identity], *, within_s: float) -> tuple[list[Stat], list[Stat]]:
    """SIGKILL to all members of these sessions, until none is left; who was ended, and who would not die in time.

    It looks again after each round, since a member may have forked while the others died.
    """
    deadline = time.monotonic() + within_s
    ended: dict[Identity, Stat] = {}
    while found := members(leaders):
        if time.monotonic() >= deadline:
            return [stat for stat in ended.values() if stat not in found], found
        pidfds = []
        for member in found:
            ended[member.identity] = member
            pidfd = signal_one(member.identity, signal.SIGKILL)
            if pidfd is not None:
                pidfds.append(pidfd)
        try:
            _wait_dead(pidfds, deadline)
        finally:
            for pidfd in pidfds:
                os.close(pidfd)
    return list(ended.values()), []


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> int:
    """The number of the namespace in which our pids mean something."""
    return os.stat("/proc/self/ns/pid").st_ino


def _wait_dead(pidfds: Collection[int], deadline: float) -> None:
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    waiting = set(pidfds)
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        for pidfd, _ in poll.poll(left_s * 1000):
            poll.unregister(pidfd)
            waiting.discard(pidfd)


def _all() -> Iterator[Stat]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            found = _read_stat(f"/proc/{name}/stat", int(name))
            if found:
                yield found


def _read_stat(path: str, pid: int) -> Stat | None:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in brackets, which may itself hold blanks and brackets.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(Identity(pid, int(fields[19])), fields[0].decode(), int(fields[3]))
