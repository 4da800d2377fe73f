"""The tree under construction: where things go, who owns which path, and that nothing lands outside."""

# ruff: noqa: PTH102, PTH108, PTH112, PTH113, PTH202
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import os
from dataclasses import dataclass

from dataloader.errors import IntegrityError, PrefixError
from dataloader.install.hashing import record_digest

ENVIRONMENT = "the environment"
"""Owner of the paths that no package brings."""

_DOCUMENTS = (".md", ".rst", ".txt")
_LOOSE_FOLDERS = frozenset({"tests", "test", "docs", "doc", "examples", "example", "benchmarks"})
"""Top-level folders that many wheels ship by mistake and that nothing imports from an environment."""

_OURS = frozenset({".dataloader", "conda-meta"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the install schemes of an environment are, relative to the prefix."""

    python: str
    """``major.minor``."""
    site_packages: str
    headers: str
    """Each project gets a folder of its own below it."""

    def folder(self, scheme: str, project: str) -> str:
        """The folder of a scheme (``sysconfig``'s names), without a slash at the end; empty for the prefix itself."""
        if scheme in {"purelib", "platlib"}:
            return self.site_packages
        return {"scripts": "bin", "headers": f"{self.headers}/{project}", "data": ""}[scheme]


def venv_layout(python: str, library: str) -> Layout:
    """The layout of a virtual environment (PEP 405); ``library`` is the folder below lib/, such as ``python3.11``."""
    return Layout(python=python, site_packages=f"lib/{library}/site-packages", headers=f"include/site/{library}")


def conda_layout(python: str, site_packages: str | None) -> Layout:
    """The layout of an environment whose Python is a conda package."""
    return Layout(
        python=python,
        site_packages=site_packages or f"lib/python{python}/site-packages",
        headers=f"include/python{python}",
    )


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
        self.lost: set[tuple[str, str]] = set()
        """(package, path) where another package's file was preferred; such a path stays out of the package's RECORD."""
        self.warnings: list[str] = []
        self._folders = {""}

    @property
    def interpreter(self) -> str:
        """The environment's Python, as scripts name it."""
        return f"{self.final}/bin/python"

    def claim(self, path: str, owner: str, digest: str, size: int) -> bool:
        """Take ``path`` for ``owner`` and make its folder. False when what is there already serves both.

        Raises:
            PrefixError: another package has put something else there.
        """
        other = self.owners.get(path)
        if other is None:
            self.make_folder(path.rpartition("/")[0])
            self.owners[path] = owner
            return True
        return self._settle(path, owner, other, digest, size)

    def write(self, path: str, content: bytes, *, executable: bool = False) -> None:
        """Write a file that we make ourselves."""
        self.make_folder(path.rpartition("/")[0])
        target = f"{self.root}/{path}"
        with open(target, "wb") as stream:
            stream.write(content)
            if executable:
                mode = os.fstat(stream.fileno()).st_mode
                os.fchmod(stream.fileno(), (mode | (mode & 0o444) >> 2) & 0o7777)

    def _settle(self, path: str, owner: str, other: str, digest: str, size: int) -> bool:
        present = f"{self.root}/{path}"
        if os.path.isfile(present) and record_digest(present) == digest:
            return False
        parts = path.split("/")
        below = path.removeprefix(f"{self.layout.site_packages}/").split("/") if self.layout else parts
        if parts[-1] == "__init__.py" and (size == 0 or os.path.getsize(present) == 0):
            keep = size == 0  # a namespace's marker in one package, code in the other
        elif below[0].lower() in _LOOSE_FOLDERS or (len(below) == 1 and path.lower().endswith(_DOCUMENTS)):
            keep = True
        elif path in self.commands:
            keep = parts[1] == other  # the project of that name owns its command; else the later one, as in pip
        else:
            raise PrefixError(
                f"{owner} and {other} both install {path}, with different content.",
                code="path-clash",
                suggestions=(f"Leave out {owner} or {other}; they cannot share an environment.",),
            )
        self.warnings.append(
            f"{owner} and {other} both have {path}; the one of {other if keep else owner} is installed."
        )
        if keep:
            self.lost.add((owner, path))
        else:
            os.unlink(present)
            self.owners[path] = owner
            self.lost.add((other, path))
        return not keep

    def make_folder(self, folder: str) -> None:
        """Make a directory and its parents; each is looked at once."""
        if folder in self._folders:
            return
        self.make_folder(folder.rpartition("/")[0])
        path = f"{self.root}/{folder}"
        try:
            os.mkdir(path)
        except FileExistsError:
            self._check_folder(path, folder)
        self._folders.add(folder)

    def _check_folder(self, path: str, folder: str) -> None:
        """What is there already must be a directory inside the tree, not a link that a package set to lead out."""
        if not os.path.isdir(path):
            raise PrefixError(
                f"{self.owners.get(folder, 'A package')} has a file at {folder}, where another needs a directory.",
                code="path-clash",
            )
        real, root = os.path.realpath(path), os.path.realpath(self.root)
        if real != root and not real.startswith(f"{root}/"):
            raise IntegrityError(
                f"{folder} is a link that leads out of the environment, and a package wants to write below it.",
                code="archive-escapes",
            )


def reserved(path: str) -> bool:
    """Whether only the tool itself may write there."""
    return path.split("/", 1)[0] in _OURS or path == "pyvenv.cfg"
