"""``dataloader env``: the environments of a project; and ``dataloader clean``, all of them at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dataloader.base.errors import Declined, PrefixError, UsageError
from dataloader.base.values import dataclass
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.render import human_size, table
from dataloader.process.running import to_the_end

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session

TAKES = ("manifest", "prefix", "dry_run", "yes", "Output")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEnvironment:
    """One environment of a project, or a folder that was named."""

    name: str | None
    """In the manifest, or of its folder; None: it was named by its path."""
    prefix: Path
    is_made: bool
    is_declared: bool
    """Whether the manifest has it."""


@command(example="dataloader env list", takes=TAKES)
def env(
    options: CommonOptions,
    action: Annotated[
        Literal["list", "remove"], Operand("ACTION", "list: the environments of this project; remove: some of them.")
    ],
    names: Annotated[list[str] | None, Operand("NAME", "remove: which; default, say.")] = None,
) -> int:
    """List the environments of a project, or remove some: what they are made of stays in manifest and lock."""
    from dataloader.cli.stages.session import open_session

    with open_session(options) as session:
        places = tuple(_places(session))
        if action == "list":
            if said := [*(names or ()), *options.spelled(("dry_run", "yes", "prefix"))]:
                raise UsageError(
                    f"env list shows all environments: {', '.join(said)} can have no effect",
                    suggestions=("leave it out",),
                )
            _list(session, places)
        else:
            _remove(session, _named(session, places, names or ()))
    return 0


@command(example="dataloader clean --dry-run", takes=("manifest", "dry_run", "yes", "Output"))
def clean(
    options: CommonOptions,
    scripts: Annotated[
        bool, own_option("--scripts", about="Remove the environments of scripts in the cache instead.")
    ] = False,
) -> int:
    """Remove all environments of the project; a sync makes them again from the lock.

    Manifest, locks and the cache of packages stay: `dataloader cache prune` looks after that.
    """
    from dataloader.cli.running.scripts import FOLDER, is_ours
    from dataloader.cli.stages.session import open_session
    from dataloader.prefix.state import nature

    with open_session(options) as session:
        if scripts:
            if said := options.spelled(("manifest",)):
                raise UsageError(f"--scripts is of no project: {said[0]} can have no effect")
            folders = sorted((session.cache / FOLDER).glob("*/"))
            ours = [folder for folder in folders if is_ours(folder)]
            _say_foreign(session, [folder for folder in folders if folder not in ours])
            _remove(
                session,
                [NamedEnvironment(name=None, prefix=p, is_made=True, is_declared=False) for p in ours],
                are_ours=True,
            )
        else:
            made = [place for place in _places(session) if place.is_made]
            own = [place for place in made if nature(place.prefix) in ("ours", "empty")]
            _say_foreign(session, [place.prefix for place in made if place not in own])
            _remove(session, own)
    return 0


def _say_foreign(session: Session, folders: Sequence[Path]) -> None:
    for folder in folders:
        session.reporter.warn(f"{folder} is not this program's, and stays")


def _places(session: Session) -> Iterator[NamedEnvironment]:
    """The environments that the manifest has, and those that are there."""
    from dataloader.prefix.locate import DEFAULT_ENVIRONMENT, ENVIRONMENTS, prefix_in, root_of
    from dataloader.request.places import find

    manifest = find(session.options, session.here)
    root = root_of(str(manifest.path) if manifest else None, str(session.here))
    declared = manifest.environments if manifest else {}
    folder = Path(root, ENVIRONMENTS)
    there = (
        [path.name for path in sorted(folder.glob("*/")) if not path.name.startswith(".")] if folder.is_dir() else []
    )
    for name in dict.fromkeys([*([DEFAULT_ENVIRONMENT] if declared else []), *sorted(declared), *there]):
        prefix = Path(prefix_in(root, name))
        yield NamedEnvironment(name=name, prefix=prefix, is_made=prefix.is_dir(), is_declared=name in declared)


def _list(session: Session, places: Sequence[NamedEnvironment]) -> None:
    from dataloader.cli.stages.use import ACTIVE
    from dataloader.prefix.state import read_state

    active = {Path(path) for name in ACTIVE if (path := session.environ.get(name))}
    found = []
    for place in places:
        state = read_state(place.prefix) if place.is_made else None
        found.append(
            {
                "name": place.name,
                "prefix": str(place.prefix),
                "made": place.is_made,
                "declared": place.is_declared,
                "size": _size(place.prefix) if place.is_made else None,
                "lockfile": state.lockfile if state else None,
                "active": place.prefix in active,
            }
        )
    rows = [
        (
            f"{'* ' if row['active'] else ''}{row['name']}",
            human_size(size) if isinstance(size := row["size"], int) else "not made",
            str(row["prefix"]),
            ""
            if row["declared"] or (session.options.manifest is None and not places[0].is_declared)
            else "not in the manifest",
        )
        for row in found
    ]
    text = table(rows, ("environment", "size", "prefix", "")) if rows else "no environments here\n"
    session.write({"status": "ok", "environments": found}, text)


def _size(prefix: Path) -> int:
    """Bytes of its files; those that it shares with the cache by hard links count whole."""
    from dataloader.base.files import walk

    total = 0
    for folder, _, files in walk(prefix):
        for name in files:
            try:
                total += Path(folder, name).lstat().st_size
            except OSError:
                continue  # it has just gone
    return total


def _named(session: Session, places: Sequence[NamedEnvironment], names: Sequence[str]) -> list[NamedEnvironment]:
    """The environments that are meant, by name, or the one that --prefix names."""
    prefix = session.options.prefix if "prefix" in session.options.typed else None
    if bool(names) == (prefix is not None):
        raise UsageError(
            "which environment is to be removed?" if not names else "a name and --prefix exclude each other",
            suggestions=("`dataloader env list` shows them", "`dataloader env remove default`"),
        )
    if prefix is not None:
        if not prefix.is_dir():
            raise PrefixError(f"there is no environment at {prefix}", code="prefix-missing")
        return [NamedEnvironment(name=None, prefix=prefix, is_made=True, is_declared=False)]
    known = {place.name: place for place in places if place.is_made}
    for name in names:
        if name not in known and name in {place.name for place in places}:
            raise PrefixError(
                f"the environment {name} is not made: there is nothing to remove",
                code="prefix-missing",
                suggestions=("`dataloader env list` shows which are",),
            )
        if name not in known:
            raise UsageError(
                f"there is no environment {name} here",
                code="environment-unknown",
                causes=(f"there are: {', '.join(filter(None, known)) or 'none'}",),
                suggestions=("`dataloader env list` shows them",),
            )
    return [known[name] for name in dict.fromkeys(names)]


def _remove(session: Session, places: Sequence[NamedEnvironment], *, are_ours: bool = False) -> None:
    """Remove environments, each by one rename before it is taken apart; somebody at a terminal is asked first."""
    for place in places if not are_ours else ():
        _check(place.prefix)
    sized = [(place, _size(place.prefix)) for place in places]
    rows = [("-", place.name or "", str(place.prefix), human_size(size)) for place, size in sized]
    if not session.options.dry_run and places:
        _ask(session, table(rows))
        for place in places:
            _take_away(session, place.prefix)
    document = {
        "status": "ok",
        "dry_run": session.options.dry_run,
        "removed": [{"name": p.name, "prefix": str(p.prefix), "size": s} for p, s in sized],
    }
    verb = "would be removed" if session.options.dry_run else "removed"
    text = f"{table(rows)}{len(places)} {verb}, {human_size(sum(size for _, size in sized))}\n"
    session.write(document, text if places else "there is nothing to remove\n")


def _check(prefix: Path) -> None:
    """Refuse what is not an environment of ours, and a generation, which others may use.

    Raises:
        PrefixError: ``prefix-foreign``.
    """
    from dataloader.prefix.pin import generation_of
    from dataloader.prefix.state import nature

    if generation_of(str(prefix)) is not None:
        raise PrefixError(
            f"{prefix} leads to a generation on a shared volume, which others may use",
            code="prefix-foreign",
            suggestions=("`dataloader prune --root DIR --name NAME` removes those that nobody uses",),
        )
    if nature(prefix) not in ("ours", "empty"):
        raise PrefixError(
            f"{prefix} is not an environment of this program, and stays",
            code="prefix-foreign",
            suggestions=("remove it with what made it",),
        )


def _ask(session: Session, rows: str) -> None:
    is_answered = session.options.yes or session.options.json or session.environ.get("CI")
    if is_answered or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    sys.stderr.write(f"{rows}Remove them? [Y/n] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if answer.strip().lower() not in ("", "y", "yes") or not answer:
        raise Declined("everything is left as it was", suggestions=("--yes (or DATALOADER_YES=1) does not ask",))


def _take_away(session: Session, prefix: Path) -> None:
    """Remove a prefix while no sync is at work on it."""

    from dataloader.base.files import remove_tree
    from dataloader.install.switch.lease import Lease
    from dataloader.install.switch.place import place_of

    async def alone() -> None:
        place = place_of(prefix.absolute())
        async with Lease(place.helper("lease"), str(prefix), session.reporter, 30.0):
            if not remove_tree(prefix):
                raise PrefixError(f"{prefix} cannot be removed whole", code="prefix-read-only")

    to_the_end(alone())
