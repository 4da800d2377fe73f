"""What a package of either world may bring into an environment: the rules for paths, links and names of commands.

Pure. ``unpack.py`` and ``wheel.py`` ask for wheels, ``conda_contents.py`` for conda packages.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import product

from dataloader.base.errors import IntegrityError

DEEPEST = 100
"""Folders above a file. The deepest of published packages (vendored trees of JavaScript) stay below 40."""
LONGEST = 2000
"""Characters of a path: half of what Linux takes (PATH_MAX), the other half is for where the environment lies."""
MOST = 500_000
"""Files of one package; the largest that are published have 60,000."""

_LONGEST_NAME = 255
"""Bytes of one name (NAME_MAX)."""

_RESERVED = frozenset({".dataloader", "conda-meta", "pyvenv.cfg", "bin/pyvenv.cfg", "cachedir.tag", "__clobbers__"})
"""Where only the tools themselves write, as ``_folded`` has it. Python also looks for pyvenv.cfg beside itself, and
rattler moves to __clobbers__ what one of two packages has at one path."""

_SYSTEM = ("/etc/", "/lib/", "/lib32/", "/lib64/", "/usr/")
"""Where a link may lead out to: parts of the system that packages make visible, such as its drivers for OpenCL
(ocl-icd-system) or its libraries (compilers' sysroots). The administrator's: nobody else can write there. What is also
the users', or leads on to anywhere (/proc/self/root, /dev/fd, /dev/shm, /run/user), is none of it."""
_SYSTEM_FILES = frozenset({"/dev/null", "/proc/mounts", "/proc/self/mounts"})
"""And these, which systems' own trees have as links."""

_MOST_TORN = 4
"""Places that are a link in one package and a folder in another; there is hardly ever one."""

_LINKS_IN_A_ROW = 40
"""As many the kernel follows (path_resolution(7))."""


class Refused(Exception):
    """A package wants what it may not have.

    Args:
        fact: What, as the end of a sentence that begins with the package.
        escapes: Whether it would have written where it must not, rather than be merely malformed.
    """

    def __init__(self, fact: str, *, escapes: bool) -> None:
        super().__init__(fact)
        self.fact = fact
        self.escapes = escapes

    def as_error(self, package: str, *, code: str) -> IntegrityError:
        """What the user reads; ``code`` is for a package that is no true one of its world."""
        return IntegrityError(
            f"{package} {self.fact}; nothing of it is installed",
            code="archive-escapes" if self.escapes else code,
            suggestions=(
                "do not install this file; report it to the index or channel it came from",
                "lock another version with `dataloader install`",
            ),
        )


def check_member(path: str) -> None:
    """Refuse a path that leads, or might lead, out of the folder it is unpacked into, or that no volume can hold.

    On volumes of other systems a backslash separates too, and dots and spaces at the end of a name are dropped.
    """
    parts = path.split("/")
    if not all(part.strip(". ") for part in (path.replace("\\", "/").split("/") if "\\" in path else parts)):
        raise Refused(f"holds the path {path!r}, which reaches outside the environment", escapes=True)
    if "\0" in path:
        raise Refused(f"holds the path {path!r}, which has a null character", escapes=False)
    if len(parts) > DEEPEST or len(path) > LONGEST:
        raise Refused(f"holds a path of {len(parts)} parts, {len(path)} characters: {path[:80]!r}...", escapes=False)
    if len(path) * 4 > _LONGEST_NAME and max(map(_bytes, parts)) > _LONGEST_NAME:
        raise Refused(f"holds a name of more than {_LONGEST_NAME} bytes: {path[:80]!r}...", escapes=False)


def check_count(count: int) -> None:
    """Refuse more files than any volume should be asked to hold for one package."""
    if count > MOST:
        raise Refused(f"holds {count} files, more than {MOST}", escapes=False)


def check_place(path: str) -> None:
    """Refuse a path, relative to the prefix, that is the environment's own. ``check_member`` has let it pass."""
    first, _, rest = path.partition("/")
    folded = _folded(first)
    if folded in _RESERVED or (folded == "bin" and f"bin/{_folded(rest)}" in _RESERVED):
        raise Refused(f"wants to write {path}, which is the environment's own", escapes=True)


def check_command(name: str) -> None:
    """Refuse a command that is not the name of a file in bin/."""
    if "/" in name or not name.isprintable():
        raise Refused(f"has the entry point {name!r}, which is not a file name", escapes=True)
    check_member(name)
    check_place(f"bin/{name}")


def check_links(links: Mapping[str, str], folders: Iterable[str]) -> list[str]:
    """Refuse links that lead out of the environment, whatever is installed first.

    Args:
        links: Path of each symbolic link to its target, of all packages that come together.
        folders: Where files of these packages go.

    Returns:
        The links that lead to the system, which nothing here goes through.
    """
    if not links:
        return []
    outward = {path for path, target in links.items() if _leads_to_system(path, target)}
    above = with_parents({*folders, *(path.rpartition("/")[0] for path in links)})
    if through := above & outward:
        raise Refused(f"wants to write below {min(through)}, where a link leads out of the environment", escapes=True)
    torn = sorted(above & links.keys())
    if len(torn) > _MOST_TORN:
        raise Refused(f"has links where others have folders: {', '.join(torn[:_MOST_TORN])}...", escapes=False)
    # Where one package has a link and another a folder, rattler keeps either.
    for kept in product((True, False), repeat=len(torn)):
        folders = {path for path, is_link in zip(torn, kept, strict=True) if not is_link}
        there = {path: target for path, target in links.items() if path not in folders} if folders else links
        for path, target in links.items():
            # A name in the same folder leads where that one leads, which is looked at itself.
            if path not in outward and ("/" in target or target in {".", ".."}):
                follow(path, target, there)
    folded = {_folded_path(path): path for path in links}
    for folder in above - links.keys():
        if (link := folded.get(_folded_path(folder))) is not None:
            # On a volume that does not tell them apart, what is below one would land where the other leads.
            raise Refused(f"holds the link {link} and the folder {folder}, which differ by case alone", escapes=True)
    return sorted(outward)


def with_parents(folders: Iterable[str]) -> set[str]:
    """The folders and all that lie above them, without the root itself."""
    found: set[str] = set()
    for folder in folders:
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]  # noqa: PLW2901  (the walk upwards)
    return found


