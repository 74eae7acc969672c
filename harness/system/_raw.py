"""A system file's raw tables: whatever has the wrong type counts as absent, because the model has said so already."""

from __future__ import annotations

Raw = dict[str, object]


def table(data: object, *keys: str) -> Raw:
    """The table at `keys`; an empty one where there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def tables(data: object, *keys: str) -> dict[str, Raw]:
    """The tables in the table at `keys`, by name."""
    return {name: found for name, found in table(data, *keys).items() if isinstance(found, dict)}


def items(data: object) -> list[object]:
    """A list; an empty one where it is something else."""
    return data if isinstance(data, list) else []


def texts(data: object) -> list[str]:
    """The texts in a list."""
    return [item for item in items(data) if isinstance(item, str)]
