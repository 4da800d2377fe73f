"""Whether libraries can open others by name at run time, when they try: cuDNN's parts, NVRTC's builtins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dataloader.compat.openings import Opening
from dataloader.loader.model import Failure, Result
from dataloader.loader.process import Process
from dataloader.prefix.records import InstalledPackages
from dataloader.verify.checks.opened import opened_by
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.remedies import for_library


def check_openings(
    judge: Judge,
    verdicts: Sequence[Verdict],
    openings: Mapping[str, Sequence[Opening]],
    installed: InstalledPackages,
    cuda_major: str | None,
    opened: Mapping[str, Sequence[str]],
) -> Iterator[Finding]:
    """One finding for each opening library.

    Args:
        openings: As :func:`dataloader.verify.checks.opened.openings_by_soname` gives them.
        opened: As :func:`dataloader.verify.checks.opened.read_opened` does.
    """
    for verdict in verdicts:
        facts = judge.bare.files[verdict.path].facts
        if not verdict.loads or facts is None:
            continue
        for opening in openings.get(facts.soname or "", ()):
            missing = _missing(judge, verdict, opening, opened)
            if missing:
                yield _finding(verdict, opening, missing, installed, cuda_major)


def _missing(
    judge: Judge, verdict: Verdict, opening: Opening, opened: Mapping[str, Sequence[str]]
) -> dict[str, Failure]:
    """Name -> why it cannot be opened, by the library once it is loaded as its users load it."""
    names = list(opening.opens)
    if opening.pattern:
        names += opened[opened_by(judge.bare.files[verdict.path].key, opening.pattern)]
    path, package = str(judge.bare.prefix / verdict.path), verdict.package
    missing = _refused(judge.process_of(verdict), path, names)
    # What was opened before is found by its name alone: torch opens NVRTC's builtins, whatever NVRTC's RUNPATH.
    return {
        name: failure
        for name, failure in missing.items()
        if package is None or all(_refused(each, path, [name]) for each in judge.after_users_of(package, name))
    }


def _refused(process: Process, path: str, names: Sequence[str]) -> dict[str, Failure]:
    process = process.copy()
    root = process.open(path).root
    if root is None:
        return {}
    tried: dict[str, Result] = {name: process.open_named(root, name) for name in names}
    return {name: result.failures[0] for name, result in tried.items() if not result.loads}


def _finding(
    verdict: Verdict,
    opening: Opening,
    missing: Mapping[str, Failure],
    installed: InstalledPackages,
    cuda_major: str | None,
) -> Finding:
    names = sorted(missing)
    severity: Severity = "error" if opening.needs in ("always", "stack") else "warning"
    fixes = list(dict.fromkeys(fix for name in names for fix in for_library(name, None, cuda_major, installed)))
    reasons = [
        f"{name}: {missing[name].kind.replace('-', ' ')}"
        + (f" {missing[name].name}" if missing[name].name != name else "")
        for name in names
    ]
    return Finding(
        severity=severity,
        kind="cannot-open",
        path=verdict.path,
        message=f"{opening.part} opens {', '.join(names[:4])}{' ...' if len(names) > 4 else ''} at run time and cannot",
        evidence=(*reasons[:8], f"known from {opening.id}"),
        fix=next(iter(fixes), None),
        alternatives=tuple(fixes[1:]),
    )
