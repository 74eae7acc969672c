"""Tokens that carry their own proof, so that they outlive a restart."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

ACCESS_S = 24 * 3600
REFRESH_S = 7 * 24 * 3600


class Tokens:
    """Makes and checks the tokens of one user."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._key = hashlib.sha256(json.dumps([user, password]).encode()).digest()

    def knows(self, user: str, password: str) -> bool:
        """Whether these are the user's name and password."""
        given, right = json.dumps([user, password]), json.dumps([self._user, self._password])
        return hmac.compare_digest(given.encode(), right.encode())

    def pair(self) -> dict[str, object]:
        """An access token and a refresh token."""
        return {
            "access_token": self._make("access", ACCESS_S),
            "refresh_token": self._make("refresh", REFRESH_S),
            "expires_in": ACCESS_S,
            "token_type": "Bearer",
        }

    def valid(self, token: str, kind: str) -> bool:
        """Whether `token` is of this kind, ours, and not expired."""
        claims, _, signature = token.encode(errors="replace").partition(b".")
        if not hmac.compare_digest(signature, self._sign(claims)):
            return False
        read = json.loads(base64.urlsafe_b64decode(claims))
        return bool(read["kind"] == kind and read["until"] > time.time())

    def _make(self, kind: str, lives_s: float) -> str:
        claims = {"user": self._user, "kind": kind, "until": time.time() + lives_s}
        text = base64.urlsafe_b64encode(json.dumps(claims).encode())
        return f"{text.decode()}.{self._sign(text).decode()}"

    def _sign(self, text: bytes) -> bytes:
        return base64.urlsafe_b64encode(hmac.digest(self._key, text, "sha256"))
