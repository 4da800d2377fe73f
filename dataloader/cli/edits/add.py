"""``dataloader add``."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.edits.bounds import Bounds, bounds_of
from dataloader.cli.edits.said import NoSync, check_no_sync, say_shared
from dataloader.cli.line.command import INSTALL, command
from dataloader.cli.line.options import CommonOptions, Specs, StackFlags, own_option

if TYPE_CHECKING:
    from dataloader.cli.edits.edit import Edited
    from dataloader.cli.stages.platforms import Solve
    from dataloader.cli.stages.proof import Proof
    from dataloader.cli.stages.session import Session
    from dataloader.index.client import IndexClient
    from dataloader.lockfile.model import Lockfile
    from dataloader.locking.lock import Locked
    from dataloader.request.request import Request
    from dataloader.request.specs.requirements import Requirement


@command(example="dataloader add 'numpy<2' transformers", takes=INSTALL)
def add(
    stack: StackFlags,
    options: CommonOptions,
    specs: Specs = None,
    bounds: Annotated[
        Bounds,
        own_option(
            "--bounds",
            about="Written of a name without a version: >= what is chosen, < its next major or minor too, ==, nothing.",
        ),
    ] = "lower",
    no_sync: NoSync = False,
) -> int:
    """Add packages to the manifest, lock, and make the prefix match the lock.

    As install does in a project; a name without a version is written with the one that was chosen as its lower bound.
    """
    from dataloader.cli.edits.edit import Edit, carry_out
    from dataloader.cli.stages.flow import Destination, to_the_end
    from dataloader.cli.stages.session import open_session
    from dataloader.request.request import make_request
    from dataloader.request.specs.joined import title

    check_no_sync(options, no_sync)
    with open_session(options, "add") as session:
        request = make_request(options, tuple(specs or ()), stack, environ=session.environ, here=session.here)
        if request.manifest is None:
            raise _no_manifest(session, specs or ())
        if not (request.said or stack.asked()):
            raise UsageError(
                "there is nothing to add",
                code="nothing-asked",
                suggestions=("name packages: `dataloader add torch==2.1.0`",),
            )
        environment = request.manifest.environment(options.environment or "default")
        known = {title(requirement) for requirement in environment.requirements}
        edit = Edit(asked=request, wanted=request, flags=stack, solve=_bounded(bounds, known))
        edited = to_the_end(carry_out(session, edit, None if no_sync else Destination()))
        _say(session, edited)
    return 0


def _no_manifest(session: Session, specs: Sequence[str]) -> UsageError:
    from dataloader.cli.line.first_steps import without_manifest

    words = shlex.join(specs) or "NAME"
    return UsageError(
        "there is no manifest to add to",
        code="manifest-missing",
        suggestions=(
            *without_manifest(session.here, "add", *(specs or ("NAME",))),
            f"`dataloader install {words} -p DIR` makes an environment without one",
        ),
    )


def _bounded(bounds: Bounds, known: Collection[str]) -> Solve:
    """Solve, and bound what was asked for by its name alone, and was not known before."""
    from dataloader.cli.edits.edit import plainly

    async def solve(
        session: Session, request: Request, client: IndexClient, old: Lockfile | None, proof: Proof
    ) -> tuple[Request, Locked]:
        solved, locked = await plainly(session, request, client, old, proof)
        bound = bounded(solved, locked.lock, bounds, known)
        return bound, replace(locked, lock=replace(locked.lock, inputs=bound.inputs()))

    return solve


def bounded(request: Request, lock: Lockfile, bounds: Bounds, known: Collection[str]) -> Request:
    """Return the request with a bound, by what is locked, on each new requirement that says no version."""
    from dataloader.base.names import pypi_names
    from dataloader.request.python import is_python
    from dataloader.request.specs.joined import is_bare, title
    from dataloader.request.specs.requirements import CondaRequirement

    fresh = {
        title(requirement)
        for requirement in request.said
        if is_bare(requirement) and not is_python(requirement) and title(requirement) not in known
    }
    conda = {package.name: package.version for package in lock.conda()}
    projects = {name: version for conda_name, version in conda.items() for name in pypi_names(conda_name) or ()}
    projects |= {package.name: package.version for package in lock.pypi()}

    def with_bound(requirement: Requirement) -> Requirement:
        version = (conda if isinstance(requirement, CondaRequirement) else projects).get(requirement.name)
        if version is None or title(requirement) not in fresh:
            return requirement
        if isinstance(requirement, CondaRequirement):
            return replace(requirement, version=bounds_of(version, bounds) or requirement.version)
        # A label (+cu121) has no place in an ordered comparison (PEP 440), and would tie a project to one index.
        return replace(requirement, specifier=bounds_of(version.partition("+")[0], bounds))

    return replace(
        request,
        pypi=tuple(map(with_bound, request.pypi)),  # type: ignore[arg-type]
        conda=tuple(map(with_bound, request.conda)),  # type: ignore[arg-type]
        said=tuple(map(with_bound, request.said)),
    )


def _written(edited: Edited) -> Iterator[Requirement]:
    """Yield what was said as the manifest has it now: a change that ``--fix`` made is not what was said."""
    from dataloader.request.specs.joined import title

    before: list[Requirement] = [*edited.asked.pypi, *edited.asked.conda]
    after: list[Requirement] = [*edited.request.pypi, *edited.request.conda]
    for requirement in edited.request.said:
        if requirement in after or title(requirement) not in map(title, before):
            yield requirement
        else:  # it does not matter on this machine
            yield from (other for other in after if title(other) == title(requirement) and other not in before)


def _say(session: Session, edited: Edited) -> None:
    from dataloader.cli.edits.edit import say_next
    from dataloader.prefix.locate import as_seen

    written = [str(requirement) for requirement in _written(edited)]
    manifest = edited.asked.manifest
    assert manifest is not None
    changed = manifest.path in edited.files
    document = {**edited.document(), "manifest": str(manifest.path), "added": written if changed else []}
    session.write(document, edited.text(dry_run=session.options.dry_run))
    if not changed:
        session.reporter.info(f"{as_seen(manifest.path)} says so already")
    else:
        verb = "would have" if session.options.dry_run else "has"
        more = ", ".join(written) or ("the stack" if not edited.request.said else "nothing of it")
        session.reporter.info(f"{as_seen(manifest.path)} {verb} {more} now")
    say_shared(session, edited)
    say_next(session, edited)
