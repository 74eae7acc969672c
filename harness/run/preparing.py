"""What is made once the broker or the system is ready: streams of the system file, and the requests of `prepare`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.errors import HarnessError
from harness.observe import _http
from harness.observe._base import as_text, first, json_path
from harness.system.model import Prepare, SystemFile
from harness.system.placeholders import render, render_tree

PREPARE_WITHIN_S = 10.0


async def make_streams(system: SystemFile, url: str, login: Mapping[str, str]) -> None:
    """Makes the streams of the system file on the broker, past every proxy."""
    if not system.streams:
        return
    import nats
    from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

    names = {"user": "user", "password": "password", "token": "token", "creds": "user_credentials"}
    options: dict[str, Any] = {names[key]: value for key, value in login.items()}
    client = await nats.connect(url, name="nats-harness-streams", allow_reconnect=False, **options)
    try:
        for name, stream in system.streams.items():
            config = StreamConfig(
                name=name,
                subjects=list(stream.subjects),
                retention=RetentionPolicy(stream.retention),
                storage=StorageType(stream.storage),
                discard=DiscardPolicy(stream.discard),
                discard_new_per_subject=stream.discard_new_per_subject,
            )
            await client.jetstream().add_stream(config, **stream.limits())
    except nats.errors.Error as error:
        raise HarnessError(f"the stream {name} cannot be made: {error}", where=system.where("streams", name)) from error
    finally:
        await client.close()


async def prepare(system: SystemFile, direct: Mapping[str, str]) -> dict[str, str]:
    """Makes the requests of `prepare` in order; what they keep, by placeholder."""
    kept: dict[str, str] = {}
    for number, entry in enumerate(system.prepare):
        where = system.where("prepare", number)
        document = await _answer(entry, {**direct, **kept}, where)
        for name, path in entry.keep.items():
            value = as_text(first(json_path(path), document))
            if not value:
                raise HarnessError(
                    f"the answer has nothing at {path}", where=where, fix=f"it answered {document!r:.200}"
                )
            kept[name] = value
    return kept


async def _answer(entry: Prepare, values: Mapping[str, str], where: str) -> object:
    request = entry.request
    url = render(request.url, values)
    headers = {name: render(text, values) for name, text in request.headers.items()}
    body = b""
    if request.body is not None:
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(render_tree(request.body, values)).encode()
    try:
        answer = await _http.ask(request.method, url, within_s=PREPARE_WITHIN_S, headers=headers, body=body)
        if answer.status >= 300:
            said = f"{answer.status}: {answer.body[:200].decode(errors='replace')}"
            raise HarnessError(f"{request.method} {url} answered {said}", where=where)
        return json.loads(answer.body)
    except (OSError, ValueError) as error:
        raise HarnessError(f"{request.method} {url} failed: {error!r}", where=where) from error
