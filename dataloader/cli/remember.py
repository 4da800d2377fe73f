"""What a command leaves for the next one: the manifest's new words, the lock that an install adds to, the agreement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataloader.cli.options import CommonOptions, StackFlags
from dataloader.inputs.joined import title, together, together_conda
from dataloader.inputs.model import CondaRequirement, PypiRequirement, Requirement
from dataloader.lockfile.yaml import parse_lock
from dataloader.request import make_request

if TYPE_CHECKING:
    from dataloader.cli.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.request import Request


def write_manifest(one: Session, asked: Request, solved: Request, specs: tuple[str, ...], flags: StackFlags) -> None:
    """Write what was asked for into the manifest, and what a fix changed of it."""
    manifest = solved.manifest
    if manifest is None or not (specs or flags.asked() or asked is not solved):
        return
    from dataloader.base.files import replace_file
    from dataloader.manifest_edit import add_to_manifest

    path = manifest.path
    before, after = _by_title((*asked.pypi, *asked.conda)), _by_title((*solved.pypi, *solved.conda))
    changed = {title: each for title, each in after.items() if each != before.get(title)}
    wanted = {
        title: each
        for title, each in {**_by_title(asked.said), **changed}.items()
        if title in after or title not in before
    }
    stack = {
        axis: value for axis, value in solved.stack.items() if axis in flags.asked() or value != asked.stack.get(axis)
    }
    gone = [*(before.keys() - after.keys()), *(f"stack:{axis}" for axis in asked.stack.keys() - solved.stack.keys())]
    text = path.read_text(encoding="utf-8")
    added = add_to_manifest(text, path.name, [r for each in wanted.values() for r in each], stack, gone=sorted(gone))
    if added != text:
        replace_file(path, added.encode())
        one.reporter.info(f"{path} has them now")


def _by_title(requirements: Sequence[Requirement]) -> dict[str, tuple[Requirement, ...]]:
    """Return requirements, joined, by the name that the lock's ``requested`` has them under."""
    joined: tuple[Requirement, ...] = (
        *together_conda(r for r in requirements if isinstance(r, CondaRequirement)),
        *together(r for r in requirements if isinstance(r, PypiRequirement)),
    )
    return {name: tuple(r for r in joined if title(r) == name) for name in dict.fromkeys(map(title, joined))}


def remembered_lock(one: Session) -> Lockfile | None:
    """Return the lock that the prefix was made from, where no manifest says what was asked for: installs add up."""
    from dataloader.prefix.locate import locate_manifest
    from dataloader.prefix.unchanged import fast_status
    from dataloader.request import lock_path, prefix_path

    if one.options.manifest or locate_manifest(str(one.here)):
        return None
    path, prefix = lock_path(one.options, one.here), prefix_path(one.options, one.here)
    if not path.is_file() or not fast_status(prefix, data := path.read_bytes()):
        return None
    return parse_lock(data, path)


def remember_agreement(one: Session, request: Request, lock: bytes, *, fits: bool) -> None:
    """Note in the prefix what it agrees with, so that the next sync with nothing to do is quick.

    Args:
        fits: Whether the lock was seen to fit the request.
    """
    from dataloader.cli.agreement import agreement, stands
    from dataloader.prefix.locate import SYNCED

    if fits and request.manifest:
        # The next sync may say less, and then it asks for less.
        plain = CommonOptions(manifest=request.manifest.path, prefix=one.options.prefix, lockfile=one.options.lockfile)
        next_request = make_request(plain, (), None, environ=one.environ, here=one.here)
        fits = next_request.inputs() == request.inputs()
    now = agreement(request.manifest.path if request.manifest else None, lock, one.environ, fits=fits)
    if stands(str(request.prefix), now):
        return
    path = request.prefix / SYNCED
    try:
        path.write_text(json.dumps(now), encoding="utf-8")
    except OSError as error:
        one.reporter.debug(f"{path} cannot be written, so every sync takes the long way: {error.strerror}")
