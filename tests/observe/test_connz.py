from __future__ import annotations

from typing import Any

import pytest

from harness.history.clock import Anchor
from harness.observe._connz import ENDED_BY_PEER, Connz

ANCHOR = Anchor(t_ns=1_000, wall_ns=1_795_619_989_553_304_439)


def client(cid: int, **more: Any) -> dict[str, Any]:
    return {"cid": cid, "ip": "127.0.0.1", "port": 40000 + cid, "start": "2026-11-25T15:19:49.553303439Z", **more}


def connz(*clients: dict[str, Any], server: str = "NA") -> dict[str, Any]:
    return {"server_id": server, "total": len(clients), "connections": list(clients)}


def test_start_and_stop_are_news_once() -> None:
    known = Connz()
    (entry,) = known.news(connz(client(5, name="app", lang="go")), ANCHOR)
    assert (entry.cid, entry.remote, entry.start_ns, entry.stop_ns) == (5, "127.0.0.1:40005", 0, None)
    assert entry.used
    assert not entry.ours
    assert not known.heard_of(entry)
    known.told(entry)
    assert not list(known.news(connz(client(5)), ANCHOR))
    stopped = client(5, stop="2026-11-25T15:19:49.553305439Z", reason="Stale Connection")
    (entry,) = known.news(connz(stopped), ANCHOR)
    assert (entry.stop_ns, entry.reason) == (2_000, "Stale Connection")
    assert entry.reason not in ENDED_BY_PEER
    assert known.heard_of(entry)
    known.told(entry)
    assert not list(known.news(connz(stopped), ANCHOR))


def test_what_was_not_told_stays_news() -> None:
    known = Connz()
    assert list(known.news(connz(client(5)), ANCHOR))
    assert list(known.news(connz(client(5)), ANCHOR))


def test_the_next_life_of_a_broker_gives_the_same_numbers_again() -> None:
    known = Connz()
    for server in ("NA", "NB"):
        (entry,) = known.news(connz(client(5), server=server), ANCHOR)
        known.told(entry)


@pytest.mark.parametrize("more", [{"name": "nats-harness-taps"}, {"name": "nats-harness ready"}, {"ip": "127.0.0.77"}])
def test_our_own_are_known(more: dict[str, Any]) -> None:
    (entry,) = Connz().news(connz(client(1, **more)), ANCHOR)
    assert entry.ours


def test_one_that_only_knocked_was_not_used() -> None:
    (entry,) = Connz().news(connz(client(1, in_msgs=0, subscriptions=0)), ANCHOR)
    assert not entry.used
