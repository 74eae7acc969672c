"""Options that several commands have, and where runs lie."""

from __future__ import annotations

import click

from harness.shells import REPORTS, a_system

__all__ = ["REPORTS", "jobs_option", "json_option", "system_option"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
jobs_option = click.option("-j", "jobs", type=click.IntRange(1), default=None, help="Scenarios side by side.")
system_option = click.option(
    "--system", default="telhawk", show_default=True, shell_complete=a_system,
    help="Ready-made system (telhawk, bare), or a system file.",
)  # fmt: skip
