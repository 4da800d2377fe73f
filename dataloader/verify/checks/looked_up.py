"""Where Python and the shell look: folders of .pth files, PYTHONPATH, the interpreters of scripts, records of one
project. It reads files.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.prefix.state import read_state
from dataloader.prefix.walk import PrefixTree, read_regular
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.remedies import instead_of, reinstall

_MAPPING: Final = re.compile(r"^MAPPING\b[^=\n]*=\s*(\{.*\})\s*$", re.MULTILINE)
"""What setuptools' finder of an editable installation knows."""
_BEGINNING: Final = 512
"""Bytes of a script that say its interpreter: the kernel reads 256, and pip puts a longer path on the second line."""
_SHOWN: Final = 8
_OF_THE_SYSTEM: Final = ("/usr/bin/", "/bin/", "/usr/local/bin/")


def check_path_files(
    prefix: Path, installed: InstalledPackages, tree: PrefixTree, *, elsewhere: bool
) -> Iterator[Finding]:
    """Folders that a .pth file or an editable installation's finder names, and that are gone.

    Args:
        elsewhere: The environment is judged for another machine: what lies outside of it cannot be looked at.
    """
    owners = {path: package for package in installed.packages for path in package.files.columns[0]}
    for site in installed.site_packages:
        for path in sorted(path for path in tree.sizes if path.rpartition("/")[0] == site):
            gone = [path for path in _named_in(prefix, site, path) if not os.path.lexists(path)]
            if not gone:
                continue
            owner = owners.get(path)
            severity: Severity = "note" if elsewhere else "error" if owner else "warning"
            yield Finding(
                severity=severity,
                kind="path-missing",
                path=path,
                message=f"{gone[0]}, where Python would look"
                + (f" for what {owner.label} is made of" if owner else "")
                + ", is gone",
                evidence=tuple(gone[1:_SHOWN]),
            )


def _named_in(prefix: Path, site: str, path: str) -> Iterator[str]:
    name = path.rpartition("/")[2]
    try:
        if name.endswith(".pth"):
            for line in read_regular(prefix / path).decode("utf-8", "replace").splitlines():
                if line.strip() and not line.startswith(("#", "import ", "import\t")):
                    yield os.path.normpath(prefix / site / line.rstrip())
        elif name.startswith("__editable__") and name.endswith("_finder.py"):
            text = read_regular(prefix / path).decode("utf-8", "replace")
            found = _MAPPING.search(text)
            mapping = ast.literal_eval(found[1]) if found else {}
            yield from (value for value in mapping.values() if isinstance(value, str))
    except (OSError, ValueError, SyntaxError, AttributeError, RecursionError, MemoryError):
        return  # a finder of another form says nothing


def check_interpreters(prefix: Path, installed: InstalledPackages, tree: PrefixTree) -> Iterator[Finding]:
    """Scripts that begin with a program that is not there, as all do where the environment was moved."""
    by_program: dict[str, list[str]] = {}
    state = read_state(prefix)
    meant_for = f"{state.target_prefix}/" if state is not None else "/\0"  # it may be built in another place
    for path in sorted(tree.sizes):
        if path.startswith("bin/") and path.count("/") == 1:
            program = _interpreter(prefix / path)
            if program.startswith("/") and not program.startswith(meant_for) and not os.path.lexists(program):
                by_program.setdefault(program, []).append(path)
    for program, paths in by_program.items():
        wanted = frozenset(paths)
        owners = [package for package in installed.packages if not wanted.isdisjoint(package.files.columns[0])]
        # A program of the system (perl, say) may be missing for a script that nobody runs.
        moved = program.rpartition("/")[2].startswith("python") and not program.startswith(_OF_THE_SYSTEM)
        yield Finding(
            severity="error" if owners and moved else "note",
            kind="interpreter-missing",
            path=paths[0],
            message=f"{len(paths)} script{'s begin' if len(paths) > 1 else ' begins'} with {program}, "
            "which is not there",
            evidence=(*(["the environment was moved, or copied, to another place"] * moved), *paths[1:_SHOWN]),
            fix=_together(owners) if moved else None,
            files=tuple(paths),
        )


