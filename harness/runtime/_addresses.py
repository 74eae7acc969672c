"""What address placeholders mean: by a source's links, or past the proxies."""

from __future__ import annotations

from collections.abc import Callable

from harness.runtime.contract import Address
from harness.system.model import BROKER, SystemFile

AddressOf = Callable[[str, str], Address | None]
"""What to dial for a target's port by name ("" for the broker's); None where there is no way."""


def addresses(system: SystemFile, address_of: AddressOf) -> dict[str, str]:
    """Every `{name.url}`, `.host`, `.port`, `.urls` and `{name.PORT...}` for which `address_of` knows a way."""
    values = _of(BROKER, "nats", system.nodes(), "", address_of)
    for name, service in system.services.items():
        for number, port in enumerate(service.ports):
            found = _of(f"{name}.{port}", "http", system.replicas(name), port, address_of)
            values |= found
            if number == 0:
                values |= {f"{name}{key.removeprefix(f'{name}.{port}')}": value for key, value in found.items()}
    return values


def _of(prefix: str, scheme: str, targets: list[str], port: str, address_of: AddressOf) -> dict[str, str]:
    found = [address_of(target, port) for target in targets]
    known = [address for address in found if address is not None]
    values = {}
    if found and found[0] is not None:
        host, number = found[0]
        values = {f"{prefix}.url": f"{scheme}://{host}:{number}", f"{prefix}.host": host, f"{prefix}.port": str(number)}
    if known and len(known) == len(found):
        values[f"{prefix}.urls"] = ",".join(f"{scheme}://{host}:{number}" for host, number in known)
    return values
