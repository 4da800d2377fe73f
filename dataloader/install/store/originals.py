"""What a cache still has of a file that was changed in an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache as cached
from pathlib import Path

from dataloader.base.digests import hex_digest, hexadecimal
from dataloader.prefix.records import InstalledPackage, RecordedFile


def originals_of(prefix: Path, cache_dir: Path) -> Callable[[InstalledPackage, RecordedFile], Path | None]:
    """Find the stored file of one that is installed in ``prefix``, as it was when it was unpacked.

    Where both share their content (hard links), who changed one in place has changed the other, and there is none.
    """

    @cached
    def wheels() -> dict[str, str]:
        # 3 ms, and mostly no file has changed.
        from dataloader.prefix.state import read_state

        state = read_state(prefix)
        return state.wheels if state is not None else {}

    def find(package: InstalledPackage, file: RecordedFile) -> Path | None:
        for path in _candidates(package, file, wheels(), cache_dir):
            if path.is_file() and not path.is_symlink() and hex_digest(path) == file.sha256:
                return path
        return None

    return find


def _candidates(
    package: InstalledPackage, file: RecordedFile, wheels: dict[str, str], cache_dir: Path
) -> Iterator[Path]:
    if package.kind == "conda":
        yield cache_dir / "pkgs" / f"{package.name}-{package.version}-{package.build}" / file.path
    elif package.name in wheels:
        # Imported where a file has changed: the store takes a verify as long to import as all the rest of it.
        from dataloader.install.store.store import entry_of, recipe_of

        entry = entry_of(cache_dir, wheels[package.name])
        recipe = recipe_of(entry)
        for stored in recipe.files if recipe is not None else ():
            if hexadecimal(stored.digest) == file.sha256:
                yield entry / "files" / stored.source