def _together(owners: Sequence[InstalledPackage]) -> str | None:
    pypi = [f"{owner.name}=={owner.version}" for owner in owners if owner.kind == "pypi"]
    if len(pypi) < len(owners):
        return reinstall(owners[0]) if len(owners) == 1 else None
    return f"dataloader install --reinstall {' '.join(pypi)}" if pypi else None


def _interpreter(path: Path) -> str:
    """The program that a script begins with; empty where it is none."""
    try:
        with path.open("rb") as file:
            lines = file.read(_BEGINNING).split(b"\n")
    except OSError:
        return ""
    if not lines[0].startswith(b"#!"):
        return ""
    program = os.fsdecode(lines[0][2:].strip().split(b" ")[0])
    if program == "/bin/sh" and len(lines) > 1 and (found := re.match(rb"'''exec' \"?([^\" ]+)", lines[1])):
        return os.fsdecode(found[1])
    return program


def check_versions(installed: InstalledPackages, digests: Mapping[str, str], tree: PrefixTree) -> Iterator[Finding]:
    """Several records of one project: what Python's metadata says is not what its files are."""
    records: dict[tuple[str, str], list[InstalledPackage]] = {}
    for package in installed.packages:
        if package.kind == "pypi":
            records.setdefault((package.path.rpartition("/")[0], package.name), []).append(package)
    for several in records.values():
        if len(several) < 2:
            continue
        there = max(several, key=lambda package: _fits(package, digests, tree))
        others = [package for package in several if package is not there]
        yield Finding(
            severity="warning",
            kind="two-versions",
            path=others[0].path,
            message=f"{others[0].label} is recorded beside {there.label}",
            evidence=(f"the files there are those of {there.label}",),
            fix=instead_of(there, f"{there.name}=={there.version}"),
            files=tuple(package.path for package in others),
        )


def _fits(package: InstalledPackage, digests: Mapping[str, str], tree: PrefixTree) -> float:
    """How many of its files are as it recorded them."""
    known = [file for file in package.files if file.size is not None]
    same = (
        tree.sizes.get(file.path) == file.size and digests.get(file.path, file.recorded) == file.recorded
        for file in known
    )
    return sum(same) / max(1, len(known))


def check_python_path(prefix: Path, installed: InstalledPackages, variables: Mapping[str, str]) -> Iterator[Finding]:
    """Modules that PYTHONPATH puts in the place of the environment's own."""
    folders = [folder for folder in variables.get("PYTHONPATH", "").split(os.pathsep) if folder]
    ours: dict[str, str] = {}
    for package in installed.packages if folders else ():
        for path in package.files.columns[0]:
            for site in installed.site_packages:
                if path.startswith(f"{site}/" if site else "") and (name := _module(path[len(site) :].lstrip("/"))):
                    ours.setdefault(name, path)
    for folder in folders:
        if os.path.realpath(folder).startswith(f"{os.path.realpath(prefix)}/"):
            continue
        taken = sorted(name for name in _modules_in(folder) if name in ours)
        if taken:
            yield Finding(
                severity="warning",
                kind="python-path-takes-over",
                path=ours[taken[0]],
                message=f"PYTHONPATH puts {', '.join(taken[:_SHOWN])} of {folder} in the place of the environment's",
                evidence=("PYTHONPATH comes before site-packages",),
                fix="unset PYTHONPATH",
                files=tuple(ours[name] for name in taken),
            )


def _module(path: str) -> str:
    """The module at the top that a file is of; empty where it is of none."""
    top, _, rest = path.partition("/")
    if rest:
        return top if "." not in top else ""
    return top.partition(".")[0] if top.endswith((".py", ".so")) else ""


def _modules_in(folder: str) -> Iterator[str]:
    try:
        entries = [*os.scandir(folder)]
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith((".py", ".so")):
            yield entry.name.partition(".")[0]
        elif "." not in entry.name and os.path.lexists(f"{entry.path}/__init__.py"):
            yield entry.name
