"""Runs a project's build backend (PEP 517) in the Python of its build environment. The one place where it runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeVar

from dataloader.base.errors import BuildFailure
from dataloader.build.limits import Limits, memory_of
from dataloader.build.log import decisive, end_of, meaning
from dataloader.machine.host import which

if TYPE_CHECKING:
    from build import ProjectBuilder

T = TypeVar("T")

_TIME = "315619200"
"""SOURCE_DATE_EPOCH where nobody set it, so that the same source gives the same bytes: the first day that zip knows."""
_LOOK = 0.5
"""Seconds after which it is seen again what a build takes."""
_OF_CCACHE = (
    "/usr/lib/ccache",
    "/usr/lib64/ccache",
    "/opt/homebrew/opt/ccache/libexec",
    "/usr/local/opt/ccache/libexec",
)
"""Where distributions have ccache under the names of compilers."""
_NOT_FOR_BUILDS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")
"""Variables that would lead a build to other packages than those that it is given."""


class Backend:
    """The backend of one source tree.

    Args:
        source: The tree.
        title: What is built, for messages: ``demo 1.0``.
        name: The project.
        log: The file that takes in what the build prints.
        environ: The process's environment.
        kind: What it makes: a wheel, or one that leads to the tree (PEP 660).
        limits: What it may take of the machine.
    """

    def __init__(
        self,
        source: Path,
        title: str,
        name: str,
        log: Path,
        environ: Mapping[str, str],
        kind: Literal["wheel", "editable"] = "wheel",
        limits: Limits | None = None,
    ) -> None:
        self._source, self._title, self._name, self._log = source, title, name, log
        self._environ, self._kind, self._limits = environ, kind, limits or Limits()
        self._over: BuildFailure | None = None
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def requires(self) -> tuple[str, ...]:
        """Return what the project itself says that its build needs."""
        return tuple(sorted(self._guarded(lambda: self._builder(Path()).build_system_requires)))

    async def requires_more(self, python: Path) -> tuple[str, ...]:
        """Return what the backend says that it needs besides."""
        return await self._run(lambda: tuple(sorted(self._builder(python).get_requires_for_build(self._kind))))

    async def metadata(self, python: Path, folder: Path) -> tuple[bytes, Path | None]:
        """Return the METADATA that the wheel will have, and the wheel itself where it had to be built for that."""
        found = await self._run(lambda: self._builder(python).metadata_path(folder))
        return (Path(found) / "METADATA").read_bytes(), next(folder.glob("*.whl"), None)

    async def wheel(self, python: Path, folder: Path) -> Path:
        """Build the wheel into a folder."""
        return Path(await self._run(lambda: self._builder(python).build(self._kind, folder)))

    def _builder(self, python: Path) -> ProjectBuilder:
        import warnings

        import pyproject_hooks
        from build import ProjectBuilder

        if (told := getattr(pyproject_hooks, "BuildBackendWarning", None)) is not None:
            warnings.simplefilter("ignore", told)  # what a backend says to who wrote the project, of late said again
        return ProjectBuilder(self._source, python_executable=str(python), runner=self._call)

    async def _run(self, work: Callable[[], T]) -> T:
        """Do work in a thread; who is no longer waited for is ended, with all that it started."""
        try:
            return await asyncio.to_thread(self._guarded, work)
        except asyncio.CancelledError:
            self._stopped = True
            self._stop()
            raise

    def _guarded(self, work: Callable[[], T]) -> T:
        from build import BuildBackendException, BuildException

        try:
            return work()
        except (BuildException, BuildBackendException) as error:
            raise self._failure(str(error)) from error

    def _failure(self, why: str) -> BuildFailure:
        if self._over is not None:
            return self._over
        text = end_of(self._log)
        known = meaning(f"{text}\n{why}", self._name)
        lines = decisive(text) or (why,)
        return BuildFailure(
            f"{self._title} could not be built",
            causes=(*((known[0],) if known else ()), *lines, *((f"the whole log: {self._log}",) if text else ())),
            suggestions=(known[1],) if known else (),
        )

    def _call(self, cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        """Run a command of pyproject-hooks; all that it prints goes to the log."""
        environ = self._variables(Path(cmd[0]).parent)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            code = self._ended(list(cmd), cwd, {**environ, **(extra_environ or {})}, log)
        if code:
            raise subprocess.CalledProcessError(code, list(cmd))

    def _ended(self, cmd: list[str], cwd: str | None, environ: Mapping[str, str], log: IO[bytes]) -> int:
        with subprocess.Popen(
            cmd,
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that compilers end with it
        ) as process:
            self._running = process
            if self._stopped:  # meanwhile
                self._stop()
            return self._watched(process)

    def _watched(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process, which is ended where it takes more than it may."""
        began, limits = time.monotonic(), self._limits
        while True:
            try:
                return process.wait(_LOOK)
            except subprocess.TimeoutExpired:
                if self._over is not None:
                    continue
            if time.monotonic() - began > limits.seconds:
                self._over = self._beyond(f"took longer than {limits.seconds:g} s", "timeout", "TIMEOUT")
            elif limits.memory and memory_of([process.pid, *_of_session(process.pid)]) > limits.memory:
                self._over = self._beyond(f"took more than {limits.memory >> 20} MiB of memory", "memory", "MEMORY")
            if self._over is not None:
                self._stop()

    def _beyond(self, what: str, key: str, variable: str) -> BuildFailure:
        return BuildFailure(
            f"the build of {self._title} {what}, which is as much as it may",
            code="build-limit",
            causes=(f"the whole log: {self._log}",),
            suggestions=(
                f"allow it more: DATALOADER_BUILD_{variable}, or [build] {key} in the manifest",
                *(("or let fewer compilers run at once: DATALOADER_BUILD_JOBS=1",) if key == "memory" else ()),
            ),
        )

    def _stop(self) -> None:
        """End what runs, and all that it started.

        ninja has a process group for each compiler, so the session tells what belongs to it; once more, for what
        was started meanwhile.
        """
        if self._running is not None:
            for _ in range(2):
                for pid in (self._running.pid, *_of_session(self._running.pid)):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def _variables(self, programs: Path) -> dict[str, str]:
        kept = {name: value for name, value in self._environ.items() if name not in _NOT_FOR_BUILDS}
        jobs = str(self._limits.jobs)
        defaults = {"SOURCE_DATE_EPOCH": _TIME, "MAX_JOBS": jobs, "CMAKE_BUILD_PARALLEL_LEVEL": jobs}
        folders = (str(programs), _names_of_ccache(kept), kept.get("PATH", os.defpath))
        # Each build has a folder of its own, which is to be no reason to compile anew what another compiled.
        defaults |= {"CCACHE_BASEDIR": str(programs.parents[2]), "CCACHE_NOHASHDIR": "1"}
        return {**defaults, **kept, "PATH": os.pathsep.join(filter(None, folders)), "PYTHONNOUSERSITE": "1"}


def _names_of_ccache(environ: Mapping[str, str]) -> str:
    """Return the folder in which ccache calls itself by compilers' names; empty where there is none, or it is off."""
    program = which("ccache", environ)
    if program is None or environ.get("CCACHE_DISABLE"):
        return ""
    return next((folder for folder in _OF_CCACHE if os.path.isdir(folder)), "")  # noqa: PTH112


def _of_session(leader: int) -> Iterator[int]:
    """Yield the processes of a session; none where there is no /proc to tell them."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(entry.read_text().rpartition(")")[2].split()[3]) == leader:
                yield int(entry.parent.name)
