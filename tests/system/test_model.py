from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.errors import UnknownName, UsageError
from harness.guarantees import clause_names
from harness.system import (
    Exposure,
    HttpAsync,
    JetStream,
    LinkSpec,
    Role,
    State,
    SystemFile,
    env_values,
    load_system,
    ready_systems,
    resolve_hardening,
    secrets,
)
from harness.system.model import Promises

from .orders import ORDERS

MINIMAL = """\
[system]
name = "small"
[broker]
version = "2.12.8"
[streams.S]
subjects = ["s"]
[workloads.w]
kind = "jetstream"
rate = 1
publish = { url = "{broker.url}", subject = "s" }
stream = "S"
"""

Load = Callable[..., SystemFile]


def test_limits_of_a_stream_are_those_that_the_file_names(load: Load) -> None:
    limits = 'subjects = ["s"]\nmax_msgs = 5\nmax_age = "1m"\nduplicate_window = "500ms"'
    stream = load(MINIMAL.replace('subjects = ["s"]', limits)).streams["S"]
    assert stream.limits() == {"max_msgs": 5, "max_age": 60.0, "duplicate_window": 0.5}
    assert (stream.storage, stream.discard, stream.discard_new_per_subject) == ("file", "old", False)


def test_every_key_arrives(orders: SystemFile, folder: Path) -> None:
    assert orders.system.name == "orders"
    assert orders.path == folder / "orders.toml"
    assert orders.broker.jetstream.sync_interval == "2m"
    assert orders.broker.connect is not None
    assert orders.broker.connect.password == "{env:NATS_PASSWORD}"
    assert orders.streams["ORDERS"].retention == "workqueue"
    web = orders.services["web"]
    assert (web.role, web.role is Role.ENTRY) == ("entry", True)
    assert web.command == ("{python}", "-m", "orders.web", "--port", "{port}")
    assert web.ready is not None
    assert (web.ready.http, web.health) == ("/healthz", "/readyz")
    assert web.metrics is not None
    assert (web.metrics.path, web.metrics.lost) == ("/metrics", None)
    assert web.output is not None
    assert (web.output.time, web.output.level, web.output.lost) == ("ts", "level", "disconnected")
    assert (web.stop.signal, web.stop.grace) == ("TERM", 10.0)
    assert orders.prepare[0].request.body == {"username": "u", "password": "p"}
    assert orders.prepare[0].keep == {"token": "$.access_token"}
    queries = orders.workloads["orders"]
    assert isinstance(queries, HttpAsync)
    assert (queries.rate, queries.answers_s, queries.results_s) == (30.0, 2.0, 10.0)
    assert (queries.submit.accepted, queries.submit.ref) == ((202,), "$.id")
    assert queries.poll.done == {"$.status": ("complete",)}
    assert queries.effects is not None
    assert queries.effects.next == "$.next"
    assert queries.taps[0].step == "published"
    messages = orders.workloads["messages"]
    assert isinstance(messages, JetStream)
    assert (messages.rate, messages.stream, messages.consume) == (0.5, "ORDERS", True)


def test_the_workload_as_the_file_spells_it(orders: SystemFile) -> None:
    tables = orders.workloads["orders"].model_dump(mode="json", by_alias=True, exclude_none=True)
    assert tables["submit"]["json"] == {"note": "marker:{op}"}
    assert tables["submit"]["accepted"] == [202]
    assert "ref" not in tables["effects"]


def test_defaults(load: Load) -> None:
    small = load(MINIMAL)
    assert small.promises == Promises(
        notices_s=5, reconnects_s=5, works_s=5, drains_s=15, stops_s=10, settles_s=20, effects="exactly-once", failed=0
    )
    workload = small.workloads["w"]
    assert isinstance(workload, JetStream)
    assert (workload.answers_s, workload.results_s, workload.consume) == (2.0, 10.0, False)
    assert (small.services, small.prepare, small.hardening, small.broker.nodes) == ({}, (), None, 1)
    assert (small.entry(), small.workers(), small.nodes()) == (None, [], ["broker-0"])
    assert (small.state_names(), small.state("default"), small.settles_s("default")) == (["default"], State(), 20.0)
    assert State().expect == "holds"
    assert small.exposures() == []


