"""Where the wheels of a lock come from, in the words of pip's options."""

from __future__ import annotations

from dataloader.lockfile.model import Lockfile, PypiPackage

PYPI = "https://pypi.org/simple"
"""What pip and uv ask when nothing is said (the Python Packaging User Guide)."""


def is_direct(package: PypiPackage) -> bool:
    """Whether the wheel was named by its own URL, so that no index has to list it."""
    return package.index is None


def index_lines(lock: Lockfile) -> list[str]:
    """The options that make pip find every wheel of the lock; none where PyPI alone has them."""
    used = list(dict.fromkeys(p.index for p in lock.pypi() if p.index is not None))
    indexes = [url for url in lock.indexes if url in used]
    pages = [url for url in used if url not in lock.indexes]
    if not used or (indexes == [PYPI] and not pages):
        return []
    lines = [f"--index-url {indexes[0]}"] if indexes else ["--no-index"]
    lines += [f"--extra-index-url {url}" for url in indexes[1:]]
    return lines + [f"--find-links {url}" for url in pages]


def led_to(package: PypiPackage) -> str | None:
    """The folder that the environment leads to, where it is no copy (pip's ``-e``)."""
    return package.origin.folder() if package.build is not None and package.origin.editable else None


def pinned(package: PypiPackage) -> str:
    """The requirement that this one wheel meets, with the extras that are switched on."""
    extras = f"[{','.join(package.extras)}]" if package.extras else ""
    if folder := led_to(package):
        return f"-e {folder}{extras}"
    if is_direct(package):
        return f"{package.name}{extras} @ {package.url}"
    return f"{package.name}{extras}=={package.version}"
