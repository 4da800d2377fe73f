"""From a request to a lock: target, stack, packages. The one place where matrix, planner and solver meet."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import IndexUnavailable, InternalError, ResolutionFailure, UsageError
from dataloader.base.platforms import detect_platform
from dataloader.base.values import dataclass
from dataloader.compat.model import StackNeeds
from dataloader.index.model import IndexFile
from dataloader.index.web.credentials import public_channel, without_credentials
from dataloader.lockfile.model import CondaPackage, Lockfile, PypiPackage
from dataloader.locking.answer import (
    broken_requests,
    demand_hashes,
    held_packages,
    python_of,
    rules_by_package,
)
from dataloader.locking.asking import (
    any_python,
    conda_packages,
    first_admitted,
    preferred_by,
    python_specifier,
    requirements_of,
)
from dataloader.locking.built import Sources, with_builds, with_locked_commits
from dataloader.locking.meanwhile import refuse_unknown, solver_ready
from dataloader.locking.targets import common_target, decides, make_targets, say_target, with_sufficient_driver
from dataloader.locking.telling import OF_THE_MACHINE, explain, say_chosen, say_request, say_silent, without_channels
from dataloader.machine.target import Target
from dataloader.request.request import Request
from dataloader.request.specs.joined import together, together_conda

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.compat.matrix import Matrix
    from dataloader.index.client import IndexClient
    from dataloader.locking.ready import Ready
    from dataloader.resolve.model import Problem, Resolution
    from dataloader.stack.model import FrameworkBuild, Stack, StackRequest
    from dataloader.trial.foretold import Foretelling
    from dataloader.trial.model import Contradiction


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A new lock, and how it came about."""

    lock: Lockfile
    stack: Stack
    resolution: Resolution


async def make_lock(
    request: Request,
    client: IndexClient,
    reporter: Reporter,
    *,
    cache: Path,
    environ: Mapping[str, str],
    old: Lockfile | None = None,
    learned: Sequence[Contradiction] = (),
    sources: Sources | None = None,
) -> Locked:
    """Solve a request.

    Args:
        request: What is asked for.
        client: The package indexes.
        reporter: Is told what is detected and chosen.
        cache: Cache directory, for channel data and the list of interpreters.
        environ: The process's environment.
        old: An earlier lock; what it holds is kept where possible.
        learned: What package files are known to contradict.
        sources: Says what has to be known of sources that may be built.

    Raises:
        ResolutionFailure: no stack, or no packages for any stack; the first conflict is told.
        IndexUnavailable: an index or a channel did not answer and cannot be done without.
    """
    from dataloader.compat.matrix import matrix_with

    matrix = matrix_with(request.matrix)
    targets = make_targets(request, matrix, environ)
    say_request(request, client.settings, reporter)
    say_target(targets[0], request, reporter)
    attempt = _Attempt(request, client, reporter, cache, environ, matrix, targets, old, learned, sources)
    channels = () if request.conda_mode == "never" else request.channels
    needed = conda_packages(request)
    if needed and not channels:
        raise without_channels(request, needed)
    try:
        async with solver_ready(lambda: attempt.ready(channels)):
            await refuse_unknown(request, client, matrix, channels)
        return await attempt.run(channels)
    except ResolutionFailure as failure:
        await explain(request, client, failure)
        raise
    except IndexUnavailable as error:
        if error.code != "channel-unreachable" or request.conda_mode == "always":
            raise
        answering = await _answering(channels, targets[0], cache, request)
        if needed and not answering:
            raise
        say_silent(channels, answering, reporter)
        return await attempt.run(answering)


async def _answering(channels: tuple[str, ...], target: Target, cache: Path, request: Request) -> tuple[str, ...]:
    """Return the channels that answer."""
    from dataloader.resolve.channels.rattler import Channels

    found = []
    for url in channels:
        try:
            channel = Channels((url,), target, priority="strict", cache=cache / "repodata", settings=request.settings)
            await channel.records("python")
        except IndexUnavailable:
            continue
        found.append(url)
    return tuple(found)


