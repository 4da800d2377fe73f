"""Files against what their packages recorded: changed, missing, claimed by two packages. Judgement only, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from dataloader.base.digests import hexadecimal_of
from dataloader.prefix.records import InstalledPackage, InstalledPackages, RecordedFile
from dataloader.prefix.walk import PrefixTree, is_library_name
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.remedies import one_of, reinstall

_GROUP = 5
"""From this many missing files of one package on, one finding names them together."""


def check_records(installed: InstalledPackages) -> Iterator[Finding]:
    """Records of packages that cannot be read."""
    for path, why in sorted(installed.unreadable.items()):
        yield Finding(
            severity="warning",
            kind="unreadable-record",
            path=path,
            message=f"the record of an installed package cannot be read: {why}",
        )


def check_slips(slips: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Files that were in their archive as they are here, though its publisher's own record said otherwise."""
    for path, hashes in sorted(slips.items()):
        yield Finding(
            severity="note",
            kind="record-differs",
            path=path,
            message="as in its package, which has the locked hash; the package's own record says otherwise",
            evidence=(f"published {hashes.get('published')}", f"installed {hashes.get('installed')}"),
        )


def check_contents(
    installed: InstalledPackages,
    tree: PrefixTree,
    digests: Mapping[str, str],
    done_to: Callable[[InstalledPackage, RecordedFile], str | None] = lambda *_: None,
) -> Iterator[Finding]:
    """Missing and changed files.

    A file that several packages recorded is changed only if it is none of theirs: that they differ is another finding.

    Args:
        digests: SHA-256 of each file that was hashed, as RECORD writes it.
        done_to: Says of a changed library what was done to it, where all that is loaded is as it was; is empty where
            that cannot be told, and ``None`` where more has changed.
    """
    sizes = tree.sizes
    folders: dict[str, list[InstalledPackage]] = {}
    shared: dict[str, list[tuple[InstalledPackage, RecordedFile]]] | None = None
    for package in installed.packages:
        missing: list[str] = []
        empty: list[str] = []
        for path, recorded, size in zip(*package.files.columns, strict=True):
            digest = digests.get(path)
            if digest is not None and digest == recorded and sizes[path] == size:
                continue  # nearly all
            if path in tree.links or _is_bytecode(path) or _is_bookkeeping(path):
                continue
            found = sizes.get(path)
            if found is None:
                (empty if size == 0 and path.endswith("/__init__.py") else missing).append(path)
            elif evidence := _difference(file := RecordedFile(path, recorded, size), found, digest):
                shared = installed.shared() if shared is None else shared
                if all(_difference(other, found, digest) for _, other in shared.get(path, ()) if other.recorded):
                    yield _changed(package, path, evidence, done_to(package, file))
        yield from _missing(package, missing)
        for path in empty:
            folders.setdefault(path, []).append(package)
    for path, packages in folders.items():
        yield Finding(
            severity="note",
            kind="file-missing",
            path=path,
            message=f"the empty file that {_some(packages)} installed is gone; Python takes the folder for a namespace",
            fix=reinstall(packages[0]),
        )


def _some(packages: Sequence[InstalledPackage]) -> str:
    return packages[0].label + (f" and {len(packages) - 1} more" if len(packages) > 1 else "")


def _difference(file: RecordedFile, size: int, digest: str | None) -> str:
    """What of a file there is not as it was recorded; empty where nothing is, or nothing was recorded."""
    if file.recorded is None:
        return ""
    if file.size is not None and size != file.size:
        return f"size {size} instead of {file.size} bytes"
    if digest is not None and hexadecimal_of(digest) != hexadecimal_of(file.recorded):
        return f"sha256 {hexadecimal_of(digest)} instead of {hexadecimal_of(file.recorded)}"
    return ""


def _is_bytecode(path: str) -> bool:
    return path.endswith(".pyc")


def _is_bookkeeping(path: str) -> bool:
    """Files that installers write anew without updating RECORD."""
    folder, _, name = path.rpartition("/")
    return folder.endswith(".dist-info") and name in (
        "RECORD",
        "INSTALLER",
        "REQUESTED",
        "direct_url.json",
        "uv_cache.json",
        "uv_build.json",
    )


def _is_code(path: str) -> bool:
    """Files whose loss breaks an import. Tests are often removed to make an image smaller."""
    folders = path.split("/")[:-1]
    if "tests" in folders or "test" in folders:
        return False
    return path.endswith(".py") or is_library_name(path)


def _is_document(path: str) -> bool:
    """Whether it says something of its distribution that no import asks for: top_level.txt, a licence."""
    name = path.partition(".dist-info/")[2]
    return bool(name) and name not in ("METADATA", "entry_points.txt")


