"""Libraries that do not go together: two CUDA stacks, two libraries of one name, two NumPy ABIs. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dataloader.elf.scan import ScannedFile
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.verify.checks.opened import plain_name
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.loads import Verdict
from dataloader.verify.remedies import another_release
from dataloader.verify.tables import Tables


def check_cuda_stacks(
    verdicts: Sequence[Verdict],
    files: Mapping[str, ScannedFile],
    tables: Tables,
    relative: Callable[[str], str],
) -> Iterator[Finding]:
    """Extension modules that bring CUDA runtimes of different majors."""
    users: dict[str, dict[str, str]] = {}  # major -> package -> a library
    for verdict in verdicts:
        if not verdict.extension or verdict.package is None:
            continue
        for path in map(relative, verdict.scope):
            facts = files[path].facts if path in files else None
            provider = tables.providers.get(facts.soname or "") if facts else None
            if provider and provider.library == "libcudart" and len(provider.cuda_majors) == 1:
                users.setdefault(provider.cuda_majors[0], {}).setdefault(verdict.package.label, path)
    if len(users) < 2:
        return
    lines = [
        f"CUDA {major}: {', '.join(sorted(packages))} ({next(iter(packages.values()))})"
        for major, packages in sorted(users.items())
    ]
    yield Finding(
        severity="warning",
        kind="two-cuda-stacks",
        path=next(iter(users[max(users)].values())),
        message=f"packages of this environment bring CUDA {' and '.join(sorted(users))}",
        evidence=tuple(lines),
        fix=f"dataloader install --cuda={min(users)}",
    )


def check_duplicates(scanned: Iterable[ScannedFile], tables: Tables) -> Iterator[Finding]:
    """Libraries of the CUDA stack that the prefix holds twice, told apart by size (hashes may not be known)."""
    copies: dict[str, dict[int, str]] = {}
    for file in scanned:
        soname = file.facts.soname if file.facts and file.facts.is_library else None
        if soname in tables.providers and file.facts and file.facts.machine in ("x86_64", "aarch64"):
            copies.setdefault(f"{soname}", {})[file.size] = file.path
    for soname, paths in sorted(copies.items()):
        if len(paths) > 1:
            yield Finding(
                severity="note",
                kind="duplicate-soname",
                path=min(paths.values()),
                message=f"{len(paths)} different libraries call themselves {soname}; the one loaded first serves all",
                evidence=tuple(sorted(paths.values())),
            )


def check_singles(
    verdicts: Sequence[Verdict], files: Mapping[str, ScannedFile], tables: Tables, relative: Callable[[str], str]
) -> Iterator[Finding]:
    """Two versions of a library in one search list, of those that have one state and no symbol versions (protobuf).

    The first one's functions then serve the other one's callers, and end the process where they notice.
    """
    found: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in verdicts:
        versions: dict[str, dict[str, str]] = {}  # library -> soname -> path
        for path in map(relative, verdict.scope) if verdict.loads and verdict.extension else ():
            facts = files[path].facts if path in files else None
            stem = plain_name(path.rpartition("/")[2]).partition(".so")[0]
            if facts is not None and stem in tables.singles:
                versions.setdefault(stem, {})[facts.soname or path] = path
        for paths in versions.values():
            if len(paths) > 1:
                found.setdefault(tuple(paths.values()), []).append(verdict)
    for several, users in sorted(found.items()):
        whose = users[0].package
        yield Finding(
            severity="warning",
            kind="two-copies",
            path=users[0].path,
            message=f"brings {' and '.join(several)}, and what the first one defines serves the callers of the other",
            evidence=(*([f"belongs to {whose.label}"] if whose else ()), "neither has versions of its symbols"),
            files=tuple(user.path for user in users),
        )


def check_numpy(
    installed: InstalledPackages,
    scanned: Sequence[ScannedFile],
    owners: Mapping[str, InstalledPackage],
    verdicts: Mapping[str, Verdict],
    importance: Callable[[Verdict], Severity],
) -> Iterator[Finding]:
    """Extensions compiled with NumPy 1's headers beside NumPy 2, which refuses them; with pybind11's of that time, it
    does not, and the layout of its dtypes is another one. And those compiled for a C API that this NumPy has not yet.
    """
    numpy = next((package for package in installed.packages if package.name == "numpy"), None)
    if numpy is None or not numpy.version.split(".", 1)[0].isdigit():
        return
    yield from _too_old_numpy(numpy, scanned, owners, verdicts, importance)
    if int(numpy.version.split(".", 1)[0]) < 2:
        return
    old: dict[tuple[str, int], list[str]] = {}
    for file in scanned:
        owner, api = owners.get(file.path), file.facts.numpy_api if file.facts else None
        if api in (0, 1) and file.path in verdicts and owner and owner.name != "numpy":
            old.setdefault((owner.path, api), []).append(file.path)
    for (_, api), paths in old.items():
        owner = owners[paths[0]]
        severity = _severity(paths, verdicts, importance)
        what = "was compiled with NumPy 1 and cannot use"
        if api == 0:
            severity, what = "warning", "passes arrays by a pybind11 older than 2.12, which misreads the dtypes of"
        yield Finding(
            severity=severity,
            kind="numpy-abi",
            path=paths[0],
            message=f"{owner.label} {what} the installed numpy {numpy.version}",
            evidence=tuple(sorted(paths)[:8]),
            files=tuple(sorted(paths)),
            fix="dataloader install 'numpy<2'",
        )


def _too_old_numpy(
    numpy: InstalledPackage,
    scanned: Sequence[ScannedFile],
    owners: Mapping[str, InstalledPackage],
    verdicts: Mapping[str, Verdict],
    importance: Callable[[Verdict], Severity],
) -> Iterator[Finding]:
    has = _release(numpy.version)
    wanting: dict[str, dict[str, str]] = {}  # package -> file -> the NumPy that it takes
    for file in scanned:
        owner, least = owners.get(file.path), file.facts.numpy_least if file.facts else None
        if least and _release(least) > has and file.path in verdicts and owner and owner.name != "numpy":
            wanting.setdefault(owner.path, {})[file.path] = least
    for files in wanting.values():
        owner, paths = owners[next(iter(files))], sorted(files)
        severity = _severity(paths, verdicts, importance)
        least = max(files.values(), key=_release)
        yield Finding(
            severity=severity,
            kind="numpy-abi",
            path=paths[0],
            message=f"{owner.label} was compiled for the C API of numpy {least}, and {numpy.version} is older",
            evidence=tuple(paths[:8]),
            files=tuple(paths),
            fix=f"dataloader install 'numpy>={least}'",
            alternatives=another_release(owner),
        )


def _severity(
    paths: Sequence[str], verdicts: Mapping[str, Verdict], importance: Callable[[Verdict], Severity]
) -> Severity:
    """How much it matters that NumPy refuses these extensions."""
    levels = [importance(verdicts[path]) if verdicts[path].extension else "error" for path in paths]
    return "error" if "error" in levels else "warning"


def _release(version: str) -> tuple[int, ...]:
    """Major and minor.

    >>> _release("1.26.4"), _release("2.0rc1")
    ((1, 26), (2, 0))
    """
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2] or 0)) if found else ()
