"""How long the body of a request may take to come, the same at every service."""

from __future__ import annotations

# Nobody who reads a body is told that no more will come, nor by aiohttp that a chunk of it is none.
BODY_WITHIN_S = 10.0


def late() -> str:
    """What is said of a body that did not come in time."""
    return f"the body did not come within {BODY_WITHIN_S:g} s"
