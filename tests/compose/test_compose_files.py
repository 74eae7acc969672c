"""A team's compose file, in whatever style, as a system file: images, links, roles, and what could not be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.starting._compose import read
from harness.starting._system_file import Made, made_from
from harness.starting.init import SYSTEM_FILE
from harness.system.loader import load_system
from harness.system.model import SystemFile

ROOT = Path(__file__).parents[2]
FILES = Path(__file__).parent / "files"


def made(path: Path, folder: Path) -> tuple[SystemFile, Made]:
    result = made_from(read(path), folder)
    (folder / SYSTEM_FILE).write_text(result.text)
    return load_system(folder / SYSTEM_FILE), result


def links(system: SystemFile) -> set[tuple[str, str, str]]:
    return {(link.source, link.target, link.target_port) for link in system.links()}


def test_the_projects_own(tmp_path: Path) -> None:
    """It comes out as the system file that was written by hand, but for the work."""
    system, result = made(ROOT / "docker-compose.yml", tmp_path)
    ours = load_system("telhawk")
    assert {name: service.role for name, service in system.services.items()} == {
        name: service.role for name, service in ours.services.items()
    }
    load = [link for link in links(ours) if link[0] == "load"]
    assert links(system) == {*links(ours), ("load", "broker-0", "")} - set(load)
    for name, service in system.services.items():
        assert service.image == "telhawk-services:latest"
        assert service.replicas == ours.services[name].replicas
        assert service.ready == ours.services[name].ready
        assert list(service.ports.values()) == list(ours.services[name].ports.values())
        shared = service.env.keys() & ours.services[name].env.keys()
        assert {key: service.env[key] for key in shared} == {key: ours.services[name].env[key] for key in shared}
    assert result.guessed[-1] == ("toxiproxy", "left out: compose starts it with the profile chaos alone")


def test_list_style_with_anchors(tmp_path: Path) -> None:
    system, result = made(FILES / "shop.yml", tmp_path)
    assert system.broker.version == "2.11.4"
    api, packer, db, stock = system.services.values()
    assert list(system.services) == ["api", "packer1", "db", "stock"]
    assert api.command == ("./api", "--port", "{port}", "--nats={broker.url}")
    assert api.env == {
        "LOG_LEVEL": "info",
        "TEMPLATE": '{{"a":1}}',
        "DATABASE_URL": "postgres://shop:{env:DATABASE_PASSWORD}@{db.host}:{db.port}/shop",
        "STOCK_URL": "{stock.url}/v1",
        "API_TOKEN": "{env:API_TOKEN}",
    }
    assert api.ready is not None
    assert (api.image, api.ready.http) == ("files-api", "/healthz")
    assert packer.command == ("/packer", "--broker", "{broker.host}:{broker.port}", "--label", "two words")
    assert (packer.image, packer.stop.signal, packer.stop.grace) == ("shop/packer:7", "INT", 90.0)
    assert (db.command, db.ports) == ((), {"postgres": 5432})
    assert db.ready is not None
    assert db.ready.command == ("pg_isready",)
    assert (stock.command, stock.ports) == (("./stock", "--data", "{dir}"), {"http": 9000})
    assert links(system) == {
        ("api-0", "broker-0", ""),
        ("api-0", "db-0", "postgres"),
        ("api-0", "stock-0", "http"),
        ("packer1-0", "broker-0", ""),
        ("load", "broker-0", ""),
    }
    assert {name for name, what in result.guessed if what.startswith("left out")} == {"debug", "grafana"}
    assert "what it makes (a schema, a stream) will be missing" in dict(result.open)["migrate"]
    assert (
        "api",
        'REGION comes from the shell in compose: for it, env should have REGION = "{env:REGION}"',
    ) in result.open
    assert "not-for-the-file" not in result.text


def test_json_with_long_ports(tmp_path: Path) -> None:
    system, result = made(FILES / "fleet.yml", tmp_path)
    assert system.system.name == "fleet"
    assert system.broker.include is not None
    assert (tmp_path / system.broker.include).samefile(FILES / "nats.conf")
    assert system.broker.connect is not None
    assert (system.broker.connect.user, system.broker.connect.password) == ("fleet", "s3cret")
    gateway, tracker = system.services.values()
    assert gateway.ports == {"http": 8080}
    assert gateway.env == {
        "NATS_URL": "nats://fleet:s3cret@{broker.host}:{broker.port}",
        "TRACKER_HOST": "tracker",
        "TRACKER_PORT": "7000",
        "LISTEN": "0.0.0.0:{port}",
        "TRACKER_ADMIN": "{tracker.url}/admin",
    }
    assert (tracker.replicas, tracker.command) == (2, ("tracker", "--config", "{dir}/tracker.yaml"))
    assert tracker.files == {"tracker.yaml": "bus: nats://fleet:s3cret@{broker.host}:{broker.port}\nmap: {{zoom: 3}}\n"}
    assert ("tracker-1", "broker-0", "") in links(system)
    told = " ".join(what for whom, what in result.open if whom == "gateway")
    assert "second port of tracker, 7000" in told
    assert "nothing here is like UDP ports" in told
    notes = [what for whom, what in result.open if whom == "tracker"]
    assert [what.partition(":")[0] for what in notes] == [
        "./certs is mounted at /certs, and here nothing is",
        "a password in a URL is written out, as in the compose file; {env",
        "nothing here is like working_dir of the compose file",
    ]


def test_a_broker_told_by_its_port(tmp_path: Path) -> None:
    system, result = made(FILES / "legacy.yml", tmp_path)
    assert system.entry() == "web"
    assert system.services["web"].ports == {"http": 8000, "port_8001": 8001}
    assert system.services["tail"].env == {"QUEUE": "{broker.url}", "PORT": "{port}"}
    told = "\n".join(f"{whom}: {what}" for whom, what in result.open)
    assert "web: it waits for queue, but nothing that it is given names its address" in told
    assert "web: nothing here is like user, cap_add of the compose file" in told
    assert "tail: 'queue' may be an address" in told
    assert "broker: acme/messaging:9 does not tell the version" in told


@pytest.mark.parametrize("path", [ROOT / "docker-compose.yml", *sorted(FILES.glob("[fls]*.yml"))], ids=lambda p: p.stem)
def test_what_is_not_known_is_told_in_the_file_as_well(path: Path, tmp_path: Path) -> None:
    _, result = made(path, tmp_path)
    flat = " ".join(line.removeprefix("# ").removeprefix("TODO: ") for line in result.text.splitlines())
    beside = ("images", "environment", "services", "workloads")  # told once, in other words
    assert [what for whom, what in result.open if whom not in beside and what not in flat] == []
    assert [what for _, what in result.guessed if what.partition(": ")[2] not in flat] == []
    assert "# TODO: how work is offered" in result.text


def test_values_of_the_env_file_beside_it(tmp_path: Path) -> None:
    """A value is taken, a secret stays where it is, and what has a default needs no value."""
    (tmp_path / ".env").write_text("TAG=3\nWEB_PASSWORD=hidden\nHTTP=3100\n")
    (tmp_path / "compose.yml").write_text(
        "services:\n"
        "  nats: {image: nats:2.12.8, command: --jetstream}\n"
        "  web:\n"
        "    image: web:${TAG}\n"
        "    ports: ['$HTTP']\n"
        "    environment:\n"
        "      NATS_URL: ${NATS_URL:-nats://${HOST:-nats}:4222}\n"
        "      PASSWORD: ${WEB_PASSWORD:?is needed}\n"
        "      ON: ${TAG:+yes}\n"
        "      OFF: ${UNSET:+yes}\n"
        "      COST: 5$$\n"
        "      DEBUG: no\n"
        "      TIME: 22:22\n"
    )
    system, result = made(tmp_path / "compose.yml", tmp_path)
    web = system.services["web"]
    assert (web.image, web.ports) == ("web:3", {"http": 3100})
    assert web.env == {
        "NATS_URL": "{broker.url}",
        "PASSWORD": "{env:WEB_PASSWORD}",
        "ON": "yes",
        "OFF": "",
        "COST": "5$",
        "DEBUG": "no",
        "TIME": "22:22",
    }
    assert "hidden" not in result.text
