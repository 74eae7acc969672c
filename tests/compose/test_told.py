"""What a compose file means, and a system file cannot hold or cannot know, is told: nothing is lost in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.starting._compose import read
from harness.starting._system_file import Made, made_from
from harness.starting.init import SYSTEM_FILE
from harness.system.loader import load_system
from harness.system.model import SystemFile

NATS = "nats: {image: nats:2.12.8, command: -js}"
BLIND = "nothing tells when it is ready: it counts as ready as soon as it runs"
URL = "environment: {NATS_URL: 'nats://nats:4222'}"


def made(folder: Path, *services: str) -> tuple[SystemFile, Made]:
    (folder / "compose.yml").write_text("services:\n" + "".join(f"  {one}\n" for one in (NATS, *services)))
    result = made_from(read(folder / "compose.yml"), folder)
    (folder / SYSTEM_FILE).write_text(result.text)
    return load_system(folder / SYSTEM_FILE), result


def told(result: Made, whom: str) -> str:
    """What is left open about it; each is in the file too."""
    flat = " ".join(line.removeprefix("# ").removeprefix("TODO: ") for line in result.text.splitlines())
    found = [what for name, what in result.open if name == whom]
    assert all(what in flat for what in found)
    return "\n".join(found)


def test_a_restart_policy_is_said_once(tmp_path: Path) -> None:
    _, result = made(
        tmp_path,
        f"a: {{image: a, restart: on-failure, {URL}}}",
        f"b: {{image: b, deploy: {{restart_policy: {{condition: any}}}}, {URL}}}",
        f"c: {{image: c, restart: 'no', {URL}}}",
        f"d: {{image: d, restart: always, deploy: {{restart_policy: {{condition: none}}}}, {URL}}}",
    )
    assert "a service that ends by itself stays down" in told(result, "a, b")
    assert result.text.count("reconnects will be violated") == 1


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("NATS_HOST", "NATS_PORT"),
        ("NATS__Host", "NATS__Port"),
        ("BROKER_ADDR", "BROKER_PORT_NUMBER"),
        ("natsHost", "natsPort"),
    ],
)
def test_a_host_and_its_port(host: str, port: str, tmp_path: Path) -> None:
    system, result = made(tmp_path, f"a: {{image: a, environment: {{{host}: nats, {port}: '4222'}}}}")
    assert system.services["a"].env == {host: "{broker.host}", port: "{broker.port}"}
    assert told(result, "a") == BLIND


@pytest.mark.parametrize("host", ["NATS_HOST", "NATS_SERVER"])
def test_a_host_without_its_port(host: str, tmp_path: Path) -> None:
    _, result = made(tmp_path, f"a: {{image: a, environment: {{{host}: nats}}}}")
    assert f"{host} names nats without a port: a client dials its default port" in told(result, "a")
    assert f"write {host} = {{broker.host}}:{{broker.port}}" in told(result, "a")


def test_a_host_with_the_port_of_something_else(tmp_path: Path) -> None:
    system, result = made(tmp_path, "a: {image: a, environment: {NATS_HOST: nats, NATS_PORT: 8222}}")
    assert system.services["a"].env == {"NATS_HOST": "nats", "NATS_PORT": "8222"}
    assert "another address of the broker (port 8222)" in told(result, "a")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("nats://nats2:4222", "nats://nats2:4222"),
        ("nats://nats:4222,nats://nats2:4222", "nats://nats2:4222"),
        ("nats://nats:4222,nats2:4222", "nats://nats2:4222"),
        ("tls://u:{{p@host.docker.internal", "tls://host.docker.internal"),
        ("nats://${HOST}:4222", "nats://{env:HOST}:4222"),
        ("nats://[::1]:4222", "nats://[::1]:4222"),
        ("${NATS_URL}", "NATS_URL = {env:NATS_URL}"),
    ],
)
def test_an_address_of_no_service(given: str, address: str, tmp_path: Path) -> None:
    system, result = made(tmp_path, f"a: {{image: a, environment: {{NATS_URL: '{given}'}}}}")
    assert system.services["a"].role == "worker"
    assert address in told(result, "a")
    assert "write {broker.url}" in told(result, "a")


def test_a_variable_without_a_value(tmp_path: Path) -> None:
    system, result = made(tmp_path, "a: {image: a, environment: [NATS_URL]}", f"b: {{image: b, {URL}}}")
    assert system.services["a"].role == "worker"
    assert told(result, "a").count("NATS_URL") == 2
    _, result = made(tmp_path, "a: {image: a, environment: ['NATS=nats://nats', 'DB_URL=$DB_URL', 'LEVEL=$LEVEL']}")
    assert "DB_URL = {env:DB_URL} comes from the shell" in told(result, "a")
    assert "LEVEL" not in told(result, "a")


def test_an_alias_of_links(tmp_path: Path) -> None:
    system, result = made(tmp_path, "a: {image: a, links: ['nats:mq'], environment: {NATS_URL: 'nats://mq:4222'}}")
    assert system.services["a"].env == {"NATS_URL": "{broker.url}"}
    assert told(result, "a") == BLIND


def test_a_bare_name_of_the_broker(tmp_path: Path) -> None:
    _, result = made(tmp_path, "a: {image: a, environment: {MQ: nats}}", f"b: {{image: b, {URL}}}")
    assert "'nats' in what it is given may be the broker's address" in told(result, "a")
    assert "does not talk to the broker" not in result.text


@pytest.mark.parametrize(
    "wait", ["until nc -z nats 4222", "until echo > /dev/tcp/nats/4222", "until getent hosts nats"]
)
def test_a_loop_that_waits(wait: str, tmp_path: Path) -> None:
    command = f"{wait}; do sleep 1; done; exec a --nats nats://nats:4222"
    _, result = made(tmp_path, f"a: {{image: a, command: [sh, -c, '{command}']}}")
    assert "'nats' may be an address in what it is given" in told(result, "a")


def test_volumes_that_nothing_names(tmp_path: Path) -> None:
    _, result = made(
        tmp_path,
        "a: {image: a, environment: {NATS_URL: 'nats://nats', DIR: /a}, volumes: ['a:/a'], depends_on: [db]}",
        "db: {image: postgres, volumes: ['pg:/var/lib/postgresql/data', {type: tmpfs, target: /t}]}",
    )
    assert "does not outlive a kill" in told(result, "db (/var/lib/postgresql/data)")
    assert result.text.count("does not outlive a kill") == 1


def test_a_configuration_that_asks_for_variables(tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_text('N: 1\na: $N # $NO\nb: "$NO"\nauthorization {user: $NATS_USER}\n')
    (tmp_path / "compose.yml").write_text(
        "services:\n"
        "  bus:\n"
        "    image: nats:2.12.8\n"
        "    command: -c /etc/nats.conf\n"
        "    environment: {NATS_USER: a}\n"
        "    volumes: ['./nats.conf:/etc/nats.conf']\n"
    )
    result = made_from(read(tmp_path / "compose.yml"), tmp_path)
    assert "./nats.conf asks for NATS_USER, which compose hands to it" in told(result, "broker")
    assert "compose.yml:5" in told(result, "broker")
    assert "\ninclude =" not in result.text


def test_jobs_that_end(tmp_path: Path) -> None:
    _, result = made(
        tmp_path,
        f"a: {{image: a, {URL}, depends_on: {{schema: {{condition: service_completed_successfully}}}}}}",
        "schema: {image: schema}",
        f"nats-setup: {{image: a, {URL}}}",
        "streams: {image: natsio/nats-box, command: nats stream add ORDERS}",
        "shell: {image: natsio/nats-box}",
    )
    assert "what it makes (a schema, a stream) will be missing" in told(result, "schema, nats-setup, streams")
    assert [name for name, what in result.guessed if what.startswith("left out")] == ["shell"]


def test_what_has_no_place(tmp_path: Path) -> None:
    system, result = made(
        tmp_path,
        f"a: {{image: a, {URL}, deploy: {{resources: {{limits: {{memory: 1g}}}}}}, ports: ['53:53/udp']}}",
        f"b: {{image: b, {URL}, healthcheck: {{test: x, start_period: 1m30s}}, stop_signal: SIGRTMIN+3}}",
        f"c: {{image: c, {URL}, healthcheck: {{test: x, start_period: 30s}}, stop_signal: 2, stop_grace_period: 9ms}}",
    )
    assert "nothing here is like deploy.resources.limits, UDP ports of the compose file" in told(result, "a")
    assert "start_period is 90 s, and the harness waits 30 s" in told(result, "b")
    assert "stop_signal RTMIN+3 is none that the harness sends" in told(result, "b")
    assert told(result, "c") == ""
    assert (system.services["c"].stop.signal, system.services["c"].stop.grace) == ("INT", 0.009)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("environment: {BUS: 'nats://app:s3cret@nats'}", "BUS is written out"),
        ("environment: {BUS: 'nats://s3cret@nats'}", "BUS is written out"),
        ("environment: {BUS: 'nats://nats', CACHE: 'redis://:pw@cache'}", "CACHE is written out"),
        ("environment: {BUS: 'nats://nats', CACHE: 'redis://:${REDIS_PASS:-dev}@cache'}", "the default of REDIS_PASS"),
        ("command: a --nats nats://app:s3cret@nats", "a password in a URL is written out"),
    ],
)
def test_secrets_that_are_written_out(given: str, word: str, tmp_path: Path) -> None:
    _, result = made(tmp_path, f"a: {{image: a, {given}}}")
    assert word in told(result, "a")
    assert "would keep it out of reports" in told(result, "a")


@pytest.mark.parametrize("url", ["nats://nats:4222", "nats://${BUS_USER}:${BUS_PASS}@nats", "redis://u:${PASS}@cache"])
def test_no_secret(url: str, tmp_path: Path) -> None:
    _, result = made(tmp_path, f"a: {{image: a, environment: {{BUS: 'nats://nats', OTHER: '{url}'}}}}")
    assert "written out" not in told(result, "a")


def test_what_nothing_tells_is_said_once(tmp_path: Path) -> None:
    _, result = made(tmp_path, *(f"{name}: {{image: a, {URL}}}" for name in "abc"))
    assert "nothing tells when it is ready" in told(result, "a, b, c")
    assert result.text.count("nothing tells") == 1
