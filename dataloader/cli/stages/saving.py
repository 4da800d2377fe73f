"""What a project is made of goes into its manifest: what a command says is written there, or refused.

The manifest that is written asks for what was solved, no less and no more; that is looked at before it is written.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import TryAgain, UsageError
from dataloader.base.files import replace_named
from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.cli.stages.remember import refuse_to_replace
from dataloader.index.web.credentials import public_channel, without_credentials
from dataloader.request.manifests.additions import Additions, beside, joined, of_files
from dataloader.request.public import for_this_run, kept_back
from dataloader.request.python import PYTHON, is_conda_python, is_python, stated
from dataloader.request.request import make_request
from dataloader.request.specs.joined import title
from dataloader.request.specs.requirements import Requirement

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.request import Request

SAVED = {
    "requirements": "its lines, in the manifest's tables",
    "files": "its lines, in the manifest's tables",
    "channels": "channels",
    "conda": "[resolution] conda",
    "index_url": "[pypi-options] index-url",
    "extra_index_url": "[pypi-options] extra-index-urls",
    "find_links": "[pypi-options] find-links",
    "require_attestation": "[attestations.require]",
    "trusted_root": "[attestations] trusted-root",
    "prerelease": "[resolution] prerelease",
    "only_binary": "[pypi-options] no-build",
    "no_binary": "[pypi-options] no-binary",
    "build": "[build] allow",
    "exclude_newer": "[resolution] exclude-newer",
    "skip_unbuildable": "[resolution] skip-unbuildable",
    "matrix": "[resolution] matrix",
}
"""Options that say what a project is made of, and where the manifest has it. The others are for one run."""


_MARK = "\ufeff"
"""What some editors begin a file of UTF-8 with; it stays."""


def typed(options: CommonOptions) -> dict[str, object]:
    """Return the saved options that the command line says; what a variable says belongs to the machine."""
    said = {name: getattr(options, name) for name in SAVED if name in options.typed}
    return {name: value for name, value in said.items() if value not in (None, (), False)}


def additions_of(session: Session, asked: Request, solved: Request, flags: StackFlags) -> Additions:
    """Return what a command, and the change that ``--fix`` made, add to the manifest."""
    from dataloader.index.publishers import read_policy

    options = typed(session.options)

    def several(name: str) -> tuple[str, ...]:
        return options.get(name, ())  # type: ignore[return-value]

    def single(name: str) -> str | None:
        return str(options[name]) if name in options else None

    resolution: dict[str, str | bool] = {
        key: value
        for key in ("conda", "prerelease", "exclude-newer")
        if (value := single(key.replace("-", "_"))) is not None
    }
    if "skip_unbuildable" in options:
        resolution["skip-unbuildable"] = True
    if matrix := single("matrix"):
        resolution["matrix"] = str((session.here / matrix).absolute())
    index_url = single("index_url")
    said = Additions(
        channels=tuple(_channel(session.here, c) for c in several("channels")) or None,
        index_url=without_credentials(index_url) if index_url else None,
        extra_index_urls=tuple(without_credentials(url) for url in several("extra_index_url")),
        find_links=tuple(_link(session.here, without_credentials(link)) for link in several("find_links")),
        only_binary=_names(several("only_binary")),
        no_binary=_names(several("no_binary")),
        build=_names(several("build")),
        resolution=resolution,
        require=dict(read_policy(several("require_attestation"))) if "require_attestation" in options else {},
        trusted_root=str((session.here / str(options["trusted_root"])).absolute())
        if "trusted_root" in options
        else None,
    )
    listed = of_files([replace(f, requirements=()) for f in asked.files])
    requirements, gone = _changes(asked, solved)
    stack = {axis: v for axis, v in solved.stack.items() if axis in flags.asked() or v != asked.stack.get(axis)}
    spoken = {} if any(map(is_conda_python, asked.said)) else flags.asked()  # then it is a package of the project
    python = stated(asked.said, [r for f in asked.files for r in f.requirements], spoken, _held_python(session, asked))
    if python is not None and solved.stack.get(PYTHON) == asked.stack.get(PYTHON):  # else --fix has changed it
        stack[PYTHON] = python
        gone = (*gone, PYTHON)  # where it stood among distributions
    return replace(beside(said, listed), requirements=requirements, gone=gone, stack=stack)


def _held_python(session: Session, asked: Request) -> str | None:
    if asked.manifest is None:
        return None
    return asked.manifest.environment(session.options.environment or "default").stack.get(PYTHON)


def _names(said: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for value in said for name in value.split(",")))


def _channel(here: Path, channel: str) -> str:
    if channel.startswith((".", "~", "/")):
        return str((here / Path(channel).expanduser()).absolute())
    return public_channel(channel) if "://" in channel else channel


def _link(here: Path, link: str) -> str:
    return link if "://" in link else str((here / Path(link).expanduser()).absolute())


def _changes(asked: Request, solved: Request) -> tuple[tuple[Requirement, ...], tuple[str, ...]]:
    """Return the requirements to write, and what is to be taken out."""
    before, after = (_by_title((*request.pypi, *request.conda)) for request in (asked, solved))
    said = _by_title(tuple(r for r in asked.said if not is_python(r)))  # that is the stack's
    changed = {name: group for name, group in after.items() if group != before.get(name)}
    wanted = {name: group for name, group in {**said, **changed}.items() if name in after or name not in before}
    gone = [*(before.keys() - after.keys()), *(f"stack:{axis}" for axis in asked.stack.keys() - solved.stack.keys())]
    return tuple(r for group in wanted.values() for r in group), tuple(sorted(gone))


def _by_title(requirements: tuple[Requirement, ...]) -> dict[str, tuple[Requirement, ...]]:
    merged = joined(requirements)
    return {name: tuple(r for r in merged if title(r) == name) for name in dict.fromkeys(map(title, merged))}


def manifest_with(
    session: Session, asked: Request, solved: Request, flags: StackFlags, gone: tuple[str, ...] = ()
) -> dict[Path, bytes]:
    """Return the manifest's new bytes by its path; nothing where there is none, or it stays as it is.

    ``gone`` is taken out, whether or not it matters on this machine.

    Raises:
        UsageError: ``not-in-manifest`` (or what a requirement is refused for); the manifest cannot say it.
            ``lock-of-another``; there is none, and the lock is that of another environment.
    """
    manifest = solved.manifest
    if manifest is None:
        refuse_to_replace(session, solved)
        return {}
    additions = additions_of(session, asked, solved, flags)
    additions = replace(additions, gone=tuple(sorted({*additions.gone, *gone})))
    if additions.is_empty:
        return {}
    from dataloader.request.manifests.edit import add_to_manifest
    from dataloader.request.manifests.manifest import parse_manifest

    read = manifest.path.read_text(encoding="utf-8")
    text = read.removeprefix(_MARK)
    feature = manifest.environment(session.options.environment or "default").feature
    added = add_to_manifest(text, manifest.path, additions, feature=feature)
    if added == text and not additions.gone:
        return {}
    edited = parse_manifest(added, manifest.path)
    _check_gone(session, edited, additions.gone)
    _check(session, solved, edited)
    if added == text:
        return {}
    return {manifest.path: (read[: len(read) - len(text)] + added).encode()}


def not_saved(options: CommonOptions, asked: Request) -> tuple[str, ...]:
    """Return what to say of what the manifest does not hold though it was said: it is a person's, or a machine's."""
    hosts = tuple(host for file in asked.files for host in file.trusted_hosts)
    said = (*typed(options).values(), *asked.secrets, *asked.files)
    return (*kept_back(said), *for_this_run(hosts))


def _check_gone(session: Session, manifest: Manifest, gone: tuple[str, ...]) -> None:
    """See that what is taken out is gone from every line of the environment's own, those of other machines too.

    Raises:
        UsageError: ``not-in-manifest``; it stands in a table that is not written here.
    """
    held = manifest.environment(session.options.environment or "default").replaceable
    if still := [r for r in held if title(r) in gone]:
        places = tuple(dict.fromkeys(f"{r.origin} asks for {r}" for r in still))
        raise UsageError(
            f"{', '.join(dict.fromkeys(title(r) for r in still))} cannot be taken out of {manifest.path}: "
            "it stands in a table that is not written here",
            code="not-in-manifest",
            causes=places,
            suggestions=(f"take it out of {manifest.path} by hand, and run `dataloader sync`",),
        )


def _check(session: Session, solved: Request, manifest: Manifest) -> None:
    """See that the next command, which has the manifest alone, will be asked for the same.

    Raises:
        UsageError: ``not-in-manifest``; it would not be.
        TryAgain: ``project-changed``; another command has written the manifest since this one began.
    """
    from dataloader.lockfile.check import differences
    from dataloader.request.manifests.manifest import load_manifest

    again = make_request(unsaid(session), (), None, environ=session.environ, here=session.here, manifest=manifest)
    if found := differences(solved.inputs(), again.inputs()):
        if load_manifest(manifest.path) != solved.manifest:
            raise _changed(manifest.path)
        raise UsageError(
            f"{manifest.path} cannot say this: the next sync would ask for something else",
            code="not-in-manifest",
            causes=found,
            suggestions=(f"write it into {manifest.path} by hand, and run `dataloader sync`",),
        )


def _changed(path: Path) -> TryAgain:
    return TryAgain(
        f"another command has changed {path} meanwhile",
        code="project-changed",
        suggestions=("run this command again: it begins with what is there now",),
    )


def unsaid(session: Session) -> CommonOptions:
    """Return the options without those of the command line that are saved."""
    said = typed(session.options)
    nothing = {tuple: (), bool: False}
    cleared: dict[str, Any] = {name: nothing.get(type(value)) for name, value in said.items()}
    if session.options.requirements or session.options.files:  # then the sets that are chosen are the files' own
        cleared |= {"extra": (), "group": (), "all_extras": None}
    return replace(session.options, **cleared)


def refuse_unsaved(session: Session, request: Request) -> None:
    """Refuse to solve a project for what its manifest does not say: a colleague's lock would differ.

    Raises:
        UsageError: ``not-in-manifest``.
    """
    said = typed(session.options)
    if request.manifest is None or not said:
        return
    flags = dict(zip(said, session.options.spelled(said), strict=True))
    raise UsageError(
        f"{', '.join(flags.values())}: {request.manifest.path} says what this project is made of",
        code="not-in-manifest",
        causes=tuple(f"{flag} belongs to {SAVED[name]}" for name, flag in flags.items()),
        suggestions=("add it there: `dataloader install` with the same options does",),
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let ^C wait until the block is done; it is short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def as_they_are(request: Request) -> dict[Path, bytes | None]:
    """Return what the manifest and the lock of a request hold now; ``None`` for what is not there."""
    paths = (request.lockfile, *((request.manifest.path,) if request.manifest else ()))
    return {path: _content(path) for path in paths}


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@contextmanager
def put(files: Mapping[Path, bytes], seen: Mapping[Path, bytes | None] = MappingProxyType({})) -> Iterator[None]:
    """Put files into place around the step that they go with; where it fails, or is interrupted, put them back.

    Args:
        files: What is to be written.
        seen: What they held when the command began.

    Raises:
        TryAgain: ``project-changed``; another command has written them meanwhile, and this one would undo that.
    """
    before = {path: _content(path) for path in {**seen, **files}}
    for path, was in seen.items():
        if before[path] not in (was, files.get(path)):
            raise _changed(path)
    with _uninterrupted():
        try:
            for path, data in files.items():
                if before[path] != data:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    replace_named(path, data)
            yield
        except BaseException:
            for path, old in before.items():
                if old is None:
                    path.unlink(missing_ok=True)
                elif _content(path) != old:
                    replace_named(path, old)
            raise
