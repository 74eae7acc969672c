"""logging: every event is one line of JSON on stdout, with its time, its level, and to what it happened.

What libraries log in the standard library's way becomes such a line, too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from telhawk.events import Event, Kind, request_id
from telhawk.settings import Settings

LEVELS: Mapping[Kind, int] = {
    "lost": logging.WARNING,
    "returned": logging.INFO,
    "connected": logging.INFO,
    "not connected": logging.WARNING,
    "broker error": logging.WARNING,
    "handler failed": logging.ERROR,
    "no broker": logging.WARNING,
    "process failed": logging.ERROR,
}
TEXT_MOST = 2000
HIDDEN = "***"

# User info in a URL, a token in a header, and what is named like a secret.
_SECRETS = re.compile(
    r"(?<=://)[^\s/@]+(?=@)"
    r"|(?<=\bbearer )[^\s\"']+"
    r"|(?<=\bbasic )[^\s\"']+"
    r"|(?<=\btoken=)[^\s&\"']+"
    r"|(?<=\bpassword=)[^\s&\"']+",
    re.IGNORECASE,
)


class Lines(logging.Formatter):
    """One line of JSON for each record, in ASCII: no control character of a payload reaches a terminal, or ends a line.

    `secrets` are hidden wherever they occur.
    """

    def __init__(self, service: str, replica: str, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._service = {"service": service, "replica": replica}
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """time, level, service and replica, what it is about, request_id where one is known, and event."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            **self._service,
            **{name: self._hide(value)[:TEXT_MOST] for name, value in getattr(record, "about", {}).items()},
        }
        if known := request_id.get():
            line["request_id"] = known
        line["event"] = self._hide(record.getMessage())[:TEXT_MOST]
        if record.exc_info:
            line["traceback"] = self._hide(self.formatException(record.exc_info))[-TEXT_MOST:]
        return json.dumps(line)

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _SECRETS.sub(HIDDEN, text)


class Log:
    """Says events on stdout."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._handler = _Stdout()
        self._handler.setFormatter(Lines(service, settings.replica, (settings.nats_password, settings.nats_token)))
        self._logger = logging.Logger(f"telhawk.{service}", logging.INFO)
        self._logger.addHandler(self._handler)

    def say(self, event: Event) -> None:
        """Write the line, at once."""
        self._logger.log(LEVELS[event.kind], "%s", event.text, extra={"about": {"kind": event.kind, **event.about}})

    def take_over(self) -> None:
        """From now on, what this process logs elsewhere is said here, from warnings on."""
        logging.basicConfig(handlers=[self._handler], level=logging.WARNING, force=True)


class _Stdout(logging.StreamHandler[TextIO]):
    """Whatever stdout is at the moment."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)
