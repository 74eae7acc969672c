"""Schemathesis makes requests up from what each service says of itself, and holds the answers to it.

The documents are written by hand, in openapi/. They say what the hardened state answers: no status of 500 and above but
503, which is a problem with a type that says when to come back.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import yaml
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.telhawk.conftest import Stack

from .bounds import bounded
from .conftest import Addresses, started

OPENAPI = Path(__file__).with_name("openapi")
SERVICES = sorted(path.stem for path in OPENAPI.glob("*.yaml"))
BY_DOCUMENT: list[CheckFunction] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


def operations(service: str) -> list[Any]:
    document = yaml.safe_load((OPENAPI / f"{service}.yaml").read_text("utf-8"))
    schema = schemathesis.openapi.from_dict(document)
    return [operation for path in schema.values() for operation in path.values()]


def attack(service: str, url: str, token: str, *, examples: int = 120) -> None:
    """Asks what the document allows, and what it does not."""
    cases = [
        operation.as_strategy(generation_mode=mode)
        for operation in operations(service)
        for mode in (POSITIVE, NEGATIVE)
        if mode is POSITIVE or operation.body or operation.query or operation.path_parameters
    ]

    @bounded(examples)
    @given(case=st.one_of(cases))
    def asked(case: Any) -> None:
        checks = list(BY_DOCUMENT)
        if case.meta.generation.mode is NEGATIVE:
            checks.append(negative_data_rejection)
        response = case.call_and_validate(
            base_url=url, session=session, headers={"Authorization": f"Bearer {token}"}, checks=checks, timeout=5
        )
        seen.add(response.status_code)

    seen: set[int] = set()
    with requests.Session() as session:
        asked()
    assert seen >= {200, 400}, seen


@pytest.mark.parametrize("service", SERVICES)
async def test_each_answer_is_what_the_document_says(service: str, stack: Stack, addresses: Addresses) -> None:
    await asyncio.to_thread(attack, service, addresses[service], stack.token)
    assert (await stack.answered(await stack.submit("marker:after")))["status"] == "complete"


async def test_a_mistake_of_ours_is_found(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that takes what it is given for a query dies of it."""
    addresses = await started(stack, "all")
    monkeypatch.setattr("telhawk.wire.Query.of", lambda value: value["query"])
    with pytest.raises(FailureGroup, match="500"):
        await asyncio.to_thread(attack, "search", addresses["search"], stack.token)


async def test_a_refusal_without_a_type_is_found(stack: Stack) -> None:
    addresses = await started(stack, "all,-errors")
    with pytest.raises(FailureGroup, match="text/plain"):
        await asyncio.to_thread(attack, "web", addresses["web"], stack.token)
