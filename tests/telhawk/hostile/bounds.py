"""How many hostile inputs are made up, and how: the same ones each time, and as many as a test has time for.

NATS_HARNESS_HOSTILE=20 makes up twenty times as many, and others each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

WIDER = int(os.environ.get("NATS_HARNESS_HOSTILE", "1"))

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["<script>alert(1)</script>", "\x1b[31m", "\x00", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
    ),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def bounded(examples: int) -> settings:
    """So many examples, or WIDER times as many."""
    return settings(
        max_examples=examples * WIDER,
        derandomize=WIDER == 1,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
