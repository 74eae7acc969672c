"""Work offered from outside, by Locust, at the times intended, however slow the answers.

The runner uses `driver.Load` and `LiveView`; what runs in Locust's process begins in `locustfile`, and beside a team's
own in `teamfile`. Nothing here may import these two, since importing locust patches the process that does.
"""

from __future__ import annotations

from pathlib import Path


def locustfile_path() -> Path:
    """The file that Locust is given for the kinds of workload that are ours."""
    return Path(__file__).with_name("locustfile.py")


def teamfile_path() -> Path:
    """The file that Locust is given before a team's own locustfile."""
    return Path(__file__).with_name("teamfile.py")
