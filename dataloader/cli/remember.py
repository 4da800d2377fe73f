"""What a command leaves for the next one, or finds of an earlier one: the lock that it adds to, the agreement."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dataloader.cli.options import CommonOptions
from dataloader.lockfile.yaml import parse_lock
from dataloader.request.request import make_request

if TYPE_CHECKING:
    from dataloader.cli.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.request.request import Request


def remembered_lock(one: Session) -> Lockfile | None:
    """Return the lock that the prefix was made from, where no manifest says what was asked for: installs add up."""
    from dataloader.prefix.locate import locate_manifest
    from dataloader.prefix.unchanged import fast_status
    from dataloader.request.request import lock_path, prefix_path

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
