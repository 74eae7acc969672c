"""`python -m telhawk.authenticate`."""

from __future__ import annotations

from telhawk.authenticate.tokens import Tokens
from telhawk.plainhttp import Answer, JsonServer, Refusal, Request
from telhawk.settings import Settings, load


def server(settings: Settings) -> JsonServer:
    """The service, listening. Raises OSError when the port cannot be had."""
    tokens = Tokens(settings.user, settings.password)

    def login(request: Request) -> Answer:
        user, password = _texts(request, "username", "password")
        if not tokens.knows(user, password):
            raise Refusal(401, "unauthorized", "unknown user or wrong password")
        return 200, tokens.pair()

    def validate(request: Request) -> Answer:
        (token,) = _texts(request, "token")
        if not tokens.valid(token, "access"):
            return 200, {"valid": False, "user_id": None, "roles": []}
        return 200, {"valid": True, "user_id": settings.user, "roles": ["analyst"]}

    def refresh(request: Request) -> Answer:
        (token,) = _texts(request, "refresh_token")
        if not tokens.valid(token, "refresh"):
            raise Refusal(401, "unauthorized", "not a valid refresh token")
        return 200, tokens.pair()

    routes = [
        ("GET", "/healthz", lambda _: (200, {"status": "ok"})),
        ("POST", "/api/v1/auth/login", login),
        ("POST", "/api/v1/auth/validate", validate),
        ("POST", "/api/v1/auth/refresh", refresh),
    ]
    return JsonServer(settings.host, settings.port, routes, lambda r: {"error": r.kind, "message": r.reason})


def _texts(request: Request, *names: str) -> list[str]:
    body = request.json()
    if not isinstance(body, dict) or body.keys() != set(names):
        raise Refusal(400, "bad_request", f"an object with {' and '.join(names)} is wanted")
    texts = [body[name] for name in names]
    if not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "bad_request", f"{' and '.join(names)}: texts are wanted")
    return texts


def main() -> None:
    """The process."""
    with server(load(port=8080)) as listening:
        listening.serve_forever()


if __name__ == "__main__":
    main()
