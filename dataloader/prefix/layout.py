"""Where the install schemes of an environment are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dataloader.base.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The folders of an environment with a Python, relative to the prefix."""

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


_SITES: Final = (
    "lib/python3*/site-packages",
    "lib64/python3*/site-packages",
    "lib/python3*/dist-packages",
    "local/lib/python3*/dist-packages",
)
"""Where distributions lie; ``dist-packages`` in Debian's own prefix, ``/usr``."""


def find_site_packages(prefix: Path) -> tuple[str, ...]:
    """Directories of ``prefix`` that hold distributions, relative to it."""
    found = [
        path.relative_to(prefix).as_posix()
        for pattern in _SITES
        for path in sorted(prefix.glob(pattern))
        if path.is_dir() and not path.parent.parent.is_symlink()
    ]
    if any(prefix.glob("*.dist-info")) or not found:
        found.append("")
    return tuple(found)


def main_site_packages(prefix: Path) -> str | None:
    """The site-packages of the newest Python of an environment, relative to it."""
    own = [site for site in find_site_packages(prefix) if site.startswith("lib/") and site.endswith("/site-packages")]
    return own[-1] if own else None
