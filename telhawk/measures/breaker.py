"""breaker: a circuit breaker on publishing, and one on reading statuses."""

from __future__ import annotations

from telhawk.circuit import Circuit
from telhawk.messaging import MessagingError, NotTried
from telhawk.web.queries import Deliver, Results
from telhawk.wire import Result

# A probe of the broker does not take the five seconds that a publish may.
PROBE_WITHIN_S = 2.0


class GuardedDelivery:
    """Hands jobs to the broker, and refuses at once while that is known not to work.

    `patience_s` is how long a delivery waits before it is refused: none where a user waits.
    """

    def __init__(self, deliver: Deliver, *, patience_s: float = 0.0) -> None:
        self._deliver = deliver
        self._patience_s = patience_s
        self.circuit = Circuit(MessagingError, NotTried, probe_within_s=PROBE_WITHIN_S)

    async def deliver(self, job_id: str, job: bytes) -> None:
        """Raises MessagingError, NotTried where it was not tried."""
        await self.circuit.run(lambda: self._deliver(job_id, job), patience_s=self._patience_s)


class GuardedResults:
    """What is known of jobs, as long as it can be read."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self.circuit = Circuit(MessagingError, NotTried, probe_within_s=PROBE_WITHIN_S)

    async def expect(self, job_id: str) -> None:
        """Part of a delivery, which has a circuit of its own."""
        await self._results.expect(job_id)

    async def forget(self, job_id: str) -> None:
        """As it is."""
        await self._results.forget(job_id)

    async def find(self, job_id: str) -> Result | None:
        """Raises KeyError for an unknown job, MessagingError, NotTried where nobody was asked."""
        return await self.circuit.run(lambda: self._results.find(job_id))
