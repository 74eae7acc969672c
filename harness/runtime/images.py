"""The images of a run in containers: ours, built once out of the pinned binaries, and a team's, by name.

An image of ours is found by a tag that is a digest of what goes into it, so that it is built when, and only when, that
changed. What is built comes from this machine alone, but for BASE: an image with Python, a registry's unless another
is named (NATS_HARNESS_BASE), or, where none can be pulled, one made of this machine's own Python.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from harness.errors import Missing, StartError, UsageError
from harness.runtime import _build, _local_base, binaries
from harness.runtime._engine import IMAGE_LABEL, Engine, said

VARIABLE = "NATS_HARNESS_BASE"
REPOSITORY = "nats-harness"
BUILT = ("telhawk",)
"""Images that a system file may name and that are built here."""
BUILT_WITHIN_S = 300
RECIPES = Path(__file__).parent / "dockerfiles"
TOOLS = frozenset({"pip", "setuptools", "pkg_resources", "mypy", "mypyc", "ruff", "uv", "hypothesis", "grimp"})
"""Packages of this interpreter that no service runs on; a third of the weight."""

Fill = Callable[[tarfile.TarFile], None]
"""Puts a build's files into its context."""


class Images:
    """Names of images that are there, built or pulled where they are not. `progress` is told what takes long.

    Its methods wait; call them in a thread. They raise Missing or StartError. In another `repository` than the usual
    one nothing is there yet, and nothing of the usual one's builds is used.
    """

    def __init__(
        self, engine: Engine, progress: binaries.Progress = lambda _: None, *, repository: str = REPOSITORY
    ) -> None:
        self._engine, self._progress, self._repository = engine, progress, repository

    def broker(self, version: str | None) -> str:
        """nats-server of that version, None: the installed one."""
        known = version or binaries.installed_nats_version() or "unknown"

        def fill(context: tarfile.TarFile) -> None:
            context.add(binaries.nats_server(version, self._progress).resolve(), "nats-server")

        return self._built("broker", known, fill)

    def toxiproxy(self) -> str:
        """Toxiproxy's server."""

        def fill(context: tarfile.TarFile) -> None:
            context.add(binaries.toxiproxy_server(self._progress).resolve(), "toxiproxy-server")

        return self._built("toxiproxy", binaries.TOXIPROXY_VERSION, fill)

    def hub(self) -> str:
        """Where the links' proxies run: Python and Toxiproxy."""
        return self._built(
            "hub",
            f"{binaries.TOXIPROXY_VERSION} {self._base_name()}",
            lambda _: None,
            lambda: {"BASE": self._base(), "TOXIPROXY": self.toxiproxy()},
        )

    def python(self) -> str:
        """What `{python}` runs in where a service names no image."""
        return self._built(
            "python",
            f"{self._base_name()} {_packages_digest()}",
            _add_packages,
            lambda: {"BASE": self._base()},
        )

    def telhawk(self) -> str:
        """The reference stack's services."""
        folder = Path(__file__).parents[2] / "telhawk"
        sources = sorted(folder.rglob("*.py"))
        content = hashlib.sha256()
        for source in sources:
            content.update(f"{source.relative_to(folder)}\0".encode() + source.read_bytes())

        def fill(context: tarfile.TarFile) -> None:
            for source in sources:
                context.add(source, f"telhawk/{source.relative_to(folder)}")

        return self._built(
            "telhawk",
            f"{self._base_name()} {_packages_digest()} {content.hexdigest()}",
            fill,
            lambda: {"BASE": self.python()},
        )

    def named(self, name: str, *, where: str) -> str:
        """An image of a system file: one of BUILT, or one that is here or can be pulled. Raises UsageError: no name."""
        if name in BUILT:
            return self.telhawk()
        try:
            here = self._is_here(name)
        except StartError as error:
            raise UsageError(f"{name!r}: {error.what}", where=where, fix="correct the name") from error
        if not here:
            try:
                self._pull(name)
            except Missing as error:
                fix = f"docker pull {name} or build it, or correct the name"
                raise Missing(f"there is no image {name!r} here, and {error.what}", where=where, fix=fix) from error
        return name

    def all(self, version: str | None) -> list[str]:
        """Everything that a run can need of ours."""
        return [self.broker(version), self.hub(), self.telhawk()]

    # ---- building ----

    def _built(self, what: str, made_of: str, fill: Fill, arguments: Callable[[], Mapping[str, str]] = dict) -> str:
        recipe = (RECIPES / f"{what}.Dockerfile").read_text()
        digest = hashlib.sha256(f"{recipe}\0{made_of}\0{platform.machine()}".encode()).hexdigest()[:12]
        tag = f"{self._repository}/{what}:{digest}"
        if self._is_here(tag):
            return tag
        given = arguments()
        with _build.only_one(_lock_of(what), self._progress):
            if not self._is_here(tag):  # by whom we waited for
                self._build(what, tag, recipe, fill, given)
        return tag

    def _build(self, what: str, tag: str, recipe: str, fill: Fill, arguments: Mapping[str, str]) -> None:
        self._progress(f"building the image {tag}")
        with tempfile.TemporaryFile() as context:
            with tarfile.open(fileobj=context, mode="w") as archive, tempfile.TemporaryDirectory() as scratch:
                dockerfile = Path(scratch) / "Dockerfile"
                dockerfile.write_text(recipe)
                archive.add(dockerfile, "Dockerfile")
                fill(archive)
            context.seek(0)
            self._engine.ask(
                lambda: self._engine.tools.build(
                    "",
                    tag=tag,
                    fileobj=context,
                    custom_context=True,
                    buildargs=dict(arguments),
                    labels={IMAGE_LABEL: f"{self._repository}/{what}"},
                    nocache=self._repository != REPOSITORY,
                    timeout=BUILT_WITHIN_S,
                    forcerm=True,
                ),
                where=f"image {what}",
            )

    def _is_here(self, name: str) -> bool:
        import docker.errors

        def look() -> bool:
            try:
                self._engine.tools.client.images.get(name)
            except docker.errors.ImageNotFound:
                return False
            return True

        return self._engine.ask(look)

    def _pull(self, name: str) -> None:
        import docker.errors

        def pull() -> str:
            try:
                self._engine.tools.client.images.pull(*_name_and_tag(name))
            except docker.errors.APIError as error:
                return said(error)
            return ""

        self._progress(f"pulling the image {name}")
        failed = self._engine.ask(pull)
        if failed:
            raise Missing(f"it cannot be pulled: {failed}", where=name)

    # ---- the base ----

    def _base_name(self) -> str:
        return os.environ.get(VARIABLE) or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"

    def _base(self) -> str:
        name = self._base_name()
        if self._is_here(name):
            return name
        try:
            self._pull(name)
        except Missing as error:
            if os.environ.get(VARIABLE):
                what = f"there is no image {name!r}, and {error.what}"
                raise Missing(what, where=VARIABLE, fix="unset it, or name an image with Python") from error
            return self._local_base()
        return name

    def _local_base(self) -> str:
        about = f"{sys.version} {platform.platform()} {_packages_digest()}"
        tag = f"{self._repository}/base:{hashlib.sha256(about.encode()).hexdigest()[:12]}"
        with _build.only_one(_lock_of("base"), self._progress):
            if self._is_here(tag):
                return tag
            self._progress(f"making the image {tag} of this machine's own Python")
            with tempfile.NamedTemporaryFile(suffix=".tar") as file:
                _local_base.write(Path(file.name), _packages_folders())
                repository, _, version = tag.partition(":")
                label = f"LABEL {IMAGE_LABEL}={repository}"
                self._engine.ask(
                    lambda: self._engine.api.import_image_from_file(
                        file.name,
                        repository=repository,
                        tag=version,
                        changes=[label],
                    ),
                    where="image base",
                )
        return tag


