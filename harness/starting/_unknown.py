"""What a service is given that may be an address, but leads to none of the services as far as the file tells."""

from __future__ import annotations

import re

from harness.starting._addresses import Directory
from harness.starting._interpolation import looks_secret, variables
from harness.starting._services import Service

_NATS = re.compile(r"nats", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:^|_)(?:URLS?|URI|DSN|HOST|HOSTNAME|ADDR|ADDRESS|SERVERS?|ENDPOINT|BROKERS?)$", re.IGNORECASE)


def nats_addresses(service: Service, directory: Directory) -> list[str]:
    """Why a service talks to a NATS server that is not known: one text for each address, for a TODO."""
    found: list[str] = []
    for text in service.texts:
        for address in directory.elsewhere(text):
            found.append(
                f"{address} leads to no service of the compose file: write {{broker.url}} where the broker is meant;"
                " what stays is no link to break"
            )
    found += [_from_the_shell(name, text) for name, text in _asked(service) if _NATS.search(name + text)]
    found += [_from_the_shell(name, f"{{env:{name}}}") for name in service.unset if _means_an_address(name)]
    return list(dict.fromkeys(found))


def other_addresses(service: Service) -> list[str]:
    """The same for variables that may be the address of any service."""
    return [
        f"{name} = {text} comes from the shell in compose: where it is the address of a service here, write that"
        " service's placeholder, such as {broker.url}"
        for name, text in _asked(service)
        if not _NATS.search(name + text)
    ]


def _from_the_shell(name: str, text: str) -> str:
    form = "host" if name.upper().endswith(("HOST", "HOSTNAME")) else "url"
    return (
        f"{name} = {text} comes from the shell in compose: where it is the broker's address, write {{broker.{form}}};"
        " as it is there is no link to break"
    )


def _asked(service: Service) -> list[tuple[str, str]]:
    """Variables whose whole value is another one's that has no value, and that are addresses by their names."""
    return [
        (name, text)
        for name, text in service.env.items()
        if re.fullmatch(r"\{env:\w+\}", text)
        and not looks_secret(name)
        and (_ADDRESS.search(name) or _ADDRESS.search(variables(text)[0]))
    ]


def _means_an_address(name: str) -> bool:
    return bool(_NATS.search(name) and _ADDRESS.search(name))


def bare_names(service: Service, directory: Directory) -> dict[str, str]:
    """Words that are the name of another service and may be its address: word -> service."""
    words = [text for name, text in service.env.items() if not directory.host(name, text)]
    words += service.words[1:]
    words += [host for text in service.words for host in directory.in_shell(text)]
    owners = {word: directory.owner(word) for word in words}
    return {word: owner for word, owner in owners.items() if owner and owner != service.name}
