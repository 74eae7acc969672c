"""What is registered is documented, and numbers in the documents are the code's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

import pytest
from pydantic import BaseModel

from harness import cli, plan
from harness.faults import load_all
from harness.faults._base import EFFECT_WITHIN_S, HEALED_WITHIN_S
from harness.faults._counting import COUNTED_EVERY_S
from harness.faults._evidence import LEAST_FRESH, LEAST_RECORDS, SHARE_SEEN
from harness.faults._reopen import WORKERS_LATER_S
from harness.faults.bandwidth import MOST_SEEN
from harness.faults.burst import LEAST_MORE, LEAST_TIMES
from harness.faults.flapping import LEAST_CUTS
from harness.faults.latency import JITTER_SEEN
from harness.faults.packet_loss import LEAST_DROPPED
from harness.guarantees import REGISTRY, clause_names
from harness.guarantees._base import AROUND_NS, LEAST_OPERATIONS, NS
from harness.guarantees._doubts import LATE_SHARE, LEAST_OFFERED
from harness.guarantees._draining import FROM_THEN_S, TAKES_UNTIL_S
from harness.guarantees._lives import COMES_NS, ENDS_NS
from harness.guarantees._logs import BEFORE_NS, WITHIN_NS
from harness.guarantees._redelivering import LEAST_POISONS
from harness.guarantees._refusals import LATEST_S, SOONEST_S
from harness.guarantees._returns import LIVED_NS, UNTOLD
from harness.guarantees._scrapes import COUNTED_NS
from harness.guarantees.degrades import RED_LATER_S, Degrades
from harness.guarantees.no_loss import LEAST_IN_HAND
from harness.history._columns import OPERATIONS, SIGHTINGS
from harness.history.clock import STEP_TOLERATED_NS
from harness.history.lines import KINDS
from harness.history.rows import Outcome, Step
from harness.observe._own_ends import FRESH, LASTING
from harness.observe.health import ANSWERS_WITHIN_S, EVERY_S, LIVE, READY
from harness.observe.metrics import ANSWERS_WITHIN_S as SCRAPED_WITHIN_S
from harness.observe.noise import LATE_MS
from harness.observe.probing import FRESH_EVERY_S, RECORDS_EVERY_S, REQUESTS_EVERY_S
from harness.recording.written import LEAST_S, SOON_NS
from harness.report.weaknesses import BEGIN, END, NOT_JUDGED, table
from harness.run import IN_HAND_WITHIN_S, Run
from harness.run.holding import LONGEST_S
from harness.run.waiting import LONGER_S
from harness.runtime.contract import READY_WITHIN_S
from harness.runtime.proxy import DEADLINE_S
from harness.system import _service_tables as services
from harness.system import _tables as tables
from harness.system.loader import load_system, ready_systems
from harness.system.model import SystemFile
from harness.system.placeholders import OWN_WORDS, WORK_WORDS
from harness.verdict import Doubt, Verdict

from .pages import DOCS, ROOT, documented, read, rows, section, stock_scenarios

IN_WORDS = {10: "ten", 11: "eleven", 12: "twelve"}


def test_guarantees() -> None:
    page = DOCS / "guarantees.md"
    for name, guarantee in REGISTRY.items():
        documented(section(page, name), [clause.name for clause in guarantee.clauses], f"guarantees.md, {name}")
    reasons = rows(section(page, "Why a finding is inconclusive"))
    assert list(reasons) == [str(doubt) for doubt in Doubt]
    assert f"[{IN_WORDS[len(Doubt)]} words]" in read("guide.md")
    documented(section(page, "reconnects"), UNTOLD, "guarantees.md, reconnects")


def test_changes() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    documented(changes, {*load_all(), *clause_names(), *ready_systems(), *tables.KINDS}, "CHANGELOG.md")
    documented(changes, cli.main.commands.keys() - {"run"}, "CHANGELOG.md")


def test_history() -> None:
    page = DOCS / "history.md"
    assert sorted(rows(section(page, "Lines"))) == sorted(KINDS)
    documented(section(page, "Operations"), [*OPERATIONS, *Outcome], "history.md, operations")
    documented(section(page, "Sightings"), [*SIGHTINGS, *Step], "history.md, sightings")


def test_what_a_scenario_holds() -> None:
    held = read("scenario.md")
    public = [name for name in vars(Run) if not name.startswith("_") and name != "drive"]
    assert [name for name in public if f"`run.{name}" not in held] == []
    documented(held, ["@calm", "@needs", "@started_with", *REGISTRY, *plan.NEEDS], "scenario.md")
    documented(held, ["run.faults.KIND"], "scenario.md")


# The tables of the system file, by the heading under which their keys are.
TABLES: Mapping[str, tuple[type[BaseModel], ...]] = {
    "`[system]`": (tables.SystemTable,),
    "`[broker]`": (tables.Broker, tables.Connect),
    "`[streams.NAME]`": (tables.Stream,),
    "`[services.NAME]`": (services.Service, services.Stop),
    "Its metrics": (services.Metrics,),
    "Its log lines": (services.Output,),
    "`[[prepare]]`": (tables.Prepare, tables.Request),
    "`[workloads.NAME]`": (tables._Workload, tables.Effects, tables.Dead, tables.Tap),
    'kind = "http-async"': (tables.Submit, tables.Poll),
    'kind = "http"': (tables.Http,),
    'kind = "jetstream"': (tables.JetStream, tables.Publish),
    'kind = "request"': (tables.NatsRequest,),
    'kind = "core"': (tables.Core,),
    'kind = "locust"': (tables.Locust,),
    "`[load]`": (tables.LoadTable,),
    "`[promises]`": (tables.Promises,),
    "`[hardening]`": (tables.Hardening,),
    "`[states.NAME]`": (tables.State,),
}
_COMMON = {"kind", "rate", *tables._Work.model_fields}
BY_WORDS = ("", "none", "required", "one required", "the promise")
"""What stands for a default that is no plain value."""


@pytest.mark.parametrize("heading", TABLES)
def test_system_file_keys_and_defaults(heading: str) -> None:
    text = section(DOCS / "system-file.md", heading)
    told = rows(text)
    for model in TABLES[heading]:
        keys = {field.alias or name: field for name, field in model.model_fields.items()}
        if "kind" in keys:  # what every workload has is told there
            keys = {key: field for key, field in keys.items() if key not in _COMMON}
        documented(text, keys, f"system-file.md, {heading}")
        for key, field in keys.items():
            default = told[key][0].strip("`") if key in told else ""
            if default not in BY_WORDS:
                shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default).lower()
                assert default == shown, f"{key}: {default}, and it is {shown}"
            elif default == "none":
                assert not field.get_default(call_default_factory=True), key


def test_system_file_tables_and_words() -> None:
    page = DOCS / "system-file.md"
    inside = {name for name, field in SystemFile.model_fields.items() if _is_table(field.annotation)}
    assert {re.sub(r"\W|NAME", "", heading) for heading in TABLES} >= inside
    words = [f"{{{word}}}" for word in OWN_WORDS | WORK_WORDS | {"env:NAME", "name.url"}]
    documented(section(page, "Placeholders and links"), words, "system-file.md")
    documented(read("system-file.md"), [*ready_systems(), *tables.KINDS], "system-file.md")


def _is_table(annotation: object) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, BaseModel)
    return any(map(_is_table, get_args(annotation)))


def test_stock_scenarios_have_a_row_each() -> None:
    text = (ROOT / "scenarios" / "README.md").read_text("utf-8").split("| need |")[0]
    told, exposes = rows(text), load_system("telhawk").states["documented"].exposes
    assert sorted(told) == sorted(stock_scenarios())
    for name, needs in stock_scenarios().items():
        assert told[name][1] == ", ".join(needs), name
        for weakness, clause in exposes.get(name, {}).items():
            assert re.search(rf"\b{weakness}\b.* by `{clause}`", told[name][-1]), f"{name}: {weakness}"
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert [name for name in stock_scenarios() if name.replace("_", " ") not in changes] == []


def test_the_table_of_weaknesses_is_that_of_the_system_file() -> None:
    text = (ROOT / "scenarios" / "README.md").read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    told = [line.strip("| ").split(" | ") for line in text.strip().splitlines()[2:]]
    made = [line.strip("| ").split(" | ") for line in table(load_system("telhawk"), "telhawk", [])[2:]]
    assert [(*cells[:4], cells[-1]) for cells in told] == [(*cells[:4], cells[-1]) for cells in made]
    assert {cell for cells in told for cell in cells[4:-1]} <= {*Verdict, NOT_JUDGED}


def test_every_weakness_of_telhawk_has_a_sentence() -> None:
    system = load_system("telhawk")
    assert list(system.weaknesses) == [*(f"C{n}" for n in range(1, 8)), *(f"W{n}" for n in range(1, 5)), *LAST]
    assert {one.weakness for one in system.exposures()} == set(system.weaknesses)


LAST = ("L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5")
NUMBERS = {
    "faults.md": [
        f"It may take {EFFECT_WITHIN_S:g} s",
        f"every {RECORDS_EVERY_S * 1000:g} ms each way",
        f"every {REQUESTS_EVERY_S * 1000:g} ms (`round`)",
        f"every {FRESH_EVERY_S * 1000:g} ms (`fresh`)",
        f"It comes from {LASTING.address}, with fresh connections from {FRESH.address}",
        f"within {HEALED_WITHIN_S:g} s",
        f"({READY_WITHIN_S:g} s at most)",
        f"the workers' {WORKERS_LATER_S:g} s later",
        f"at least {LEAST_RECORDS} records",
        f"at least {SHARE_SEEN:g} of what was asked",
        f"at least {JITTER_SEEN:g} of the jitter",
        f"at most {MOST_SEEN:g} times the rate",
        f"at least {LEAST_FRESH}, nearly all refused",
        f"at least {LEAST_DROPPED} packets dropped",
        f"at least {LEAST_MORE} more than usual",
        f"`times` is at least {LEAST_TIMES:g}",
        f"at least {LEAST_CUTS} cuts",
        f"counted every {COUNTED_EVERY_S * 1000:g} ms",
        f"a deadline of {DEADLINE_S:g} s",
    ],
    "guarantees.md": [
        f"{AROUND_NS // NS} s before the first effect",
        f"fewer than {LEAST_IN_HAND} operations",
        f"fewer than {LEAST_OPERATIONS} operations",
        f"lived {LIVED_NS // 10**6} ms",
        f"ended within {ENDS_NS // 10**6} ms",
        f"from {BEFORE_NS / NS:g} s before a loss or return to {WITHIN_NS // NS} s after",
        f"at most {COUNTED_NS // NS} s after it",
        f"gone on less than {COMES_NS // NS} s before",
        f"no answer in {SCRAPED_WITHIN_S:g} s",
        f"the entry accepted it | {TAKES_UNTIL_S:g} s |",
        f"accepted in the {FROM_THEN_S} s from then on",
        f"fewer than {LEAST_POISONS} poisons",
        f"under {LEAST_OFFERED:.0%}".replace("%", " %"),
        f"more than {STEP_TOLERATED_NS // 10**6} ms",
        f"more than {LATE_MS:g} ms late for more than {LATE_SHARE:.0%}".replace("%", " %"),
        f"`starts_s`, {Degrades.starts_s:g} s",
        f"`red_s`, {Degrades.red_s:g} s",
        f"`opens_after`, {Degrades.opens_after:g}, operations",
        f"`refuses_ms`, {Degrades.refuses_ms:g} ms",
        f"a `Retry-After` of {SOONEST_S} to {LATEST_S} seconds",
        f"`notices_s` + {RED_LATER_S:g} s",
        f"`reconnects_s` + {RED_LATER_S:g} s",
    ],
    "system-file.md": [
        f"Asked every {EVERY_S[READY] * 1000:g} ms",
        f"within {ANSWERS_WITHIN_S:g} s.",
        f"every {EVERY_S[LIVE] * 1000:g} ms, whether it lives",
    ],
    "outages.md": [
        f"After {LONGEST_S} s it ends by itself",
        f"asked for within {SOON_NS // NS} s of the end",
        f"Both to {LEAST_S:g} s",
    ],
    "scenario.md": [f"at most {LONGER_S:g} s longer", f"at most {IN_HAND_WITHIN_S:g} s"],
}


@pytest.mark.parametrize("page", NUMBERS)
def test_numbers_are_the_codes_own(page: str) -> None:
    text = read(page)
    assert [phrase for phrase in NUMBERS[page] if phrase not in text] == []
