"""The proxy's log, line by line as toxiproxy 2.12.0 wrote it, in each order in which it was seen to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from harness.observe._proxy_log import SETTLE_NS, Event, ProxyLog

CLIENT, PORT = "127.0.0.1:47602", 28475
ACCEPTED = {"message": "Accepted client", "client": CLIENT}
SETUP = {"message": "Setup connection", "direction": "upstream"}
STARTED = {"message": "Starting Toxiproxy"}
CLEANED = {"message": "Cleanup closed toxic and removed toxic"}


def failed(socket: str, reason: str, message: str = "Source terminated", verb: str = "read") -> dict[str, str]:
    socket = {"client": f"127.0.0.1:28475->{CLIENT}", "upstream": "127.0.0.1:34374->127.0.0.1:28476"}[socket]
    outer = {"read": "writeto", "write": "readfrom"}[verb]
    return {"message": message, "error": f"{outer} tcp {socket}: {verb} tcp {socket}: {reason}"}


def removed(direction: str, client: str = CLIENT) -> dict[str, str]:
    return {"message": f"Remove link {client}{direction} from ToxicCollection", "link": f"{client}{direction}"}


OURS = "use of closed network connection"
RESET = "read: connection reset by peer"
CLOSES = {
    "client FIN": ("client", [failed("upstream", OURS)]),
    "client RST": ("client", [failed("client", RESET), failed("upstream", OURS)]),
    "upstream FIN": ("upstream", [failed("client", OURS)]),
    "upstream RST": ("upstream", [failed("upstream", RESET), failed("client", OURS)]),
    "disabled": ("proxy", [failed("upstream", OURS), failed("client", OURS)]),
    "disabled, the other way about": ("proxy", [failed("client", OURS), failed("upstream", OURS)]),
    "upstream gone while writing": (
        "upstream",
        [failed("upstream", "write: broken pipe", "Could not write to destination", "write"), failed("client", OURS)],
    ),
}


def orders(warnings: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    """The removals come in either order, and each after the warning of its own direction's source."""
    after = {removed("upstream")["link"]: "28475->", removed("downstream")["link"]: "->127.0.0.1:28476"}
    for order in permutations([*warnings, removed("upstream"), removed("downstream")]):
        kept = [line for line in order if "error" in line]
        if kept == warnings and all(
            source not in later.get("error", "")
            for at, line in enumerate(order)
            if (source := after.get(line.get("link", "")))
            for later in order[at:]
        ):
            yield list(order)


@pytest.mark.parametrize("bound", [True, False], ids=["port known", "port unknown"])
@pytest.mark.parametrize("case", CLOSES)
def test_tells_who_closed(case: str, bound: bool) -> None:
    by, warnings = CLOSES[case]
    assert list(orders(warnings))
    for order in orders(warnings):
        log = ProxyLog(PORT)
        assert log.feed(1, ACCEPTED) == [Event("opened", CLIENT, 1)]
        log.feed(2, SETUP)
        if bound:
            log.open[CLIENT].upstream_port = 34374
        events = [event for at, line in enumerate(order, start=1000) for event in log.feed(at, line)]
        assert [(event.event, event.client, event.by) for event in events] == [("closed", CLIENT, by)], order
        assert events[0].t_ns == 1000, "its time is that of the first sign"
        assert not log.open
        assert not log.undecided


def test_without_a_warning_the_direction_that_ended_first_tells() -> None:
    log = ProxyLog(PORT)
    log.feed(1, ACCEPTED)
    assert log.feed(2, removed("downstream")) == []
    assert log.settle(3) == []
    assert log.undecided
    assert log.settle(2 + SETTLE_NS) == [Event("closed", CLIENT, 2, "upstream")]


def test_a_reset_is_told_though_a_gate_holds_the_rest() -> None:
    log = ProxyLog(PORT)
    log.feed(1, ACCEPTED)
    assert log.feed(5, failed("client", RESET)) == [Event("closed", CLIENT, 5, "client", "reset")]
    assert log.feed(900, removed("upstream")) == []


