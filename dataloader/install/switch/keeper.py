"""A process that touches the lease of a job on a generation while the job lives, and removes it then.

The job is not its parent, nor its child: ``run`` became the job by ``exec``.
"""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

from dataloader.install.switch.owner import is_dead
from dataloader.process.detached import start_detached
from dataloader.process.program import command_of

BEAT_SECONDS = 60.0

_LOOK_SECONDS = 2.0
"""Between two looks where the kernel does not tell at once that a process has ended (before Linux 5.3, gVisor)."""


def start_keeper(lease: Path) -> None:
    """Have the lease of this process, or of what it becomes by ``exec``, kept. Without room for a process it is not."""
    start_detached(command_of("dataloader.install.switch.keeper", str(lease), str(os.getpid())))


def main(lease: str, pid: str) -> None:
    """Keep ``lease`` until process ``pid`` has ended."""
    path = Path(lease)
    while not _ends_within(path, int(pid), BEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            return  # the generation's folder was removed, or somebody knows better
        except OSError:
            continue  # a volume that is away for a moment
    path.unlink(missing_ok=True)


def _ends_within(lease: Path, pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    try:
        end = os.pidfd_open(pid)
    except OSError:
        while is_dead(lease.name) is False and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        return is_dead(lease.name) is not False
    try:
        if is_dead(lease.name) is False:  # else the number belongs to another process by now
            waiting = select.poll()
            waiting.register(end, select.POLLIN)
            waiting.poll(seconds * 1000)
    finally:
        os.close(end)
    return is_dead(lease.name) is not False


if __name__ == "__main__":
    main(*sys.argv[1:])