def follow(path: str, target: str, links: Mapping[str, str]) -> str:
    """Where the link at ``path`` leads when every link is followed; Refused when that is outside."""
    done = path.split("/")[:-1]
    todo = target.split("/")[::-1]
    targets = [target]
    while todo:
        part = todo.pop()
        if targets[-1].startswith("/") or (part == ".." and not done):
            raise Refused(f"holds the link {path} to {target}, which leads out of the environment", escapes=True)
        if part == "..":
            done.pop()
        elif part not in {"", "."}:
            done.append(part)
            further = links.get("/".join(done))
            if further is None:
                continue
            targets.append(further)
            if len(targets) > _LINKS_IN_A_ROW:
                raise Refused(f"holds the link {path}, which leads in a circle", escapes=False)
            done.pop()
            todo += further.split("/")[::-1]
    return "/".join(done)


def _leads_to_system(path: str, target: str) -> bool:
    """Whether a link makes part of the system visible, deep enough for nothing but its package to look there."""
    is_plain = target.startswith(_SYSTEM) and ".." not in target.split("/")
    is_deep = path.count("/") > 1 and not path.startswith(("bin/", "lib/python", "etc/conda/"))
    return is_deep and (is_plain or target in _SYSTEM_FILES)


def _bytes(part: str) -> int:
    return len(part.encode("utf-8", "surrogatepass"))


def _folded_path(path: str) -> str:
    if path.isascii() and "./" not in path and " /" not in path and path[-1:] not in {".", " "}:
        return path.lower()
    return "/".join(map(_folded, path.split("/")))


@lru_cache(maxsize=4096)
def _folded(name: str) -> str:
    """A name as the least particular of volumes knows it: no case, no marks that cannot be seen, no dots at its end."""
    if name.isascii():
        return name.lower().rstrip(". ")
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in plain if unicodedata.category(character) != "Cf").rstrip(". ")
