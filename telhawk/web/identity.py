"""Who calls: tokens are validated by the authenticate service, over HTTP."""

from __future__ import annotations

import time
from typing import Any

from telhawk.calls import Caller, CallError
from telhawk.wire import Malformed, encode, parse

# A token that was valid is trusted for a while, so that not every request costs a call.
TRUSTED_S = 300.0
TRUSTED_MOST = 1000


class Unreachable(Exception):
    """The authenticate service did not answer."""


class Identity:
    """The authenticate service, seen from web."""

    def __init__(self, caller: Caller, url: str) -> None:
        self._caller = caller
        self._url = f"{url}/api/v1/auth"
        self._trusted: dict[str, float] = {}

    async def login(self, body: object) -> tuple[int, Any]:
        """The status and the JSON with which authenticate answers. Raises Unreachable."""
        return await self._post("login", body)

    async def valid(self, authorization: str) -> bool:
        """Whether an Authorization header carries a valid token. Raises Unreachable."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return False
        if self._trusted.get(token, 0.0) > time.monotonic():
            return True
        status, answer = await self._post("validate", {"token": token.encode(errors="replace").decode()})
        if status != 200 or answer.get("valid") is not True:
            return False
        if len(self._trusted) >= TRUSTED_MOST:
            self._trusted.clear()
        self._trusted[token] = time.monotonic() + TRUSTED_S
        return True

    async def _post(self, route: str, body: object) -> tuple[int, Any]:
        try:
            answer = await self._caller.post(f"{self._url}/{route}", encode(body), {})
            said = parse(answer.body)
        except (CallError, Malformed) as error:
            raise Unreachable(f"authenticate: {error}") from error
        if answer.status >= 500:
            raise Unreachable(f"authenticate: status {answer.status}")
        return answer.status, said
