"""What a scenario says of itself, read at collection, which starts nothing. They are pytest marks.

`@calm`: no fault is part of it. `@needs("worker", "effects")`: what the system must have, or the plan skips it with the
reason. `@started_with(workers=1)`: so many replicas of each worker, whatever the file says;
`@started_with(without="broker")`: everything but the broker, which comes when the fault `absent` is healed;
`@started_with(small=True)`: each service with what its `small` says, so that what it keeps is soon full.
"""

from __future__ import annotations

import pytest

calm = pytest.mark.nats_calm
needs = pytest.mark.nats_needs
started_with = pytest.mark.nats_started_with

DOCUMENTATION = (
    "nats_calm: a scenario without a fault",
    "nats_needs(*what): what of the system it cannot do without, such as worker, dependency, effects",
    "nats_started_with(workers, without, small): so many replicas of each worker; without the broker; with little room",
)

SETTINGS = {
    "system": "a ready-made system (telhawk, bare) or the path of a system file",
    "states": "the states to judge, by comma; without it those that expect `holds`; `all` for every one",
    "hardening": "one state made for this run out of the system's measures: all, none, a,b or all,-x",
    "seed": "the seed of what is drawn by chance",
    "runtime": "where the system runs: processes, containers, or auto: containers where an engine answers",
    "hold": "where to stop until Enter is pressed: faults (before each), end (before the system is taken down)",
    "record": "the outage file into which faults that are typed at the terminal are recorded; it is there, and empty",
    "rate": "operations a second while an outage is recorded; else as the system file has it",
    "reports": "the folder in which the run is written",
    "folder": "the run's own folder; made anew where none is named",
}
"""What can be set, as `--nats-<name>` or as the ini option `nats_<name>`."""