def test_a_service_needs_no_more_than_role_and_command(load: Load) -> None:
    service = load(MINIMAL + '[services.x]\nrole = "worker"\ncommand = ["x"]\n').services["x"]
    assert (service.replicas, service.fixed, service.ready, service.ports) == (1, False, None, {})
    assert (service.stop.signal, service.stop.grace) == ("TERM", 10.0)


def test_a_loaded_file_cannot_be_changed(orders: SystemFile) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        orders.broker.nodes = 3


def test_roles(orders: SystemFile) -> None:
    assert orders.entry() == "web"
    assert orders.workers() == ["worker"]
    assert orders.replicas("worker") == ["worker-0", "worker-1"]
    with pytest.raises(UnknownName, match="did you mean 'worker'"):
        orders.replicas("wrker")


def test_links(orders: SystemFile) -> None:
    assert orders.links() == [
        LinkSpec("worker-0", "broker-0", ""),
        LinkSpec("worker-0", "store-0", "admin"),
        LinkSpec("worker-0", "authenticate-0", "http"),
        LinkSpec("worker-1", "broker-0", ""),
        LinkSpec("worker-1", "store-0", "admin"),
        LinkSpec("worker-1", "authenticate-0", "http"),
        LinkSpec("web-0", "broker-0", ""),
        LinkSpec("web-0", "store-0", "http"),
        LinkSpec("load", "web-0", "http"),
        LinkSpec("load", "broker-0", ""),
    ]


def test_all_urls_make_a_link_to_each_replica_and_url_to_the_first(load: Load) -> None:
    text = ORDERS.replace('command = ["authenticate", "--port={port}"]', 'command = ["a"]\nreplicas = 2')
    text = text.replace('NAME = "{replica}"', 'AUTH = "{authenticate.url}"')
    links = load(text).links()
    assert [link.target for link in links if link.source == "worker-0" and link.target.startswith("auth")] == [
        "authenticate-0",
        "authenticate-1",
    ]
    assert [link.target for link in links if link.source == "web-0" and link.target.startswith("auth")] == [
        "authenticate-0"
    ]


def test_direct_places_make_no_link(load: Load) -> None:
    """Effects and prepare name the store and the authenticator; observers cross no proxy."""
    assert {link.target for link in load(ORDERS).links() if link.source == "load"} == {"web-0", "broker-0"}
    assert not any("web" in link.source and "auth" in link.target for link in load(ORDERS).links())


def test_scaled(orders: SystemFile) -> None:
    one = orders.scaled({"worker": 1})
    assert one.replicas("worker") == ["worker-0"]
    assert {link.source for link in one.links()} == {"worker-0", "web-0", "load"}
    assert (one.path, orders.replicas("worker")) == (orders.path, ["worker-0", "worker-1"])
    with pytest.raises(UnknownName):
        orders.scaled({"nobody": 1})


def test_states(orders: SystemFile) -> None:
    assert orders.state_names() == ["documented", "hardened"]
    assert orders.state("documented").expect == "exposed"
    assert (orders.settles_s("documented"), orders.settles_s("hardened")) == (3.0, 20.0)
    with pytest.raises(
        UnknownName, match=r"(?s)orders\.toml:\d+: no state is called 'hardned'.*did you mean 'hardened'"
    ):
        orders.state("hardned")


def test_exposures_know_their_lines(orders: SystemFile) -> None:
    line = ORDERS[: ORDERS.index("exposes")].count("\n") + 1
    assert orders.exposures() == [Exposure("documented", "broker_crash", "M3", "no_loss", f"orders.toml:{line}")]


def test_where(orders: SystemFile) -> None:
    assert (
        orders.where("services", "web", "ports")
        == f"orders.toml:{ORDERS[: ORDERS.index('ports = { http = 3')].count(chr(10)) + 1}"
    )


