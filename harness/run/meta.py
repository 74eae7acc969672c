"""What is known of a scenario before it starts: all that a guarantee may know of the system."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic_ns
from typing import Any

from harness.observe.health import LIVE, READY
from harness.run.setting import Setting
from harness.run.versions import versions
from harness.system.model import LOAD, Locust, Service, SystemFile, with_op

SOURCES = {
    "terminal": (
        "a workload with a poll, of kind jetstream, or (http, request, locust) with an effects table,"
        ' e.g. effects = { url = "{store.url}/done", each = "$.done[*]", op = "$.note" }'
    ),
    "effects": 'an effects table in the workload, e.g. effects = { url = "{store.url}/done", op = "$.note" }',
    "enumerates": "an effects table or taps in the workload",
    "hands": 'by = "$.worker" in the effects table: the replica that did it, as it is told {replica}',
    "attempts": 'attempt = "$.attempt" in the effects table: the number of the delivery',
    "dead": 'a dead table in the workload, e.g. dead = { subject = "orders.dead.>", op = "$.order" }',
    "letters": (
        "a dead table that tells reason and payload, e.g."
        ' dead = { subject = "orders.dead.>", op = "$.order", reason = "$.why", payload = "$.order" }'
    ),
    "arrivals": "an effects table or taps in the workload of kind core",
    "clients": "a placeholder {broker.url} in a service's command, env or files",
    "log lines": (
        "an output table in a service that names {broker.url},"
        ' e.g. output = { format = "json", time = "ts", level = "level" }'
    ),
    "metrics": (
        "metrics that count in a service that names {broker.url},"
        ' e.g. metrics = { path = "/metrics", lost = "nats_connections_lost_total" }'
    ),
    "handler failures": (
        "an output table in a worker, or metrics that count there,"
        ' e.g. metrics = { path = "/metrics", failures = "handler_failures_total" }'
    ),
    "live": 'a ready by HTTP in a service, another URL than its health, e.g. ready = "/healthz"',
    "health": 'a health in a service that names {broker.url}, e.g. health = "/readyz"',
    "answers": "a workload of kind http or http-async, whose answers tell why they refuse",
}
"""Each source that a guarantee may need, and the line that a system file without it would have to add."""


def meta(setting: Setting) -> dict[str, Any]:
    """The meta of a scenario's history; JSON."""
    system = setting.system
    brokers = [name for name in system.nodes() if name.startswith("broker-")]
    entry = next((system.replicas(name)[0] for name in [system.entry()] if name), LOAD)
    promises = system.promises.model_dump()
    least, most = system.promises.effects_bounds()
    return {
        "id": setting.planned_id,
        "scenario": setting.scenario,
        "state": setting.state,
        "expect": setting.expect,
        "exposes": dict(setting.exposes),
        "calm": setting.calm,
        "says": setting.says,
        "run": setting.run,
        "nonce": setting.nonce,
        "seed": setting.seed,
        "system": system.system.name,
        "runtime": setting.runtime,
        "repro": setting.repro,
        "began_ns": monotonic_ns(),
        "versions": versions(system.broker.version or ""),
        "promises": {**promises, "settles_s": setting.settles_s, "effects_least": least, "effects_most": most},
        "workloads": {name: told for key, one in system.workloads.items() for name, told in _workloads(key, one)},
        "entry": entry,
        "workers": [replica for name in system.workers() for replica in system.replicas(name)],
        "brokers": brokers,
        "clients": sorted({link.source for link in system.links() if link.target in brokers}),
        "health": {
            replica: list(looked_at(service))
            for name, service in system.services.items()
            for replica in system.replicas(name)
        },
        "observed": {
            replica: {"output": service.output and service.output.model_dump(), "metrics": counting(service)}
            for name, service in system.services.items()
            for replica in system.replicas(name)
            if service.output or counting(service)
        },
        "effects_by": any(workload.effects and workload.effects.by for workload in system.workloads.values()),
        "sources": _sources(system),
        "lines_to_add": SOURCES,
    }


