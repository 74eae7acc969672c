"""Our own NATS connection, against a server that sends its bytes as it likes, and a real one with users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from harness.runtime import _nats
from tests.listening import listening

from .lab import lab

INFO = b'INFO {"server_id":"N","nonce":"x"}\r\n'


@asynccontextmanager
async def saying(*pieces: bytes, greets: bool = True, after: bytes = b"") -> AsyncIterator[int]:
    """A server that lets anybody in, then says these bytes one by one, once it has heard `after`; its port."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greets:
            writer.write(INFO)
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
            if after:
                await reader.readuntil(after)
            for byte in b"".join(pieces):
                writer.write(bytes([byte]))
                await writer.drain()
        await reader.read()
        ended.set()

    async with listening(serve) as port:
        yield port
        await asyncio.wait_for(ended.wait(), 5)


async def connect(port: int, **login: str) -> _nats.Connection:
    return await _nats.connect("127.0.0.1", port, name="nats-harness-test", login=login, within_s=1)


async def test_messages_in_pieces() -> None:
    said = (
        b"MSG a.b 1 5\r\nhe\r\nl\r\n",
        b"PING\r\n",
        b"HMSG a.c 1 reply.to 23 25\r\nNATS/1.0\r\nX-Id: 123\r\n\r\nok\r\n",
        b"MSG a.d 9 0\r\n\r\n",
        b"+OK\r\n",
        b"-ERR 'Permissions Violation for Subscription to \"x\"'\r\n",
        b"MSG a.e 1 0\r\n\r\n",
    )
    async with saying(*said, after=b"SUB a.* 1\r\n") as port:
        connection = await connect(port)
        heard: list[_nats.Message] = []
        done = asyncio.Event()

        def take(message: _nats.Message) -> None:
            heard.append(message)
            if message.subject == "a.e":
                done.set()

        connection.subscribe("a.*", take)
        await asyncio.wait_for(done.wait(), 5)
        assert [(one.subject, one.headers, one.data) for one in heard] == [
            ("a.b", "", b"he\r\nl"),
            ("a.c", "NATS/1.0\r\nX-Id: 123\r\n\r\n", b"ok"),
            ("a.e", "", b""),
        ]
        assert connection.alive
        assert "Subscription" in connection.refused[0]
        connection.drop()


async def test_an_error_ends_it() -> None:
    async with saying(b"-ERR 'Stale Connection'\r\n") as port:
        connection = await connect(port)
        assert await asyncio.wait_for(connection.lost(), 5) == "Stale Connection"
        assert not connection.alive
        with pytest.raises(ConnectionError, match="Stale"):
            await connection.flush(within_s=1)
        connection.publish("a", b"")
        connection.drop()


async def test_deadlines() -> None:
    async with saying(greets=False) as port:
        asked = monotonic()
        with pytest.raises(TimeoutError):
            await _nats.connect("127.0.0.1", port, name="nats-harness-test", login={}, within_s=0.2)
        assert monotonic() - asked < 1
    async with saying() as port:
        connection = await connect(port)
        with pytest.raises(TimeoutError):
            await connection.flush(within_s=0.1)
        assert connection.alive
        connection.drop()


async def test_nobody_there() -> None:
    async with saying() as port:
        (await connect(port)).drop()
    with pytest.raises(ConnectionRefusedError):
        await connect(port)


CREDS = """-----BEGIN NATS USER JWT-----
ey.J0.x-_y
------END NATS USER JWT------

************************* IMPORTANT *************************
-----BEGIN USER NKEY SEED-----
SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU
------END USER NKEY SEED------
"""


def test_what_it_says_to_be_let_in(tmp_path: Path) -> None:
    assert _nats._login({"user": "u", "password": "p"}, {}) == {"user": "u", "pass": "p"}
    assert _nats._login({"token": "t"}, {}) == {"auth_token": "t"}
    (tmp_path / "app.creds").write_text(CREDS)
    said = _nats._login({"creds": str(tmp_path / "app.creds")}, {"nonce": "abc"})
    assert said["jwt"] == "ey.J0.x-_y"
    assert len(said["sig"]) == 86


async def test_a_real_server_with_users(tmp_path: Path) -> None:
    (tmp_path / "users.conf").write_text("authorization { users = [ { user: app, password: s3cret } ] }\n")
    system = (
        (Path("harness/system/ready") / "bare.toml").read_text().replace("[broker]", '[broker]\ninclude = "users.conf"')
    )
    (tmp_path / "system.toml").write_text(system)
    async with lab(tmp_path, str(tmp_path / "system.toml")) as opened:
        port = int(opened.runtime.broker.direct(what="port"))
        with pytest.raises(ConnectionError, match="Authorization Violation"):
            await connect(port)
        connection = await connect(port, user="app", password="s3cret")
        heard: asyncio.Future[_nats.Message] = asyncio.get_running_loop().create_future()
        connection.subscribe("a", heard.set_result)
        connection.publish("a", b"x" * 500_000)
        assert len((await asyncio.wait_for(heard, 5)).data) == 500_000
        await connection.flush(within_s=1)
        connection.drop()
