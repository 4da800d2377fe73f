"""``dataloader search``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from dataloader.base.errors import DataloaderError, IndexUnavailable, ResolutionFailure, UsageError
from dataloader.base.names import conda_name, normalized
from dataloader.cli.line.command import LOOK, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.render import table
from dataloader.process.running import to_the_end

if TYPE_CHECKING:
    from packaging.version import Version

    from dataloader.cli.stages.session import Session
    from dataloader.index.model import IndexFile
    from dataloader.request.request import Request

_MOST = 10
"""Versions shown of each world, unless all are asked for."""


@command(
    example="dataloader search torch",
    takes=("manifest", "platform", *LOOK),
)
def search(
    options: CommonOptions,
    name: Annotated[str, Operand("NAME", "A project, or a conda package; conda:NAME or pypi:NAME for one of the two.")],
    every: Annotated[bool, own_option("--all", about="Show all versions, not the newest ten.")] = False,
) -> int:
    """Show the versions of a package, on the indexes and in the channels, newest first."""
    from dataloader.cli.stages.session import open_session
    from dataloader.request.request import make_request

    with open_session(options) as session:
        request = make_request(options, (), None, environ=session.environ, here=session.here)
        project, conda = _names(name)
        wheels, records, silent = to_the_end(_ask(session, request, project, conda))
        for error in silent:
            session.reporter.warn(error)
        rows = [*_wheel_rows(wheels), *_conda_rows(records)]
        if not rows and silent:
            raise IndexUnavailable(
                f"nothing that answered has {name}, and not everything answered",
                code="index-unreachable",
                causes=tuple(silent),
                suggestions=("look at the network and the addresses, then try again",),
            )
        if not rows:
            raise ResolutionFailure(
                f"no index and no channel that answered has {name}",
                code="unknown-package",
                causes=tuple(silent),
                suggestions=("look at the spelling; --extra-index-url and -c name further places",),
            )
        shown = rows if every else [row for world in ("pypi", "conda") for row in _first(rows, world)]
        document = {"status": "ok", "name": project, "conda_name": conda, "versions": rows, "silent": silent}
        cells = [(row["version"], row["world"], row["package"], row["files"], row["note"]) for row in shown]
        hidden = len(rows) - len(shown)
        more = f"and {hidden} older: --all shows them\n" if hidden else ""
        session.write(document, table(cells, ("version", "world", "package", "files", "")) + more)
    return 0


def _names(text: str) -> tuple[str | None, str | None]:
    """Return what to look for on the indexes and in the channels; ``conda:`` and ``pypi:`` name one of the two.

    Raises:
        UsageError: ``requirement-invalid``; it is no name.
    """
    from dataloader.request.specs.requirements import CondaRequirement
    from dataloader.request.specs.spec import parse_spec

    requirement = parse_spec(text)
    prefix = text.partition(":")[0] + ":" if text.startswith(("conda:", "pypi:")) else ""
    if normalized(text.removeprefix(prefix).strip()) != normalized(requirement.name):
        raise UsageError(
            f"{text} says more than a name",
            code="requirement-invalid",
            suggestions=(f"`dataloader search {prefix}{requirement.name}` shows the versions that there are",),
        )
    if isinstance(requirement, CondaRequirement):
        return None, requirement.name
    return requirement.name, None if prefix else conda_name(requirement.name) or text.strip().lower()


def _first(rows: Sequence[dict[str, Any]], world: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["world"] == world][:_MOST]


async def _ask(
    session: Session, request: Request, project: str | None, conda: str | None
) -> tuple[tuple[IndexFile, ...], list[Any], list[str]]:
    """Files of the indexes, records of the channels, and what did not answer."""
    from dataloader.index.client import IndexClient

    silent: list[str] = []
    files: tuple[IndexFile, ...] = ()
    records: list[Any] = []
    async with IndexClient(request.settings, session.reporter, cache_dir=session.cache, known=request.known) as client:
        try:
            files = await client.project(project) if project else ()
        except DataloaderError as error:
            silent.append(error.message)
    if request.conda_mode != "never" and conda:
        try:
            records = await _records(session, request, conda)
        except DataloaderError as error:
            silent.append(error.message)
    return files, records, silent


async def _records(session: Session, request: Request, name: str) -> list[Any]:
    from dataloader.machine.detect import detect_target
    from dataloader.resolve.channels.rattler import Channels

    channels = Channels(
        request.channels,
        detect_target(request.platform, session.environ, ask=()),
        priority="disabled",
        cache=session.cache / "repodata",
        settings=request.settings,
        reporter=session.reporter,
    )
    return await channels.records(name)


def _wheel_rows(files: Sequence[IndexFile]) -> list[dict[str, Any]]:
    from dataloader.resolve.words.versions import parse_version

    by_version: dict[Version, list[IndexFile]] = {}
    for file in files:
        if (version := parse_version(file.version)) is not None:
            by_version.setdefault(version, []).append(file)
    return [
        {
            "version": str(version),
            "world": "pypi",
            "package": found[0].name,
            "files": _count(found),
            "note": "yanked" if all(file.yanked for file in found) else (found[0].upload_time or "")[:10],
        }
        for version, found in sorted(by_version.items(), reverse=True)
    ]


def _count(files: Sequence[IndexFile]) -> str:
    wheels = sum(file.kind == "wheel" for file in files)
    parts: Mapping[str, int] = {"wheel": wheels, "source archive": len(files) - wheels}
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for word, count in parts.items() if count)


def _conda_rows(records: Sequence[Any]) -> list[dict[str, Any]]:
    by_version: dict[Any, list[Any]] = {}
    for record in records:
        by_version.setdefault(record.version, []).append(record)
    return [
        {
            "version": str(version),
            "world": "conda",
            "package": found[0].name.normalized,
            "files": f"{len(found)} build{'s' if len(found) > 1 else ''}",
            "note": found[0].channel or "",
        }
        for version, found in sorted(by_version.items(), key=lambda pair: pair[0], reverse=True)
    ]
