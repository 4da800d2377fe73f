"""The environments that builds run in: build requirements, solved and installed as any others, and thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.errors import BuildFailure, ResolutionFailure
from dataloader.base.platforms import detect_platform
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.build.limits import Limits
from dataloader.locking.lock import make_lock
from dataloader.machine.target import SystemRequirements
from dataloader.request.request import Request
from dataloader.request.specs.spec import parse_pypi

if TYPE_CHECKING:
    from dataloader.build.shared import SharedBuilds
    from dataloader.index.client import IndexClient
    from dataloader.install.model import WheelBuilder
    from dataloader.locking.built import Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What builds stand on, whichever project is built."""

    request: Request
    """Of the environment that they are for: its channels, indexes and dates are theirs too."""
    client: IndexClient
    cache: Path
    environ: Mapping[str, str]
    offline: bool = False
    layers: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    shared: SharedBuilds | None = None
    """Has wheels that were built elsewhere."""


class Room(NamedTuple):
    """An environment to build in."""

    python: Path
    """Its interpreter."""
    versions: Mapping[str, str]
    """What it has of package indexes, to the versions."""


async def build_environment(
    ground: Ground,
    title: str,
    requires: Iterable[str],
    python: str,
    folder: Path,
    *,
    sources: Sources,
    build: WheelBuilder,
    against: Mapping[str, str],
    inside: tuple[str, ...],
) -> Room:
    """Make an environment of build requirements below a folder.

    Args:
        title: What is to be built there.
        requires: PEP 508 texts.
        python: ``"3.11"``.
        sources: Says what sources among the requirements need.
        build: Builds them.
        against: Frameworks that have to be of these versions.
        inside: The projects whose builds wait for this one.

    Raises:
        BuildFailure: ``build-requirements``; there is no such environment.
    """
    from dataloader.install.model import SyncOptions
    from dataloader.install.sync import sync_prefix
    from dataloader.machine.interpreters import each_interpreter

    usable = (i for i in each_interpreter(ground.cache, ground.environ) if i.takes_usual_wheels)
    interpreter = next((i for i in usable if python in {i.minor, i.version}), None)
    texts = (*requires, *(f"{name}=={version}" for name, version in sorted(against.items())))
    request = _request(ground.request, title, texts, python, folder, on_this_machine=interpreter is not None)
    try:
        locked = await make_lock(
            request, ground.client, Reporter(), cache=ground.cache, environ=ground.environ, sources=sources
        )
    except ResolutionFailure as failure:
        raise BuildFailure(
            f"what the build of {title} needs cannot be had",
            code="build-requirements",
            causes=(failure.message, *failure.causes, f"it asks for {', '.join(texts)}"),
            suggestions=failure.suggestions,
        ) from failure
    for package in locked.lock.pypi():
        if package.build is not None:  # whoever builds it already would be waited for
            check_inside(inside, package.name)
    options = SyncOptions(
        cache_dir=ground.cache, layers=ground.layers, interpreter=interpreter, offline=ground.offline, build=build
    )
    await sync_prefix(locked.lock, request.prefix, options, Reporter(), ground.client.download)
    versions = {package.name: package.version for package in locked.lock.pypi()}
    return Room(request.prefix / "bin" / "python", versions)


def _request(
    main: Request, title: str, texts: Iterable[str], python: str, folder: Path, *, on_this_machine: bool
) -> Request:
    """Return the request of a build environment: as the main one, but for what is asked for."""
    origin = f"the build of {title}"
    asked = tuple(parse_pypi(text, origin=origin) for text in texts)
    for requirement in asked:
        if requirement.refusal is not None:
            raise BuildFailure(
                requirement.refusal.message, code="build-requirements", suggestions=requirement.refusal.suggestions
            )
    return replace(
        main,
        manifest=None,
        lockfile=folder / "lock",
        prefix=folder / "env",
        pypi=asked,
        conda=(),
        said=(),
        pythons=(),
        told=(),
        constraints=(),
        limits=(),
        variables={},
        files=(),
        system=SystemRequirements(),
        gpus=(),
        target_file=None,
        platform=detect_platform(),
        conda_mode="never" if on_this_machine else main.conda_mode,
        stack={"python": python},
        no_binary=(),
        only_binary=(),
        require_hashes=False,
        groups=(),
        overrides=(),
        prefer=(),
        mates=(),
        left_out=(),
        notes=(),
    )


def check_inside(inside: tuple[str, ...], name: str) -> None:
    """Raise BuildFailure ``build-requirements`` where the build of a project needs that project built."""
    if name in inside:
        raise BuildFailure(
            f"{name} is needed to build {name}",
            code="build-requirements",
            causes=(" needs ".join((*inside, name)),),
            suggestions=(f"leave --build {name} out, so that a wheel of it is taken",),
        )
