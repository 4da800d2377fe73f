"""``dataloader remove``."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import UsageError
from dataloader.base.names import normalized
from dataloader.cli.edits.said import CHANGING, NoSync, check_no_sync, say_shared
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand
from dataloader.prefix.locate import as_seen

if TYPE_CHECKING:
    from dataloader.lockfile.model import Lockfile
    from dataloader.request.manifests.manifest import ManifestEnvironment
    from dataloader.request.request import Request
    from dataloader.request.specs.requirements import Requirement


@command(example="dataloader remove transformers", takes=CHANGING)
def remove(
    options: CommonOptions,
    names: Annotated[list[str], Operand("NAME", "numpy, as it was added; conda:cudnn or cuda, if it is one.")],
    no_sync: NoSync = False,
) -> int:
    """Take packages out of the manifest, the lock and the prefix.

    What they brought in goes with them, unless something else needs it; every other version stays.
    """
    from dataloader.cli.edits.edit import Edit, carry_out
    from dataloader.cli.edits.remembered import environment_of, remembered_request
    from dataloader.cli.stages.flow import Destination, to_the_end
    from dataloader.cli.stages.session import open_session

    check_no_sync(options, no_sync)
    with open_session(options, "remove") as session:
        asked, lock = remembered_request(session, "remove from")
        environment = environment_of(session, asked)
        gone = tuple(dict.fromkeys(title for name in names for title in titles_of(name, asked, environment, lock)))
        edit = Edit(
            asked=asked,
            wanted=without(asked, gone),
            gone=gone,
            asking=lambda there: without(remembered_request(there, "remove from")[0], gone),
        )
        edited = to_the_end(carry_out(session, edit, None if no_sync else Destination()))
        needed = _still_needed(gone, edited.lock)
        document = {
            **edited.document(),
            "taken_out": list(gone),
            "still_needed": [{"name": name, "by": list(by)} for name, by in needed],
        }
        session.write(document, edited.text(dry_run=options.dry_run))
        if asked.manifest is not None:
            verb = "would be" if options.dry_run else "are" if len(gone) > 1 else "is"
            session.reporter.info(f"{', '.join(gone)} {verb} out of {as_seen(asked.manifest.path)}")
        say_shared(session, edited)
        for name, by in needed:
            session.reporter.info(f"{name} stays: {', '.join(by)}")
    return 0


def without(request: Request, titles: Iterable[str]) -> Request:
    """Return a request that asks for less."""
    from dataloader.request.specs.joined import title

    gone = set(titles)
    return replace(
        request,
        pypi=tuple(r for r in request.pypi if title(r) not in gone),
        conda=tuple(r for r in request.conda if title(r) not in gone),
        stack={axis: value for axis, value in request.stack.items() if f"stack:{axis}" not in gone},
    )


def titles_of(
    name: str, request: Request, environment: ManifestEnvironment | None, lock: Lockfile | None
) -> tuple[str, ...]:
    """Return what stands for a name in what is asked for: a project, ``conda:NAME``, ``stack:AXIS``.

    Raises:
        UsageError: ``not-asked-for``, with what needs it, or where else it is asked for.
    """
    from dataloader.request.specs.joined import title

    world, _, plain = name.rpartition(":")
    project, package = normalized(plain), f"conda:{plain.lower()}"
    wanted = {"": (project, package, f"stack:{project}"), "pypi": (project,), "conda": (package,)}.get(world)
    if wanted is None or not plain:
        raise UsageError(
            f"{name!r} is no name of a package",
            suggestions=("`dataloader remove numpy`", "`dataloader remove conda:cudnn`"),
        )
    held: tuple[Requirement, ...] = environment.replaceable if environment else (*request.pypi, *request.conda)
    asked = {*map(title, held), *(f"stack:{axis}" for axis in request.stack)}
    if found := tuple(name for name in wanted if name in asked):
        return found
    raise UsageError(
        f"{name} is not asked for by {request.manifest.path if request.manifest else request.lockfile}",
        code="not-asked-for",
        causes=(*_elsewhere(wanted, request, environment), *_needs(plain, lock)),
        suggestions=_instead(name, asked),
    )


def _elsewhere(wanted: Collection[str], request: Request, environment: ManifestEnvironment | None) -> Iterator[str]:
    """Say which tables, that are not this environment's own, ask for it."""
    from dataloader.request.specs.joined import title

    for requirement in environment.fixed if environment else ():
        if title(requirement) in wanted:
            yield f"{requirement.origin} asks for it, which is not a table that this changes: take it out there"
    if request.manifest is None or environment is None:
        return
    for name, features in request.manifest.environments.items():
        own = request.manifest.features[features[0]].requirements
        if features[0] != environment.feature and any(title(r) in wanted for r in own):
            yield f"the environment {name} asks for it: --environment {name}"


def _needs(name: str, lock: Lockfile | None) -> Iterator[str]:
    """Say what brings a package in that nobody asked for."""
    from dataloader.lockfile.graph import edges_of

    if lock is None:
        return
    versions = {package.name: package.version for package in lock.packages}
    for edge in edges_of(lock):
        if edge.target in {normalized(name), name.lower()}:
            yield f"{edge.source} {versions[edge.source]} needs it ({edge.target}{edge.bound or ', any version'})"


def _instead(name: str, asked: Iterable[str]) -> tuple[str, ...]:
    plain = {title.removeprefix("stack:"): title for title in sorted(asked)}
    near = difflib.get_close_matches(name, plain, n=3)
    return (*(f"did you mean {name}?" for name in near), "`dataloader tree --invert NAME` shows what needs a package")


def _still_needed(gone: Iterable[str], lock: Lockfile) -> list[tuple[str, tuple[str, ...]]]:
    """What stays in the lock of what was taken out, and because of what."""
    from dataloader.lockfile.graph import edges_of

    edges = edges_of(lock)
    versions = {package.name: package.version for package in lock.packages}
    names = dict.fromkeys(title.rpartition(":")[2] for title in gone)
    sources = {name: [e for e in edges if e.target == name] for name in names if name in versions}
    return [
        (
            name,
            tuple(f"{e.source} {versions[e.source]} needs {name}{e.bound}" for e in found) or ("it is Python's own",),
        )
        for name, found in sources.items()
    ]
