"""What one table of a system file says about another: kinds, streams, ports and files.

Works on the file's raw tables, so that these mistakes are told together with the ones of single values; whatever has
the wrong type counts as absent here, because the model has said so already.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path as FilePath
from pathlib import PurePosixPath

from harness.errors import suggestion
from harness.system._checks_states import check_states
from harness.system._lines import Path
from harness.system._mistakes import Mistake
from harness.system._raw import Raw, items, table, tables, texts
from harness.system.model import KINDS
from harness.system.placeholders import ADDRESS_FORMS, RESERVED, address, environment_name, names, strings

MARKER_HEADER = "Harness-Op"
"""The header of every message that the load publishes, with its {op}."""


def working_workloads(data: Raw) -> Raw:
    """`data` without the workloads whose kind does not work; `check` says why each is left out."""
    if not isinstance(data.get("workloads"), dict):
        return data
    kept = {
        name: found
        for name, found in table(data, "workloads").items()
        if not isinstance(found, dict) or found.get("kind") in KINDS
    }
    return {**data, "workloads": kept}


def kept_names(data: Raw) -> list[str]:
    """What the requests of `prepare` keep, in their order."""
    return [name for request in items(data.get("prepare")) for name in table(request, "keep")]


def check(data: Raw, folder: FilePath, clauses: Collection[str] | None) -> Iterator[Mistake]:
    """Every mistake between tables. `folder` is the file's; `clauses` the known ones, None where they are not known."""
    yield from _broker(table(data, "broker"), folder)
    for name, service in tables(data, "services").items():
        yield from _service(("services", name), service, table(data, "hardening").get("variable"))
    yield from _entries(data)
    yield from _prepare(data)
    yield from _usual(tables(data, "workloads"))
    for name, workload in tables(data, "workloads").items():
        yield from _workload(("workloads", name), workload, data, folder)
    yield from check_states(data, clauses)


def _missing(path: Path, fix: str) -> Mistake:
    return Mistake(path, "missing", fix, missing=True)


def _not_there_yet(path: Path, what: str, instead: str, value: object = None) -> Mistake:
    return Mistake(path, f"{what} is not there yet", instead, value)


# ---- broker ---------------------------------------------------------------------------------------------------------


def _broker(broker: Raw, folder: FilePath) -> Iterator[Mistake]:
    nodes = broker.get("nodes")
    if isinstance(nodes, int) and nodes > 1:
        yield _not_there_yet(("broker", "nodes"), "a cluster", "write nodes = 1", nodes)
    if broker and not broker.keys() & {"version", "image"}:
        yield _missing(("broker", "version"), 'add version = "2.12.8"')
    include = broker.get("include")
    if isinstance(include, str) and not (folder / include).is_file():
        yield Mistake(("broker", "include"), f"no such file in {folder}", "its path is taken from there", include)
    if isinstance(broker.get("connect"), dict):
        connect = table(broker, "connect")
        given = set(connect) & {"user", "password", "token", "creds"}
        if given not in ({"user", "password"}, {"token"}, {"creds"}):
            what = f"has {' and '.join(sorted(given)) or 'no way'}"
            yield Mistake(("broker", "connect"), what, "give exactly one way: user and password, token, or creds")
        creds = connect.get("creds")
        if isinstance(creds, str) and not names(creds) and not (folder / creds).is_file():
            yield Mistake(("broker", "connect", "creds"), f"no such file in {folder}", "its path is taken from there")


# ---- services -------------------------------------------------------------------------------------------------------


def _service(path: Path, service: Raw, variable: object) -> Iterator[Mistake]:
    name = str(path[-1])
    if name in RESERVED or re.search(r"-\d+$", name):
        yield Mistake(path, f"no service can be called {name}", "nodes and placeholders of ours have such names")
    if not service.get("command") and "image" not in service:
        yield _missing((*path, "command"), 'add command = ["..."]')
    ports = table(service, "ports")
    for port in set(ports) & {*ADDRESS_FORMS}:
        yield Mistake((*path, "ports", port), f"no port can be called {port}", f"{{name.{port}}} means an address")
    for key in ("ready", "health", "metrics"):
        asked = service.get(key)
        if isinstance(asked, dict):
            asked = asked.get("path" if key == "metrics" else "http")
        if isinstance(asked, str) and asked.startswith("/") and not ports:
            yield Mistake((*path, key), f"{name} has no port to ask", "add ports = { http = 8080 }", asked)
    for key, usual in (("health", "/readyz"), ("metrics", "/metrics")):
        asked = table(service, key).get("path", service.get(key))
        if isinstance(asked, str) and asked.startswith("https://"):
            fix = f'write a path, such as "{usual}", or http://...'
            yield Mistake((*path, key), "is asked without TLS", fix, asked)
    yield from _ready((*path, "ready"), service.get("ready"), ports)
    if service.get("fixed") is True:
        if not ports:
            yield Mistake((*path, "fixed"), f"{name} has no port that could be fixed", "add ports = { http = 8080 }")
        replicas = service.get("replicas", 1)
        if isinstance(replicas, int) and replicas > 1:
            yield Mistake((*path, "fixed"), f"{replicas} replicas cannot share a fixed port", "write replicas = 1")
    for file in table(service, "files"):
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts or not file:
            yield Mistake((*path, "files", file), "not inside {dir}", "write a relative path such as 'config.yaml'")
    for key in ("env", "small"):
        if isinstance(variable, str) and variable in table(service, key):
            fix = "leave it out here: every service is given it, as the state says"
            yield Mistake((*path, key, variable), "is the hardening's variable", fix)


