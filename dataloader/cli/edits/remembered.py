"""What is asked for without being said again: by a manifest, or by the lock of an environment without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.base.platforms import detect_platform
from dataloader.lockfile.parts import part_for
from dataloader.prefix.locate import DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.request.manifests.manifest import ManifestEnvironment
    from dataloader.request.request import Request


def remembered_request(session: Session, verb: str) -> tuple[Request, Lockfile | None]:
    """Return what is asked for, and the lock as it is.

    Raises:
        UsageError: ``nothing-asked``; nobody knows.
    """
    from dataloader.cli.line.first_steps import without_manifest
    from dataloader.cli.stages.flow import locks_in
    from dataloader.cli.stages.remember import remembered_lock
    from dataloader.request.places import find, prefix_path
    from dataloader.request.request import make_request

    manifest = find(session.options, session.here)
    if manifest is not None:
        request = make_request(session.options, (), None, environ=session.environ, here=session.here, manifest=manifest)
        return request, part_for(locks_in(request.lockfile), request.platform, request.environment)
    remembered = remembered_lock(session)
    if remembered is None:
        raise UsageError(
            f"there is nothing to {verb}: no manifest is here, and no lock that "
            f"{prefix_path(session.options, session.here)} was made from",
            code="nothing-asked",
            suggestions=(
                "name the environment's lock and prefix with --lockfile and --prefix",
                *without_manifest(session.here, "sync"),
            ),
        )
    request = make_request(
        session.options, (), None, environ=session.environ, here=session.here, remembered=remembered.inputs
    )
    return request, part_for(locks_in(request.lockfile), request.platform, request.environment)


def environment_of(session: Session, request: Request) -> ManifestEnvironment | None:
    """Return what the tables say of the environment that a command is about; ``None`` without a manifest."""
    if request.manifest is None:
        return None
    return request.manifest.environment(
        session.options.environment or DEFAULT_ENVIRONMENT, session.options.platform or detect_platform()
    )
