"""What the references say is made from the code: the parts of pages between `<!-- made: NAME -->` and `<!-- end -->`.

    python -m tests.docs.references

writes them anew, and `test_references.py` tells where a page is not as the code is.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from harness import cli, marks
from harness.faults import load_all
from harness.guarantees import REGISTRY
from harness.guarantees._base import Clause, Guarantee
from harness.run.meta import SOURCES

from .pages import DOCS

BEGIN, END = "<!-- made: {} -->", "<!-- end -->"
WITHOUT_DEFAULT = inspect.Parameter.empty


def table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    """A table in Markdown; a `|` in a cell is written so that it stays in it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(map(_cell, cells))} |" for cells in lines]


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def call(function: Callable[..., object], name: str, *, without: str = "self") -> str:
    """How it is called, with what each parameter is where it is left out: `kill(node, reopen="at once")`."""
    told = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name != without:
            default = parameter.default
            text = f'"{default}"' if isinstance(default, str) else f"{default:g}" if _is_number(default) else default
            by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
            needed = f"{parameter.name}=..." if by_name else parameter.name
            told.append(needed if default is WITHOUT_DEFAULT else f"{parameter.name}={text}")
    return f"{name}({', '.join(told)})"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _sentence(thing: type) -> str:
    """What the first line of its module says of it, behind its name."""
    first = (sys.modules[thing.__module__].__doc__ or "").partition("\n")[0]
    _, colon, told = first.partition(": ")
    assert colon, f"{thing.__module__} begins with no line `Name: what it is.`"
    return told


def fault_call(kind: str) -> str:
    """How a scenario asks for a fault."""
    return call(load_all()[kind], f"run.faults.{kind}", without="stage")


def faults() -> list[str]:
    """A row a fault, in the order of the page's sections; one that has none comes last."""
    order = re.findall(r"^## (\w+)$", (DOCS / "faults.md").read_text("utf-8"), re.MULTILINE)
    found = sorted(load_all().items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))
    rows = ([f"[`{kind}`](#{kind})", _on(fault), _sentence(fault)] for kind, fault in found)
    return table(["fault", "on", "in one line"], rows)


def _on(fault: type) -> str:
    """What its first parameters name."""
    names = inspect.signature(fault).parameters
    on = {"node": "a node", "replicas": "nodes", "provider": "a link", "subject": "a subject"}
    return next((said for name, said in on.items() if name in names), "the load")


def clauses() -> list[str]:
    """A row a clause: its unit, how it is judged, and what a system file must have for it."""
    rows = (
        [f"[`{clause.name}`](#{name})", clause.unit, _judged(clause), ", ".join(sorted(guarantee.needs | clause.needs))]
        for name, guarantee in REGISTRY.items()
        for clause in guarantee.clauses
    )
    return table(["clause", "in", "judged", "needs"], rows)


def _judged(clause: Clause) -> str:
    return "by time" if clause.timing else "by count" if clause.judged else "not: it is measured"


def needs() -> list[str]:
    """A row for each need of a clause: what a system file must have."""
    rows = ([name, re.sub(r"e\.g\. (.*)", r"e.g. `\1`", line)] for name, line in SOURCES.items())
    return table(["need", "what the system file must have"], rows)


def expected() -> list[str]:
    """A row a guarantee that can be violated, as a scenario expects it: bounds, and what it promises."""
    judged = {name: one for name, one in REGISTRY.items() if any(clause.judged for clause in one.clauses)}
    rows = ([f"`{_expect(guarantee, name)}`", _sentence(guarantee)] for name, guarantee in judged.items())
    return table(["`run.expect(...)`", "what it promises"], rows)


def _expect(guarantee: type[Guarantee], name: str) -> str:
    bounds = (
        field.name if field.default is dataclasses.MISSING else f"{field.name}={_default(field.default)}"
        for field in dataclasses.fields(guarantee)
    )
    return f"{name}({', '.join(bounds)})"


def _default(value: object) -> str:
    """A bound that is left out: the number that counts, or `...` where a promise of the system file or nothing does."""
    return f"{value:g}" if _is_number(value) else "..."


def commands() -> list[str]:
    """A section a command: what `nats-harness COMMAND --help` says."""
    return [line for name, command in cli.main.commands.items() for line in _command(f"nats-harness {name}", command)]


def _command(name: str, command: click.Command) -> Iterator[str]:
    arguments = [
        given.make_metavar(click.Context(command)) for given in command.params if given.param_type_name == "argument"
    ]
    yield f"### `{' '.join([name, *arguments])}`"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield ""
        if paragraph.startswith("\b"):
            yield from _as_it_stands(paragraph.splitlines()[1:])
        else:
            yield " ".join(paragraph.splitlines())
    options = [given for given in command.params if isinstance(given, click.Option)]
    if options:
        yield from ("", *table(["option", ""], (_option(given) for given in options)))
    yield ""
    if isinstance(command, click.Group):
        for word, one in command.commands.items():
            yield from _command(f"{name} {word}", one)


def _as_it_stands(lines: Sequence[str]) -> Iterator[str]:
    """A block of a help: what can be typed as such, anything else as plain text."""
    stripped = [line.strip() for line in lines]
    typed = all(line.startswith("nats-harness ") for line in stripped)
    yield "```console" if typed else "```"
    yield from (f"$ {line}" if typed else line for line in stripped)
    yield "```"


def _option(option: click.Option) -> list[str]:
    """How it is written, and what it does."""
    number = isinstance(option.type, click.IntRange)
    value = "" if option.is_flag else " N" if number else f" {option.make_metavar(click.Context(click.Command('')))}"
    default = f" [default: {option.default}]" if option.show_default and option.default is not None else ""
    return [f"`{', '.join(option.opts)}{value}`", f"{option.help or ''}{default}"]


def options_of_pytest() -> list[str]:
    """A row for each option of the plugin, which is a line of the ini file as well."""
    rows = ([f"`--nats-{name}` `nats_{name}`", told] for name, told in marks.SETTINGS.items())
    return table(["option, ini", ""], rows)


MADE: Mapping[str, Callable[[], list[str]]] = {
    "faults": faults,
    "clauses": clauses,
    "needs": needs,
    "expected": expected,
    "commands": commands,
    "options of pytest": options_of_pytest,
}


def written(page: Path) -> str:
    """The page as it should be: each part made anew, and the call in each fault's section."""
    text = page.read_text("utf-8")
    for kind in load_all():
        text = re.sub(rf"^`run\.faults\.{kind}\(.*\)`$", f"`{fault_call(kind)}`", text, flags=re.MULTILINE)
    for name, make in MADE.items():
        begin = f"{BEGIN.format(name)}\n"
        before, found, rest = text.partition(begin)
        if found:
            _, ended, after = rest.partition(END)
            assert ended, f"{page.name}: no line {END} behind {begin.strip()}"
            made = "\n".join(make()).strip("\n")
            text = f"{before}{begin}\n{made}\n\n{END}{after}"
    return text


def places() -> dict[str, list[str]]:
    """The pages in which each part stands."""
    pages = {page.name: page.read_text("utf-8") for page in sorted(DOCS.glob("*.md"))}
    return {name: [page for page, text in pages.items() if BEGIN.format(name) in text] for name in MADE}


if __name__ == "__main__":
    for path in sorted(DOCS.glob("*.md")):
        if (anew := written(path)) != path.read_text("utf-8"):
            path.write_text(anew, "utf-8")
            print(f"written anew: {path}")
