"""Images of ours: built once, of this machine's own Python where no base can be pulled, and removed again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.errors import Missing
from harness.runtime import images
from harness.runtime._engine import Engine
from harness.runtime.images import Images

pytestmark = pytest.mark.engine

REPOSITORY = "nats-harness-test"


@pytest.fixture(autouse=True)
def removed(engine: Engine) -> Iterator[None]:
    yield
    images.remove_all(engine, REPOSITORY)


def test_what_is_there_is_not_built_again_and_can_be_removed(engine: Engine) -> None:
    said: list[str] = []
    ours = Images(engine, said.append, repository=REPOSITORY)
    tag = ours.broker("2.12.8")
    assert said == [f"building the image {tag}"]
    assert ours.broker("2.12.8") == tag
    assert len(said) == 1
    assert ours.broker("2.11.4") != tag
    assert images.remove_all(engine, REPOSITORY) == 2
    assert ours.broker("2.12.8") == tag
    assert said[-1] == said[0]


def test_a_base_that_is_named_and_is_not_there_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.VARIABLE, "no-such/base:1")
    with pytest.raises(Missing, match=r"NATS_HARNESS_BASE: there is no image 'no-such/base:1'[\s\S]*fix: unset it"):
        Images(engine, repository=REPOSITORY).hub()


def test_a_base_of_this_machines_own_python_runs(engine: Engine) -> None:
    base = Images(engine)._local_base()
    script = (
        "import ssl, sqlite3, asyncio, socket, ctypes, zlib; print(ssl.create_default_context().cert_store_stats())"
    )
    said = engine.tools.client.containers.run(base, ["python3", "-c", script], remove=True)
    assert b"x509_ca" in said


def test_the_services_of_telhawk_can_be_imported_in_their_image(engine: Engine) -> None:
    names = ("web", "search", "eventstore", "authenticate")
    script = "import importlib, sys; [importlib.import_module(f'telhawk.{name}') for name in sys.argv[1:]]"
    engine.tools.client.containers.run(Images(engine).telhawk(), ["python3", "-c", script, *names], remove=True)
