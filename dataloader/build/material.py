"""A source's files in a folder of their own, whatever it comes from."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from dataloader.base.digests import hex_digest
from dataloader.base.errors import IntegrityError, TryAgain, UsageError
from dataloader.base.origin import Origin
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.base.trees import content_digest, files_of
from dataloader.build.archive import unpack
from dataloader.build.git import Repository
from dataloader.index.model import IndexFile

if TYPE_CHECKING:
    from dataloader.build.environment import Ground


def _check_tree(name: str, folder: Path) -> None:
    if not os.path.isdir(folder):  # noqa: PTH112
        why = f"there is no folder {folder}"
    elif not any(os.path.isfile(folder / name) for name in ("pyproject.toml", "setup.py")):  # noqa: PTH113
        why = f"there is neither a pyproject.toml nor a setup.py in {folder}"
    else:
        return
    raise UsageError(
        f"{why}, which {name} is to be built from",
        code="requirement-invalid",
        suggestions=(f"put it there, or ask for {name} from where it is now",),
    )


class Material:
    """Fetches sources.

    Args:
        ground: What builds stand on.
    """

    def __init__(self, ground: Ground, reporter: Reporter) -> None:
        self._ground, self._reporter = ground, reporter

    async def fixed(self, name: str, origin: Origin) -> Origin:
        """Return an origin that names one source for ever: a repository's is of a commit.

        Raises:
            UsageError: ``requirement-invalid``; there is no such tree, or no project in it.
            DataloaderError: of ``Repository.commit``.
        """
        if origin.kind == "git" and origin.commit is None:
            return origin.at(await self._repository(origin).commit(origin.ref))
        if origin.kind == "tree":
            _check_tree(name, Path(origin.folder()))
        return origin

    async def archive(self, file: IndexFile) -> Path:
        """Return the archive of a source, which stays in the cache, for another build of it may be asked for.

        Raises:
            IntegrityError: ``hash-mismatch``.
        """
        archive = await self._ground.client.whole(file)
        if file.sha256 and archive.is_file() and await asyncio.to_thread(hex_digest, archive) != file.sha256:
            raise IntegrityError(
                f"{redact(file.url)} does not have the hash that is asked for",
                code="hash-mismatch",
                causes=(f"that is sha256:{file.sha256}",),
                suggestions=("if its publisher replaced it and you trust that, lock again: `dataloader lock`",),
            )
        return archive

    async def digest(self, file: IndexFile) -> str:
        """Return what stands for the bytes of a source."""
        origin = Origin.of(file.url)
        below = f" {origin.subdirectory}" if origin.subdirectory else ""
        if origin.kind == "tree":
            return await asyncio.to_thread(content_digest, origin.folder(), editable=False)
        return f"{origin.commit or await self._ground.client.digest(_plain(file, origin))}{below}"

    async def tree(self, file: IndexFile, into: Path, *, content: str = "") -> Path:
        """Put a source's files into a new folder, and return where its project is.

        Args:
            content: What is known of a local tree: it must be so still.

        Raises:
            IntegrityError, UsageError: it cannot be unpacked, or has no such subdirectory.
            TryAgain: ``source-changed``.
        """
        origin = Origin.of(file.url)
        if origin.kind == "git":
            assert origin.commit is not None
            await self._repository(origin).checkout(origin.commit, into)
            root = into
        elif origin.kind == "tree":
            await asyncio.to_thread(_copy, origin.folder(), into)
            if content and await asyncio.to_thread(content_digest, origin.folder(), editable=False) != content:
                raise TryAgain(f"{origin.folder()} was changed meanwhile", code="source-changed")
            root = into
        else:
            root = await asyncio.to_thread(unpack, await self.archive(_plain(file, origin)), file.filename, into)
        project = root / (origin.subdirectory or "") if origin.kind != "tree" else root
        if not project.is_dir() or not project.resolve().is_relative_to(into.resolve()):
            raise UsageError(
                f"there is no folder {origin.subdirectory} in {redact(origin.location)}", code="requirement-invalid"
            )
        return project

    def _repository(self, origin: Origin) -> Repository:
        ground = self._ground
        return Repository(
            origin.location,
            ground.cache,
            ground.environ,
            self._reporter,
            secrets=ground.request.secrets,
            offline=ground.offline,
        )


def _plain(file: IndexFile, origin: Origin) -> IndexFile:
    """Return the archive that a file is part of."""
    return file._replace(url=origin.location)


def _copy(tree: str, into: Path) -> None:
    """Copy a tree; a build leaves things where it runs, and what was looked at is what is built."""
    into.mkdir(parents=True)
    for path in files_of(tree):
        source, target = Path(tree, path), into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            inside = Path(os.path.realpath(source)).is_relative_to(os.path.realpath(tree))
            target.symlink_to(source.readlink() if inside else os.path.realpath(source))
        else:
            shutil.copy2(source, target)
    if (found := Path(tree, ".git")).exists():
        (into / ".git").write_text(f"gitdir: {_git_folder(found)}\n")  # who asks git for a version gets the tree's


def _git_folder(found: Path) -> str:
    said = found.read_text(encoding="utf-8").partition("gitdir:")[2].strip() if found.is_file() else "."
    return os.path.normpath((found.parent if found.is_file() else found).absolute() / said)


def without(requires: Iterable[str], projects: Iterable[str]) -> tuple[str, ...]:
    """Return requirements but for those of some projects."""
    found, left_out = [], set(projects)
    for text in requires:
        try:
            if canonicalize_name(Requirement(text).name) in left_out:
                continue
        except InvalidRequirement:
            pass  # who solves them says so
        found.append(text)
    return tuple(found)
