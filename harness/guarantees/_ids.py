"""Operations by number, and what was seen of them, as columns: for what must be judged by the million.

All operations of a history stand in one row, writer by writer, by n; what is known of one is a byte in an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from harness.history._columnar import ColumnarForm, pieces
from harness.history._columns import Array
from harness.history.reader import History
from harness.history.rows import NO_WRITER, OpId, Sighting, Step

OTHER, EFFECT, PROVED, FAILURE = 0, 1, 2, 3
"""What a sighting says: anything else, that it was done, that its result is proved, that it failed for good."""
SAYS_SQL = (
    f"(CASE WHEN step = 'effect' THEN {EFFECT} WHEN step = 'result' AND proved THEN {PROVED}"
    f" WHEN step IN ('failure', 'dead_letter') THEN {FAILURE} ELSE {OTHER} END)::UTINYINT AS says"
)
WHO_SQL = f"coalesce(writer, {NO_WRITER})::UINTEGER AS writer, coalesce(n, 0)::UINTEGER AS n"
_AT_ONCE = 100_000


class Ids:
    """All operations in one row: writer by writer, by n."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        self.writers = np.array(sorted(counts), np.int64)
        self.counts = np.array([counts[writer] for writer in sorted(counts)], np.int64)
        self.bases = np.concatenate([[0], np.cumsum(self.counts)])
        self.total = int(self.bases[-1])

    def indices(self, writer: Array, n: Array) -> tuple[Array, Array | None]:
        """The index of each, and which are of operations that were offered (None: all)."""
        if not self.total:
            return np.zeros(len(n), np.int64), np.zeros(len(n), np.bool_)
        if int(self.writers[-1]) == len(self.writers) - 1:  # as the load numbers them
            place = np.minimum(writer, len(self.writers) - 1).astype(np.intp)
        else:
            place = np.minimum(np.searchsorted(self.writers, writer), len(self.writers) - 1)
        offered = (self.writers.take(place) == writer) & (n < self.counts.take(place))
        return self.bases.take(place) + n, None if bool(offered.all()) else offered

    def first(self, writer: int) -> int:
        """The index of a writer's first operation."""
        return int(self.bases[np.searchsorted(self.writers, writer)])

    def places(self, indices: Array) -> tuple[Array, Array]:
        """The writer and n of each index."""
        writer = np.searchsorted(self.bases, indices, side="right") - 1
        return self.writers[writer], indices - self.bases[writer]

    def named(self, indices: Array) -> list[OpId]:
        """The operations at these indices."""
        return [OpId(*pair) for pair in zip(*(column.tolist() for column in self.places(indices)), strict=True)]


class Seen(NamedTuple):
    """Sightings of operations that were offered, as arrays: whose, when, and what they say."""

    indices: Array
    t_ns: Array
    says: Array


def resolved(form: ColumnarForm) -> str | None:
    """A source in which a ref stands for its operation, of several the first; None where each names its operation."""
    ((count,),) = form.rows("SELECT count(*) FROM (FROM sightings WHERE writer IS NULL AND ref IS NOT NULL LIMIT 1)")
    if not count:
        return None
    form.connection.execute(
        "CREATE OR REPLACE TABLE owners AS SELECT ref, min(writer::UBIGINT << 32 | n) AS id FROM operations"
        " WHERE ref IN (SELECT ref FROM sightings WHERE writer IS NULL) GROUP BY ref"
    )
    return (
        "(SELECT seen.* REPLACE (coalesce(writer, id >> 32) AS writer, coalesce(n, id & 4294967295) AS n)"
        " FROM $ seen LEFT JOIN owners ON writer IS NULL AND seen.ref = owners.ref)"
    )


def seen(history: History, ids: Ids) -> Iterator[Seen]:
    """What was seen of the operations that were offered, by t_ns, piece by piece."""
    form = history.form
    if not isinstance(form, ColumnarForm):
        yield from _seen_in_rows(history, ids)
        return
    query = f"SELECT {WHO_SQL}, t_ns, {SAYS_SQL} FROM {resolved(form) or '$'}"
    for _, columns in form.each(query, form.sightings_files):
        for piece in pieces(len(columns["n"])):
            indices, offered = ids.indices(columns["writer"][piece], columns["n"][piece])
            found = Seen(indices, columns["t_ns"][piece], columns["says"][piece])
            yield found if offered is None else Seen(*(column[offered] for column in found))


def _seen_in_rows(history: History, ids: Ids) -> Iterator[Seen]:
    owners: dict[str, OpId] = {}
    for operation in history.operations():
        if operation.ref is not None:
            owners.setdefault(operation.ref, operation.id)
    sightings = history.sightings(Step.EFFECT, Step.RESULT, Step.FAILURE, Step.DEAD_LETTER)
    while block := list(islice(sightings, _AT_ONCE)):
        told = [(s.op or owners.get(s.ref or "") or OpId(NO_WRITER, 0), s.t_ns, _says(s)) for s in block]
        writer, n = (np.array([op[i] for op, *_ in told], np.int64) for i in (0, 1))
        indices, offered = ids.indices(writer, n)
        found = Seen(indices, np.array([one[1] for one in told]), np.array([one[2] for one in told], np.uint8))
        yield found if offered is None else Seen(*(column[offered] for column in found))


def _says(sighting: Sighting) -> int:
    if sighting.step is Step.EFFECT:
        return EFFECT
    if sighting.step is Step.RESULT:
        return PROVED if sighting.proved else OTHER
    return FAILURE