def _ready(path: Path, ready: object, ports: Collection[str]) -> Iterator[Mistake]:
    if not isinstance(ready, dict):
        return
    ways = [way for way in ("http", "tcp", "log", "command") if way in ready]
    if len(ways) != 1 and set(ready) <= {"http", "tcp", "log", "command"}:
        yield Mistake(path, f"has {' and '.join(ways) or 'no way'}", 'give exactly one, such as ready = "/healthz"')
    port = ready.get("tcp")
    if isinstance(port, str) and port not in ports:
        fix = suggestion(port, ports) if ports else "add ports = { http = 8080 }"
        yield Mistake((*path, "tcp"), "this service has no such port", fix, port)
    yield from _command((*path, "command"), ready)


def _command(path: Path, table: Raw) -> Iterator[Mistake]:
    if table.get("command") == []:
        yield Mistake(path, "is empty", 'write the program and its arguments: ["psql", "-c", "..."]', [])


def _entries(data: Raw) -> Iterator[Mistake]:
    entries = [name for name, service in tables(data, "services").items() if service.get("role") == "entry"]
    for name in entries[1:]:
        fix = f"{entries[0]} is the entry already; give {name} role worker or dependency"
        yield Mistake(("services", name, "role"), "a second entry", fix, "entry")


def _prepare(data: Raw) -> Iterator[Mistake]:
    seen: set[str] = set()
    for number, request in enumerate(items(data.get("prepare"))):
        for name in table(request, "keep"):
            if name in RESERVED or name in seen:
                why = "is kept twice" if name in seen else "has a meaning of its own"
                yield Mistake(("prepare", number, "keep", name), f"{{{name}}} {why}", "choose another name")
            seen.add(name)


# ---- work -----------------------------------------------------------------------------------------------------------


def _usual(workloads: dict[str, Raw]) -> Iterator[Mistake]:
    if workloads and all(workload.get("usual") is False for workload in workloads.values()):
        path: Path = ("workloads", next(iter(workloads)), "usual")
        yield Mistake(path, "no workload is offered as usual", "leave usual out of one", value=False)


def _workload(path: Path, workload: Raw, data: Raw, folder: FilePath) -> Iterator[Mistake]:
    kind = workload.get("kind")
    if kind not in KINDS:
        if "kind" in workload:
            yield Mistake((*path, "kind"), "no such kind of workload", suggestion(str(kind), KINDS), kind)
        else:
            yield _missing((*path, "kind"), f"kinds that work: {', '.join(KINDS)}")
        return
    if kind == "http-async":
        yield from _http_async(path, workload, kept_names(data))
    elif kind == "jetstream":
        yield from _jetstream(path, workload, data)
    elif kind == "locust":
        yield from _locust(path, workload, folder)
    yield from _submit((*path, "submit"), table(workload, "submit"))
    yield from _publish((*path, "publish"), table(workload, "publish"))
    if isinstance(workload.get("effects"), dict):
        yield from _effects((*path, "effects"), table(workload, "effects"))
    finders: list[tuple[Path, object]] = [((*path, "dead"), workload.get("dead"))]
    finders += [((*path, "taps", number), tap) for number, tap in enumerate(items(workload.get("taps")))]
    for where, finder in finders:
        if isinstance(finder, dict):
            yield from _finds(where, finder)


def _finds(path: Path, finder: Raw) -> Iterator[Mistake]:
    if "op" not in finder and "ref" not in finder:
        yield _missing((*path, "op"), 'add op = "$..." (or ref): where the operation\'s id is')


def _http_async(path: Path, workload: Raw, kept: Collection[str]) -> Iterator[Mistake]:
    poll = table(workload, "poll")
    if workload.get("submit") and "ref" not in table(workload, "submit"):
        yield _missing((*path, "submit", "ref"), 'add ref = "$.id": where the answer tells the id that is polled')
    asked = [name for part in ("url", "headers") for text in strings(poll.get(part)) for name in names(text)]
    # An unknown word there is told as such, and may well be meant to be {ref}.
    known = all(address(name) or environment_name(name) or name in kept for name in asked)
    if isinstance(poll.get("url"), str) and known:
        fix = "put {ref} where the system's id belongs"
        yield Mistake((*path, "poll", "url"), "asks the same for every operation", fix, poll["url"])
    proof = table(poll, "proof")
    if proof and {name for text in strings(proof) for name in names(text)} <= {"pad"}:
        fix = "put {op} where the operation's id belongs in what was offered"
        yield Mistake((*path, "poll", "proof"), "is the same for every operation", fix)


