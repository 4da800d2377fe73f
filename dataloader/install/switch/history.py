"""The generations of an environment as people look at them: when each was made, how large it is, what it changed."""

from __future__ import annotations

import os
from dataclasses import field
from datetime import datetime, timezone
from pathlib import Path

from dataloader.base.errors import PrefixError
from dataloader.base.names import some
from dataloader.base.values import dataclass
from dataloader.install.switch.generations import generations
from dataloader.install.switch.line import Generation
from dataloader.prefix.locate import STATE
from dataloader.prefix.state import read_inventory

_SHOWN = 4
"""Packages named in a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differs:
    """What one generation has that the one before had not, and the other way round."""

    added: tuple[str, ...] = ()
    """``name version``; also below."""
    removed: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str, str], ...] = field(default=())
    """Name, old version, new version; the build too, where the versions are the same."""

    @property
    def text(self) -> str:
        """In a line, the first few."""
        parts = [f"~{name} {old} -> {new}" for name, old, new in self.replaced]
        parts += [f"+{name}" for name in self.added] + [f"-{name}" for name in self.removed]
        return some(parts, _SHOWN)

    def document(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "replaced": [{"name": name, "old": old, "new": new} for name, old, new in self.replaced],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One generation, looked at."""

    name: str
    """Of the environment."""
    number: int
    path: Path
    is_current: bool
    is_held: bool
    in_use: bool
    when: datetime
    size: int
    """Bytes of its files; those that it shares with the cache and with others count too."""
    packages: int
    differs: Differs

    @property
    def standing(self) -> str:
        """In a word or two."""
        if self.is_current:
            return "current, held" if self.is_held else "current"
        return "in use" if self.in_use else ""


def made(root: Path, name: str) -> list[Made]:
    """The generations of a name, oldest first."""
    found: list[Made] = []
    before: dict[str, str] = {}
    for generation in generations(root, name):
        packages = _packages(generation)
        differs = _difference(before, packages) if found else Differs()
        found.append(
            Made(
                name=name,
                number=generation.number,
                path=generation.path,
                is_current=generation.is_current,
                is_held=generation.is_held,
                in_use=generation.in_use,
                when=_when(generation.path),
                size=_size(generation.path),
                packages=len(packages),
                differs=differs,
            )
        )
        before = packages
    return found


def _packages(generation: Generation) -> dict[str, str]:
    """Name -> version and build; nothing of one that cannot be read, which `verify` says more of."""
    try:
        packages = read_inventory(generation.path).packages
    except (PrefixError, OSError):
        return {}
    return {p.name: f"{p.version} {p.build}" if p.build else p.version for p in packages}


def _difference(before: dict[str, str], after: dict[str, str]) -> Differs:
    replaced = []
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        if old != new:
            versions = old.partition(" ")[0], new.partition(" ")[0]
            replaced.append((name, *(versions if versions[0] != versions[1] else (old, new))))
    return Differs(
        added=tuple(f"{name} {after[name].partition(' ')[0]}" for name in sorted(after.keys() - before.keys())),
        removed=tuple(f"{name} {before[name].partition(' ')[0]}" for name in sorted(before.keys() - after.keys())),
        replaced=tuple(replaced),
    )


def _when(path: Path) -> datetime:
    """When it was finished: its state is what is written last."""
    try:
        moment = (path / STATE).lstat().st_mtime
    except OSError:
        moment = 0.0
    return datetime.fromtimestamp(moment, timezone.utc)


def _size(path: Path) -> int:
    """Bytes of all files, each once."""
    total, seen, folders = 0, set(), [os.fspath(path)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if status.st_ino not in seen:
                        seen.add(status.st_ino)
                        total += status.st_size
        except OSError:
            continue  # another process removes it, or it is not ours to read
    return total
