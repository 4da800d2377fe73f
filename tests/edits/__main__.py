"""Random edits of real projects against the real index: no locked package moves that need not.

A project is locked as of a day long ago, so that nearly everything could be newer. Then one line after another is
added, removed, loosened or tightened, and locked again. Of each package that moves it is asked whether there is a
solution with it as it was, all that stayed as it is, and what was newly asked for as it came: then it need not have.

    python -m tests.edits --edits 200 --seed 1 --seconds 900
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.specifiers import SpecifierSet

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.cli.line.options import CommonOptions
from dataloader.index.client import IndexClient
from dataloader.lockfile.model import Lockfile
from dataloader.locking.lock import make_lock
from dataloader.process.leaving import leave
from dataloader.request.request import Request, make_request
from dataloader.request.specs.spec import parse_pypi

PROJECTS: Mapping[str, tuple[str, ...]] = {
    "web": ("flask", "requests", "gunicorn", "sqlalchemy", "celery", "pydantic"),
    "service": ("fastapi", "uvicorn[standard]", "httpx", "alembic", "python-jose", "jinja2"),
    "science": ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib"),
    "notebook": ("ipython", "jupyterlab", "nbconvert", "ipywidgets"),
    "tooling": ("black", "mypy", "pytest", "tox", "sphinx", "build"),
}
MORE = (
    *(
        "rich",
        "click",
        "attrs",
        "typer",
        "aiohttp",
        "boto3",
        "tqdm",
        "pyyaml",
        "cryptography",
        "pillow",
        "lxml",
        "redis",
    ),
    *("werkzeug", "urllib3", "idna", "markupsafe", "packaging", "platformdirs", "anyio", "starlette", "pygments"),
)
DAY = "2024-03-01"
"""As of which a project is locked first."""


class Walk:
    """One project that is edited."""

    def __init__(self, rng: random.Random, names: tuple[str, ...], cache: Path, folder: Path) -> None:
        self.rng, self.cache, self.folder = rng, cache, folder
        self.asked = dict.fromkeys(names, "")

    def request(self, limits: Mapping[str, str], day: str | None = None) -> Request:
        options = CommonOptions(conda="never", exclude_newer=day)
        specs = [f"{name}{specifier}" for name, specifier in sorted(self.asked.items())]
        request = make_request(options, specs, None, environ=os.environ, here=self.folder)
        return replace(request, constraints=tuple(parse_pypi(f"{name}=={v}") for name, v in sorted(limits.items())))

    def lock(self, old: Lockfile | None, limits: Mapping[str, str], day: str | None = None) -> Lockfile | None:
        async def work() -> Lockfile:
            request = self.request(limits, day)
            async with IndexClient(request.settings, Reporter(), cache_dir=self.cache) as client:
                locked = await make_lock(request, client, Reporter(), cache=self.cache, environ=os.environ, old=old)
            return locked.lock

        try:
            return asyncio.run(work())
        except ResolutionFailure:
            return None

    def edit(self, locked: Mapping[str, str]) -> str:
        """Change one line; what was done."""
        kind = self.rng.choice(("add", "add", "remove", "loosen", "tighten"))
        if kind == "add" or len(self.asked) < 3:
            name = self.rng.choice([name for name in MORE if name not in self.asked] or list(MORE))
            self.asked[name] = ""
            return f"add {name}"
        name = self.rng.choice(sorted(self.asked))
        if kind == "remove":
            del self.asked[name]
        elif kind == "loosen":
            self.asked[name] = ""
        else:
            version = locked.get(name.partition("[")[0], "1")
            self.asked[name] = self.rng.choice((f">={version}", f">{version}", f"=={version}", f"!={version}"))
        return f"{kind} {name}{self.asked.get(name, '')}"


def versions(lock: Lockfile) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def newly(walk: Walk, before: Mapping[str, str]) -> set[str]:
    """What is asked for and was not locked at a version that fits."""
    plain = {name.partition("[")[0]: specifier for name, specifier in walk.asked.items()}
    return {n for n, s in plain.items() if n not in before or not SpecifierSet(s).contains(before[n], prereleases=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600.0, help="When to stop, whatever was done.")
    said = parser.parse_args()
    rng, count, began = random.Random(said.seed), Counter[str](), time.monotonic()
    faults: list[str] = []
    with TemporaryDirectory() as scratch:
        while count["edits"] < said.edits and time.monotonic() - began < said.seconds:
            name = list(PROJECTS)[count["projects"] % len(PROJECTS)]
            count["projects"] += 1
            walk = Walk(rng, PROJECTS[name], Path(scratch), Path(scratch))
            old = walk.lock(None, {}, DAY)
            if old is None:
                sys.exit(f"{name} cannot be locked as of {DAY}")
            for _ in range(min(said.edits // len(PROJECTS) or 1, said.edits - count["edits"])):
                if time.monotonic() - began > said.seconds:
                    break
                old = one_edit(walk, old, count, faults)
    figures = f"{dict(count)} in {time.monotonic() - began:.0f} s; needless moves: {len(faults)}"
    sys.stdout.write("\n".join([figures, *faults]) + "\n")
    return bool(faults)


def one_edit(walk: Walk, old: Lockfile, count: Counter[str], faults: list[str]) -> Lockfile:
    """Edit, lock again, and judge every move; the lock to go on from."""
    before, asked = versions(old), dict(walk.asked)
    what = walk.edit(before)
    new = walk.lock(old, {})
    if new is None:
        walk.asked = asked
        count["refused"] += 1
        return old
    count["edits"] += 1
    after = versions(new)
    fresh = newly(walk, before)
    came = {name: after[name] for name in fresh if name in after}
    moved = sorted(name for name in before.keys() & after.keys() if before[name] != after[name] and name not in fresh)
    count["locked packages"] += len(before)
    count["moves"] += len(moved)
    stayed = {name: version for name, version in before.items() if after.get(name) == version}
    for name in moved:
        count["judged"] += 1
        if walk.lock(None, {**stayed, **came, name: before[name]}) is not None:
            faults.append(f"{what}: {name} {before[name]} -> {after[name]}, of {walk.asked}")
    return new


if __name__ == "__main__":
    leave(main())
