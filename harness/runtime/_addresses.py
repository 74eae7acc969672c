"""What address placeholders mean: by a source's links, or past the proxies."""

from __future__ import annotations

from collections.abc import Callable

from harness.runtime._http import LOOPBACK
from harness.system.model import BROKER, SystemFile

PortOf = Callable[[str, str], int | None]
"""The port to dial for a target's port by name ("" for the broker's); None where there is no way."""


def addresses(system: SystemFile, port_of: PortOf) -> dict[str, str]:
    """Every `{name.url}`, `.host`, `.port`, `.urls` and `{name.PORT...}` for which `port_of` knows a way."""
    values = _of(BROKER, "nats", system.nodes(), "", port_of)
    for name, service in system.services.items():
        for number, port in enumerate(service.ports):
            found = _of(f"{name}.{port}", "http", system.replicas(name), port, port_of)
            values |= found
            if number == 0:
                values |= {f"{name}{key.removeprefix(f'{name}.{port}')}": value for key, value in found.items()}
    return values


def _of(prefix: str, scheme: str, targets: list[str], port: str, port_of: PortOf) -> dict[str, str]:
    ports = [port_of(target, port) for target in targets]
    known = [number for number in ports if number is not None]
    values = {}
    if ports and ports[0] is not None:
        first = str(ports[0])
        values = {
            f"{prefix}.url": f"{scheme}://{LOOPBACK}:{first}",
            f"{prefix}.host": LOOPBACK,
            f"{prefix}.port": first,
        }
    if known and len(known) == len(ports):
        values[f"{prefix}.urls"] = ",".join(f"{scheme}://{LOOPBACK}:{number}" for number in known)
    return values
