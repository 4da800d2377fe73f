"""Locks over wheels and conda packages that lie in folders, and the one double of the installer: a local downloader."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from dataloader.base.errors import IndexUnavailable, IntegrityError
from dataloader.base.reporter import Reporter
from dataloader.index.web.part import Sink
from dataloader.install.model import SyncOptions
from dataloader.lockfile.model import CondaPackage, LockedPython, Lockfile, PypiPackage
from tests.helpers.wheels import sha256_of

HOST_PYTHON = LockedPython(source="host", version="{}.{}".format(*sys.version_info[:2]))


def locked_wheel(path: Path) -> PypiPackage:
    """The lock entry of a wheel file, under a made-up index."""
    name, version = path.name.split("-")[:2]
    return PypiPackage(
        name=name.lower().replace("_", "-"),
        version=version,
        url=f"https://index.test/{quote(str(path).lstrip('/'))}",
        sha256=sha256_of(path),
        size=path.stat().st_size,
    )


def lock_of(
    *packages: Path | PypiPackage | CondaPackage,
    requested: Iterable[str] = (),
    python: LockedPython = HOST_PYTHON,
) -> Lockfile:
    """A lock of these wheels and conda packages."""
    entries = [locked_wheel(package) if isinstance(package, Path) else package for package in packages]
    return Lockfile(
        platform="linux-64",
        channels=(),
        indexes=("https://index.test/",),
        python=python,
        packages=tuple(sorted(entries, key=lambda entry: (isinstance(entry, PypiPackage), entry.name))),
        requested=tuple(sorted(requested)),
    )


@dataclass
class FolderDownloads:
    """A downloader that copies from the file system, as a server would; it counts, and can be unplugged."""

    count: dict[str, int] = field(default_factory=dict)
    unplugged: bool = False

    async def __call__(
        self, url: str, sha256: str | None, size: int | None, destination: Path, task: str, sink: Sink | None = None
    ) -> None:
        if self.unplugged:
            raise IndexUnavailable(f"{url} was asked for, with the network unplugged.")
        source = Path("/" + unquote(urlsplit(url).path).lstrip("/"))
        self.count[source.name] = self.count.get(source.name, 0) + 1
        content = source.read_bytes()
        if sink is None:
            destination.write_bytes(content)
        else:
            sink.feed(content)
        if sha256 and hashlib.sha256(content).hexdigest() != sha256:
            destination.unlink(missing_ok=True)
            raise IntegrityError(f"{task} does not have the locked hash.", code="hash-mismatch")


@dataclass
class Heard(Reporter):
    """Remembers what was said."""

    infos: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def info(self, message: str) -> None:
        self.infos.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def event(self, event: str, **facts: object) -> None:
        self.events.append((event, facts))


def options_for(folder: Path, **changes: object) -> SyncOptions:
    """Options with a cache in ``folder`` and the running Python."""
    plain = SyncOptions(cache_dir=folder / "cache", interpreter=Path(sys.executable), wait_seconds=30)
    return replace(plain, **changes)  # type: ignore[arg-type]
