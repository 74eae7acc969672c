"""The schema of a history: what an operation and a sighting are, and the fixed slots that they are kept in.

One file a writer; row n *is* operation n, so nothing is indexed and nothing is torn: a row lies in one page.

    ops-<writer>.rows     header, then 64 bytes an operation: ROW
    sights-<name>.rows    header, then 32 bytes a sighting: SIGHT
    *.strings             a line a text, written before its first use: "ref" (numbered from 1 among the refs),
                          ["workload", name], ["error", text], ["where", source, by] (each numbered from 1 in its table)
"""

from __future__ import annotations

import re
import secrets
import string
import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

VERSION = 1

# magic, version, flags, nonce, boot id, time namespace, writer (NO_WRITER for sightings)
HEADER = struct.Struct("<8sHH8s16sQI16x")
OPS_MAGIC, SIGHTS_MAGIC = b"nh-ops\r\n", b"nh-sig\r\n"
FLAGS_AT = 10  # where the header's flags lie
CLOSED, FULL = 1, 2  # the writer closed its files; it met a full disk

# intended, start, end (ns, 0 = none), seq, key (ref), size (bytes), writer, error, status, workload, kind, flags,
# stream, outcome last (kind and stream are reserved, 0)
ROW = struct.Struct("<qqqQIIIHHBBBB11xB")
# The same in the two parts that it is written in; what is 0 is padding, since each argument costs.
ROW_BEGUN = struct.Struct("<qq20xII4xB14xB")  # intended, start, size, writer, workload, outcome
ROW_END = struct.Struct("<qQIIIHHBxB12xB")  # from `end` on: without kind and stream
ROW_END_AT = 16
DUPLICATE = 1  # in a row's flags: JetStream answered that it knew the message

# n, key (ref), t_ns, seq, writer, where, attempt, step | PROVED
SIGHT = struct.Struct("<IIqQIHBB")
PROVED = 0x80

NO_WRITER = 0xFFFF_FFFF  # in a sighting: no operation is known
MAX_N = 0xFFFF_FFFF
MAX_WORKLOADS = 255
MAX_SHORT = 0xFFFF  # errors, wheres: what comes after is OTHERS
OTHERS = "(more than 65534 different texts)"


class Outcome(StrEnum):
    """ok: the system promised; fail: certainly not accepted; unknown: anything else, also begun and not finished."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


CODE_OF_OUTCOME = {Outcome.UNKNOWN: 1, Outcome.OK: 2, Outcome.FAIL: 3}  # 0: not begun
OUTCOME_OF_CODE = {code: outcome for outcome, code in CODE_OF_OUTCOME.items()}


class Step(IntEnum):
    """What an operation was seen doing. RESULT, FAILURE and DEAD_LETTER are terminal; str() is the lower-case name."""

    PUBLISHED = 1
    DELIVERED = 2
    EFFECT = 3  # one record of an execution: an observer writes one sighting a record, however often it reads it
    FINISHED = 4
    REPEAT = 5  # an effect that the system itself recognised as a repeat
    RESULT = 6  # terminal only if `proved`: it carried the operation's own marker
    FAILURE = 7
    DEAD_LETTER = 8
    GONE = 9  # a poll was answered: not known (any more)
    PENDING = 10  # a poll was answered: not done yet

    def __str__(self) -> str:
        return self.name.lower()


class OpId(NamedTuple):
    """An operation: n is dense from 0 in each writer, so that a set of ids is a bitmap. As text "7f3a9k2m-0-118"."""

    writer: int
    n: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One piece of offered work. Times are t_ns; `end_ns` None and outcome unknown: begun and never finished.

    `ref` is the system's own id for it; `seq` and `duplicate` are a PubAck's; `size` the payload's bytes.
    """

    id: OpId
    workload: str
    intended_ns: int
    start_ns: int
    end_ns: int | None
    outcome: Outcome
    ref: str | None = None
    seq: int = 0
    status: int = 0
    error: str = ""
    duplicate: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """An operation seen again by an observer or a poll, at `t_ns`.

    `op` is None where only the system's `ref` was seen. Both: what was found under `ref` carried the marker of `op`.
    `by` is the replica that did it, `attempt` the delivery's or execution's number (0 unknown, at most 255).
    """

    t_ns: int
    source: str
    op: OpId | None
    ref: str | None = None
    seq: int = 0
    attempt: int = 0
    by: str = ""
    proved: bool = False
    step: Step = Step.EFFECT

    @property
    def terminal(self) -> bool:
        """Whether it settles its operation: a proved result, an explicit failure or a dead letter."""
        if self.step is Step.RESULT:
            return self.proved
        return self.step is Step.FAILURE or self.step is Step.DEAD_LETTER


NONCE_LENGTH = 8
_ALPHABET = string.ascii_lowercase + string.digits
# Another run's marker: a nonce with a letter and a digit, standing alone, so that dates and UUIDs are none. What comes
# after the nonce is searched first: it begins with a letter of its own, so that a long text is passed over quickly.
_NUMBERS = re.compile(r"-\d+-\d+(?![\w-])", re.ASCII)
_NONCE = re.compile(r"(?:^|[^\w-])((?=\d*[a-z])(?=[a-z]*\d)[a-z0-9]{8})", re.ASCII)


def new_nonce() -> str:
    """A run's name: 8 characters of [a-z0-9], with at least one letter and one digit."""
    middle = "".join(secrets.choice(_ALPHABET) for _ in range(NONCE_LENGTH - 2))
    return secrets.choice(string.ascii_lowercase) + middle + secrets.choice(string.digits)


def marker(nonce: str, op: OpId) -> str:
    """The id that travels with an operation, in payload and header: "7f3a9k2m-0-118"."""
    return f"{nonce}-{op.writer}-{op.n}"


class Markers(NamedTuple):
    """What a text named: `ours` the operations of this run, `foreign` the markers of others; each once, in order."""

    ours: list[OpId]
    foreign: list[str]


def find_markers(nonce: str, text: str) -> Markers:
    """Searches a text (a payload, a JSON subtree) for markers, of this run and of others."""
    ours: dict[OpId, None] = {}
    for writer, n in re.findall(rf"{re.escape(nonce)}-(\d+)-(\d+)", text, re.ASCII):
        ours[OpId(int(writer[:20]), int(n[:20]))] = None  # a marker longer than any integer is still a phantom
    foreign = {
        f"{before[1]}{numbers[0]}": None
        for numbers in _NUMBERS.finditer(text)
        if (before := _NONCE.fullmatch(text, max(0, numbers.start() - NONCE_LENGTH - 1), numbers.start()))
        and before[1] != nonce
    }
    return Markers(list(ours), list(foreign))
