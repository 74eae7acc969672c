"""Every mistake: its line, key and value, what is wrong and what to write.

Those of one place stand in mistakes.txt. A case swaps one piece of ORDERS; the line that is expected is the one where
the piece begins, counted in the text itself, plus `down`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from harness.errors import EXIT_USAGE, SystemFileError, UnknownName, UsageError
from harness.system import SystemFile, _checks, _places, load_system
from harness.system._lines import Lines
from harness.system._mistakes import listed
from harness.system.loader import _validated

from .orders import ORDERS

Mistakes = Callable[..., list[str]]
Load = Callable[..., SystemFile]


def _swapped(old: str, new: str, down: int = 0) -> tuple[str, int]:
    assert ORDERS.count(old) >= 1, f"{old!r} is not in ORDERS"
    at = ORDERS.index(old)
    return ORDERS.replace(old, new, 1), ORDERS[:at].count("\n") + 1 + down


def _only(mistakes: Mistakes, old: str, new: str, expected: str, *, down: int = 0, **options: object) -> None:
    text, line = _swapped(old, new, down)
    assert mistakes(text, **options) == [f"orders.toml:{line}: {expected}"]


def _cases() -> Iterator[tuple[str, str, int, str]]:
    """(old, new, down, expected) of each case in mistakes.txt."""
    for block in (Path(__file__).parent / "mistakes.txt").read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            parts = {mark: "\n".join(line[2:] for line in lines if line[0] == mark) for mark in "-+@="}
            yield parts["-"], parts["+"], int(parts["@"] or 0), parts["="]


CASES = list(_cases())


@pytest.mark.parametrize(("old", "new", "down", "expected"), CASES, ids=[expected for *_, expected in CASES])
def test_mistakes(mistakes: Mistakes, folder: Path, old: str, new: str, down: int, expected: str) -> None:
    _only(mistakes, old, new, expected.replace("FOLDER", str(folder)), down=down)


def test_an_empty_file_lacks_three_tables(mistakes: Mistakes) -> None:
    assert mistakes("") == [
        'orders.toml:1: system: missing; add a table [system] with name = "..."',
        'orders.toml:1: broker: missing; add a table [broker] with version = "2.12.8"',
        "orders.toml:1: workloads: missing; add a table [workloads.NAME], or no work would be offered",
    ]


def test_a_misspelled_key_is_not_missing_as_well(mistakes: Mistakes) -> None:
    expected = "services.authenticate.comand: unknown key; did you mean 'command'?"
    _only(mistakes, 'command = ["auth', 'comand = ["auth', expected)


PUBLISH = 'publish = { url = "{broker.url}", subject = "orders.new" }\n'
SUBMIT = 'submit = { url = "{web.url}/orders", accepted = [200], refused = [503] }\n'
OTHER_KINDS = {"http": SUBMIT, "request": PUBLISH, "core": PUBLISH}
EFFECTS = (
    'effects = { command = ["{python}", "q", "{store.url}", "{cursor}"], next = "$.n", op = "$.note" }\n',
    'effects = { stream = "DONE", op = "$.note", by = "$.who" }\n',
)


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("effects", EFFECTS)
def test_the_other_kinds_and_sources(load: Load, kind: str, effects: str) -> None:
    text = ORDERS + f'[workloads.other]\nkind = "{kind}"\nrate = 1\n{OTHER_KINDS[kind]}{effects}'
    system = load(text)
    assert system.workloads["other"].effects is not None
    to = "web-0" if kind == "http" else "broker-0"
    assert to in {link.target for link in system.links() if link.source == "load"}
    assert system.workloads["other"].ends_by_effect is (kind != "core")


def test_a_locustfile_that_is_not_there(mistakes: Mistakes, folder: Path) -> None:
    text = ORDERS + '[workloads.other]\nkind = "locust"\nfile = "locustfle.py"\n'
    where = f"orders.toml:{text.count(chr(10))}: workloads.other.file"
    assert mistakes(text) == [f'{where}: "locustfle.py": no such file in {folder}; its path is taken from there']


def test_the_only_workload_being_refused_is_one_mistake(mistakes: Mistakes) -> None:
    text = '[system]\nname = "x"\n[broker]\nversion = "2.12.8"\n[workloads.w]\nkind = "coer"\n'
    assert mistakes(text) == [
        "orders.toml:6: workloads.w.kind: \"coer\": no such kind of workload; did you mean 'core'?"
    ]


def test_an_unknown_kind(mistakes: Mistakes) -> None:
    expected = "workloads.messages.kind: \"jetstrem\": no such kind of workload; did you mean 'jetstream'?"
    _only(mistakes, 'kind = "jetstream"', 'kind = "jetstrem"', expected)


def test_an_image_does_without_a_command(load: Load) -> None:
    text, _ = _swapped('command = ["authenticate", "--port={port}"]', 'image = "auth"', -2)
    assert load(text).services["authenticate"].command == ()


def test_effects_without_a_source(mistakes: Mistakes) -> None:
    expected = "workloads.orders.effects: has no source; give exactly one, such as url"
    start = ORDERS.index("effects = {")
    line = ORDERS[start : ORDERS.index("\n", start)]
    _only(mistakes, line, 'effects = { op = "$.id" }', expected)


def test_a_need_of_nobody_is_told_beside_the_states_that_rest_on_it(mistakes: Mistakes) -> None:
    text, line = _swapped('dedup = ["outbox"]', 'dedup = ["outbx"]')
    assert mistakes(text)[0] == (
        f"orders.toml:{line}: hardening.needs.dedup[0]: \"outbx\": no switch has this name; did you mean 'outbox'?"
    )


def test_hardening_of_a_state_without_measures(mistakes: Mistakes) -> None:
    start, end = ORDERS.index("[hardening]"), ORDERS.index("[states.documented]")
    text = ORDERS[:start] + ORDERS[end:]
    line = ORDERS[:start].count("\n") + 2
    fix = "add a table [hardening] with variable and switches"
    assert mistakes(text) == [
        f'orders.toml:{line}: states.documented.hardening: "none": the file names no measures; {fix}',
        f'orders.toml:{line + 5}: states.hardened.hardening: "all": the file names no measures; {fix}',
    ]


def test_a_stream_that_nobody_makes(mistakes: Mistakes) -> None:
    text = '[system]\nname = "x"\n[broker]\nversion = "2.12.8"\n[streams.ONE]\nsubjects = ["s"]\n[workloads.w]\nkind = "jetstream"\nrate = 1\npublish = { url = "{broker.url}", subject = "s" }\nstream = "%s"\n'  # noqa: E501
    assert mistakes(text % "ONEE") == [
        "orders.toml:11: workloads.w.stream: \"ONEE\": nobody makes this stream; did you mean 'ONE'?"
    ]
    assert mistakes(text % "QQ") == [
        'orders.toml:11: workloads.w.stream: "QQ": nobody makes this stream; add a table [streams.QQ]'
    ]


def test_a_stream_of_the_services_own_is_taken_on_trust(load: Load) -> None:
    load(ORDERS.replace('stream = "ORDERS"', 'stream = "THEIRS"'))


@pytest.mark.parametrize("name", ["broker", "load", "port", "env", "web-0"])
def test_service_names_that_are_taken(mistakes: Mistakes, name: str) -> None:
    text = ORDERS + f'[services.{name}]\nrole = "dependency"\ncommand = ["x"]\n'
    assert (
        f"orders.toml:{ORDERS.count(chr(10)) + 1}: services.{name}: no service can be called {name}; "
        "nodes and placeholders of ours have such names"
    ) in mistakes(text)


def test_clauses_are_checked_where_they_are_known(load: Load, mistakes: Mistakes) -> None:
    clauses = {"no_loss", "reconnects.notices"}
    load(ORDERS, clauses=clauses)
    load(ORDERS.replace('M3 = "no_loss"', 'M3 = "no_los"'))
    expected = "states.documented.exposes.broker_crash.M3: \"no_los\": no such clause; did you mean 'no_loss'?"
    _only(mistakes, 'M3 = "no_loss"', 'M3 = "no_los"', expected, clauses=clauses)


def test_a_request_of_prepare_can_use_what_earlier_ones_kept(load: Load, mistakes: Mistakes) -> None:
    second = '[[prepare]]\nrequest = { url = "{web.url}/me", headers = { A = "{token}" } }\nkeep = { me = "$.id" }\n'
    load(ORDERS.replace("[workloads.orders]", f"{second}[workloads.orders]"))
    _only(
        mistakes,
        "[[prepare]]",
        f"{second}[[prepare]]",
        'prepare[0].request.headers.A: "{token}": unknown placeholder {token}; '
        "known here: {env:NAME}, {broker.url}, {store.url}, {authenticate.url}, {worker.url}, {web.url}",
        down=1,
    )


def test_braces_of_a_regular_expression_are_its_own(load: Load) -> None:
    ready = load(ORDERS.replace('ready = "/healthz"', 'ready = { log = "^up {2}$" }')).services["web"].ready
    assert ready is not None
    assert ready.log == "^up {2}$"


@pytest.mark.parametrize("environ", [{}, {"NATS_PASSWRD": "x"}])
def test_the_environment_is_asked_for_a_run_alone(load: Load, mistakes: Mistakes, environ: dict[str, str]) -> None:
    load(ORDERS, environ=environ)
    load(ORDERS, check_env=True, environ={"NATS_PASSWORD": "x"})
    text, line = _swapped("connect = {", "connect = {")
    assert mistakes(text, check_env=True, environ=environ) == [
        f"orders.toml:{line}: broker.connect.password: NATS_PASSWORD is not set in the environment; "
        "set it before the run: export NATS_PASSWORD=..."
    ]


def test_a_password_in_the_file_is_not_repeated(mistakes: Mistakes) -> None:
    text = ORDERS.replace('password = "{env:NATS_PASSWORD}"', 'password = "hunter2{"')
    assert not any("hunter2" in line for line in mistakes(text))


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(mistakes: Mistakes) -> None:
    text = (
        ORDERS.replace("nodes = 1", "node = 1")
        .replace("{store.url}", "{stor.url}")
        .replace("rate = 30", "rate = 0")
        .replace('hardening = "all"', 'hardening = "al"')
    )
    keys = [line.split(": ")[1] for line in mistakes(text)]
    assert keys == [
        "broker.node",
        "services.web.env.STORE_URL",
        "workloads.orders.rate",
        "workloads.orders.effects.url",
        "states.hardened.hardening",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[system\n", "orders.toml:1: not TOML (column 8): "),
        ('[system]\nname = "x"\nname = "y"\n', "orders.toml:3: not TOML (column 11): Cannot overwrite a value"),
        ("[system]\n\nname orders\n", "orders.toml:3: not TOML (column 6): "),
        ('[system]\r\n\r\nname = "x\r\n', "orders.toml:3: not TOML (column 10): "),
        ('[system]\nname = """x\n\n', "orders.toml:4: not TOML: "),
    ],
)
def test_what_is_not_toml(mistakes: Mistakes, text: str, expected: str) -> None:
    [line] = mistakes(text)
    assert line.startswith(expected)


