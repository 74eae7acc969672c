"""Reload: the broker reads another configuration while it runs, as when credentials are replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.errors import HarnessError, UsageError
from harness.faults._base import LinkKey, NodeFault
from harness.faults._evidence import said
from harness.history.reader import NEVER_NS, FaultSpan, History

SAYS = "Reloaded server configuration"
"""What nats-server writes into its log."""
LINE_WITHIN_NS = 1_000_000_000


@dataclass
class Reload(NodeFault):
    """`configuration` is lines of nats-server's own, in the place of what `broker.include` names; healed by that file.

    Clients whose credentials are none any more are cut off; the others notice nothing.
    """

    kind: ClassVar[str] = "reload"
    EXAMPLE: ClassVar[Mapping[str, object]] = {"configuration": "max_control_line: 4095"}
    configuration: str = field(kw_only=True)

    @property
    def probed(self) -> Sequence[LinkKey]:
        """None: the broker's own word is the evidence."""
        return ()

    def check(self) -> None:
        """Raises UsageError for what is no broker, HarnessError where it is down."""
        super().check()
        if self.node.role != "broker":
            raise UsageError(
                f"{self.node.name} is no broker", where=self.kind, fix="run.faults.reload(run.broker, ...)"
            )
        if not self.node.alive:
            raise HarnessError(f"{self.node.name} does not run, so it cannot reload", fix="see its log")

    async def inject(self) -> int:
        """The moment at which the broker's monitoring told of another configuration."""
        return await self.node.reload(self.configuration)

    async def heal(self) -> int:
        """The same, of its own one."""
        return await self.node.reload()

    def evidence(self, history: History, span: FaultSpan) -> Mapping[str, float]:
        """The broker said that it has reloaded: once for the fault, and once for its healing."""
        until = (span.healed_ns or NEVER_NS - LINE_WITHIN_NS) + LINE_WITHIN_NS
        reloads = said(history, self.node.name, SAYS, span.asked_ns, until)
        return {"reloads": reloads, "bit": reloads >= 2}
