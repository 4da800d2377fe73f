"""One sync in a process of its own: ``python -m tests.helpers.sync_process REQUEST``, a pickled ``Request``.

Prints ``go`` when all is imported and the sync begins, so that a test can kill it at a chosen moment; then how it
ended.
"""

# ruff: noqa: T201  (its output is what the tests read)

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from dataloader.base.errors import DataloaderError
from dataloader.base.reporter import Reporter
from dataloader.index.web.part import Sink
from dataloader.install.model import SyncOptions
from dataloader.install.switch.generations import sync_generation
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from dataloader.process.leaving import leave
from tests.helpers.locks import FolderDownloads

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Request:
    """What to sync."""

    lock: Lockfile
    prefix: Path
    options: SyncOptions
    log: Path | None = None
    """One line is added for each file downloaded."""
    name: str | None = None
    """With a name, ``prefix`` is a root, and generations are made."""


@dataclass
class LoggedDownloads(FolderDownloads):
    """Downloads that tell, across processes, what was fetched."""

    log: Path | None = field(default=None)

    async def __call__(
        self, url: str, sha256: str | None, size: int | None, destination: Path, task: str, sink: Sink | None = None
    ) -> None:
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{task}\n")
        await super().__call__(url, sha256, size, destination, task, sink)


def start(request: Request, folder: Path, *, wrapper: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start the process; ``wrapper`` comes before its command line (``unshare -m`` and the like)."""
    path = folder / f"request-{os.urandom(4).hex()}.pickle"
    path.write_bytes(pickle.dumps(request))
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [*wrapper, sys.executable, "-m", "tests.helpers.sync_process", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)


def wait_for_go(process: subprocess.Popen[str]) -> None:
    """Return when the sync begins."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "go\n", line + process.stdout.read()


def main(path: str) -> int:
    """Run one request; the exit code is the tool's."""
    request: Request = pickle.loads(Path(path).read_bytes())
    download = LoggedDownloads(log=request.log)
    print("go", flush=True)
    try:
        if request.name is None:
            work = sync_prefix(request.lock, request.prefix, request.options, Reporter(), download)
        else:
            arguments = (request.lock, request.prefix, request.name, request.options, Reporter(), download)
            work = sync_generation(*arguments)
        result = asyncio.run(work)
    except DataloaderError as error:
        print(error.code, error.message, *error.causes, flush=True)
        return int(error.exit_code)
    print("changed" if result.changed else "unchanged", flush=True)
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1]))
