"""Work offered from outside, by Locust, at the times intended, however slow the answers.

The runner uses `driver.Load` and `LiveView`; what runs in Locust's process begins in `locustfile`. Nothing here may
import that module, since importing locust patches the process that does.
"""

from __future__ import annotations

from pathlib import Path


def locustfile_path() -> Path:
    """The file that Locust is given."""
    return Path(__file__).with_name("locustfile.py")
