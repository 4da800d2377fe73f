"""Whether libraries can open others by name at run time, when they try: cuDNN's parts, NVRTC's builtins; and whether
the parts of one library come from one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dataloader.compat.openings import Opening
from dataloader.loader.model import Failure, Loaded
from dataloader.loader.process import Process
from dataloader.prefix.records import InstalledPackage
from dataloader.verify.checks.loads import Situation
from dataloader.verify.checks.opened import opened_by, openings_of, plain_name
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.loads import Judge, Verdict
from dataloader.verify.remedies import for_library, reinstall
from dataloader.verify.tables import family_of, load_tables


def check_openings(
    judge: Judge,
    verdicts: Sequence[Verdict],
    openings: Mapping[str, Sequence[Opening]],
    situation: Situation,
    opened: Mapping[str, Sequence[str]],
) -> Iterator[Finding]:
    """One finding for each opening library, and one for each family of which a package has half.

    Args:
        openings: As :func:`dataloader.verify.checks.opened.openings_by_soname` gives them.
        opened: As :func:`dataloader.verify.checks.opened.read_opened` does.
    """
    split: dict[tuple[str, str], list[tuple[Verdict, Loaded]]] = {}
    for verdict in verdicts:
        file = judge.bare.files[verdict.path]
        soname = (file.facts.soname if file.facts else None) or ""
        family, mine = family_of(plain_name(soname), load_tables().families), openings_of(soname, openings)
        if not verdict.loads or not (family or mine):
            continue
        process = judge.process_of(verdict).copy()
        result = process.open(str(judge.bare.prefix / verdict.path))
        parts = list(result.scope)
        for opening in mine if result.root is not None else ():
            in_file = opened[opened_by(file.key, opening.pattern)] if opening.pattern else ()
            tried = {name: process.open_named(parts[0], name) for name in (*opening.opens, *in_file)}
            parts += [loaded for result in tried.values() if result.loads for loaded in result.scope]
            missing = _missing(
                judge, verdict, {name: result.failures[0] for name, result in tried.items() if not result.loads}
            )
            if missing:
                yield _finding(verdict, opening, missing, situation)
        for part in parts:
            if family and verdict.package and _is_elsewhere(part, verdict.package, family, situation):
                split.setdefault((family, verdict.package.path), []).append((verdict, part))
    for (family, _), found in sorted(split.items(), key=lambda pair: pair[0]):
        yield _split(family, found, situation)


def _missing(judge: Judge, verdict: Verdict, refused: Mapping[str, Failure]) -> dict[str, Failure]:
    """Name -> why it cannot be opened, by the library once it is loaded as its users load it."""
    path, package = str(judge.bare.prefix / verdict.path), verdict.package
    # What was opened before is found by its name alone: torch opens NVRTC's builtins, whatever NVRTC's RUNPATH.
    return {
        name: failure
        for name, failure in refused.items()
        if package is None or all(_refuses(process, path, name) for process in judge.after_users_of(package, name))
    }


def _refuses(process: Process, path: str, name: str) -> bool:
    process = process.copy()
    root = process.open(path).root
    return root is not None and not process.open_named(root, name).loads


def _is_elsewhere(part: Loaded, package: InstalledPackage, family: str, situation: Situation) -> bool:
    """Whether a library of the family is another package's, or nobody's."""
    name = plain_name((part.facts.soname if part.facts else None) or part.path.rpartition("/")[2])
    if part.image is None or family_of(name, load_tables().families) != family:
        return False
    owner = situation.owners.get(situation.relative(part.path))
    return owner is None or owner.path != package.path


def _split(family: str, found: Sequence[tuple[Verdict, Loaded]], situation: Situation) -> Finding:
    verdict, part = found[0]
    owner, inside = situation.owners.get(situation.relative(part.path)), part.path.startswith(f"{situation.prefix}/")
    whose = owner.label if owner else "no package" if inside else "the system"
    lines = dict.fromkeys(
        f"{user.path.rpartition('/')[2]} gets {situation.relative(other.path)}, by {other.why or 'its name'}"
        for user, other in found
    )
    mine = verdict.package.label if verdict.package else "nobody"
    taken = part.why == "LD_LIBRARY_PATH" and not situation.described
    return Finding(
        severity="warning",
        kind="split-family",
        path=verdict.path,
        message=f"parts of {family} come from {mine} and from {whose}; they work together only at one version",
        evidence=tuple(lines)[:8],
        fix="unset LD_LIBRARY_PATH" if taken else _own_again(verdict.package, part.path.rpartition("/")[2], situation),
        files=tuple(sorted({user.path for user, _ in found})),
    )


def _own_again(package: InstalledPackage | None, name: str, situation: Situation) -> str | None:
    """Where a package's own copy of a library is gone it comes back; another's beside it stays, whatever is done."""
    own = [path for path in situation.owners if path.endswith(f"/{name}") and situation.owners[path] == package]
    gone = package is not None and own and not set(own) & set(situation.provided.get(name, ()))
    return reinstall(package) if package is not None and gone else None


def _fixes(package: InstalledPackage | None, names: Sequence[str], situation: Situation) -> list[str]:
    """What brings the libraries; a package that is there and lost those of its own has them again when it is anew."""
    for name in names:
        provider = load_tables().providers.get(name)
        if package is not None and provider is not None and package.name in dict(provider.pypi):
            return [reinstall(package)]
    brought = (for_library(name, None, situation.cuda_major, situation.installed) for name in names)
    return list(dict.fromkeys(fix for advice in brought for fix in advice))


def _finding(verdict: Verdict, opening: Opening, missing: Mapping[str, Failure], situation: Situation) -> Finding:
    names = sorted(missing)
    severity: Severity = "error" if opening.needs in ("always", "stack") else "warning"
    if opening.by not in verdict.path and any(name in situation.provided for name in names):
        severity = "warning"  # the front was renamed: the code of its package may well open its parts itself
    fixes = _fixes(verdict.package, names, situation)
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
