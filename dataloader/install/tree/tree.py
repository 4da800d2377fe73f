"""The tree under construction: who owns which path, and that nothing lands outside."""

# ruff: noqa: PTH102, PTH112, PTH113, PTH114, PTH202
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import os
from contextlib import suppress
from itertools import repeat
from typing import NamedTuple

from dataloader.base.digests import record_digest
from dataloader.base.errors import IntegrityError, PrefixError
from dataloader.install.bounds import with_parents
from dataloader.install.store.recipe import malformed
from dataloader.prefix.layout import Layout

ENVIRONMENT = "the environment"
"""Owner of the paths that no package brings."""

_DOCUMENTS = (".md", ".rst", ".txt")
_LOOSE_FOLDERS = frozenset({"tests", "test", "docs", "doc", "examples", "example", "benchmarks"})
"""Top-level folders that many wheels ship by mistake and that nothing imports from an environment."""
_LOOSE_FILES = frozenset({"build_backend.py", "conftest.py", "noxfile.py", "setup.py", "versioneer.py"})
"""Top-level files of the same kind: how a project is built and tested."""


class NewFile(NamedTuple):
    """One file on its way into the tree. A tuple, because a large wheel has more than ten thousand."""

    path: str
    """Relative to the prefix, with ``/``."""
    digest: str
    """sha256 as RECORD has it."""
    size: int
    """Bytes."""
    source: str | None = None
    """Within the stored wheel; ``None`` for a file that is generated."""
    mtime_ns: int = 0
    """Of the source."""
    content: bytes = b""
    """Of a generated file."""
    executable: bool = False
    """Of a generated file."""
    library_key: str = ""
    """What its facts are kept under, if it is named like a library (``StoredWheel.key_of``)."""


