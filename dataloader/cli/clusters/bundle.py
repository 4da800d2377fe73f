"""``dataloader bundle`` and ``dataloader unbundle``."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import IntegrityError, UsageError
from dataloader.base.tasks import together
from dataloader.cli.line.command import TO_FETCH, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dataloader.bundle.tar import Archive, Bundle
    from dataloader.cli.stages.session import Session
    from dataloader.index.client import IndexClient
    from dataloader.index.web.part import Sink
    from dataloader.install.model import SyncResult
    from dataloader.lockfile.model import Lockfile, Package
    from dataloader.request.request import Request

_AT_ONCE = 6
"""How many files are fetched at once."""


@command(example="dataloader bundle -o env.tar.zst", takes=(*TO_FETCH, "platform", "Output"))
def bundle(
    options: CommonOptions,
    output: Annotated[
        Path | None, own_option("--output", "-o", metavar="FILE", about="Where to write it; else NAME.tar.zst here.")
    ] = None,
    program: Annotated[
        bool, own_option("--program/--no-program", about="Put dataloader itself in, for machines that have none.")
    ] = True,
) -> int:
    """Write one file that holds the lock, its packages and an installer, for machines without a network."""
    from dataloader.cli.stages.flow import client_of, to_the_end
    from dataloader.cli.stages.foreign import foreign_content, lock_from, without_choices
    from dataloader.cli.stages.outputs import check_output
    from dataloader.cli.stages.session import open_session
    from dataloader.lockfile.yaml import read_lock
    from dataloader.request.request import make_request

    content = foreign_content(options.lockfile)
    with open_session(options, "bundle") as session:
        asked = without_choices(options) if content else options
        request = make_request(asked, (), None, environ=session.environ, here=session.here)
        path = output or Path(f"{request.lockfile.resolve().parent.name or 'environment'}.tar.zst")
        check_output("--output", path, options, session.here)
        if path.is_dir():
            raise UsageError(f"{path} is a folder", code="path-unusable", suggestions=(f"-o {path / 'NAME'}",))

        async def work() -> tuple[Lockfile, int]:
            async with client_of(session, request) as client:
                lock = await lock_from(session, content, client, request) if content else read_lock(request.lockfile)
                _refuse_unbuilt(lock)
                return lock, await _write(client, lock, path, program=program)

        began = time.monotonic()
        lock, size = to_the_end(work())
        seconds = round(time.monotonic() - began, 1)
        document = {
            "status": "ok",
            "path": str(path.resolve()),
            "bytes": size,
            "packages": len(lock.packages),
            "seconds": seconds,
        }
        session.reporter.info(f"{len(lock.packages)} packages, {size / 1e6:.1f} MB, in {seconds} s")
        session.reporter.info(
            f"there: `dataloader unbundle {path.name} -p PREFIX`, or unpack it and `sh install.sh PREFIX`"
        )
        session.write(document, f"{path}\n")
    return 0


def _refuse_unbuilt(lock: Lockfile) -> None:
    """Refuse a lock with sources: what their builds need is in no lock, so a bundle could not hold it."""
    if names := [package.name for package in lock.pypi() if package.build is not None]:
        raise UsageError(
            f"{', '.join(names)}: a bundle holds wheels, and of this there is only a source that sync builds",
            code="not-bundled",
            suggestions=("build its wheel first, and name its folder with --find-links when you lock",),
        )


async def _write(client: IndexClient, lock: Lockfile, path: Path, *, program: bool) -> int:
    """Return its size in bytes."""
    import tempfile

    from dataloader.base.files import is_special, named_place
    from dataloader.bundle.program import program_files
    from dataloader.bundle.tar import installer, write_bundle
    from dataloader.lockfile.yaml import dump_lock

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = None if is_special(path) else path.resolve().parent  # a file's volume has the room, a device's may not
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=beside) as name:
        found = await _fetched(client, lock, Path(name))
        packages = tuple(package for package, _, _ in found)
        about = {"platform": lock.platform, "python": lock.python.version, "python_source": lock.python.source}
        with named_place(path) as place:
            return await asyncio.to_thread(
                write_bundle,
                place,
                dump_lock(replace(lock, packages=packages)).encode(),
                [(archive, file) for _, archive, file in found],
                about=about,
                script=installer(sys.version_info[:2]),
                program=list(program_files()) if program else [],
            )


async def _fetched(client: IndexClient, lock: Lockfile, folder: Path) -> list[tuple[Package, Archive, Path]]:
    """Fetch every archive of a lock, checked; what has an md5 alone gets the sha256 that it has."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def fetch(number: int, package: Package) -> tuple[Package, Archive, Path]:
        from dataloader.base.digests import hex_digest
        from dataloader.bundle.tar import Archive

        file = folder / str(number) / package.file_name
        file.parent.mkdir()
        async with slots:
            await client.download(package.url, package.sha256, package.size, file, package.file_name)
        sha256 = str(package.sha256 or await asyncio.to_thread(hex_digest, file))
        md5 = getattr(package, "md5", None)
        if package.sha256 is None and md5 and await asyncio.to_thread(hex_digest, file, "md5") != md5:
            raise IntegrityError(f"{package.file_name} does not have the locked md5.", code="hash-mismatch")
        archive = Archive(name=package.file_name, sha256=sha256, size=file.stat().st_size)
        return replace(package, sha256=sha256), archive, file

    found = await together(fetch(number, package) for number, package in enumerate(lock.packages))
    names = [archive.name for _, archive, _ in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two packages of the lock have one file name: {', '.join(twice)}", code="lockfile-invalid")
    return list(found)


@command(
    example="dataloader unbundle env.tar.zst -p /opt/env",
    takes=("prefix", "no_verify", "dry_run", "yes", "Output", "Report"),
)
def unbundle(
    options: CommonOptions,
    source: Annotated[Path, Operand("BUNDLE", "What `dataloader bundle` wrote, or the folder it was unpacked to.")],
) -> int:
    """Make an environment of a bundle, without a network; verified before it is switched to."""
    from dataloader.bundle.tar import opened
    from dataloader.cli.stages.flow import client_of, to_the_end
    from dataloader.cli.stages.session import open_session
    from dataloader.lockfile.yaml import parse_lock
    from dataloader.request.request import make_request

    with open_session(options, "unbundle") as session:
        request = make_request(options, (), None, environ=session.environ, here=session.here)
        with _aside(session) as folder, opened(source, folder) as made:
            lock = parse_lock(made.lock, source)

            async def work() -> SyncResult:
                async with client_of(session, request) as client:
                    return await _install(session, request, client, lock, made)

            result = to_the_end(work())
        from dataloader.cli.telling.documents import sync_document, sync_text

        session.write(
            {"status": "ok", **sync_document(result, request.prefix)},
            sync_text(result, request.prefix, dry_run=session.options.dry_run),
        )
    return 0


def _aside(session: Session) -> AbstractContextManager[Path]:
    """Return a folder in the cache, so that archives need not be copied; it goes when it is left."""
    from contextlib import contextmanager

    from dataloader.base.files import remove_tree
    from dataloader.install.switch.owner import signed

    @contextmanager
    def made() -> Iterator[Path]:
        folder = session.cache / signed("bundle-")
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            remove_tree(folder)

    return made()


async def _install(session: Session, request: Request, client: IndexClient, lock: Lockfile, made: Bundle) -> SyncResult:
    from dataloader.cli.stages.flow import Destination, sync_lock
    from dataloader.cli.stages.proof import Proof

    proof = Proof(session)

    async def attempt() -> SyncResult:
        return await sync_lock(
            session,
            request,
            lock,
            {},
            client,
            proof,
            check=False,
            place=Destination(),
            foreign=True,
            download=_FromBundle(made),
        )

    return await proof.until_it_loads(attempt, lambda: lock, again=False)


class _FromBundle:
    """Hands out the archives of a bundle, each by its hash, in the place of downloads."""

    def __init__(self, made: Bundle) -> None:
        self._made = made

    async def __call__(
        self, url: str, sha256: str | None, size: int | None, destination: Path, task: str, sink: Sink | None = None
    ) -> None:
        del size, task, sink
        source = self._made.archives.get(sha256 or "")
        if source is None:
            raise IntegrityError(
                f"{url.rpartition('/')[2]} is in the lock of {self._made.folder}, and not among its archives",
                code="bundle-damaged",
                suggestions=("make the bundle anew: `dataloader bundle`",),
            )
        await asyncio.to_thread(_link, source, destination)


def _link(source: Path, destination: Path) -> None:
    import shutil

    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.unlink(missing_ok=True)
    try:
        destination.hardlink_to(source)
    except OSError:  # another volume, or one without links
        shutil.copyfile(source, destination)
