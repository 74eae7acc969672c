"""The tables of a system file but for its services', one class each. Field names are the file's own.

One exception: a request's `json` is the field `body` here, since pydantic's models have a `json` of their own.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from harness.system._values import (
    Clause,
    Count,
    Duration,
    EffectsPromise,
    HeaderName,
    HttpUrl,
    JsonPath,
    Name,
    NatsUrl,
    OneSubject,
    Rate,
    Seconds,
    Share,
    Statuses,
    StreamName,
    Subject,
    Subjects,
    SyncInterval,
    Texts,
    Values,
    Variable,
    Version,
    Word,
    as_tuple,
)
from harness.system.placeholders import PAD, names, strings

MOST_PROCESSES = 16
KINDS = ("http-async", "http", "jetstream", "request", "core", "locust")


class Table(BaseModel):
    """Frozen, no unknown keys, nothing taken for another type ("30" is no number)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# ---- broker and streams -------------------------------------------------------------------------------------------


class SystemTable(Table):
    """`[system]`: its name, which is the report's."""

    name: Name


class BrokerStore(Table):
    """`broker.jetstream`: how the store is kept. `sync_interval` goes to the broker as it is ("2m", "always")."""

    sync_interval: SyncInterval = "2m"


class Connect(Table):
    """`broker.connect`: how the harness itself connects; exactly one of user and password, token, creds (a file)."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds: str | None = None


class Broker(Table):
    """`[broker]`: a pinned version (process runtime) or a registry's image (containers)."""

    version: Version | None = None
    image: str | None = None
    nodes: Count = 1
    jetstream: BrokerStore = BrokerStore()
    include: str | None = None
    connect: Connect | None = None


class Stream(Table):
    """`[streams.NAME]`: made by the harness before the services start. A limit that is None is the broker's own."""

    subjects: Subjects
    retention: Literal["limits", "interest", "workqueue"] = "limits"
    storage: Literal["file", "memory"] = "file"
    max_msgs: Count | None = None
    max_msgs_per_subject: Count | None = None
    max_bytes: Count | None = None
    max_msg_size: Count | None = None
    max_age: Duration | None = None
    discard: Literal["old", "new"] = "old"
    discard_new_per_subject: bool = False
    duplicate_window: Duration | None = None

    def limits(self) -> dict[str, float]:
        """The limits that the file names, by the broker's names for them; times in seconds."""
        named = ("max_msgs", "max_msgs_per_subject", "max_bytes", "max_msg_size", "max_age", "duplicate_window")
        return {name: value for name in named if (value := getattr(self, name)) is not None}


# ---- work ---------------------------------------------------------------------------------------------------------


class Request(Table):
    """One HTTP request; every text in it is a template. `body` is the file's `json`; None sends no body."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: HttpUrl
    headers: dict[str, str] = {}
    body: JsonValue = Field(default=None, alias="json")


class Prepare(Table):
    """`[[prepare]]`: made once the system is ready; `keep` maps a new placeholder to where in the answer it is."""

    request: Request
    keep: dict[Word, JsonPath] = {}


class Submit(Request):
    """How one operation is offered: which statuses promise (`accepted`), which certainly do not (`refused`).

    `ref` is where the answer tells the system's id; an accepted answer without it is no promise.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    accepted: Annotated[Statuses, Field(min_length=1)]
    refused: Statuses = ()
    ref: JsonPath | None = None


class Poll(Table):
    """How an accepted operation is asked after. `done` and `failed`: JSONPath -> values, one of which it must equal."""

    url: HttpUrl
    headers: dict[str, str] = {}
    every_s: Seconds = 0.2
    done: Annotated[dict[JsonPath, Values], Field(min_length=1)]
    failed: dict[JsonPath, Values] = {}
    gone: Statuses = ()
    proof: dict[JsonPath, str] = {}


class _Finds(Table):
    op: JsonPath | None = None
    ref: JsonPath | None = None


class Effects(_Finds):
    """Where effects are enumerated: an HTTP `url`, a `command` that prints JSON lines, or a `stream`; exactly one.

    `each` is where the records of a url's answer are; a line of a command and a message of a stream is one record.
    """

    url: HttpUrl | None = None
    command: Texts | None = None
    stream: StreamName | None = None
    each: JsonPath | None = None
    next: JsonPath | None = None
    by: JsonPath | None = None
    begun: JsonPath | None = None
    finished: JsonPath | None = None
    attempt: JsonPath | None = None
    repeat: JsonPath | None = None


class Dead(_Finds):
    """Where dead letters arrive, and where in each our id (`op`) or the system's (`ref`) is found.

    `reason` and `payload` are where each says why it could not be handled, and what that was; `attempt` the number of
    its last delivery.
    """

    subject: Subject
    reason: JsonPath | None = None
    payload: JsonPath | None = None
    attempt: JsonPath | None = None


class Tap(_Finds):
    """A subject to listen to, and which step of an operation a message there shows."""

    subject: Subject
    step: Literal["published", "delivered", "effect", "result", "failure", "dead_letter"]


