"""What is made once the broker or the system is ready: streams of the system file, and the requests of `prepare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import HarnessError
from harness.observe._base import as_text, first, json_path
from harness.system.model import Prepare, SystemFile
from harness.system.placeholders import render, render_tree

PREPARE_WITHIN_S = 10.0


async def make_streams(system: SystemFile, url: str, login: Mapping[str, str]) -> None:
    """Makes the streams of the system file on the broker, past every proxy."""
    if not system.streams:
        return
    import nats
    from nats.js.api import RetentionPolicy, StreamConfig

    names = {"user": "user", "password": "password", "token": "token", "creds": "user_credentials"}
    options: dict[str, Any] = {names[key]: value for key, value in login.items()}
    client = await nats.connect(url, name="nats-harness-streams", allow_reconnect=False, **options)
    try:
        for name, stream in system.streams.items():
            retention = RetentionPolicy(stream.retention)
            await client.jetstream().add_stream(
                StreamConfig(name=name, subjects=list(stream.subjects), retention=retention)
            )
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
    import aiohttp

    request = entry.request
    url, body = render(request.url, values), render_tree(request.body, values)
    headers = {name: render(text, values) for name, text in request.headers.items()}
    timeout = aiohttp.ClientTimeout(total=PREPARE_WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(request.method, url, json=body, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status >= 300:
                raise HarnessError(
                    f"{request.method} {url} answered {answer.status}: {await answer.text():.200}", where=where
                )
            return await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise HarnessError(f"{request.method} {url} failed: {error!r}", where=where) from error