def test_the_removal_of_a_timeout_toxic_is_the_proxys_doing_even_half_told() -> None:
    log = ProxyLog(PORT)
    log.feed(1, ACCEPTED)
    log.feed(10, CLEANED)
    log.feed(11, removed("upstream"))
    assert log.feed(12, removed("downstream")) == [Event("closed", CLIENT, 11, "proxy")]


def test_an_upstream_that_cannot_be_reached() -> None:
    log = ProxyLog(PORT)
    log.feed(1, ACCEPTED)
    line = {"message": "Unable to open connection to upstream", "client": CLIENT, "error": "dial tcp: refused"}
    assert log.feed(2, line) == [Event("closed", CLIENT, 2, "upstream", "unreachable")]


def test_a_new_process_ends_what_the_one_before_had_open() -> None:
    log = ProxyLog(PORT)
    assert log.feed(1, STARTED) == []
    log.feed(2, ACCEPTED)
    assert log.feed(3, STARTED) == [Event("closed", CLIENT, 3, "proxy", "replaced")]


def test_dials_in_the_order_of_accepting() -> None:
    log = ProxyLog(PORT)
    second = "127.0.0.1:47604"
    log.feed(1, ACCEPTED)
    log.feed(2, {**ACCEPTED, "client": second})
    log.feed(3, SETUP)
    log.feed(4, {**SETUP, "direction": "downstream"})
    assert [found.dialled for found in log.open.values()] == [True, False]
    log.feed(5, SETUP)
    assert [found.dialled for found in log.open.values()] == [True, True]


def test_two_at_once_are_told_apart() -> None:
    other = "127.0.0.1:47604"
    log = ProxyLog(PORT)
    for client, port in ((CLIENT, 34374), (other, 34376)):
        log.feed(1, {**ACCEPTED, "client": client})
        log.open[client].upstream_port = port
    assert log.feed(2, failed("client", OURS)) == []
    log.feed(3, removed("downstream"))
    closed = log.feed(4, removed("upstream"))
    assert closed == [Event("closed", CLIENT, 2, "upstream", None, 34374)]
    assert list(log.open) == [other]


def test_many_that_close_at_once_with_ports_unknown() -> None:
    """Each warning comes before its own direction's removal; beyond that their lines are mixed."""
    clients = [f"127.0.0.1:{47600 + n}" for n in range(3)]
    for order in permutations(range(3)):
        log = ProxyLog(PORT)
        for client in clients:
            log.feed(1, {**ACCEPTED, "client": client})
        lines = [removed("upstream", clients[order[0]])]
        for n in order:
            socket = f"127.0.0.1:{34370 + n}->127.0.0.1:28476"
            lines.append({"message": "Source terminated", "error": f"writeto tcp {socket}: read tcp {socket}: {OURS}"})
        lines += [removed("downstream", clients[n]) for n in reversed(order)]
        lines += [removed("upstream", clients[n]) for n in order[1:]]
        events = [event for at, line in enumerate(lines, start=10) for event in log.feed(at, line)]
        assert {(event.client, event.by) for event in events} == {(client, "client") for client in clients}


def test_a_warning_from_before_a_connection_was_accepted_is_not_its_own() -> None:
    """Else it would be told to have closed before it was opened, and be open for ever in the eyes of the reader."""
    log = ProxyLog(PORT)
    log.feed(1, failed("upstream", OURS))
    log.feed(5, ACCEPTED)
    log.feed(9, removed("upstream"))
    assert log.feed(10, removed("downstream")) == [Event("closed", CLIENT, 9, "client")]


def test_lines_that_tell_nothing() -> None:
    log = ProxyLog(PORT)
    for line in (
        {},
        {"message": "Terminated proxy"},
        {"message": "Source terminated", "error": "?"},
        removed("upstream"),
    ):
        assert log.feed(1, line) == []
