"""What a scenario holds: the system under test by its roles, its load, its faults, and the waits between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from harness import whole
from harness.errors import HarnessError, UnknownName, UsageError
from harness.verdict import Doubt

if TYPE_CHECKING:
    from harness.guarantees._base import Guarantee
    from harness.run.setting import Setting
    from harness.run.world import World
    from harness.runtime.contract import Node

INTERRUPTED = "it was interrupted"
IN_HAND_WITHIN_S = 10.0
"""How long `in_hand` waits; fewer operations than asked for are recorded, and make findings inconclusive."""


class Faults:
    """One method a registered fault: `run.faults.kill(node)`, `run.faults.silent(source, provider)`, ...

    Each is an async context manager: the fault lasts as long as its body, and is healed on every way out.
    """

    def __init__(self, world: Callable[[], World], hold: frozenset[str]) -> None:
        self._world, self._hold = world, hold
        self._count = 0

    def __getattr__(self, kind: str) -> Callable[..., AbstractAsyncContextManager[None]]:
        from harness.faults import load_all

        registry = load_all()
        if kind not in registry:
            raise UnknownName(kind, registry, kind="fault")
        made = registry[kind]

        @asynccontextmanager
        async def fault(*targets: object, **parameters: object) -> AsyncIterator[None]:
            from harness.faults import applied, asked
            from harness.run import holding

            world = self._world()
            if holding.FAULTS in self._hold:
                await holding.hold(world.runtime, f"the fault {kind}")
            self._count += 1
            async with applied(asked(kind, made, world.stage, targets, parameters), self._count):
                yield

        return fault


class Run:
    """One scenario's run. Outside of `drive` there is no system, and every role is an error that says so."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.faults = Faults(self._opened, setting.hold)
        self._world: World | None = None
        self._expected: set[str] = set()

    async def drive(self, scenario: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Opens the system, runs the scenario, closes everything, judges; the scenario's verdict.

        What the scenario raises is recorded as a trouble, with its file and line, and raised again once the verdict is
        written. A HarnessError is not raised again: the inconclusive verdict says what could not be done and why.
        """
        from harness.run import holding, judging, raising, world

        raised: Exception | None = None
        async with world.recorded(self.setting) as recorder:
            try:
                async with world.opened(self.setting, recorder) as self._world:
                    await raising.driven(scenario)
                    if holding.END in self.setting.hold:
                        await holding.hold(self._world.runtime, "the system is taken down")
            except Exception as error:
                recorder.line("trouble", name=Doubt.HARNESS_ERROR, detail=raising.told(error))
                raised = None if isinstance(error, HarnessError) else error
            except BaseException:  # cut short by hand: what was not waited for did not come to pass
                recorder.line("trouble", name=Doubt.HARNESS_ERROR, detail=INTERRUPTED)
                raise
            finally:
                self._world = None
        verdict = judging.judge_scenario(self.setting.folder)
        try:
            judging.keep(self.setting.folder, self.setting.system)
        except OSError as error:  # a disk that is full costs what stands beside the verdict
            if error.errno not in whole.FULL:
                raise
        if raised is not None:
            raise raised
        return verdict

    # ---- roles ----------------------------------------------------------------------------------------------------

    @property
    def broker(self) -> Node:
        """The broker's first node."""
        return self._opened().runtime.nodes["broker-0"]

    @property
    def entry(self) -> Node | None:
        """The replica where work is offered; None where the load itself is the broker's client."""
        name = self._opened().entry
        return None if name == "load" else self._opened().runtime.nodes[name]

    @property
    def workers(self) -> Sequence[Node]:
        """The replicas that take work from the broker."""
        return [node for node in self._opened().runtime.nodes.values() if node.role == "worker"]

    @property
    def a_worker(self) -> Node:
        """One of the workers, drawn by the run's seed."""
        by_name = {node.name: node for node in self.workers}
        if not by_name:
            raise UsageError("the system has no worker", fix='mark the scenario @needs("worker"), or name another node')
        return by_name[self.setting.draw("a_worker", list(by_name))]

    def node(self, name: str) -> Node:
        """A replica by its name, such as `web-0`. Raises UnknownName."""
        nodes = self._opened().runtime.nodes
        if name not in nodes:
            raise UnknownName(name, nodes, kind="replica")
        return nodes[name]

    def dependency_of(self, node: Node) -> Node:
        """The provider that a link leads to from this node, the broker left out; an error where it is not one."""
        world = self._opened()
        if not hasattr(node, "name"):
            raise UsageError(f"{node!r:.60} is no node", fix="dependency_of(run.a_worker), say")
        targets = sorted(target for source, target in world.runtime.links if source == node.name)
        providers = [name for name in targets if world.runtime.nodes[name].role != "broker"]
        if len(providers) != 1:
            raise UsageError(
                f"{node.name} has {len(providers)} dependencies ({', '.join(providers) or 'none'}), not one"
            )
        return world.runtime.nodes[providers[0]]

    def where(self) -> list[str]:
        """A line a node: whether it is up, its address past the proxies, and its folder."""
        from harness.run import holding

        return list(holding.where(self._opened().runtime))

    # ---- work and waits -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def load(self, *workloads: str, times: float = 1.0, padding_bytes: int = 0) -> AsyncIterator[None]:
        """Offers the system's usual workloads at `times` their rate while the body lasts.

        Or those that are named, by their name or their kind. {pad} in what they offer is so many bytes long.

        On leaving, arrivals stop, answers are awaited up to their deadline, what is open is polled until it is done or
        settled, and every observer reads to the end.
        """
        from harness.run.offering import amount

        world = self._opened()
        await world.start_load(amount(self.setting.system, workloads, times, padding_bytes))
        try:
            yield
        finally:
            await world.stop_load()

    async def steady(self, seconds: float) -> None:
        """Lasts until work was offered as intended for `seconds`, at most 10 s longer. Never raises."""
        await self._opened().waiting.steady(seconds)

    async def recovered(self, within_s: float | None = None) -> None:
        """Waits until clients are back, answers are ok and what was accepted is done or settled. Never raises.

        Each moment is recorded. `within_s` None: as long as the promises allow for all of it.
        """
        await self._opened().waiting.recovered(within_s)

    async def in_hand(self, node: Node | None, least: int) -> None:
        """Waits until a worker has begun `least` operations that it has not finished, at most 10 s.

        Of `run.entry`: until so many were accepted whose end nobody has learned yet.
        """
        world = self._opened()
        name = node.name if node is not None else world.entry
        deadline = monotonic_ns() + int(IN_HAND_WITHIN_S * 1e9)
        while (count := world.in_hand(name)) < least and monotonic_ns() < deadline:
            await asyncio.sleep(0.02)
        world.recorder.line("in_hand", node=name, count=count, asked=least)

    def expect(self, *promises: Guarantee) -> None:
        """What is judged besides no_loss, no_phantoms and effects, and with which bounds; each guarantee once."""
        from harness.guarantees._base import REGISTRY, Guarantee

        for guarantee in promises:
            if not isinstance(guarantee, Guarantee):
                raise UsageError(
                    f"expect takes guarantees, not {guarantee!r:.60}",
                    fix=f"one of {', '.join(f'{name}()' for name in sorted(REGISTRY))}",
                )
            if guarantee.name in self._expected:
                raise UsageError(f"{guarantee.name} is expected already", fix="give all of its bounds at once")
            self._expected.add(guarantee.name)
            self._opened().recorder.line("expect", guarantee=guarantee.name, bounds=guarantee.bounds())

    def _opened(self) -> World:
        if self._world is None:
            raise UsageError(
                "the system is not running here",
                fix="use `run` inside the scenario, which must be an async test",
            )
        return self._world