def remove_all(engine: Engine, repository: str = REPOSITORY) -> int:
    """Removes every image that was built here and that no container uses; how many went."""
    import docker.errors

    client, gone = engine.tools.client, 0
    tags = [tag for image in client.images.list(filters={"label": IMAGE_LABEL}) for tag in image.tags]
    for tag in [tag for tag in tags if tag.startswith(f"{repository}/")]:
        try:
            client.images.remove(tag)
            gone += 1
        except docker.errors.APIError:
            continue  # in use
    return gone


def _add_packages(context: tarfile.TarFile) -> None:
    with tempfile.TemporaryFile() as file:
        _write_packages(file)
        entry = tarfile.TarInfo("packages.tar")
        entry.size = file.tell()
        file.seek(0)
        context.addfile(entry, file)


def _write_packages(file: BinaryIO) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        for folder in _packages_folders():
            for path in sorted(folder.iterdir()):
                if path.name.partition("-")[0].partition(".")[0] not in TOOLS and "mypyc" not in path.name:
                    archive.add(path, f"packages/{path.name}")


def _packages_folders() -> list[Path]:
    paths = sysconfig.get_paths()
    return [Path(path) for path in dict.fromkeys((paths["purelib"], paths["platlib"]))]


def _packages_digest() -> str:
    names = {f"{found.name}=={found.version}" for found in metadata.distributions()}
    return hashlib.sha256("\n".join([sys.version, *sorted(names)]).encode()).hexdigest()[:12]


def _name_and_tag(name: str) -> tuple[str, str]:
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


def _lock_of(what: str) -> Path:
    folder = binaries.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"image-{what}.lock"
