"""What a lock was asked for, as requirements: what a manifest of another tool should ask for too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from dataloader.lockfile.model import Lockfile
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement
from dataloader.request.specs.spec import parse_spec


def asked_for(lock: Lockfile) -> tuple[Requirement, ...]:
    """The requirements that the lock was made from; what an option of the stack asked for has its locked version."""
    origin = "the lock"
    said = [parse_spec(text, origin=origin) for text in _texts(lock, "requirements")]
    said += [parse_spec(f"conda:{text}", origin=origin) for text in _texts(lock, "conda")]
    names = {
        f"conda:{requirement.name}" if isinstance(requirement, CondaRequirement) else requirement.name
        for requirement in said
    }
    locked = {package.name: package for package in lock.packages}
    for name in lock.requested:
        plain = name.removeprefix("conda:")
        if name not in names and plain in locked:
            version = locked[plain].version
            conda = name.startswith("conda:")
            said.append(
                CondaRequirement(name=plain, version=f"=={version}", origin=origin)
                if conda
                else PypiRequirement(name=plain, specifier=f"=={version}", origin=origin)
            )
    return tuple(said)


def _texts(lock: Lockfile, key: str) -> Iterable[str]:
    return cast("Iterable[str]", lock.inputs.get(key) or ())
