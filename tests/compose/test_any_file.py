"""Whatever a compose file holds, what is made of it loads, and a written-out address of the broker is a link."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.starting._compose import read
from harness.starting._system_file import made_from
from harness.starting.init import SYSTEM_FILE
from harness.system import _toml
from harness.system.loader import load_system

JSON = dict[str, object]
NAMES = ["web", "Web_2", "worker-1", "store", "load", "port", "a.b", "9lives", "broker", "search"]
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12).map(
    lambda text: text.replace("$", "$$")
)
ADDRESSES = st.sampled_from(
    ["nats://nats:4222", "nats:4222", "nats", "tls://u:p@nats:4222", "http://nats:8222/healthz", "nats://nats:4222,x:1"]
    + [form.format(name) for name in NAMES for form in ("http://{}:8080/v1", "{}:9000", "redis://{}", "http://{}:81")]
)
TEXTS = st.one_of(WORDS, ADDRESSES, st.sampled_from(["{}", "{a", "}}", "${X:-{y}}", "${X}", "${DB_PASSWORD}", "8080"]))
VARIABLES = st.sampled_from(
    ["NATS_URL", "NATS_HOST", "NATS_PORT", "PORT", "LISTEN_ADDR", "a.b", "DB_PASSWORD", "Ünder"]
)
PORTS = st.sampled_from(
    ["3000", "127.0.0.1:80:8080", "9000-9002:9000-9002", 8080, {"target": 81, "published": 1}, "5/udp"]
)
HEALTH = st.sampled_from(
    [
        "curl http://localhost:8080/ready || exit 1",
        ["CMD", "wget", "http://127.0.0.1"],
        ["CMD-SHELL", "pg_isready"],
        ["NONE"],
    ]
)


@st.composite
def services(draw: st.DrawFn) -> JSON:
    found: JSON = {"image": draw(st.sampled_from(["web", "acme/web:1", "x.example:5000/web@sha256:00", "web:${TAG}"]))}
    env = draw(st.dictionaries(VARIABLES, TEXTS, max_size=4))
    found["environment"] = env if draw(st.booleans()) else [f"{name}={text}" for name, text in env.items()]
    found["command"] = draw(st.lists(TEXTS, max_size=3))
    found["ports"] = draw(st.lists(PORTS, max_size=3))
    found["depends_on"] = draw(st.lists(st.sampled_from(["nats", *NAMES]), max_size=2, unique=True))
    found["volumes"] = draw(st.sampled_from([[], ["data:/data"], ["./x:/etc/x"], ["/anonymous"]]))
    if draw(st.booleans()):
        found["healthcheck"] = {"test": draw(HEALTH)}
    if draw(st.booleans()):
        found["deploy"] = {"replicas": draw(st.integers(0, 3))}
    if draw(st.booleans()):
        found["stop_grace_period"] = draw(st.sampled_from(["10s", "1m", "1h5s", "500ms", ""]))
    return found


@given(st.text(st.one_of(st.sampled_from('"\\\n\r\t\x7f{}'), st.characters(exclude_categories=["Cs"]))))
def test_a_text_comes_back_out_of_toml(text: str) -> None:
    assert tomllib.loads(f"a = {_toml.text(text)}\nb = {_toml.lines(text)}\n") == {"a": text, "b": text}
    assert tomllib.loads(f"{_toml.key(text)} = 1") == {text: 1}


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), services(), max_size=4))
def test_what_is_made_loads(others: dict[str, JSON]) -> None:
    web = {"image": "acme/first", "environment": {"BUS": "nats://nats:4222"}}
    compose = {"services": {"nats": {"image": "nats:2.12.8"}, "first": web, **others}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "compose.yml").write_text(yaml.safe_dump(compose), "utf-8")
        (folder / SYSTEM_FILE).write_text(made_from(read(folder / "compose.yml"), folder).text, "utf-8")
        system = load_system(folder / SYSTEM_FILE)
    assert system.services["first"].env == {"BUS": "{broker.url}"}
    assert ("first-0", "broker-0") in {(link.source, link.target) for link in system.links()}
