"""What every runtime offers: nodes, links, and the whole. Two ways keep it: processes and containers.

All moments are t_ns, CLOCK_MONOTONIC of the host, at which something was *seen* to be so by its own mechanism (a pidfd,
the state of a task, the proxy's answer), never at which it was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from harness.system.model import Role  # not where the hub runs, which has no packages

Way = Literal["both", "to", "from"]
"""`to`: from the link's source to its target; `from`: the answers."""
How = Literal["silent", "frozen", "refused", "reset"]
Impairment = Literal["slicer", "limit_data", "slow_close"]
"""A toxic that a fault adds to a link, by Toxiproxy's own name."""
LinkKey = tuple[str, str]
Address = tuple[str, int]
"""Host and port."""
Ends = tuple[str, str]
"""Local and remote address of a socket, "127.0.0.1:4222" each."""
READY_WITHIN_S = 30.0
"""How long a node may take from its start until it is ready."""
LogLine = Mapping[str, object]
Subscriber = Callable[[int, LogLine], None]
"""Called in the loop with t_ns of arrival and a line of the proxy's log, parsed."""


class Recorder(Protocol):
    """What a runtime needs of history's Recorder."""

    def line(self, kind: str, /, *, t_ns: int | None = None, **fields: object) -> None:
        """Adds a line to the history; t_ns is now unless given."""

    def secret(self, text: str) -> None:
        """Keeps a text out of the history from now on."""


class Crossed(NamedTuple):
    """Bytes of a link's living connections, as the kernel counts them at the proxy; a closed connection's are gone."""

    to_in: int
    """Received from the source."""
    to_out: int
    """Acknowledged by the target."""
    from_in: int
    """Received from the target."""
    from_out: int
    """Acknowledged by the source."""


class Lost(NamedTuple):
    """Packets of a link that loses some, as the kernel's rules count them."""

    seen: int
    dropped: int


class Socket(NamedTuple):
    """One TCP socket, as the kernel sees it. `local` and `remote` are "127.0.0.1:4222"."""

    local: str
    remote: str
    state: str
    """"ESTABLISHED", "CLOSE_WAIT", ... (tcp(7))."""
    inode: int
    """0 where no process owns it (yet, or any more)."""
    received: int
    """Bytes received in order."""
    acked: int
    """Bytes sent and acknowledged, up to 40 ms late (delayed ACK); one too many at the end that dialled (its SYN)."""


class Node(Protocol):
    """One node of the broker or one replica of a service."""

    name: str
    service: str
    role: Role
    dir: Path
    """`{dir}`: its own folder, which survives kill and restart."""
    storage: Path
    """Where it keeps what must survive: the broker's store, a service's `dir`."""

    @property
    def pid(self) -> int | None:
        """Its process, or None while it is down."""

    @property
    def alive(self) -> bool:
        """Whether its process runs or is paused."""

    def inside(self, port: str = "") -> Address:
        """Where its links' proxies reach it, and the probe beside them. `port` as in `direct`."""

    def direct(self, port: str = "", what: Literal["url", "host", "port"] = "url") -> str:
        """Its address past the proxies, for observers only. `port` by name, "" is the first. Raises UnknownName."""

    async def start(self, *, version: str | None = None) -> None:
        """Starts it, on the same ports and folder as before; `version` is the broker's. Does not wait for readiness.

        Its links stay as they are: whoever started it opens them. Raises StartError where it cannot be run.
        """

    async def ready(self, *, within_s: float) -> None:
        """Waits until it says that it is ready. Raises StartError, with its last lines, when it died or did not."""

    async def kill(self) -> int:
        """SIGKILL to it and its children; t_ns of its death. Then its links refuse."""

    async def terminate(
        self,
        *,
        grace_s: float | None = None,
        signalled: Callable[[int], None] | None = None,
        by: Signals | None = None,
    ) -> tuple[int, int]:
        """Asks it to stop as the system file says, and kills it after `grace_s`; t_ns of its end, and its exit code.

        `by` None: by that signal; `grace_s` None: as long as the system file lets it take. `signalled` is called with
        t_ns once it was asked.
        The code is negative for a signal: -9 where it outlived its grace. Then its links refuse.
        """

    async def pause(self) -> int:
        """Stops it where it is; t_ns at which all its tasks were seen stopped."""

    async def resume(self) -> int:
        """Lets it go on; t_ns at which they were seen to run."""

    async def reload(self, configuration: str | None = None) -> int:
        """Lets the broker read its configuration again, with these lines instead of the file that it includes.

        None: with that file. t_ns at which its monitoring told of it. Raises HarnessError where it does not take them,
        and UsageError for a service.
        """

    def last_lines(self, count: int = 20) -> list[str]:
        """What it printed last."""