def looked_at(service: Service) -> dict[str, str]:
    """What a load balancer asks of a service, and where: whether it is `ready`, and whether it is `live`.

    A service that is ready by what is its health as well says nowhere that it lives.
    """
    live = service.ready.http if service.ready else None
    asked = {READY: service.health, LIVE: live if live != service.health else None}
    return {what: where for what, where in asked.items() if where is not None}


def counting(service: Service) -> dict[str, str]:
    """The metrics of a service that count, by the file's words for what they count."""
    told = service.metrics.model_dump(exclude={"path"}) if service.metrics else {}
    return {word: name for word, name in told.items() if name is not None}


def _workloads(name: str, workload: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A workload as its operations name it. A locustfile's is two: requests with an id of theirs can be followed."""
    if isinstance(workload, Locust):
        yield name, {**_workload(workload), "polled": False, "read": "", "followed": False}
        name = with_op(name)
    yield name, _workload(workload)


def _workload(workload: Any) -> dict[str, Any]:
    return {
        "kind": workload.kind,
        "rate": workload.rate,
        "answers_s": workload.answers_s,
        "results_s": workload.results_s,
        "polled": _polled(workload),
        "read": _read(workload),
        "effects": workload.kind == "jetstream" or workload.effects is not None,
        "arrives": _arrives(workload),
        "followed": _polled(workload) or bool(getattr(workload, "consume", False)) or _timed(workload),
    }


def _polled(workload: Any) -> bool:
    return getattr(workload, "poll", None) is not None


def _timed(workload: Any) -> bool:
    """Whether the effects that end a workload's operations tell when: by themselves, or by their stream."""
    effects = workload.effects
    return bool(workload.ends_by_effect and effects and (effects.begun or effects.stream))


def _read(workload: Any) -> str:
    """The final read that tells the end of a workload's operations, where nobody asks after each; empty: none."""
    if workload.kind == "jetstream":
        return "stream"
    return "effects" if workload.ends_by_effect else ""


def _arrives(workload: Any) -> str:
    """The source that sees what of a core workload arrived; empty: none, or a workload of another kind."""
    if workload.kind != "core":
        return ""
    return "effects" if workload.effects else "taps" if workload.taps else ""


def _tells_attempts(workload: Any) -> bool:
    """Whether the effects, dead letters, or our own consumer, tell the number of a delivery."""
    tables = [table for table in (workload.effects, workload.dead) if table is not None]
    return any(table.attempt for table in tables) or bool(getattr(workload, "consume", False))


def _sources(system: SystemFile) -> list[str]:
    workloads = system.workloads.values()
    clients = {link.source.rpartition("-")[0] for link in system.links() if link.target.startswith("broker-")}
    looks = {name: looked_at(service) for name, service in system.services.items()}
    streams = any(workload.kind == "jetstream" for workload in workloads)
    dead = [workload.dead for workload in workloads if workload.dead]
    found = {
        "terminal": any(_polled(workload) or _read(workload) for workload in workloads),
        "effects": streams or any(workload.effects for workload in workloads),
        "enumerates": streams or any(workload.effects or workload.taps for workload in workloads),
        "arrivals": any(_arrives(workload) for workload in workloads),
        "clients": any(link.target.startswith("broker-") for link in system.links()),
        "log lines": any(system.services[name].output for name in clients & system.services.keys()),
        "metrics": any(
            counting(system.services[name]).keys() & {"lost", "returned"} for name in clients & system.services.keys()
        ),
        "handler failures": any(
            system.services[name].output or "failures" in counting(system.services[name]) for name in system.workers()
        ),
        "live": any(LIVE in asked for asked in looks.values()),
        "health": any(READY in looks.get(name, ()) for name in clients),
        "answers": any(workload.kind in ("http", "http-async") for workload in workloads),
        "hands": any(workload.effects and workload.effects.by for workload in workloads),
        "attempts": any(_tells_attempts(workload) for workload in workloads),
        "dead": bool(dead),
        "letters": bool(dead) and all(table.reason and table.payload for table in dead),
    }
    return sorted(name for name, there in found.items() if there)
