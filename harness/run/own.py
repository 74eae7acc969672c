"""The harness' own way to the broker, for faults that publish: past every proxy, a connection for each message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from harness.errors import why
from harness.observe._base import OWN_NAME
from harness.runtime import _nats
from harness.system.model import SystemFile

ANSWERS_WITHIN_S = 1.0
HEADER = "Harness-Op"


@dataclass(frozen=True)
class OwnConnection:
    """See harness.faults.OwnWay. `login` as `_nats.connect` takes it."""

    host: str
    port: int
    login: Mapping[str, str] = field(repr=False)

    async def largest(self) -> int:
        """See OwnWay."""
        async with self._connected() as connection:
            return int(connection.info["max_payload"])

    async def publish(self, subject: str, payload: bytes, marker: str) -> str:
        """See OwnWay."""
        async with self._connected() as connection:
            connection.publish(subject, payload, headers={HEADER: marker})
            return await _answer(connection)

    async def announce(self, subject: str, size: int) -> str:
        """See OwnWay."""
        async with self._connected() as connection:
            connection.announce(subject, size)
            return await _answer(connection)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_nats.Connection]:
        name = OWN_NAME + "own"
        connection = await _nats.connect(self.host, self.port, name=name, login=self.login, within_s=ANSWERS_WITHIN_S)
        try:
            yield connection
        finally:
            connection.drop()


async def _answer(connection: _nats.Connection) -> str:
    try:
        await connection.flush(within_s=ANSWERS_WITHIN_S)
    except TimeoutError:
        raise
    except OSError as error:
        return why(error)
    return connection.refused[0] if connection.refused else ""


def subject_of(system: SystemFile) -> str:
    """Where the system's work is published: what its workload publishes to, or its first tap of step `published`.

    Empty where the file names none, or a subject with wildcards alone.
    """
    for workload in system.workloads.values():
        publish = getattr(workload, "publish", None)
        subjects = [publish.subject] if publish is not None else []
        subjects += [tap.subject for tap in workload.taps if tap.step == "published"]
        for subject in subjects:
            if "*" not in subject and ">" not in subject:
                return str(subject)
    return ""
