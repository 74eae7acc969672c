"""The project's own compose file under docker-compose, and the health check that the analysis' one cannot pass."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from .stack import JSON, Images, Stack, ask, until

ROOT = Path(__file__).parents[2]
OURS = ROOT / "docker-compose.yml"
DOCUMENT = Path(__file__).parent / "files" / "document.yml"
SERVICES = {"nats": 1, "authenticate": 1, "eventstore": 1, "search": 2, "web": 1}


def healthy(stack: Stack) -> None:
    for name, count in SERVICES.items():
        until(lambda name=name: stack.health(name), lambda seen: seen == {"healthy"}, f"health of {name}")  # type: ignore[misc]
        assert len(stack.inspect(name)) == count


class Analyst:
    """Signs in, and asks."""

    def __init__(self, stack: Stack) -> None:
        self._api = f"{stack.address('web', 3000)}/api"
        status, answer = ask(f"{self._api}/auth/login", {"username": "admin", "password": "admin"})
        assert status == 200
        self._headers = {"Authorization": f"Bearer {answer['access_token']}"}

    def submit(self, query: str) -> str:
        status, answer = ask(f"{self._api}/async-query/submit", {"query": query}, self._headers)
        assert status == 202, answer
        return str(answer["query_id"])

    def result(self, query_id: str) -> JSON:
        def look() -> tuple[int, JSON]:
            return ask(f"{self._api}/async-query/status/{query_id}", headers=self._headers)

        return until(look, lambda seen: seen[0] == 200 and seen[1]["status"] != "pending", "a result")[1]


@pytest.mark.engine
def test_it_starts_answers_and_keeps_what_it_stored(images: Images) -> None:
    with Stack(OURS, images) as stack:
        stack("up", "--detach")
        healthy(stack)
        analyst = Analyst(stack)
        query_id = analyst.submit("level:error")
        found = analyst.result(query_id)
        assert (found["status"], found["data"]["query"]) == ("complete", "level:error")

        (nats,) = stack.inspect("nats")
        assert nats["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        published = {port: bound for port, bound in nats["NetworkSettings"]["Ports"].items() if bound}
        assert [(port, bound[0]["HostIp"]) for port, bound in published.items()] == [("8222/tcp", "127.0.0.1")]

        # Another container on the same volume: the result is in a bucket of JetStream, so it is still there.
        stack("up", "--detach", "--no-deps", "--force-recreate", "nats")
        assert stack.inspect("nats")[0]["Id"] != nats["Id"]
        until(lambda: stack.health("nats"), lambda seen: seen == {"healthy"}, "health of another nats")
        assert analyst.result(query_id)["data"]["query"] == "level:error"
    assert stack.left() == []


@pytest.mark.engine
def test_with_toxiproxy_every_client_comes_through_it(images: Images) -> None:
    with Stack(OURS, images, {"NATS_URL": "nats://toxiproxy:4222"}) as stack:
        stack("--profile", "chaos", "up", "--detach")
        healthy(stack)
        analyst = Analyst(stack)
        assert analyst.result(analyst.submit("level:warn"))["status"] == "complete"
        (proxy,) = stack.inspect("toxiproxy")
        (network,) = proxy["NetworkSettings"]["Networks"].values()
        _, clients = ask(f"{stack.address('nats', 8222)}/connz")
        assert len(clients["connections"]) == 3
        assert {client["ip"] for client in clients["connections"]} == {network["IPAddress"]}
        _, proxies = ask(f"{stack.address('toxiproxy', 8474)}/proxies")
        assert proxies["nats"]["upstream"] == "nats:4222"


@pytest.mark.engine
def test_the_documents_health_check_cannot_pass_and_ours_can(images: Images, tmp_path: Path) -> None:
    """Nor would it with monitoring on: its image has no wget. Ours fails where there is something to find."""
    document = yaml.safe_load(DOCUMENT.read_text())["services"]["nats"]
    ours = yaml.safe_load(OURS.read_text())["services"]["nats"]
    monitored = [*document["command"], "--http_port=8222"]
    assert ours["command"] == monitored
    del document["container_name"]  # of all projects on a machine one alone could have it
    document["image"] = images.nats  # as NATS's own: FROM scratch, with nats-server alone
    services = {
        "document": document,
        "document-monitored": {**document, "command": monitored},
        "ours": ours,
        "ours-unmonitored": {**ours, "command": document["command"]},
    }
    services = {name: copy.deepcopy(service) for name, service in services.items()}
    for service in services.values():
        service["ports"] = ["127.0.0.1:0:8222"]
        service["volumes"] = ["/data"]
        service["healthcheck"].update(interval="1s", start_period="1s")
        if "build" in service:
            service["build"]["context"] = str(ROOT)
    file = tmp_path / "docker-compose.yml"
    file.write_text(yaml.safe_dump({"services": services}))
    with Stack(file, images) as stack:
        stack("up", "--detach")
        settled = {
            name: until(
                lambda name=name: stack.health(name),  # type: ignore[misc]
                lambda seen: seen != {"starting"},
                f"health of {name}",
            )
            for name in services
        }
        assert settled == {
            "document": {"unhealthy"},
            "document-monitored": {"unhealthy"},
            "ours": {"healthy"},
            "ours-unmonitored": {"unhealthy"},
        }
        for name in ("document", "document-monitored"):
            last = stack.inspect(name)[0]["State"]["Health"]["Log"][-1]
            assert '"wget": executable file not found' in last["Output"]
            assert stack.inspect(name)[0]["State"]["Status"] == "running"
        assert "Connection refused" in stack.inspect("ours-unmonitored")[0]["State"]["Health"]["Log"][-1]["Output"]


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="there is no docker-compose")
def test_docker_compose_1_takes_it_without_a_word() -> None:
    done = subprocess.run(["docker-compose", "--file", OURS, "config", "--quiet"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_in_it_that_either_version_lacks() -> None:
    """Version 1.29 knows neither name nor include, and 2 warns of version. What is waited for has a health check."""
    file = yaml.safe_load(OURS.read_text())
    assert {key for key in file if not key.startswith("x-")} == {"services", "volumes"}
    services = file["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, f"{name} needs {needed}"
            assert "healthcheck" in services[needed]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert services["toxiproxy"]["profiles"] == ["chaos"]
    assert [name for name, service in services.items() if "profiles" in service] == ["toxiproxy"]