def _changed(package: InstalledPackage, path: str, evidence: str, done: str | None) -> Finding:
    unknown = ("whether it is the same but for symbols or search path cannot be told: no cache has the original",)
    return Finding(
        severity="warning" if done or _is_document(path) else "error",
        kind="file-changed",
        path=path,
        message=f"not the file that {package.label} installed"
        + (f": {done}; all that is loaded of it is as it was" if done else ""),
        evidence=(evidence, f"recorded in {package.path}", *(unknown if done == "" else ())),
        fix=reinstall(package),
    )


def _missing(package: InstalledPackage, paths: Sequence[str]) -> Iterator[Finding]:
    code = [path for path in paths if _is_code(path)]
    groups: list[tuple[Severity, list[str]]] = [("error", code), ("note", [p for p in paths if not _is_code(p)])]
    for severity, group in groups:
        if len(group) < _GROUP and severity == "error":
            for path in group:
                yield _missing_finding(package, severity, [path])
        elif group:
            yield _missing_finding(package, severity, group)


def _missing_finding(package: InstalledPackage, severity: Severity, paths: Sequence[str]) -> Finding:
    what = f"{package.label} installed this file, and it is gone"
    if len(paths) > 1:
        what = f"{len(paths)} files that {package.label} installed are gone"
    return Finding(
        severity=severity,
        kind="file-missing",
        path=paths[0],
        message=what,
        evidence=(f"recorded in {package.path}", *(paths[1:20])),
        fix=reinstall(package),
        files=tuple(paths),
    )


def check_clobbers(
    installed: InstalledPackages, digests: Mapping[str, str], notable: frozenset[str]
) -> Iterator[Finding]:
    """Paths that two packages own with different content. ``notable``: file names of libraries that many share."""
    pairs: dict[tuple[str, str], list[str]] = {}
    called = {package.label: package for package in installed.packages}
    winners: dict[str, str] = {}
    for path, claims in installed.shared().items():
        hashes = {file.sha256 for _, file in claims}
        if len(hashes) < 2 or None in hashes or _is_bytecode(path) or _is_bookkeeping(path):
            continue
        names = sorted({package.label for package, _ in claims})
        if len(names) < 2:
            continue
        pairs.setdefault((names[0], names[-1]), []).append(path)
        if path in digests:
            on_disk = hexadecimal_of(digests[path])
            winners[path] = next((package.label for package, file in claims if file.sha256 == on_disk), "neither")
    for (first, second), paths in sorted(pairs.items()):
        serious = [path for path in paths if path.rsplit("/", 1)[-1] in notable]
        shown = serious or paths
        winner = winners.get(shown[0], "")
        fix, other = one_of(called[first], called[second], winner, installed)
        yield Finding(
            severity="error" if serious else "warning",
            kind="clobbered-path",
            path=shown[0],
            message=f"{first} and {second} both own {_count(paths)} with different content",
            evidence=(*([f"on disk is the file of {winner}"] if winner else ()), *shown[1:10]),
            files=tuple(paths),
            fix=fix,
            alternatives=(other,),
        )


_LOST: Final = "__clobbers__/"
"""Where conda's installers move what one of two packages has at a path that the other has too: then its name."""


def check_lost(installed: InstalledPackages) -> Iterator[Finding]:
    """Files of conda packages that another one's lie in the place of."""
    lost = {
        (file.path.removeprefix(_LOST).partition("/")[2], package): file
        for package in installed.packages
        if package.kind == "conda" and any(path.startswith(_LOST) for path in package.files.columns[0])
        for file in package.files
        if file.path.startswith(_LOST)
    }
    wanted = {path for path, _ in lost}
    pairs: dict[tuple[str, str, Severity], list[str]] = {}
    for winner in installed.packages if lost else ():
        for other in winner.files if not wanted.isdisjoint(winner.files.columns[0]) else ():
            for (path, package), file in lost.items() if other.path in wanted else ():
                same = file.sha256 is not None and file.sha256 == other.sha256
                if path == other.path and winner.path != package.path and not same:
                    severity: Severity = "error" if _is_code(path) else "warning"
                    pairs.setdefault((winner.label, package.label, severity), []).append(path)
    called = {package.label: package for package in installed.packages}
    for (winner_label, loser, severity), paths in sorted(pairs.items()):
        fix, other_fix = one_of(called[winner_label], called[loser], winner_label, installed)
        yield Finding(
            severity=severity,
            kind="clobbered-path",
            path=paths[0],
            message=f"{winner_label} and {loser} both own {_count(paths)} with different content",
            evidence=(f"on disk is the file of {winner_label}; that of {loser} lies in {_LOST[:-1]}", *paths[1:10]),
            fix=fix,
            alternatives=(other_fix,),
            files=tuple(paths),
        )


def _count(paths: Sequence[str]) -> str:
    return "this path" if len(paths) == 1 else f"{len(paths)} paths"
