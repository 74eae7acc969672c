"""Lost packets: counted, and gone with the fault, the run or its journal."""

from __future__ import annotations

import os
import subprocess

import pytest

from harness.errors import UsageError
from harness.runtime import _nft
from harness.runtime._hub_client import Hub
from harness.runtime._links import ProxyLink
from harness.runtime.contract import Way
from harness.runtime.journal import undo
from harness.runtime.processes import Processes

from .conftest import both
from .ears import Ears
from .world import Lines, Wire, cancelled

needs_nft = pytest.mark.skipif("not _can_lose()", reason="losing packets needs root and nft")


@needs_nft
@pytest.mark.parametrize("way", ["both", "to", "from"])
@both
async def test_lost_packets_are_counted_and_come_again(link: ProxyLink, wire: Wire, lines: Lines, way: Way) -> None:
    await link.lose(1, way)
    wire.ping()
    assert not await wire.pong(0.3)
    await link.mend()
    assert await wire.pong(10)  # TCP's back-off
    (lost,) = lines.of("link", event="lost")
    assert isinstance(lost["dropped"], int)
    assert lost["seen"] == lost["dropped"] >= 1
    assert not _tables(link)


@needs_nft
async def test_a_share_of_the_packets_is_lost(link: ProxyLink, ears: Ears, lines: Lines) -> None:
    pair = await ears.pair(link)
    await link.lose(0.1)
    for _ in range(60):
        await pair.cross()
    await link.mend()
    (lost,) = lines.of("link", event="lost")
    assert isinstance(lost["dropped"], int)
    assert isinstance(lost["seen"], int)
    assert 0 < lost["dropped"] < lost["seen"]


@needs_nft
@both
async def test_a_loss_that_was_cancelled_leaves_no_rules(link: ProxyLink) -> None:
    for delay_s in (0, 0.001, 0.003, 0.01):
        await cancelled(link.lose(1), after_s=delay_s)
        await link.mend()
        assert not _tables(link)
        fresh = await Wire.dial((link.host, link.port))
        await fresh.close()


@needs_nft
async def test_a_killed_runner_s_rules_are_undone_by_its_journal(link: ProxyLink, alone: Processes) -> None:
    await link.lose(1)
    assert len(_tables(link)) == 1
    done = undo(alone.journal.path)
    assert any(removed.startswith("nft table nats_harness_") for removed in done.removed)
    assert not done.left
    assert not _tables(link)


def test_where_packets_cannot_be_lost_it_is_told(link: ProxyLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nft, "NFT", "no-such-nft")
    with pytest.raises(UsageError, match="nftables"):
        link.can_lose()


def _can_lose() -> bool:
    try:
        _nft.check()
    except UsageError:
        return False
    return True


def _tables(link: ProxyLink) -> list[str]:
    """Ours, where the link's proxy lives."""
    where: _nft.Where = ()
    ours = f"nats_harness_{os.getpid()}_"
    if isinstance(link._proxy_host, Hub):
        where, ours = link._proxy_host._network, "nats_harness_"
    listed = subprocess.run([*where, _nft.NFT, "list", "tables"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if ours in line]