def test_what_is_not_utf_8(folder: Path) -> None:
    (folder / "orders.toml").write_bytes(b'[system]\nname = "\xff"\n')
    with pytest.raises(SystemFileError, match=r"^orders\.toml:2: not UTF-8"):
        load_system("orders.toml")


def test_names_and_paths_that_do_not_exist(folder: Path) -> None:
    (folder / "orders.toml").write_text(ORDERS)
    (folder / "sub").mkdir()
    for name, error, message in [
        ("telhwak", UnknownName, r"no ready system is called 'telhwak'\n  fix: did you mean 'telhawk'\?"),
        ("zzz", UnknownName, r"no ready system is called 'zzz'\n  fix: known: bare, telhawk"),
        ("order.toml", SystemFileError, r"order\.toml: no such file\n  fix: did you mean 'orders\.toml'\?"),
        ("telhawk.toml", SystemFileError, r"telhawk\.toml: no such file\n  fix: did you mean 'telhawk'\?"),
        ("no/zzz.toml", SystemFileError, r"no/zzz\.toml: no such file\n  fix: ready systems: bare, telhawk"),
        (str(folder), SystemFileError, r"is a folder\n  fix: name a file, such as .*/orders\.toml"),
        ("./sub", SystemFileError, r"is a folder"),
    ]:
        with pytest.raises(error, match=message):
            load_system(name)