@pytest.mark.parametrize(
    ("promise", "bounds"),
    [("exactly-once", (1, 1)), ("at-least-once", (1, None)), ("at-most=3", (0, 3)), ("at-most=12", (0, 12))],
)
def test_effects_bounds(promise: str, bounds: tuple[int, int | None]) -> None:
    assert Promises(effects=promise).effects_bounds() == bounds


@pytest.mark.parametrize(
    ("grace", "grace_s"), [("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("1.5s", 1.5)]
)
def test_durations_are_seconds(load: Load, grace: str, grace_s: float) -> None:
    assert load(ORDERS.replace('grace = "10s"', f'grace = "{grace}"')).services["web"].stop.grace == grace_s


@pytest.mark.parametrize("interval", ["always", "2m", "500ms"])
def test_sync_interval_stays_the_brokers_own_word(load: Load, interval: str) -> None:
    loaded = load(ORDERS.replace('sync_interval = "2m"', f'sync_interval = "{interval}"'))
    assert loaded.broker.jetstream.sync_interval == interval


@pytest.mark.parametrize(
    ("spec", "resolved"),
    [
        ("none", "none"),
        ("all", "all"),
        ("retry", "retry"),
        ("retry,outbox", "outbox,retry"),
        (" retry , outbox ", "outbox,retry"),
        ("outbox,outbox", "outbox"),
        ("outbox,dedup,retry", "all"),
        ("all,-retry", "outbox,dedup"),
        ("all,-dedup,-outbox", "retry"),
        ("all,-outbox,-dedup,-retry", "none"),
    ],
)
def test_resolve_hardening(orders: SystemFile, spec: str, resolved: str) -> None:
    assert resolve_hardening(orders, spec) == resolved


@pytest.mark.parametrize(
    ("spec", "what", "fix"),
    [
        ("dedup", "dedup needs outbox, which is off", "switch outbox on, or dedup off too"),
        ("all,-outbox", "dedup needs outbox, which is off", "switch outbox on, or dedup off too"),
        ("outbx", "no measure is called 'outbx'", "did you mean 'outbox'?"),
        ("all,-outbx", "no measure is called 'outbx'", "did you mean 'outbox'?"),
        ("zzz", "no measure is called 'zzz'", "known: dedup, outbox, retry"),
        ("", "no measure is called ''", "known: dedup, outbox, retry"),
        ("all,retry", "'retry' behind all", "all has it already; all,-retry takes it away"),
        ("-retry", "'-retry' takes away from nothing", "write all,-retry"),
        ("none,retry", "'none' beside other words", "none stands alone, and all comes first"),
        ("retry,all", "'all' beside other words", "none stands alone, and all comes first"),
    ],
)
def test_resolve_hardening_refuses(orders: SystemFile, spec: str, what: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_hardening(orders, spec)
    assert (caught.value.what, caught.value.fix) == (f"--hardening {spec}: {what}", fix)
    assert caught.value.where == orders.where("hardening")


def test_resolve_hardening_without_measures(load: Load) -> None:
    with pytest.raises(UsageError, match="the system names no measures"):
        resolve_hardening(load(MINIMAL), "all")


def test_env_values_and_secrets(orders: SystemFile) -> None:
    environ = {"NATS_PASSWORD": "hunter2", "OTHER": "x"}
    assert orders.environment() == ["NATS_PASSWORD"]
    assert env_values(orders, environ) == {"env:NATS_PASSWORD": "hunter2"}
    assert secrets(orders, environ) == {"hunter2"}
    # An empty secret would redact between every two letters.
    assert secrets(orders, {"NATS_PASSWORD": ""}) == set()
    assert secrets(orders, {}) == set()


def test_secrets_that_are_written_out(load: Load) -> None:
    text = """
        [system]
        name = "written"
        [broker]
        version = "2.12.8"
        connect = { user = "app", password = "hunter22" }
        [workloads.jobs]
        kind = "http"
        rate = 1
        answers_s = 1
        [workloads.jobs.submit]
        url = "http://127.0.0.1:1/"
        accepted = [202]
        [workloads.jobs.submit.headers]
        Authorization = "Basic dXNlcg=="
        X-Api-Key = "k3y-k3y"
        X-Token = "short"
        X-Auth-Key = "written"
        Accept = "application/json"
        Cookie = "{env:COOKIE}"
        [services.web]
        command = ["w", "--token", "by-option", "--db-password=by-equals", "--secret", "{env:S}", "--tokens", "mode-6"]
        role = "entry"
        ready = { log = "up" }
        [services.web.env]
        API_TOKEN = "t0k3n-t0k3n"
        DB_PASSWORD = "{env:DB_PASSWORD}"
        TOKEN_MODE = "strict-mode"
    """
    by_name = {"hunter22", "k3y-k3y", "dXNlcg==", "t0k3n-t0k3n"}
    assert secrets(load(text), {}) == {*by_name, "by-option", "by-equals"}


def test_env_values_names_what_is_not_set(orders: SystemFile) -> None:
    with pytest.raises(UsageError, match=r"not set in the environment: NATS_PASSWORD\n  fix: export NATS_PASSWORD="):
        env_values(orders, {})


def test_ready_systems() -> None:
    assert ready_systems() == ["bare", "telhawk"]


def test_telhawk() -> None:
    telhawk = load_system("telhawk")
    assert (telhawk.entry(), telhawk.workers(), telhawk.nodes()) == ("web", ["search"], ["broker-0"])
    assert telhawk.links() == [
        LinkSpec("search-0", "broker-0", ""),
        LinkSpec("search-0", "eventstore-0", "http"),
        LinkSpec("search-1", "broker-0", ""),
        LinkSpec("search-1", "eventstore-0", "http"),
        LinkSpec("web-0", "broker-0", ""),
        LinkSpec("web-0", "authenticate-0", "http"),
        LinkSpec("web-0", "search-0", "http"),
        LinkSpec("load", "web-0", "http"),
    ]
    assert telhawk.environment() == []
    assert telhawk.state("documented").exposes["worker_killed"] == {"C5": "no_loss", "M4": "no_loss"}
    assert telhawk.settles_s("documented") == 3.0
    all_but_one = resolve_hardening(telhawk, "all,-monitor").split(",")
    assert telhawk.hardening is not None
    assert all_but_one == [switch for switch in telhawk.hardening.switches if switch != "monitor"]


def test_bare() -> None:
    bare = load_system("bare")
    assert (bare.entry(), bare.services, bare.state_names()) == (None, {}, ["default"])
    assert bare.links() == [LinkSpec("load", "broker-0", "")]
    workload = bare.workloads["messages"]
    assert isinstance(workload, JetStream)
    assert (workload.rate, workload.publish.subject, workload.consume) == (50.0, "bare.work", False)


@pytest.mark.parametrize("name", ["telhawk", "bare"])
def test_ready_systems_name_clauses_that_are_spelled_like_clauses(name: str) -> None:
    load_system(name, clauses=clause_names(), check_env=True, environ={})


def test_a_ready_name_wins_over_a_folder_of_that_name(folder: Path) -> None:
    (folder / "bare").mkdir()
    assert load_system("bare").system.name == "bare"
    assert os.fspath(load_system("bare").path.parent) != os.fspath(folder)


def test_a_small_system_has_the_small_ones_variables_and_their_links(load: Callable[..., SystemFile]) -> None:
    text = ORDERS.replace(
        'stop = { signal = "TERM"', 'small = { NAME = "{authenticate.url}" }\nstop = { signal = "TERM"', 1
    )
    whole = load(text)
    small = whole.small()
    assert (whole.services["web"].env["NAME"], small.services["web"].env["NAME"]) == ("{replica}", "{authenticate.url}")
    assert small.services["web"].env["NATS_URL"] == "{broker.url}"
    assert small.path == whole.path
    assert {("web-0", "authenticate-0")} <= {(link.source, link.target) for link in small.links()}
    assert ("web-0", "authenticate-0") not in {(link.source, link.target) for link in whole.links()}