class Tree:
    """A directory that becomes an environment. Paths are relative to it, with ``/``."""

    def __init__(self, root: str, final: str, layout: Layout | None) -> None:
        self.root = root
        """Where it is built."""
        self.final = final
        """The path that is written into files."""
        self.layout = layout
        self.owners: dict[str, str] = {}
        """Path to the package that put it there."""
        self.commands: set[str] = set()
        """Paths of scripts that entry points ask for. Several wheels may offer one command; that is no clash."""
        self.lost: dict[str, set[str]] = {}
        """Package to those of its paths where another package's file is preferred."""
        self.slips: dict[str, str] = {}
        """Path of each file of which its package's own RECORD says otherwise -> what that says."""
        self.warnings: list[str] = []
        self._claimed: dict[str, list[NewFile]] = {}
        self._contested: set[str] = set()
        self._folders = {""}
        self._made = {""}

    @property
    def interpreter(self) -> str:
        """The environment's Python, as scripts name it."""
        return f"{self.final}/bin/python"

    def claim(self, owner: str, files: list[NewFile]) -> None:
        """Note that ``owner`` brings ``files``. Nothing is written yet: all claims come before the first file.

        Raises:
            PathClash: another package has something else at one of the paths.
        IntegrityError: two of the files cannot both be there.
        """
        names = {file.path for file in files}
        folders = with_parents({path.rpartition("/")[0] for path in names})
        if both := names & folders:
            raise malformed(owner, f"it has {min(both)} as a file and as a folder")
        for path in sorted((self.owners.keys() & folders) | ((self._folders | self._made) & names)):
            if not os.path.isdir(f"{self.root}/{path}") or path in names:
                raise PathClash(
                    f"{path} (a file in one, a directory in the other)", owner, self.owners.get(path, "another")
                )
        contested = self.owners.keys() & names
        self._claimed[owner] = files
        if contested:
            self._contested |= contested
            for file in files:
                if file.path in contested:
                    self._settle(file, owner, self.owners[file.path])
            files = [file for file in files if file.path not in contested]
        self.owners.update(zip((file.path for file in files), repeat(owner)))
        self._folders |= folders

    def files_of(self, owner: str) -> list[NewFile]:
        """What ``owner`` will put into the tree: its claims, less what others have been preferred for."""
        files = self._claimed[owner]
        if not self._contested:
            return files
        return [file for file in files if self.owners[file.path] == owner]

    def recorded_by(self, owner: str) -> list[NewFile]:
        """What ``owner`` may list in its RECORD: also a file that another package brings with the same content."""
        lost = self.lost.get(owner)
        return [file for file in self._claimed[owner] if file.path not in lost] if lost else self._claimed[owner]

    def libraries(self) -> dict[str, str]:
        """What of wheels is named like a library -> what its facts are kept under."""
        return {
            file.path: file.library_key for owner in self._claimed for file in self.files_of(owner) if file.library_key
        }

    def found_slips(self) -> dict[str, dict[str, str]]:
        """Path of each file of which its package's own RECORD says otherwise -> what that says, and what is true."""
        return {
            file.path: {"published": self.slips[file.path], "installed": f"sha256={file.digest}"}
            for owner in self._claimed
            for file in (self.files_of(owner) if self.slips else ())
            if file.path in self.slips
        }

    def write(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Write a file that we make ourselves."""
        self.make_folder(path.rpartition("/")[0])
        place = f"{self.root}/{path}"
        # A file that is there may be a name of one in a cache, or a link: it gives way, and nothing goes through it.
        with suppress(FileNotFoundError):
            os.unlink(place)  # noqa: PTH108
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            if executable:
                mode = os.fstat(stream.fileno()).st_mode
                os.fchmod(stream.fileno(), (mode | (mode & 0o444) >> 2) & 0o7777)

    def make_folder(self, folder: str) -> None:
        """Make a directory and its parents, unless they are there; safe to call from several threads."""
        if folder in self._made:
            return
        self.make_folder(folder.rpartition("/")[0])
        path = f"{self.root}/{folder}"
        try:
            os.mkdir(path)
        except FileExistsError:
            self._check_folder(path, folder)
        self._made.add(folder)

    def _settle(self, file: NewFile, owner: str, other: str) -> None:
        """Decide who gets a path that two packages bring."""
        path = file.path
        digest, size = self._claim_of(other, path)
        if digest == file.digest:
            return
        inside = path.removeprefix(f"{self.layout.site_packages}/").split("/") if self.layout else path.split("/")
        if inside[-1] == "__init__.py" and 0 in {size, file.size}:
            keep = file.size == 0  # a namespace's marker in one package, code in the other
        elif inside[0].lower() in _LOOSE_FOLDERS or (len(inside) == 1 and _is_loose(inside[0].lower())):
            keep = True
        elif path in self.commands:
            keep = path == f"bin/{other}"  # the project of that name owns its command; else the later one, as in pip
        else:
            raise PathClash(path, owner, other)
        winner, loser = (other, owner) if keep else (owner, other)
        self.owners[path] = winner
        self.lost.setdefault(loser, set()).add(path)
        self.warnings.append(f"{owner} and {other} both have {path}; the one of {winner} is installed.")

    def _claim_of(self, owner: str, path: str) -> tuple[str, int]:
        """Digest and size of what ``owner`` has at ``path``."""
        for file in self._claimed.get(owner, ()):
            if file.path == path:
                return file.digest, file.size
        present = f"{self.root}/{path}"  # conda's files and our own are there already
        if os.path.isfile(present) and not os.path.islink(present):
            return record_digest(present), os.path.getsize(present)
        return "", -1

    def _check_folder(self, path: str, folder: str) -> None:
        """What is there already must be a directory inside the tree, not a link that a package set to lead out."""
        if not os.path.isdir(path):
            raise PathClash(
                f"{folder} (a file in one, a directory in the other)", "A package", self.owners.get(folder, "another")
            )
        real, root = os.path.realpath(path), os.path.realpath(self.root)
        if real != root and not real.startswith(f"{root}/"):
            raise IntegrityError(
                f"{folder} is a link that leads out of the environment, and a package wants to write below it",
                code="archive-escapes",
            )


def _is_loose(name: str) -> bool:
    return name in _LOOSE_FILES or name.endswith(_DOCUMENTS)


class PathClash(PrefixError):
    """Two packages have different things at one path."""

    def __init__(self, what: str, owner: str, other: str) -> None:
        super().__init__(
            f"{owner} and {other} both install {what}, with different content.",
            code="path-clash",
            suggestions=(f"leave out {owner} or {other}; they cannot share an environment",),
        )
        self.owners = (owner, other)
