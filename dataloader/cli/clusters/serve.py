"""``dataloader cache serve``: what a lock names, for peers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.base.tasks import together
from dataloader.cli.stages.session import Session
from dataloader.process.running import to_the_end

if TYPE_CHECKING:
    from dataloader.lockfile.model import Lockfile
    from dataloader.request.request import Request


def serve(session: Session, listen: str) -> None:
    """Fetch what the lock names, each file once, and serve it until somebody ends this.

    Raises:
        UsageError: the address cannot be listened on.
    """
    from dataloader.install.store.serving import Server, origins, served_paths
    from dataloader.install.store.users import InUse
    from dataloader.lockfile.yaml import read_lock
    from dataloader.request.request import make_request

    host, port = _address(listen)
    request = make_request(session.options, (), None, environ=session.environ, here=session.here)
    environment = request.environment if session.options.environment is not None else None
    lock = read_lock(request.lockfile, session.options.platform, environment)
    files = served_paths(lock, session.cache)
    with InUse(session.cache, {file.sha256 for file in files.values()}):
        fetched = to_the_end(_fetch(session, request, lock))
        try:
            server = Server(host, port, files)
        except OSError as error:
            raise UsageError(
                f"{listen} cannot be listened on: {error.strerror}",
                code="address-unusable",
                suggestions=("--listen 0.0.0.0:8899, for all peers; --listen 127.0.0.1:0, for any free port",),
            ) from error
        with server:
            at = f"http://{host if ':' not in host else f'[{host}]'}:{server.server_port}"
            mirrors = [f"{origin}={at}/{origin.replace('://', '/')}" for origin in origins(lock)]
            document = {"status": "ok", "address": at, "fetched_bytes": fetched, "mirrors": mirrors}
            session.write(document, f"{at} serves {request.lockfile}; {_advice(at, mirrors)}\n")
            sys.stdout.flush()  # a log or a pipe would have it when all is over
            server.serve_forever(poll_interval=0.5)


def _advice(at: str, mirrors: Sequence[str]) -> str:
    """What peers say; where every file is of a disk, which no mirror stands for, what they can ask for.

    >>> _advice("http://h:1", ["https://a.test=http://h:1/https/a.test"])
    'peers say\\n  --mirror https://a.test=http://h:1/https/a.test'
    """
    if not mirrors:
        return f"no address of the lock is of a network, so no mirror stands for it: files are at {at}/sha256/HASH"
    return "\n".join(["peers say", *(f"  --mirror {mirror}" for mirror in mirrors)])


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen {listen} is not HOST:PORT", suggestions=("--listen 0.0.0.0:8899",))
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 -- as it was asked for


async def _fetch(session: Session, request: Request, lock: Lockfile) -> int:
    """Bring every archive that is not there; bytes that were fetched."""
    from dataloader.cli.stages.solving import client_of
    from dataloader.install.store.serving import FOLDER, Served, missing

    folder = session.cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {package.sha256: package for package in lock.packages if package.sha256}
    absent = missing(Served(sha256, folder / sha256) for sha256 in wanted)
    async with client_of(session, request) as client:

        async def bring(sha256: str) -> int:
            package, path = wanted[sha256], Path(folder, sha256)
            await client.download(package.url, sha256, package.size, path, package.file_name)
            return path.stat().st_size

        return sum(await together(bring(sha256) for sha256 in sorted(absent)))
