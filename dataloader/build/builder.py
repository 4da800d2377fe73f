"""Sources become wheels: what a source will need, for the solver; and its wheel, for whoever installs."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidSdistFilename, parse_sdist_filename
from packaging.version import InvalidVersion, Version

from dataloader.base.core_metadata import parse_headers
from dataloader.base.digests import hex_digest
from dataloader.base.errors import BuildFailure, IntegrityError, UsageError
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.build.archive import named_in, said_of, unpack
from dataloader.build.backend import Backend
from dataloader.build.environment import Ground, build_environment, check_inside
from dataloader.build.judge import judge
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.store import IndexStore
from dataloader.index.wheels.metadata import parse_metadata
from dataloader.install.switch.owner import signed
from dataloader.lockfile.builds import has_its_key
from dataloader.lockfile.model import PypiPackage

if TYPE_CHECKING:
    from dataloader.machine.interpreters import Interpreter

LOGS = "builds"
"""The folder of logs, below the cache."""


class SourceBuilder:
    """Builds what a request allows to be built, each in an environment of its own.

    Args:
        ground: What builds stand on.
        reporter: Is told what is built.
        inside: The projects whose builds need what is built here.
    """

    def __init__(self, ground: Ground, reporter: Reporter, inside: tuple[str, ...] = ()) -> None:
        self._ground, self._reporter, self._inside = ground, reporter, inside
        self._kept = IndexStore(ground.cache / "index", reporter)
        self._turn = asyncio.Semaphore(1)
        """One backend at a time: each uses every processor."""
        self._asked: dict[str, asyncio.Task[WheelMetadata]] = {}

    # -- for the solver

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Return the METADATA that the wheel of a source will have; built only where the source does not say it.

        Raises:
            BuildFailure: it cannot be found out.
            IntegrityError: the archive is broken, or of another project.
        """
        if file.url not in self._asked:
            self._asked[file.url] = asyncio.ensure_future(self._metadata(file))
        return await asyncio.shield(self._asked[file.url])

    async def located(self, name: str, url: str, sha256: str | None) -> IndexFile:
        """Return the source archive at a URL, with the version that it itself, its name or its build says.

        Raises:
            BuildFailure, IntegrityError: as ``metadata``.
        """
        filename = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
        file = IndexFile(name=name, version="", filename=filename, url=url, sha256=sha256)
        archive = await self._ground.client.whole(file)
        if not archive.is_file():
            raise UsageError(
                f"there is no file {archive}, which {name} is to be built from", code="requirement-invalid"
            )
        await self._check(archive, url, sha256)
        project, said = await asyncio.to_thread(named_in, archive, filename)
        if project and project != name:
            raise UsageError(f"{filename} is a source of {project}, not of {name}", code="requirement-invalid")
        version = said or _version_of(filename, name) or (await self.metadata(file)).version
        try:
            return file._replace(version=str(Version(version)))
        except InvalidVersion as error:
            raise IntegrityError(f"{filename} has no version: {error}", code="source-malformed") from error

    async def requires(self, package: PypiPackage) -> tuple[str, ...]:
        """Return what a locked source says that its build needs; nothing of it is run."""
        archive = await self._archive(package)
        async with self._folder() as folder:
            backend = self._backend(
                await asyncio.to_thread(unpack, archive, package.file_name, folder / "source"), package
            )
            return backend.requires()

    async def close(self) -> None:
        """Give up what is still being asked."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _metadata(self, file: IndexFile) -> WheelMetadata:
        client = self._ground.client
        archive = await client.whole(file)
        if file.version:
            said = await asyncio.to_thread(said_of, archive, file.filename, project=file.name, version=file.version)
            if said is not None:
                return said
        check_inside(self._inside, file.name)
        python = await asyncio.to_thread(self._python, file)
        digest = await client.digest(file)
        extra = self._ground.request.build_requires.get(file.name, ())
        key = "\n".join((digest, python.minor, *extra))
        if (kept := self._kept.load_metadata(key)) is not None:
            return kept
        package = PypiPackage(name=file.name, version=file.version, url=file.url, sha256=digest)
        self._reporter.info(f"{file.name} {file.version} does not say what it needs: its build is asked")
        async with self._prepared(archive, package, python.minor, {}, "metadata") as (backend, program, folder):
            text = await backend.metadata(program, folder / "metadata")
        version = file.version or parse_headers(text.decode("utf-8", "replace")).get("version", [""])[0]
        metadata = parse_metadata(text, project=file.name, version=version)
        self._kept.save_metadata(key, metadata)
        return metadata

    def _python(self, file: IndexFile) -> Interpreter:
        """Return the Python of this machine that a source is asked with: one that the request admits, if there is."""
        from packaging.specifiers import SpecifierSet

        from dataloader.locking.asking import python_specifier
        from dataloader.machine.interpreters import each_interpreter

        ground = self._ground
        wanted = SpecifierSet(python_specifier(ground.request)) & SpecifierSet(file.requires_python or "")
        for found in each_interpreter(ground.cache, ground.environ):
            if found.takes_usual_wheels and not found.prerelease and wanted.contains(found.version):
                return found
        raise BuildFailure(
            f"{file.name} {file.version} does not say what it needs, and no Python of this machine can ask its build",
            code="build-requirements",
            causes=(f"Python {wanted} is wanted",),
            suggestions=("install such a Python",),
        )

    # -- for who installs

    async def __call__(self, package: PypiPackage, folder: Path) -> Path:
        """Build the wheel of a locked source below an empty folder, and judge it.

        Raises:
            BuildFailure: it cannot be built, or the wheel cannot be used.
            IntegrityError: ``hash-mismatch``, ``build-key``, ``built-wheel-differs``; something is not what was locked.
        """
        build = package.build
        if build is None or not has_its_key(package):
            raise IntegrityError(
                f"the key of the build of {package.name} {package.version} is not that of what the lock says of it",
                code="build-key",
                suggestions=("make the lock again: `dataloader lock`",),
            )
        archive = await self._archive(package)
        async with self._prepared(archive, package, build.python, build.against, "wheel", build.requires) as prepared:
            backend, python, inside = prepared
            wheel = await backend.wheel(python, inside / "wheel")
            made = Path(shutil.move(wheel, folder / wheel.name))
        overridden = {override.name for override in self._ground.request.overrides}
        facts = await asyncio.to_thread(judge, made, package, build, overridden)
        floor = facts.highest_need("GLIBC")
        self._reporter.info(
            f"{made.name} is built" + (f": {len(facts.libraries)} libraries, glibc {floor} or newer" if floor else "")
        )
        return made

    # -- a tree and an environment

    async def _archive(self, package: PypiPackage) -> Path:
        """Return the file of a locked source; it stays in the cache, for another build of it may be asked for."""
        archive = await self._ground.client.whole(_file_of(package))
        await self._check(archive, package.url, package.sha256)
        return archive

    async def _check(self, archive: Path, url: str, sha256: str | None) -> None:
        if sha256 and await asyncio.to_thread(hex_digest, archive) != sha256:
            raise IntegrityError(
                f"{redact(url)} does not have the hash that is asked for",
                code="hash-mismatch",
                causes=(f"that is sha256:{sha256}",),
                suggestions=("if its publisher replaced it and you trust that, lock again: `dataloader lock`",),
            )

    @asynccontextmanager
    async def _prepared(
        self,
        archive: Path,
        package: PypiPackage,
        python: str,
        against: Mapping[str, str],
        what: str,
        extra: Iterable[str] | None = None,
    ) -> AsyncIterator[tuple[Backend, Path, Path]]:
        """Unpack a source beside an environment for its build: the backend, its Python, and a folder for the result."""
        title = f"{package.name} {package.version}"
        if extra is None:
            extra = self._ground.request.build_requires.get(package.name, ())
        task = f"build {title} {what}"
        async with self._folder() as folder:
            source = await asyncio.to_thread(unpack, archive, package.file_name, folder / "source")
            backend = self._backend(source, package, what)
            self._reporter.start(task, f"building {title}" if what == "wheel" else f"asking {title}", None, "steps")
            try:
                requires = (*backend.requires(), *extra)
                program = await self._environment(title, package.name, requires, python, folder / "first", against)
                async with self._turn:
                    more = [text for text in await backend.requires_more(program) if text not in requires]
                if more:
                    requires = (*requires, *more)
                    program = await self._environment(title, package.name, requires, python, folder / "all", against)
                async with self._turn:
                    yield backend, program, folder
            finally:
                self._reporter.finish(task)

    async def _environment(
        self, title: str, name: str, requires: Iterable[str], python: str, folder: Path, against: Mapping[str, str]
    ) -> Path:
        inside = (*self._inside, name)
        nested = SourceBuilder(self._ground, self._reporter, inside)
        try:
            return await build_environment(
                self._ground,
                title,
                requires,
                python,
                folder,
                sources=nested,
                build=nested,
                against=against,
                inside=inside,
            )
        finally:
            await nested.close()

    def _backend(self, source: Path, package: PypiPackage, what: str = "wheel") -> Backend:
        name = re.sub(r"[^\w.+-]", "_", f"{package.name}-{package.version}-{package.stored_as[:12]}-{what}.log")
        log = self._ground.cache / LOGS / name
        log.unlink(missing_ok=True)
        title = f"{package.name} {package.version}"
        return Backend(source, title, package.name, log, self._ground.environ)

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        """A folder that is thrown away, by whoever finds it if this process dies."""
        folder = self._ground.cache / signed("building-")
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _version_of(filename: str, name: str) -> str | None:
    """Return the version in an archive's name, where it is one of a source distribution of the project."""
    try:
        project, version = parse_sdist_filename(filename)
    except (InvalidSdistFilename, InvalidVersion):
        return None
    return str(version) if project == name else None


def _file_of(package: PypiPackage) -> IndexFile:
    return IndexFile(
        name=package.name,
        version=package.version,
        filename=package.file_name,
        url=package.url,
        sha256=package.sha256 or None,
        size=package.size,
    )
