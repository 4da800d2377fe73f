"""What variables of the process change: libraries that LD_LIBRARY_PATH or LD_PRELOAD bring in the place of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dataloader.loader.disk import start_python
from dataloader.loader.model import Failure, Loaded, Result
from dataloader.loader.process import Process
from dataloader.verify.checks.loads import Situation
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.libraries import BareLoads
from dataloader.verify.options import VerifyOptions

_VARIABLES = ("LD_PRELOAD", "LD_LIBRARY_PATH")


class Difference(NamedTuple):
    """What a file comes to with the variables, and without."""

    path: str
    """Relative to the prefix; the program's, where Python itself is meant."""
    failures: Sequence[Failure]
    """With the variables."""
    otherwise: Sequence[Failure]
    """Without."""
    taken: Mapping[str, tuple[str, str | None]]
    """Library that a variable brought -> the variable, and what would be loaded without it."""


def differences(bare: BareLoads, options: VerifyOptions) -> list[Difference]:
    """What the variables change, file by file; nothing where none of them says anything."""
    environment = bare.process.environment
    plain_environment = environment._replace(library_path=options.library_path, preload=())
    if plain_environment == environment:
        return []
    plain = start_python(plain_environment, bare.interpreter)
    found: list[Difference] = []
    if bare.process.main is not None:
        program = bare.process.main.path.removeprefix(f"{bare.prefix}/")
        scopes = (_as_result(bare.process), _as_result(plain))
        found.append(_difference(program, *scopes))
    for path, result in bare.results.items():
        found.append(_difference(path, result, plain.open(str(bare.prefix / path), keep=False)))
    return [opening for opening in found if opening.taken or bool(opening.failures) != bool(opening.otherwise)]


def _as_result(process: Process) -> Result:
    return Result(process.main, process.failures, process.global_scope)


def _difference(path: str, result: Result, otherwise: Result) -> Difference:
    there = {name: opened for opened in otherwise.scope for name in _names(opened)}
    taken: dict[str, tuple[str, str | None]] = {}
    for loaded in result.scope:
        if loaded.why in _VARIABLES and loaded.image is not None:
            other = next((there[name] for name in _names(loaded) if name in there), None)
            if other is None or other.image is None or other.image.key != loaded.image.key:
                taken[loaded.path] = (loaded.why, other.path if other is not None else None)
    return Difference(path, result.failures, otherwise.failures, taken)


def _names(loaded: Loaded) -> set[str]:
    soname = loaded.facts.soname if loaded.facts else None
    names = loaded.names | ({soname} if soname else set())
    return {name.rpartition("/")[2] for name in names}


def explained(found: Sequence[Difference]) -> frozenset[str]:
    """Files that load but for the variables: what is wrong with them is said here."""
    return frozenset(opening.path for opening in found if opening.failures and not opening.otherwise and opening.taken)


def check_variables(found: Sequence[Difference], situation: Situation, variables_of: str) -> Iterator[Finding]:
    """One finding for each library that a variable brought, and one for what only loads thanks to it."""
    causes: dict[tuple[str, str, str | None], list[Difference]] = {}
    for opening in found:
        if opening.otherwise:
            continue  # it does not load in either case, or only thanks to a variable
        for path, (variable, other) in opening.taken.items():
            if opening.failures or not path.startswith(f"{situation.prefix}/"):
                causes.setdefault((path, variable, other), []).append(opening)
    for (path, variable, other), users in sorted(causes.items(), key=str):
        broken = [user for user in users if user.failures]
        replaces = other is not None and other.startswith(f"{situation.prefix}/")
        if broken or replaces:
            yield _takes_over(path, variable, other, users, broken, situation, variables_of)
    yield from _thanks_to(found, variables_of)


def _takes_over(
    path: str,
    variable: str,
    other: str | None,
    users: Sequence[Difference],
    broken: Sequence[Difference],
    situation: Situation,
    variables_of: str,
) -> Finding:
    severity: Severity = "error" if broken else "warning"
    place = f"in the place of {situation.relative(other)}" if other else "into the process"
    first = (broken or users)[0]
    where = situation.relative(other) if other and not broken else first.path
    evidence = [f"{variable} is that of {variables_of or 'this process'}"]
    if broken:
        evidence += [f"{_word(failure)}" for failure in first.failures[:3]]
        evidence.append("without the variable it loads")
    evidence.append(f"for {len(users)} {'file' if len(users) == 1 else 'files'}, {first.path} among them")
    return Finding(
        severity=severity,
        kind="library-path-takes-over",
        path=where,
        message=f"{variable} puts {path} {place}" + (", and then this cannot be loaded" if broken else ""),
        evidence=tuple(evidence),
        fix=f"unset {variable}" if not situation.described else None,
        files=tuple(sorted(opening.path for opening in broken or users)),
    )


def _word(failure: Failure) -> str:
    name = failure.path.rpartition("/")[2]
    return f"{name}: {failure.kind.replace('-', ' ')} {failure.name}"


def _thanks_to(found: Sequence[Difference], variables_of: str) -> Iterator[Finding]:
    helped = [opening for opening in found if opening.otherwise and not opening.failures]
    if helped:
        missing = sorted({_word(failure) for opening in helped for failure in opening.otherwise})
        yield Finding(
            severity="note",
            kind="needs-library-path",
            path=helped[0].path,
            message=f"{len(helped)} {'library loads' if len(helped) == 1 else 'libraries load'} only with the "
            f"variables of {variables_of or 'this process'}",
            evidence=tuple(missing[:8]),
            files=tuple(sorted(opening.path for opening in helped)),
        )


def check_start(bare: BareLoads, situation: Situation) -> Iterator[Finding]:
    """Whether Python itself starts, on this machine."""
    for failure in bare.process.failures[:1] if not situation.described else ():
        yield Finding(
            severity="error",
            kind=failure.kind,
            path=situation.relative(bare.process.main.path if bare.process.main else failure.path),
            message=f"Python does not start: {_word(failure)}",
            evidence=(f"{failure.path} asks for it",),
        )


def check_unread(options: VerifyOptions) -> Iterator[Finding]:
    """Activation scripts whose effect on those variables cannot be told without running them."""
    for path in options.unread:
        yield Finding(
            severity="note",
            kind="activation-not-followed",
            path=path,
            message="sets variables that decide what is loaded, to what cannot be told without running it",
        )
