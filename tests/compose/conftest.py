"""The images that the compose files are started with, where an engine answers."""

from __future__ import annotations

import os
import shutil

import pytest

from harness.errors import Missing
from harness.runtime._engine import Engine
from harness.runtime.images import Images as Built

from .stack import Images


@pytest.fixture(scope="session")
def images() -> Images:
    """Built where they are not there; no engine or no docker-compose is a skip, and a failure where one is required."""
    try:
        if shutil.which("docker-compose") is None or shutil.which("docker") is None:
            raise Missing("there is no docker-compose", fix="apt-get install docker-compose")
        engine = Engine.connect()
    except Missing as error:
        if os.environ.get("NATS_HARNESS_ENGINE") == "required":
            raise
        pytest.skip(str(error))
    try:
        built = Built(engine)
        return Images(built.python(), built.broker(None), built.toxiproxy())
    finally:
        engine.close()