class _Attempt:
    """One request solved over one choice of worlds."""

    def __init__(
        self,
        request: Request,
        client: IndexClient,
        reporter: Reporter,
        cache: Path,
        environ: Mapping[str, str],
        matrix: Matrix,
        targets: tuple[Target, ...],
        old: Lockfile | None,
        learned: Sequence[Contradiction],
        sources: Sources | None,
    ) -> None:
        self._request, self._client, self._reporter = request, client, reporter
        self._cache, self._environ, self._matrix, self._targets, self._old = cache, environ, matrix, targets, old
        self._learned, self._sources = tuple(learned), sources
        self._foretelling: Foretelling | None = None
        self._preferred = {p.name: p.file_name for p in old.packages} if old else preferred_by(request, reporter)
        self._said: set[str] = set()
        self._ready: dict[tuple[object, ...], Ready] = {}

    def ready(self, channels: tuple[str, ...]) -> Ready:
        """What is known before a package is looked at, worked out once for what was learnt."""
        from dataloader.locking.ready import made_ready

        known = (channels, self._learned)
        if known not in self._ready:
            settings = self._client.settings
            self._ready[known] = made_ready(
                self._matrix, self._request, self._targets, channels, self._learned, settings
            )
        return self._ready[known]

    async def run(self, channels: tuple[str, ...]) -> Locked:
        """Solve, over these channels."""
        asked, is_planned, stack, _ = self.ready(channels)
        if is_planned and stack is None:
            from dataloader.locking.stacks import refuse_contradiction

            refuse_contradiction(self._matrix, asked, self._targets)
        cutoff = self._cutoff(stack.builds if stack else ())
        try:
            while True:
                locked = await self._solve(asked, cutoff, channels)
                earlier = self._cutoff(locked.stack.builds)
                if earlier is None or cutoff is None or earlier >= cutoff:
                    return locked
                cutoff = earlier  # what was expected of the framework is not what came of it
        except ResolutionFailure as failure:
            if is_planned and stack is None:
                from dataloader.locking.stacks import refusal

                raise refusal(self._matrix, asked, self._targets, failure) from failure
            raise

    async def _solve(self, asked: StackRequest, cutoff: str | None, channels: tuple[str, ...]) -> Locked:
        from dataloader.stack.settled import settled_stack

        if cutoff:
            self._reporter.info(f"what was published from {cutoff} on does not count")
        while True:
            needs = self.ready(channels).needs
            target = with_sufficient_driver(common_target(self._targets), needs.newest_cuda)
            resolution = await self._resolved(self._problem(needs, target, cutoff, channels))
            if not await self._is_foretold_to_break(asked, resolution, needs):
                break
        if self._request.require_hashes:
            demand_hashes(self._request, resolution)
        packages: tuple[CondaPackage | PypiPackage, ...] = (*resolution.conda, *resolution.pypi)
        settled = settled_stack(
            self._matrix,
            asked,
            self._targets,
            axes=resolution.axes,
            builds=resolution.builds,
            versions={p.name: p.version for p in packages},
            python=resolution.python,
        )
        say_chosen(settled, needs, self._reporter)
        for note in resolution.notes:
            self._reporter.warn(note)
        self._pass_gate(asked, resolution, needs)
        lock = replace(await self._lock(asked, settled, resolution, channels), published_before=cutoff)
        return Locked(lock=lock, stack=settled, resolution=resolution)

    async def _resolved(self, problem: Problem) -> Resolution:
        """Solve on the Python at hand, else on any."""
        from dataloader.resolve.offered.narrowed import NarrowedIndex
        from dataloader.resolve.solve import resolve

        cache, settings = self._cache / "repodata", self._request.settings
        asked_for = with_locked_commits(together(self._request.pypi), self._old)
        index = NarrowedIndex(self._client, asked_for, self._request.overrides, self._sources)
        try:
            return await resolve(problem, index, self._reporter, cache=cache, settings=settings)
        except ResolutionFailure as error:
            if not error.python_matters:
                raise
            everything = replace(problem, host_pythons=self._all_hosts())
            if everything == problem:
                raise
            return await resolve(everything, index, self._reporter, cache=cache, settings=settings)

    async def _is_foretold_to_break(self, asked: StackRequest, resolution: Resolution, needs: StackNeeds) -> bool:
        """Read what wheels say of CUDA that nothing else does; whether the solution breaks it, which is learnt."""
        if not needs.axes or not (asked.cuda is not None or any(map(decides, self._targets))):
            return False
        from dataloader.trial.foretold import Foretelling

        if self._foretelling is None:
            self._foretelling = Foretelling(self._client, self._cache, self._targets, self._reporter)
        before = self._learned
        broken = await self._foretelling.contradicts(resolution, needs, frozenset(self._matrix.frameworks))
        self._learned = tuple(dict.fromkeys((*before, *self._foretelling.learned)))
        if broken and self._learned == before:
            raise InternalError("the solution breaks what files of its wheels were known to say")
        return broken

    def _pass_gate(self, asked: StackRequest, resolution: Resolution, needs: StackNeeds) -> None:
        """Hold a solution against everything that was said, once more and by other means.

        Raises:
            InternalError: it breaks a rule; such a lock is never written.
        """
        from dataloader.stack.gate import Gate

        if not needs.axes:
            return  # a platform that the matrix has no rows for
        held = held_packages(resolution, needs.extra_indexes)
        wrong = [
            *(
                f"{violation.text} (rule {violation.rule})"
                for violation in Gate(self._matrix, asked, self._targets, held).violations()
            ),
            *broken_requests(self._request, resolution),
        ]
        if wrong:
            raise InternalError("the solution breaks what it was solved for", causes=tuple(wrong))

    def _problem(self, needs: StackNeeds, target: Target, cutoff: str | None, channels: tuple[str, ...]) -> Problem:
        from dataloader.resolve.model import Problem

        request = self._request
        conda = together_conda(request.conda) if channels else ()
        return Problem(
            target=target,
            channels=channels,
            channel_priority=request.channel_priority,  # type: ignore[arg-type]
            conda_specs=tuple(r.match_spec for r in conda),
            conda_origins={r.match_spec: r.origin for r in conda},
            conda_limits=tuple(r.match_spec for r in together_conda(request.limits)) if channels else (),
            requirements=tuple(requirements_of(request)),
            needs=needs,
            python=python_specifier(request) or any_python(request, channels),
            host_pythons=self._first_hosts(),
            prerelease=request.prerelease,
            exclude_newer=cutoff,
            no_binary=request.no_binary,
            only_binary=request.only_binary,
            built=frozenset(request.built) if self._sources else frozenset(),
            frameworks=frozenset(self._matrix.frameworks),
            preferred=self._preferred,
        )

    def _cutoff(self, builds: Sequence[FrameworkBuild]) -> str | None:
        """Return the instant from which on published files do not count, where these builds are chosen."""
        from dataloader.request.dates import FRAMEWORK, cutoff_after, cutoff_of

        said = self._request.exclude_newer
        if said is None or (cutoff := cutoff_of(said, now=datetime.now(timezone.utc))) is not None:
            return None if said is None else cutoff
        days = {build: self._matrix.released(build.project, build.version) for build in builds}
        unknown = [f"{build.project} {build.version}".strip() for build, day in days.items() if day is None]
        if unknown or not days:
            raise UsageError(
                f"--exclude-newer={FRAMEWORK}: "
                + (f"the matrix does not say when {', '.join(unknown)} was released" if days else "none is asked for"),
                code="release-date-unknown",
                suggestions=("give a day instead: --exclude-newer=2024-01-31",),
            )
        return cutoff_after(max(day for day in days.values() if day is not None))

    def _first_hosts(self) -> tuple[str, ...]:
        """Return the Python to try first: the older lock's, else the running one."""
        running = ".".join(str(part) for part in sys.version_info[:3])
        locked = self._old.python if self._old else None
        if locked is None or locked.source != "host" or not locked.version or running.startswith(f"{locked.version}."):
            return (running,)
        return tuple(v for v in self._all_hosts() if v.startswith(f"{locked.version}."))[:1] or (running,)

    def _all_hosts(self) -> tuple[str, ...]:
        """Return every Python of this machine. The running one is tried alone first: asking the others takes long."""
        from dataloader.machine.interpreters import find_interpreters

        found = find_interpreters(self._cache, self._environ)
        usable = [i.version for i in found if i.takes_usual_wheels and not i.prerelease]
        if self._request.platform != detect_platform():  # whose Pythons are not this machine's
            usable += first_admitted(python_specifier(self._request))
        return tuple(dict.fromkeys(usable))

    async def _lock(
        self, asked: StackRequest, stack: Stack, resolution: Resolution, channels: tuple[str, ...]
    ) -> Lockfile:
        settings = self._client.settings
        packages: tuple[CondaPackage | PypiPackage, ...] = (*resolution.conda, *resolution.pypi)
        wheels = await with_builds(
            [await self._hashed(package) for package in resolution.pypi],
            self._sources,
            self._request,
            target=common_target(self._targets),
            python=python_of(resolution),
            frameworks=self._matrix.frameworks,
            versions={p.name: p.version for p in packages},
            abis=_abis(stack, self._targets),
        )
        return Lockfile(
            platform=self._targets[0].platform,
            environment=self._request.environment,
            channels=tuple(public_channel(url) for url in channels),
            indexes=tuple(without_credentials(u) for u in (settings.index_url, *settings.extra_index_urls) if u),
            python=python_of(resolution),
            packages=(*resolution.conda, *wheels),
            requested=tuple(sorted({*self._request.requested, *asked.frameworks})),
            stack={axis: value for axis, value in sorted(stack.axes.items()) if axis not in OF_THE_MACHINE},
            rules=rules_by_package(resolution),
            inputs=self._request.inputs(),
        )

    async def _hashed(self, package: PypiPackage) -> PypiPackage:
        if package.sha256 or not package.origin.is_fixed:
            return package
        file = IndexFile(name=package.name, version=package.version, filename=package.file_name, url=package.url)
        return replace(package, sha256=await self._client.digest(file))


def _abis(stack: Stack, targets: Sequence[Target]) -> dict[str, dict[str, str]]:
    """Return, for each framework of a stack, what is known of what is compiled against it, for machines' GPUs."""
    found = {}
    for build in stack.builds:
        abi = next((row.cxx11_abi for row in build.rows if row.cxx11_abi is not None), None)
        gpus = sorted({gpu.capability for target in targets for gpu in target.gpus if gpu.capability})
        said = {"cuda": build.cuda, "cxx11-abi": None if abi is None else str(int(abi))}
        said["sm"] = " ".join(gpus) if build.cuda else None
        found[build.project] = {key: value for key, value in said.items() if value}
    return found
