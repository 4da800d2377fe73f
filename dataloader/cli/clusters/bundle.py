"""``dataloader bundle`` and ``dataloader unbundle``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import IntegrityError, UsageError
from dataloader.cli.line.command import TO_FETCH, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.render import human_size

if TYPE_CHECKING:
    from dataloader.bundle.tar import Archive
    from dataloader.index.client import IndexClient
    from dataloader.lockfile.model import Lockfile, Package

_AT_ONCE = 6
"""How many files are fetched at once."""


@command(example="dataloader bundle -o env.tar.zst", takes=(*TO_FETCH, "platform", "Output"))
def bundle(
    options: CommonOptions,
    output: Annotated[
        Path | None,
        own_option(
            "--output",
            "-o",
            metavar="FILE",
            about="Where to write it; else NAME.tar.zst here. A name with .squashfs makes an image to mount.",
        ),
    ] = None,
    program: Annotated[
        bool, own_option("--program/--no-program", about="Put dataloader itself in, for machines that have none.")
    ] = True,
) -> int:
    """Write one file that holds the lock, its packages and an installer, for machines without a network."""
    from dataloader.cli.stages.as_it_is import check_installable
    from dataloader.cli.stages.flow import to_the_end
    from dataloader.cli.stages.foreign import foreign_content, lock_from, without_choices
    from dataloader.cli.stages.outputs import check_output
    from dataloader.cli.stages.session import open_session
    from dataloader.cli.stages.solving import client_of
    from dataloader.cli.stages.use import one_of, say_left_out
    from dataloader.request.request import make_request

    content = foreign_content(options.lockfile)
    with open_session(options, "bundle") as session:
        asked = without_choices(options) if content else options
        request = make_request(asked, (), None, environ=session.environ, here=session.here)
        path = output or Path(f"{request.lockfile.resolve().parent.name or 'environment'}.tar.zst")
        check_output("--output", path, options, session.here)
        _check_place(path)

        async def work() -> tuple[Lockfile, int]:
            async with client_of(session, request) as client:
                if content:
                    lock = await lock_from(session, content, client, request)
                else:
                    lock, others = one_of(session, request.lockfile)
                    check_installable(lock.platform)
                    say_left_out(session, "a bundle", lock, others)
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
        session.reporter.info(f"{len(lock.packages)} packages, {human_size(size)}, in {seconds} s")
        session.reporter.info(
            f"there: `dataloader unbundle {shlex.quote(path.name)} -p PREFIX`, or unpack it and `sh install.sh PREFIX`"
        )
        session.write(document, f"{path}\n")
    return 0


def _check_place(path: Path) -> None:
    """Refuse a place that cannot be written, before anything is fetched."""
    from dataloader.base.files import is_special
    from dataloader.bundle.squashfs import SUFFIXES, tool

    if path.is_dir():
        raise UsageError(f"{path} is a folder", code="path-unusable", suggestions=(f"-o {path / 'NAME'}",))
    if path.suffix in SUFFIXES:
        tool("mksquashfs")
        if is_special(path):
            raise UsageError(f"{path} is a device or a pipe, and an image is a file", code="path-unusable")


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
    import asyncio

    from dataloader.base.files import is_special
    from dataloader.bundle.program import program_files
    from dataloader.bundle.squashfs import SUFFIXES
    from dataloader.bundle.tar import installer, write_bundle
    from dataloader.lockfile.yaml import dump_lock

    path.parent.mkdir(parents=True, exist_ok=True)
    # A file's volume has the room, a device's may not.
    with _aside(None if is_special(path) else path.resolve().parent) as folder:
        found = await _fetched(client, lock, folder)
        packages = tuple(package for package, _, _ in found)
        about = {"platform": lock.platform, "python": lock.python.version, "python_source": lock.python.source}
        place = path if is_special(path) else folder / f"made{''.join(path.suffixes)}"
        size = await asyncio.to_thread(
            write_bundle,
            place,
            dump_lock(replace(lock, packages=packages)).encode(),
            [(archive, file) for _, archive, file in found],
            about=about,
            script=installer(sys.version_info[:2]),
            program=list(program_files()) if program else [],
            image=path.suffix in SUFFIXES,
        )
        if place != path:
            place.replace(path.resolve())
        return size


@contextmanager
def _aside(beside: Path | None) -> Iterator[Path]:
    """Give a folder that goes when it is left; what killed processes left of the kind ``beside`` it goes now."""
    from tempfile import TemporaryDirectory

    from dataloader.base.files import remove_tree
    from dataloader.install.switch.owner import is_dead, signed

    if beside is None:
        with TemporaryDirectory(prefix="bundle-") as name:
            yield Path(name)
        return
    for left in beside.glob(".bundle-*"):
        if is_dead(left.name):
            remove_tree(left)
    folder = beside / signed(".bundle-")
    folder.mkdir()
    try:
        yield folder
    finally:
        remove_tree(folder)


async def _fetched(client: IndexClient, lock: Lockfile, folder: Path) -> list[tuple[Package, Archive, Path]]:
    """Fetch every archive of a lock, checked; what has an md5 alone gets the sha256 that it has."""
    import asyncio

    from dataloader.base.tasks import together

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
            raise IntegrityError(f"{package.file_name} does not have the locked md5", code="hash-mismatch")
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
    from dataloader.cli.stages.from_bundle import sync_bundle

    return sync_bundle(options, source, command="unbundle")
