"""What is under test, as data: the system file, read and checked. Nothing here starts anything."""

from harness.system.loader import env_values, load_system, ready_systems, resolve_hardening, secrets
from harness.system.model import (
    BROKER,
    DEFAULT_STATE,
    LOAD,
    Exposure,
    HttpAsync,
    JetStream,
    LinkSpec,
    Role,
    State,
    SystemFile,
)

__all__ = [
    "BROKER",
    "DEFAULT_STATE",
    "LOAD",
    "Exposure",
    "HttpAsync",
    "JetStream",
    "LinkSpec",
    "Role",
    "State",
    "SystemFile",
    "env_values",
    "load_system",
    "ready_systems",
    "resolve_hardening",
    "secrets",
]