def test_every_such_error_is_wrong_usage() -> None:
    assert issubclass(SystemFileError, UsageError)
    assert issubclass(UnknownName, UsageError)
    assert EXIT_USAGE == 64


def _with(tree: object, path: tuple[str | int, ...], value: object) -> object:
    """A copy of `tree` with `value` at `path`."""
    if not path:
        return value
    if isinstance(tree, dict):
        return {key: _with(item, path[1:], value) if key == path[0] else item for key, item in tree.items()}
    assert isinstance(tree, list)
    return [_with(item, path[1:], value) if number == path[0] else item for number, item in enumerate(tree)]


@pytest.mark.parametrize("value", [5, "x", [5], {"x": 5}, date(2026, 11, 1)], ids=str)
def test_a_value_of_any_type_anywhere_is_a_mistake_and_never_a_crash(folder: Path, value: object) -> None:
    data, lines = tomllib.loads(ORDERS), Lines(ORDERS)
    for path in lines._lines:
        changed = _with(data, path, value) if path else data
        assert isinstance(changed, dict)
        found = [*_checks.check(changed, folder, {"no_loss"}), *_places.check(changed, {})]
        _, wrong = _validated(_checks.working_workloads(changed), changed)
        # A tuple, a class or pydantic's own wording in a message would be our language, not the file's.
        for line in listed([*found, *wrong], "f", lines):
            assert not any(word in line for word in ("tuple", "<", "Input should", "dict")), line


def test_some_workload_is_offered_as_usual(mistakes: Mistakes, load: Load) -> None:
    text = ORDERS.replace("rate = 30", "rate = 30\nusual = false", 1)
    assert load(text).workloads["orders"].usual is False
    both = text.replace("rate = 0.5", "rate = 0.5\nusual = false", 1)
    line = both[: both.index("usual")].count("\n") + 1
    said = "workloads.orders.usual: false: no workload is offered as usual; leave usual out of one"
    assert mistakes(both) == [f"orders.toml:{line}: {said}"]
