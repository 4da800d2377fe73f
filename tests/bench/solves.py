"""Locks of requests that are hard on a solver, and refusals, from an empty cache beside ``uv pip compile``."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench.results import Result, limit, ratio
from tests.bench.tools import World, alternate, dataloader, timed, uv

PYTHON = "3.11"

LARGE = {
    "pandas[aws]": ("pandas[aws]", "boto3>=1"),
    "mlflow[extras]": ("mlflow[extras]",),
}
"""Requests of which many releases contradict each other."""

SEARCHED = {
    "apache-airflow[all-core]": ("apache-airflow[all-core]",),
    "homeassistant": ("homeassistant",),
}
"""Requests that wheels alone do not meet, which takes the pages of hundreds of projects to say."""

REFUSED = {
    "an unknown name": ("no-such-project-of-ours", "requests"),
    "a source archive alone": ("python-nvd3",),
    "a conflict": ("requests==2.31.0", "urllib3<1.21"),
}
"""Requests that have no answer."""

_MOST = 3
"""Runs of each: they bring hundreds of pages."""


def large(world: World) -> Iterator[Result]:
    """Lock what makes a solver go back."""
    for title, requirements in LARGE.items():
        here = world.directory("large")
        ours, theirs = _Tool(world, here, requirements, "ours"), _Tool(world, here, requirements, "uv")
        medians = alternate(min(world.runs, _MOST), ours.lock, theirs.lock)
        yield ratio(f"lock {title}, cold", medians, 1.5, "uv")
    for title, requirements in SEARCHED.items():
        here = world.directory("large")
        ours, theirs = _Tool(world, here, requirements, "ours"), _Tool(world, here, requirements, "uv")
        medians = alternate(min(world.runs, _MOST), ours.refuse, theirs.refuse)
        yield ratio(f"no lock of {title}, cold", medians, 1.5, "uv")
        yield limit(f"no lock of {title}, cold", medians[:1], 60)


def refusals(world: World) -> Iterator[Result]:
    """The first line that says why not, from an empty cache and from a warm one."""
    for title, requirements in REFUSED.items():
        here = world.directory("refusals")
        ours, theirs = _Tool(world, here, requirements, "ours"), _Tool(world, here, requirements, "uv")
        cold = alternate(world.runs, ours.refuse, theirs.refuse)
        yield ratio(f"{title}, cold", cold, 2, "uv")
        yield limit(f"{title}, warm", alternate(world.runs, ours.refuse_again), 1)


class _Tool:
    """One of both, on one request."""

    def __init__(self, world: World, here: Path, requirements: tuple[str, ...], name: str) -> None:
        self._here, self._cache = here, here / f"cache-{name}"
        (here / "requirements.in").write_text("\n".join(requirements) + "\n")
        self._env: Mapping[str, str] = world.environ(
            DATALOADER_CACHE_DIR=str(self._cache), UV_CACHE_DIR=str(self._cache)
        )
        of_uv = [uv(), "pip", "compile", "-q", "--only-binary=:all:", "--python-version", PYTHON, "requirements.in"]
        of_ours = [dataloader(), "lock", "--conda=never", f"--python={PYTHON}", *requirements]
        self._command, self._says = (of_uv, "No solution") if name == "uv" else (of_ours, "error[")

    def lock(self) -> float:
        """Seconds of a lock from an empty cache."""
        self._empty()
        return timed(self._command, cwd=self._here, env=self._env)

    def refuse(self, *, empty: bool = True) -> float:
        """Seconds until it is said that there is no answer; what comes after that is not waited for."""
        if empty:
            self._empty()
        started = time.perf_counter()
        with subprocess.Popen(
            self._command, cwd=self._here, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            told = next((line for line in process.stderr if self._says in line), None)
            seconds = time.perf_counter() - started
            process.kill()
        if told is None:
            raise RuntimeError(f"{' '.join(self._command)} refused nothing")
        return seconds

    def refuse_again(self) -> float:
        """As ``refuse``, with what the last run kept."""
        return self.refuse(empty=False)

    def _empty(self) -> None:
        shutil.rmtree(self._cache, ignore_errors=True)
        (self._here / "dataloader.lock").unlink(missing_ok=True)


CASES: dict[str, Callable[[World], Iterator[Result]]] = {"large": large, "refusals": refusals}