class Link(Protocol):
    """One calling replica's, or the load's, way to one provider, through a proxy of its own.

    Every method that changes it raises ProxyError when the proxy did not do as it was told. A proxy that does not
    answer is replaced (see `replace`) and told again.
    """

    source: str
    target: str

    @property
    def url(self) -> str:
        """What the source dials."""

    @property
    def port(self) -> int:
        """The port that the source dials, on `host`."""

    @property
    def host(self) -> str:
        """The address that the source dials: loopback, or in containers the hub's on the source's own network."""

    @property
    def published(self) -> Address:
        """What the load dials, which runs on this machine: in containers a port of loopback that leads to the hub."""

    @property
    def upstream_port(self) -> int:
        """The target's own port."""

    @property
    def proxy_pid(self) -> int:
        """The proxy's process; another one after `replace`."""

    @property
    def refusing(self) -> bool:
        """Whether connections to it are refused."""

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Calls back for each line of the proxy's log from now on, until the returned function is called."""

    async def cut(self, how: How, way: Way = "both", *, new: bool = False) -> int:
        """Nothing crosses any more. `frozen`: bytes are held; `silent`: lost; `refused`: connections end, new ones too.

        `reset`: both ends of every connection see it reset, and new ones are accepted again when this returns; t_ns is
        when the last one had ended. With `new` they are reset too, at their first byte, until it is mended.
        Raises UsageError for a refusal or reset of one way.
        """

    async def slow(
        self, *, latency_ms: float = 0, jitter_ms: float = 0, rate_bytes_s: float = 0, way: Way = "both"
    ) -> int:
        """Later and slower: delay in each direction asked for, and bytes a second of each connection and direction.

        A rate of 0 means no limit; figures are rounded to what the proxy knows (1 ms; 1,000 bytes a second, at least
        one). What is not given is as if the link were whole.
        """

    async def impair(self, toxic: Impairment, attributes: Mapping[str, int], way: Way = "both") -> int:
        """Adds a toxic with its attributes, in Toxiproxy's units, to every connection, old and new."""

    def can_lose(self) -> None:
        """Raises UsageError where `lose` cannot be done."""

    async def lose(self, share: float, way: Way = "both") -> int:
        """The kernel drops this share (0 to 1) of the TCP packets between the source and the proxy; t_ns after that.

        The mending records a line `lost`, which tells how many of those that it has `seen` it `dropped`.
        """

    async def mend(self) -> int:
        """Undoes all of these, also one that never came to be; what is refused by `refuse` stays so.

        t_ns at which the proxy, its state or the kernel said so.
        """

    async def refuse(self) -> int:
        """Connections end and new ones are refused, as a dead host's are."""

    async def open(self) -> int:
        """Accepts connections again."""

    async def replace(self) -> int:
        """Kills the proxy and starts another on the same ports: all connections end, and the link is whole.

        It refuses if it did. Recorded as a trouble, since it changes what clients see.
        """

    def proxy_state(self) -> str:
        """The states of the proxy's tasks, each once, sorted: "T" when it is stopped, "" when it is gone."""

    async def toxics(self) -> list[Mapping[str, object]]:
        """The proxy's toxics, as its API tells them."""

    async def own_sockets(self) -> list[Socket]:
        """The proxy's sockets, both sides, the listening ones left out."""

    async def crossed(self) -> Crossed:
        """Bytes that crossed its living connections, read from the kernel."""


class Beside(Protocol):
    """A process of the harness' own that stands where links are dialled: on this machine, or in the hub's container."""

    @property
    def pid(self) -> int:
        """By its number on this machine."""

    reader: asyncio.StreamReader
    """What it says; ends when it does."""
    writer: asyncio.StreamWriter
    """What it is told; it ends when this is closed."""

    async def last_words(self) -> str:
        """What it printed to its error output, as far as that is known."""

    async def close(self, *, within_s: float) -> None:
        """Closes `writer` and waits for its end; kills it after `within_s`. Can be called twice."""


class Runtime(Protocol):
    """A system that runs: opened once, closed once."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """All nodes by name, the broker's first; those that were left out at start too."""

    @property
    def links(self) -> Mapping[LinkKey, Link]:
        """All links by source and target."""

    async def socket_states(self, connections: Sequence[Ends]) -> Mapping[Ends, str]:
        """The state ("ESTABLISHED", "CLOSE_WAIT" ...) of each of these sockets of the proxies that exists.

        Raises OSError where the kernel could not be asked.
        """

    async def beside(self, module: str, *arguments: str, folder: Path) -> Beside:
        """Starts `python -m MODULE FD FOLDER ARGUMENTS`; FD is its end of the control, a stream socket.

        `folder` lies in the scenario's; the process is told it by the name that it has where it runs, and writes there
        as this user. Waits, while the runtime opens, until there is such a place. Raises HarnessError.
        """

    def addresses(self, source: str | None) -> dict[str, str]:
        """What address placeholders mean for `source`: by its links, or, for None, past the proxies (observers)."""

    async def open(self, before_services: Callable[[], Awaitable[None]]) -> None:
        """Starts everything and returns once all is ready; `before_services` runs once the broker is.

        Raises StartError, Missing or ProxyError, after which nothing is left running.
        """

    async def close(self) -> None:
        """Ends and removes everything, in whatever state it is; the same undo that `clean` calls."""
