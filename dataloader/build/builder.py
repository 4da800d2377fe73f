"""Sources become wheels: what a source will need, for the solver; and its wheel, for whoever installs."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from packaging.utils import InvalidSdistFilename, parse_sdist_filename
from packaging.version import InvalidVersion, Version

from dataloader.base.core_metadata import parse_headers
from dataloader.base.errors import BuildFailure, IntegrityError, UsageError
from dataloader.base.names import file_name_of, normalized
from dataloader.base.origin import Origin
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.build.archive import named_in, said_of
from dataloader.build.asked import keep, mark_of, taken
from dataloader.build.backend import Backend
from dataloader.build.compilers import check_compilers, check_gcc, compilers_of
from dataloader.build.environment import Ground, Room, build_environment, check_inside
from dataloader.build.judge import judge
from dataloader.build.material import Material, without
from dataloader.build.static import declared, has_code_to_compile, pyproject
from dataloader.compat.matrix import matrix_with
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.once import Once
from dataloader.index.store import IndexStore
from dataloader.index.wheels.metadata import parse_metadata
from dataloader.install.model import BuiltWheel
from dataloader.install.switch.owner import signed
from dataloader.lockfile.builds import has_its_key
from dataloader.lockfile.model import Build, PypiPackage
from dataloader.locking.asking import python_specifier
from dataloader.locking.built import BuildNeeds
from dataloader.resolve.model import file_of

if TYPE_CHECKING:
    from dataloader.machine.interpreters import Interpreter
    from dataloader.verify.archive import ArchiveFacts

LOGS = "builds"
"""The folder of logs, below the cache."""
Kind: TypeAlias = Literal["wheel", "editable"]
What: TypeAlias = Literal["wheel", "editable", "metadata", "look"]
_VERSIONS = ("SETUPTOOLS_SCM_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "POETRY_DYNAMIC_VERSIONING_BYPASS")
"""Variables that say the version to backends which else take it from version control."""


class _Seen(NamedTuple):
    """What was seen of a source without running anything of it."""

    metadata: WheelMetadata | None
    """What its wheel will say, where the source itself says that for sure."""
    name: str
    """Its project; empty where that is not said."""
    needs: BuildNeeds


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
        self._material = Material(ground, reporter)
        self._once = Once(failures=True)

    # -- for the solver

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Return the METADATA that the wheel of a source will have; built only where the source does not say it.

        Raises:
            BuildFailure: it cannot be found out.
            IntegrityError: the archive is broken, or of another project.
        """
        return await self._once(("metadata", file.url), partial(self._metadata, file))

    async def located(self, name: str, url: str, sha256: str | None) -> IndexFile:
        """Return the source at a URL, with the version that it itself, its name or its build says.

        Raises:
            BuildFailure, IntegrityError: as ``metadata``.
            UsageError: ``requirement-invalid``; it is not there, or of another project.
            DataloaderError: of ``Repository.commit``.
        """
        origin = await self._material.fixed(name, Origin.of(url))
        filename = file_name_of(origin.location)
        file = IndexFile(name=name, version="", filename=filename, url=str(origin), sha256=sha256)
        version = await self._version_in_archive(file, origin) if origin.kind == "archive" else None
        if version is None:
            seen = await self._look(file)
            _check_project(seen.name, name, url)
            version = seen.metadata.version if seen.metadata else (await self.metadata(file)).version
        try:
            return file._replace(version=str(Version(version)))
        except InvalidVersion as error:
            raise IntegrityError(f"{filename} has no version: {error}", code="source-malformed") from error

    async def _version_in_archive(self, file: IndexFile, origin: Origin) -> str | None:
        """Return the version that an archive itself or its name says; of a project below its root it says nothing."""
        archive = await self._material.archive(file._replace(url=origin.location))
        if not archive.is_file():
            raise UsageError(
                f"there is no file {archive}, which {file.name} is to be built from",
                code="requirement-invalid",
                suggestions=(f"put it there, or ask for {file.name} from where it is now",),
            )
        if origin.subdirectory:
            return None
        project, said = await asyncio.to_thread(named_in, archive, file.filename)
        _check_project(project, file.name, file.url)
        return said or _version_of(file.filename, file.name)

    async def needs(self, package: PypiPackage) -> BuildNeeds:
        """Return what a locked source says of its build; nothing of it is run."""
        return (await self._look(file_of(package))).needs

    async def _look(self, file: IndexFile) -> _Seen:
        return await self._once(("look", file.url), partial(self._look_once, file))

    async def _look_once(self, file: IndexFile) -> _Seen:
        title = file.filename
        async with self._folder() as folder:
            tree = await self._material.tree(file, folder / "source")
            said = await asyncio.to_thread(declared, tree, title)
            project = (await asyncio.to_thread(pyproject, tree, title)).get("project")
            name = project.get("name") if isinstance(project, dict) else None
            package = PypiPackage(name=file.name, version=file.version, url=file.url, sha256=file.sha256 or "")
            requires = self._backend(tree, package, "look").requires()
            needs = BuildNeeds(requires, await asyncio.to_thread(has_code_to_compile, tree))
        return _Seen(said, normalized(name) if isinstance(name, str) else "", needs)

    async def close(self) -> None:
        """Give up what is still being asked."""
        await self._once.close()

    async def _metadata(self, file: IndexFile) -> WheelMetadata:
        if (said := await self._said(file)) is not None:
            return said
        check_inside(self._inside, file.name)
        python = await asyncio.to_thread(self._python, file)
        digest = await self._material.digest(file)
        extra = self._ground.request.build_requires.get(file.name, ())
        key = "\n".join((digest, python.minor, *extra))
        if (kept := self._kept.load_metadata(key)) is not None:
            return kept
        package = PypiPackage(name=file.name, version=file.version, url=file.url, sha256=file.sha256 or "")
        self._reporter.info(f"{_title(package)} does not say what it needs: its build is asked")
        async with self._prepared(package, python.minor, {}, "metadata") as (backend, room, folder):
            text, wheel = await backend.metadata(room.python, folder / "metadata")
            if wheel is not None:  # what is compiled against counts, and NumPy, as in the key of a build
                counts = {"numpy", *matrix_with(self._ground.request.matrix).frameworks}
                against = {name: version for name, version in room.versions.items() if name in counts}
                keep(self._ground.cache, mark_of(digest, python.minor, extra, against), wheel)
        version = file.version or parse_headers(text.decode("utf-8", "replace")).get("version", [""])[0]
        metadata = parse_metadata(text, project=file.name, version=version)
        self._kept.save_metadata(key, metadata)
        return metadata

    async def _said(self, file: IndexFile) -> WheelMetadata | None:
        """Return what a source says of itself for sure: in its PKG-INFO, or its [project]."""
        origin = Origin.of(file.url)
        if origin.kind == "archive" and not origin.subdirectory and file.version:
            archive = await self._material.archive(file)
            said = await asyncio.to_thread(said_of, archive, file.filename, project=file.name, version=file.version)
            if said is not None:
                return said
        found = (await self._look(file)).metadata
        is_it = found is not None and found.name == file.name and file.version in {"", found.version}
        return found if is_it else None

    def _python(self, file: IndexFile) -> Interpreter:
        """Return the Python of this machine that a source is asked with: one that the request admits, if there is."""
        from packaging.specifiers import SpecifierSet

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

    async def __call__(self, package: PypiPackage, folder: Path) -> BuiltWheel:
        """Build the wheel of a locked source below an empty folder, or take one that others built; judge it.

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
        if shared := await self._shared(package, build, folder):
            return BuiltWheel(shared, is_fetched=True)
        if asked := await self._asked(package, build, folder):
            return BuiltWheel(asked)
        return BuiltWheel(await self._built(package, build, folder))

    async def _asked(self, package: PypiPackage, build: Build, folder: Path) -> Path | None:
        """Return the wheel that was built to ask what it needs, where it is the one that is wanted."""
        if package.origin.editable or not build.isolated or {"sm", "gcc"} & build.abi.keys():
            return None  # nobody told it what these are
        digest = await self._material.digest(file_of(package))
        wheel = taken(self._ground.cache, mark_of(digest, build.python, build.requires, build.against), folder)
        if wheel is not None:
            await self._judged(wheel, package, build)
            self._reporter.info(f"{wheel.name} was built when it was asked what it needs")
        return wheel

    async def _shared(self, package: PypiPackage, build: Build, folder: Path) -> Path | None:
        """Return the wheel that the registry of builds has; ``None`` where there is none that can be used here."""
        ground = self._ground
        if ground.shared is None or ground.offline or package.origin.editable:
            return None
        wheel = await ground.shared.take(package, folder)
        if wheel is None:
            return None
        try:
            await self._judged(wheel, package, build)
        except (BuildFailure, IntegrityError) as error:
            causes = "; ".join((error.message, *error.causes))
            self._reporter.warn(f"{package.name} is built here: what {ground.shared.repository} has is unfit: {causes}")
            wheel.unlink()
            return None
        self._reporter.info(f"{wheel.name} was built already: {ground.shared.repository} has it")
        return wheel

    async def _built(self, package: PypiPackage, build: Build, folder: Path) -> Path:
        what: Kind = "editable" if package.origin.editable else "wheel"
        async with self._prepared(package, build.python, build.against, what, build) as prepared:
            backend, room, inside = prepared
            wheel = await backend.wheel(room.python, inside / "wheel")
            made = Path(shutil.move(wheel, folder / wheel.name))
        facts = await self._judged(made, package, build)
        floor = facts.highest_need("GLIBC")
        self._reporter.info(
            f"{made.name} is built" + (f": {len(facts.libraries)} libraries, glibc {floor} or newer" if floor else "")
        )
        return made

    async def _judged(self, wheel: Path, package: PypiPackage, build: Build) -> ArchiveFacts:
        overridden = {override.name for override in self._ground.request.overrides}
        return await asyncio.to_thread(judge, wheel, package, build, overridden)

    # -- a tree and an environment

    @asynccontextmanager
    async def _prepared(
        self,
        package: PypiPackage,
        python: str,
        against: Mapping[str, str],
        what: What,
        build: Build | None = None,
    ) -> AsyncIterator[tuple[Backend, Room, Path]]:
        """Have a source beside an environment for its build: the backend, that one, and a folder for the result."""
        title = _title(package)
        extra = build.requires if build else self._ground.request.build_requires.get(package.name, ())
        seen = against if build and not build.isolated else ()
        task = f"build {title} {what}"
        async with self._folder() as folder:
            self._reporter.start(task, f"asking {title}" if what == "metadata" else f"building {title}", None, "steps")
            try:
                tree = await self._tree(package, what, folder / "source")
                await self._check_compilers(tree, title, against, build)
                backend = self._backend(tree, package, what, build)
                requires = without((*backend.requires(), *extra), seen)
                room = await self._environment(title, package.name, requires, python, folder / "first", against)
                async with self._turn:
                    asked = without(await backend.requires_more(room.python), seen)
                more = [text for text in asked if text not in requires]
                if more:
                    requires = (*requires, *more)
                    room = await self._environment(title, package.name, requires, python, folder / "all", against)
                async with self._turn:
                    yield backend, room, folder
            finally:
                self._reporter.finish(task)

    async def _tree(self, package: PypiPackage, what: What, into: Path) -> Path:
        """Return where a build runs: what leads to a tree is made in it, all else beside its environment."""
        if what == "editable":
            return Path(package.origin.folder())
        return await self._material.tree(file_of(package), into, content=package.content)

    async def _environment(
        self, title: str, name: str, requires: Iterable[str], python: str, folder: Path, against: Mapping[str, str]
    ) -> Room:
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

    async def _check_compilers(self, tree: Path, title: str, against: Mapping[str, str], build: Build | None) -> None:
        """See that compilers go together, and are those of the lock, before something is built that needs them."""
        if build is not None and (wanted := build.abi.get("gcc")):
            await asyncio.to_thread(check_gcc, title, wanted, self._ground.environ)
        if found := await asyncio.to_thread(compilers_of, tree, self._ground.environ):
            check_compilers(title, found, matrix_with(self._ground.request.matrix), against)

    def _backend(self, source: Path, package: PypiPackage, what: What, build: Build | None = None) -> Backend:
        mark = hashlib.sha256(package.url.encode()).hexdigest()[:12]
        name = re.sub(r"[^\w.+-]", "_", f"{_title(package)}-{mark}-{what}.log".replace(" ", "-"))
        log = self._ground.cache / LOGS / name
        if what != "look":
            log.unlink(missing_ok=True)
        environ = {**self._ground.environ, "GIT_OPTIONAL_LOCKS": "0"}
        if package.origin.kind == "tree" and package.version:  # a commit since it was locked makes it no other one
            environ = {**dict.fromkeys(_VERSIONS, package.version), **environ}
        kind: Kind = "editable" if what == "editable" else "wheel"
        if build is not None and (archs := build.abi.get("sm", "").split()):
            said = {"TORCH_CUDA_ARCH_LIST": ";".join(archs), "CUDAARCHS": ";".join(a.replace(".", "") for a in archs)}
            environ = {**environ, **said}  # the key has them
        return Backend(source, _title(package), package.name, log, environ, kind, self._ground.limits)

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        """A folder that is thrown away, by whoever finds it if this process dies."""
        folder = self._ground.cache / signed("building-")
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _title(package: PypiPackage) -> str:
    return f"{package.name} {package.version}".rstrip()


def _check_project(found: str, wanted: str, url: str) -> None:
    if found and found != wanted:
        raise UsageError(f"{redact(url)} is a source of {found}, not of {wanted}", code="requirement-invalid")


def _version_of(filename: str, name: str) -> str | None:
    """Return the version in an archive's name, where it is one of a source distribution of the project."""
    try:
        project, version = parse_sdist_filename(filename)
    except (InvalidSdistFilename, InvalidVersion):
        return None
    return str(version) if project == name else None
