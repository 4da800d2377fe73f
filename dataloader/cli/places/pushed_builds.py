"""``dataloader cache push``: what was built of a lock goes to the registry of builds."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import ChangesNeeded, UsageError
from dataloader.base.names import some
from dataloader.cli.stages.builds import shared_builds
from dataloader.cli.stages.session import Session
from dataloader.cli.telling.render import human_size
from dataloader.install.switch.owner import signed
from dataloader.process.running import to_the_end
from dataloader.request.request import Request

if TYPE_CHECKING:
    from dataloader.build.shared import PushedBuild, SharedBuilds
    from dataloader.install.store.store import StoredWheel
    from dataloader.lockfile.model import Lockfile, PypiPackage


def push_builds(session: Session, request: Request, lock: Lockfile) -> None:
    """Bring the builds of a lock from the cache to the registry of builds; what leads to a tree is of one machine.

    Raises:
        UsageError: ``build-registry-unnamed``.
        ChangesNeeded: ``build-missing``; some are not built yet.
        IndexUnavailable, IntegrityError: as ``SharedBuilds.give`` has it.
    """
    shared = shared_builds(session, request)
    if shared is None:
        raise UsageError(
            "no registry is named that builds are pushed to",
            code="build-registry-unnamed",
            suggestions=(
                'name it in the manifest: [build] registry = "registry.example.org/team/builds"',
                "or for this machine: DATALOADER_BUILD_REGISTRY=registry.example.org/team/builds",
            ),
        )
    wheels = list(_stored(session, lock))
    given = to_the_end(_given(shared, wheels, session.cache))
    made = [
        {"name": package.name, "version": package.version, "key": package.stored_as, **wheel._asdict()}
        for (package, _), wheel in zip(wheels, given, strict=True)
    ]
    sent = sum(wheel.sent for wheel in given)
    lines = "".join(f"{'+' if wheel.sent else '='} {wheel.wheel}\n" for wheel in given)
    new = sum(1 for wheel in given if wheel.sent)
    text = (
        f"{shared.repository} has all that {request.lockfile} builds: {new} of {len(given)} new, {human_size(sent)}\n"
    )
    document = {"status": "ok", "registry": str(shared.repository), "builds": made, "sent_bytes": sent}
    session.write(document, lines + text)


def _stored(session: Session, lock: Lockfile) -> Iterable[tuple[PypiPackage, StoredWheel]]:
    """Return what the cache has of a lock's builds, whole."""
    from dataloader.install.local import with_trees
    from dataloader.install.store.store import WheelStore

    store = WheelStore(session.cache)
    found, lacking = [], []
    for package in with_trees(lock).pypi():
        if package.build is None or package.origin.editable:
            continue
        stored = store.find(package.stored_as)
        if stored is None or store.examine(stored, session.reporter, all_files=True) is None:
            lacking.append(f"{package.name} {package.version}")
        else:
            found.append((package, stored))
    if lacking:
        raise ChangesNeeded(
            f"{session.cache} has no build of {some(lacking, 4)}",
            code="build-missing",
            suggestions=("`dataloader cache warm` builds what the lock names",),
        )
    return found


async def _given(
    shared: SharedBuilds, wheels: Iterable[tuple[PypiPackage, StoredWheel]], cache: Path
) -> list[PushedBuild]:
    given = []
    for package, stored in wheels:
        folder = cache / signed("building-")
        folder.mkdir(parents=True)
        try:
            given.append(await shared.give(package, stored, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return given
