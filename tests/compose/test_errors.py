"""What a compose file has to be for `init`: what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.starting._compose import read
from harness.starting._system_file import made_from

NATS = "  nats:\n    image: nats\n"
WEB = "  web:\n    image: web\n"

CASES = {
    "not YAML": (
        "services:\n  nats: [\n",
        r"compose\.yml:3: not YAML: .*\n  fix: correct the file",
    ),
    "a tab": (
        "services:\n\tnats: {}\n",
        r"compose\.yml:2: not YAML: .*cannot start any token",
    ),
    "empty": ("", r"compose\.yml: not a compose file: no table of services"),
    "a list": ("- nats\n", r"compose\.yml: not a compose file"),
    "no services": ("volumes: {data: }\n", r"compose\.yml:1: no services\n  fix: give it services:"),
    "empty services": ("x-a: 1\nservices:\n", r"compose\.yml:2: no services"),
    "a service that is none": (f"services:\n{NATS}  web: web:1\n", r"compose\.yml:4: services\.web should be a table"),
    "a key twice": (
        f"services:\n{NATS}  nats:\n    image: nats\n",
        r"compose\.yml:4: nats is there twice\n  fix: leave one",
    ),
    "an alias in itself": (
        f"services:\n{NATS}    labels: &me [*me]\n",
        r"compose\.yml:4: (not YAML: .*|an alias stands inside what it repeats)",
    ),
    "a merge of no mapping": (
        f"x-a: &a [1]\nservices:\n{NATS}    <<: *a\n",
        r"compose\.yml:\d: << merges mappings alone",
    ),
    "include": (
        f"include: [other.yml]\nservices:\n{NATS}",
        r"compose\.yml:1: include is not followed\n  fix: write the whole",
    ),
    "extends": (
        f"services:\n{NATS}{WEB}    extends: {{file: base.yml, service: web}}\n",
        r"compose\.yml:6: services\.web\.extends is not followed\n  fix: write the whole",
    ),
    "no broker": (
        f"services:\n{WEB}  db:\n    image: postgres\n",
        r"compose\.yml: no NATS broker among web, db\n  fix: one service should have image: nats",
    ),
    "NATS Streaming": (
        "services:\n  stan:\n    image: nats-streaming:0.25\n",
        r"compose\.yml:2: stan is NATS Streaming, which is another protocol than JetStream\n  fix: move to",
    ),
    "two brokers": (
        f"services:\n{NATS}  other:\n    image: bitnami/nats:2\n",
        r"compose\.yml:4: 2 brokers: nats \(line 2\) and other \(line 4\)\n  fix: leave one",
    ),
    "a variable without a value": (
        f"services:\n{NATS}{WEB}    ports: ['$HTTP_PORT:3000', '${{HTTP_PORT}}']\n",
        r"compose\.yml:6: services\.web\.ports: HTTP_PORT has no value\n  fix: add HTTP_PORT=\.\.\. to the \.env file",
    ),
    "a ${ that is not closed": (
        f"services:\n{NATS}{WEB}    command: run ${{MODE\n",
        r"compose\.yml:6: an unknown form of \$\{MODE\.\.\.} in .*\n  fix: write \$\{NAME}",
    ),
    "a default that is not closed": (
        f"services:\n{NATS}{WEB}    command: run ${{MODE:-x\n",
        r"compose\.yml:6: a \$\{ that is not closed",
    ),
    "a $ alone": (
        f"services:\n{NATS}{WEB}    command: costs 5$ a day\n",
        r"compose\.yml:6: a \$ that begins no variable",
    ),
    "a form that compose has not": (
        f"services:\n{NATS}{WEB}    command: run ${{MODE/a/b}}\n",
        r"compose\.yml:6: an unknown form of",
    ),
    "no name": (f"services:\n{NATS}{WEB}    command: '${{}}'\n", r"compose\.yml:6: a \$\{ without a name"),
    "no port": (
        f"services:\n{NATS}{WEB}    ports: [http]\n",
        r"compose\.yml:6: services\.web\.ports: 'http' is no port",
    ),
    "a port too high": (f"services:\n{NATS}{WEB}    expose: [70000]\n", r"compose\.yml:6: .*'70000' is no port"),
    "a long port without a target": (
        f"services:\n{NATS}{WEB}    ports: [{{published: 80}}]\n",
        r"compose\.yml:6: services\.web\.ports: no target",
    ),
    "an open quote": (
        f"services:\n{NATS}{WEB}    command: run 'it\n",
        r"compose\.yml:6: services\.web\.command: No closing",
    ),
    "an env file that is not there": (
        f"services:\n{NATS}{WEB}    env_file: web.env\n",
        r"compose\.yml:6: services\.web\.env_file: no such file: .*web\.env",
    ),
    "a table where a text is wanted": (
        f"services:\n{NATS}{WEB}    environment: {{A: {{b: c}}}}\n",
        r"compose\.yml:6: services\.web: a text is wanted here",
    ),
    "no image": (f"services:\n{NATS}  web:\n    command: web\n", r"compose\.yml:4: services\.web: no image or build\n"),
    "an image misspelt": (
        f"services:\n{NATS}  web:\n    command: web\n    imge: web\n",
        r"compose\.yml:6: services\.web: no image or build\n  fix: imge: did you mean `image`\?",
    ),
    "an environment that is a number": (
        f"services:\n{NATS}{WEB}    environment: 5\n",
        r"compose\.yml:6: services\.web\.environment is no table or list\n  fix: write NAME: value",
    ),
    "no time to stop": (
        f"services:\n{NATS}{WEB}    stop_grace_period: 0s\n",
        r"compose\.yml:6: services\.web\.stop_grace_period: 0s, and the harness asks before it kills\n  fix: write 1s",
    ),
    "no duration": (
        f"services:\n{NATS}{WEB}    stop_grace_period: soon\n",
        r"compose\.yml:6: services\.web\.stop_grace_period: 'soon' is no duration",
    ),
    "replicas that are no number": (
        f"services:\n{NATS}{WEB}    deploy: {{replicas: many}}\n",
        r"compose\.yml:6: services\.web: 'many' replicas",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_error(case: str, tmp_path: Path) -> None:
    text, expected = CASES[case]
    (tmp_path / "compose.yml").write_text(text)
    with pytest.raises(UsageError, match=expected):
        made_from(read(tmp_path / "compose.yml"), tmp_path)


def test_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").touch()
    expected = r"compose\.yaml: cannot be read: No such file or directory\n  fix: did you mean 'docker-compose\.yml'"
    with pytest.raises(UsageError, match=expected):
        read(tmp_path / "compose.yaml")


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"compose\.yml: not UTF-8"):
        read(tmp_path / "compose.yml")
