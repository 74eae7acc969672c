"""Packets lost on the way to a port, or from it: nftables, in a table of our own for each link. Needs root.

The packets are dropped in the hook `input`, where they have left their sender: it is told nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.runtime.contract import Lost, Way

NFT = "nft"
Where = Sequence[str]
"""What a command is put behind to run in another network namespace; nothing for this one."""
WITHIN_S = 2.0
_SHARE_OF = 1000
_MATCHES: Mapping[Way, str] = {"to": "dport", "from": "sport"}


def check() -> None:
    """Raises UsageError where this machine cannot lose packets: without nft, or without the right to change tables."""
    if shutil.which(NFT) is None:
        raise UsageError(
            "packets are lost by nft, which is not here", fix="apt-get install nftables, or use another fault"
        )
    if not _may_change_tables():
        raise UsageError("losing packets needs root (CAP_NET_ADMIN)", fix="run as root, or use another fault")


async def lose(table: str, port: int, share: float, ways: Sequence[Way], where: Where = ()) -> None:
    """Drops `share` (0 to 1) of the TCP packets to, or from, a port from now on. Raises HarnessError."""
    rules = "\n".join(
        f'tcp {_MATCHES[way]} {port} counter comment "seen {way}"\n'
        f'tcp {_MATCHES[way]} {port} {_chance(share)} counter drop comment "dropped {way}"'
        for way in ways
    )
    chain = f"chain lossy {{ type filter hook input priority 0; policy accept;\n{rules}\n}}"
    await _nft(where, ["-f", "-"], f"table inet {table} {{\n{chain}\n}}\n")


async def lost(table: str, where: Where = ()) -> Lost:
    """How many packets that table has seen, and dropped, since it was made; none without it. Raises HarnessError."""
    counted = {"seen": 0, "dropped": 0}
    listed = json.loads(await _nft(where, ["-j", "list", "tables"], ""))["nftables"]
    if not any(entry.get("table", {}).get("name") == table for entry in listed):
        return Lost(0, 0)
    for entry in json.loads(await _nft(where, ["-j", "list", "table", "inet", table], ""))["nftables"]:
        rule = entry.get("rule", {})
        what = rule.get("comment", "").partition(" ")[0]
        if what in counted:
            counted[what] += sum(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
    return Lost(counted["seen"], counted["dropped"])


def remove(table: str, where: Where = ()) -> bool:
    """Removes a table, waiting for it; False where there was none. Raises HarnessError where it would not go."""
    command = [*where, NFT, "delete", "table", "inet", table]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"nft table {table}: {error}") from error
    if done.returncode == 0:
        return True
    if "No such file" in done.stderr:
        return False
    raise HarnessError(f"nft table {table}: {done.stderr.strip()}", fix=f"nft delete table inet {table}")


def _chance(share: float) -> str:
    return "" if share >= 1 else f"numgen random mod {_SHARE_OF} < {max(1, round(share * _SHARE_OF))}"


def _may_change_tables() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> 12 & 1)  # CAP_NET_ADMIN, linux/capability.h
    return os.geteuid() == 0


async def _nft(where: Where, arguments: Sequence[str], text: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *where,
        NFT,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            out, errors = await process.communicate(text.encode())
    except TimeoutError as error:
        raise HarnessError(f"nft {arguments[0]} did not end in {WITHIN_S:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise HarnessError(f"nft: {errors.decode(errors='replace').strip()}")
    return out.decode()