def _submit(path: Path, submit: Raw) -> Iterator[Mistake]:
    accepted, refused = submit.get("accepted"), submit.get("refused")
    if isinstance(accepted, list) and isinstance(refused, list):
        for status in [status for status in accepted if status in refused]:
            yield Mistake((*path, "refused"), f"{status} is accepted and refused", "it can be one of them")


def _publish(path: Path, publish: Raw) -> Iterator[Mistake]:
    if "json" in publish and "payload" in publish:
        yield Mistake((*path, "payload"), "stands beside json", "a message has one payload: leave one of them out")
    if any(name.lower() == MARKER_HEADER.lower() for name in table(publish, "headers")):
        fix = "leave it out: each message carries it, with {op}"
        yield Mistake((*path, "headers", MARKER_HEADER), "is the harness' own", fix)


def _locust(path: Path, workload: Raw, folder: FilePath) -> Iterator[Mistake]:
    file = workload.get("file")
    if isinstance(file, str):
        if not (folder / file).is_file():
            yield Mistake((*path, "file"), f"no such file in {folder}", "its path is taken from there", file)
        elif "," in file or not file.endswith(".py"):
            yield Mistake((*path, "file"), "no name that Locust takes", "let it end in .py, without a comma", file)
    for variable in table(workload, "env"):
        if variable.startswith("LOCUST_"):
            fix = "leave it out: users and spawn_rate say how much, and scenarios for how long"
            yield Mistake((*path, "env", variable), "would set an option of Locust's", fix)
    if "op" in table(workload, "effects"):
        fix = 'write ref = "$..." for the id that the locustfile gives as context={"op": ...}'
        yield Mistake((*path, "effects", "op"), "its requests carry no id of ours", fix)


def _jetstream(path: Path, workload: Raw, data: Raw) -> Iterator[Mistake]:
    name, streams = workload.get("stream"), tables(data, "streams")
    if not isinstance(name, str):
        return
    if name not in streams:
        # A service may make the stream; where there is none, nobody does.
        if not table(data, "services"):
            yield Mistake((*path, "stream"), "nobody makes this stream", _or_add(name, streams), name)
        return
    retention, subject = streams[name].get("retention"), table(workload, "publish").get("subject")
    if retention in ("workqueue", "interest") and workload.get("consume") is not True:
        what = f"{name} has {retention} retention, which nobody can read from the side"
        yield Mistake((*path, "stream"), what, "add consume = true")
    subjects = texts(streams[name].get("subjects"))
    if isinstance(subject, str) and subjects and not any(_matches(pattern, subject) for pattern in subjects):
        fix = f"its subjects: {', '.join(subjects)}"
        yield Mistake((*path, "publish", "subject"), f"{name} does not take this subject", fix, subject)


def _or_add(name: str, streams: Collection[str]) -> str:
    near = suggestion(name, streams)
    return near if near.startswith("did you mean") else f"add a table [streams.{name}]"


def _matches(pattern: str, subject: str) -> bool:
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1] if len(tokens) >= len(wanted) else []
    return len(wanted) == len(tokens) and all(w in ("*", token) for w, token in zip(wanted, tokens, strict=True))


def _effects(path: Path, effects: Raw) -> Iterator[Mistake]:
    ways = [way for way in ("url", "command", "stream") if way in effects]
    if len(ways) != 1:
        yield Mistake(path, f"has {' and '.join(ways) or 'no source'}", "give exactly one, such as url")
    if len(ways) == 1:
        [way] = ways
        yield from _records(path, way, effects)
        yield from _finds(path, effects)
    yield from _command((*path, "command"), effects)


def _records(path: Path, way: str, effects: Raw) -> Iterator[Mistake]:
    """What finds the records of one way, and where reading goes on."""
    if way == "url" and "each" not in effects:
        yield _missing((*path, "each"), 'add each = "$.items[*]": where the records are')
    if way != "url" and "each" in effects:
        what = "line that the command prints" if way == "command" else "message of the stream"
        yield Mistake((*path, "each"), "has no meaning here", f"leave it out: each {what} is one record")
    goes_on = any("cursor" in names(text) for text in strings(effects[way]))
    if goes_on and "next" not in effects:
        where = "an answer tells the next {cursor}" if way == "url" else "the last line tells the next {cursor}"
        yield _missing((*path, "next"), f'add next = "$.next": where {where}')
    if "next" in effects and not goes_on:
        fix = "leave next out" if way == "stream" else "add {cursor}, or leave next out"
        yield Mistake((*path, way), "has no {cursor} to put next into", fix)