class _Work(Table):
    usual: bool = True
    answers_s: Seconds = 2.0
    results_s: Seconds = 10.0
    effects: Effects | None = None
    dead: Dead | None = None
    taps: Annotated[tuple[Tap, ...], BeforeValidator(as_tuple)] = ()

    @property
    def padded(self) -> bool:
        """Whether what is offered has a place for padding."""
        offered = [getattr(self, part, None) for part in ("submit", "publish")]
        return any(PAD in names(text) for part in offered if part for text in strings(part.model_dump()))

    @property
    def ends_by_effect(self) -> bool:
        """Whether the effects alone tell what became of what was accepted: nobody polls, reads or consumes it."""
        answered = self.kind in ("http", "request", "locust")  # type: ignore[attr-defined]
        return answered and self.effects is not None and getattr(self, "poll", None) is None


class _Workload(_Work):
    rate: Rate


class HttpAsync(_Workload):
    """A request is answered with a reference, and its result is polled. `rate` is operations a second."""

    kind: Literal["http-async"]
    submit: Submit
    poll: Poll


class Http(_Workload):
    """A request is answered, and that is all that is asked; `rate` is operations a second."""

    kind: Literal["http"]
    submit: Submit


class Publish(Table):
    """What is published over NATS: `url` of the broker, one subject, and the message; every text is a template.

    The payload is `body` (the file's `json`) or the text `payload`, and with neither {"op": "{op}"}.
    """

    url: NatsUrl
    subject: OneSubject
    body: JsonValue = Field(default=None, alias="json")
    payload: str | None = None
    headers: dict[HeaderName, str] = {}


class JetStream(_Workload):
    """A message is published to `stream` and its acknowledgement awaited; `consume`: our own consumer takes it."""

    kind: Literal["jetstream"]
    publish: Publish
    stream: StreamName
    consume: bool = False


class NatsRequest(_Workload):
    """A message is published and the first reply to it awaited."""

    kind: Literal["request"]
    publish: Publish


class Core(_Workload):
    """A message is published, and nobody says what became of it."""

    kind: Literal["core"]
    publish: Publish


class Locust(_Work):
    """A team's own locustfile, as it is; `file` is its path, taken from the system file's folder.

    `host` and `env` are templates: Locust's host, and variables of its process. A request whose answer has a status in
    `refused` was certainly not accepted. `poll` asks after the requests whose context carries `op`, which is {ref}.
    """

    kind: Literal["locust"]
    file: str
    users: Count = 1
    spawn_rate: Rate = 100.0
    host: HttpUrl | None = None
    env: dict[Variable, str] = {}
    refused: Statuses = ()
    poll: Poll | None = None

    rate: ClassVar[float] = 0.0
    """A closed loop: its users decide when they ask, so that no arrival is intended."""


Workload = Annotated[
    HttpAsync | Http | JetStream | NatsRequest | Core | Locust,
    Field(discriminator="kind"),
]


class LoadTable(Table):
    """`[load]`: how the work is offered; so many `processes` of Locust's carry the kinds that are ours."""

    processes: Annotated[Count, Field(le=MOST_PROCESSES)] = 1


# ---- promises, measures, states -----------------------------------------------------------------------------------


class Promises(Table):
    """`[promises]`: bounds in seconds; `effects`: "exactly-once", "at-least-once" or "at-most=N"; `failed` a share.

    `redelivers_s` is by default what NATS waits for an acknowledgement, and 2 s.
    """

    notices_s: Seconds = 5.0
    reconnects_s: Seconds = 5.0
    works_s: Seconds = 5.0
    drains_s: Seconds = 15.0
    stops_s: Seconds = 10.0
    settles_s: Seconds = 20.0
    redelivers_s: Seconds = 32.0
    attempts: Count | None = None
    effects: EffectsPromise = "exactly-once"
    failed: Share = 0.0

    def effects_bounds(self) -> tuple[int, int | None]:
        """Least and most effects of an accepted operation; None: no upper bound."""
        if self.effects == "exactly-once":
            return 1, 1
        if self.effects == "at-least-once":
            return 1, None
        return 0, int(self.effects.removeprefix("at-most="))


class Hardening(Table):
    """`[hardening]`: the variable that every service gets, the measures' names, and which needs which others on.

    `removes` is measure -> the weaknesses that it removes: what shows in a state's `exposes`, and is gone with it.
    """

    variable: Variable
    switches: Annotated[tuple[Name, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    needs: dict[str, Texts] = {}
    removes: dict[str, Texts] = {}


class State(Table):
    """`[states.NAME]`: the measures that are on, and what is then expected.

    `exposes` is scenario -> weakness -> the clause that must be violated. `settles_s` overrides the promise.
    """

    hardening: str | None = None
    expect: Literal["holds", "exposed"] = "holds"
    settles_s: Seconds | None = None
    exposes: dict[str, dict[str, Clause]] = {}
