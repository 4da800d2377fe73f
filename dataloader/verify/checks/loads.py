"""Verdicts of the loader's model -> findings: severity, cause, and the command that mends it. No I/O."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from dataloader.base.names import some
from dataloader.compat.matrix import Matrix
from dataloader.elf.demangle import demangle
from dataloader.elf.frameworks import CUDA_PARTS, distributions_of, framework_of
from dataloader.loader.model import Failure, FailureKind
from dataloader.loader.system import version_tuple
from dataloader.machine.target import Target
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.loads import Verdict
from dataloader.verify.remedies import another_release, for_library, for_symbols, is_pythons, reinstall
from dataloader.verify.tables import load_tables

_JUDGED = 100
"""Undefined symbols looked at to tell which framework they are from."""
_LISTED = 12
"""Parts listed in a finding that groups them."""
_SHOWN = 8
"""Names listed of one kind in one finding."""


class Situation(NamedTuple):
    """What the judgement needs to know beside the verdicts."""

    prefix: str
    target: Target
    installed: InstalledPackages
    provided: dict[str, list[str]]
    """soname or file name -> paths of the prefix that have it."""
    owners: Mapping[str, InstalledPackage]
    cuda_major: str | None
    """The CUDA major that most of the environment is built for."""
    cuda_of: Callable[[InstalledPackage], str | None]
    """The one that most of a package is built for."""
    importance: Callable[[Verdict], Severity]
    """How much it matters that a library cannot load."""
    described: bool
    """The target is a description: which libraries its system has beyond the usual ones is not known."""
    has_symbols: Callable[[Sequence[Failure]], bool]
    """Whether other libraries of the prefix define all the symbols in question."""
    matrix: Matrix
    """The rows of the matrix, the user's among them."""
    window: Callable[[InstalledPackage, str], tuple[str, tuple[str, ...]]] = lambda _, __: ("", ())
    """With which releases of a framework a package loads, in words and one by one; empty where it is not known."""

    def may_be_of_the_system(self, soname: str) -> bool:
        """Whether a described machine may well have a library that the environment lacks."""
        provider = load_tables().providers.get(soname)
        ours = (provider and provider.cuda_majors) or soname in self.provided
        if self.target.libraries is not None:
            return False  # it says all that there are
        return self.described and not ours and soname not in self.recorded_names()

    def who_recorded(self, soname: str) -> InstalledPackage | None:
        """The package that installed a library of this file name, which is gone."""
        return next((self.owners[path] for path in self.owners if path.rsplit("/", 1)[-1] == soname), None)

    def recorded_names(self) -> frozenset[str]:
        """File names that packages recorded, those that are gone too."""
        return frozenset(path.rsplit("/", 1)[-1] for path in self.owners)

    def absolute(self, path: str) -> str:
        """A path as other programs take it."""
        return os.path.normpath(os.path.join(self.prefix, path))  # noqa: PTH118 - text

    def relative(self, path: str) -> str:
        """A path as findings show it."""
        clean = os.path.normpath(path)
        return clean.removeprefix(self.prefix + "/")


def check_loads(verdicts: Sequence[Verdict], situation: Situation) -> Iterator[Finding]:
    """One finding for each cause; the libraries that it takes down are its evidence."""
    causes: dict[tuple[FailureKind, str, str], dict[str, Verdict]] = {}
    reasons: dict[tuple[FailureKind, str, str], dict[str, Failure]] = {}
    for verdict in verdicts:
        if verdict.loads:
            continue
        for failure in causes_of(verdict, situation):
            path = situation.relative(failure.path)
            owner = situation.owners.get(path)
            # Of one file all symbols together; of one package all files that lack the same library or version.
            symbols = failure.kind == "undefined-symbol"
            where = owner.label if owner and not symbols else path
            key = (failure.kind, where, "" if symbols else failure.name)
            causes.setdefault(key, {})[verdict.path] = verdict
            reasons.setdefault(key, {}).setdefault(failure.name if symbols else path, failure)
    together: list[tuple[Finding, str]] = []
    for key in sorted(causes):
        finding = _finding(list(reasons[key].values()), list(causes[key].values()), situation)
        if finding.severity == "error" and finding.kind != "version-not-provided":
            yield finding
        else:
            together.append((finding, next(iter(reasons[key].values())).name))
    yield from _grouped(together, situation)


def check_doubts(verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Libraries that load if the code of their package does what cannot be followed: one finding for each package."""
    by_package: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.doubts and verdict.package is not None:
            by_package.setdefault(verdict.package.label, []).append(verdict)
    for label, group in sorted(by_package.items()):
        paths = [verdict.path for verdict in group]
        doubts = dict.fromkeys(doubt for verdict in group for doubt in verdict.doubts)
        yield Finding(
            severity="note",
            kind="import-not-followed",
            path=paths[0],
            message=f"{len(paths)} {'library' if len(paths) == 1 else 'libraries'} of {label} load only after others, "
            "and whether its code opens those first cannot be told",
            evidence=(*list(doubts)[:_SHOWN], f"it is so for {some(paths, _SHOWN)}"),
            files=tuple(paths),
        )


def causes_of(verdict: Verdict, situation: Situation) -> Sequence[Failure]:
    """Failures without those that follow from another: what the environment has is reached once the rest loads."""
    gone = [
        failure
        for failure in verdict.failures
        if failure.kind == "missing-library" and failure.name not in situation.provided
    ]
    return gone or verdict.failures


def _grouped(findings: Sequence[tuple[Finding, str]], situation: Situation) -> Iterator[Finding]:
    """Optional parts that cannot load, and versions that are too old: one finding for each package and kind.

    Each finding comes with the name of what is missing.
    """
    groups: dict[tuple[str, str, Severity], list[tuple[Finding, str]]] = {}
    for finding, name in findings:
        owner = situation.owners.get(finding.path)
        key = (owner.label if owner else finding.path, finding.kind, finding.severity)
        groups.setdefault(key, []).append((finding, name))
    for (label, kind, severity), group in sorted(groups.items()):
        if len(group) == 1:
            yield group[0][0]
            continue
        paths = sorted({finding.path for finding, _ in group})
        what = "part" if severity != "error" else ("library" if len(paths) == 1 else "librarie")
        plural = "s" if len(paths) > 1 else ""
        message = f"{len(paths)} {'optional ' if severity != 'error' else ''}{what}{plural} of {label} cannot load"
        if all(situation.may_be_of_the_system(name) for _, name in group):
            names = ", ".join(sorted({name for _, name in group})[:_SHOWN])
            message = f"{label} needs libraries of the target that its description does not name: {names}"
        if kind == "version-not-provided":
            message += f": {', '.join(_highest({name for _, name in group}))} not provided"
        lines = [f"{PurePosixPath(finding.path).name} {finding.message}" for finding, _ in group]
        fixes = list(dict.fromkeys(finding.fix for finding, _ in group if finding.fix))
        yield group[0][0]._replace(
            path=paths[0],
            message=message,
            evidence=(*lines[:_LISTED], *([f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else [])),
            fix=fixes[0] if len(fixes) == 1 else _joined(fixes),
            alternatives=group[0][0].alternatives if len(fixes) == 1 else (),
            files=tuple(sorted({file for finding, _ in group for file in finding.files or (finding.path,)})),
        )


def _highest(names: set[str]) -> list[str]:
    """The highest version of each family: ``GLIBC_2.17`` of ``GLIBC_2.14`` and ``GLIBC_2.17``."""
    best: dict[str, str] = {}
    for name in sorted(names, key=lambda version: version_tuple(version.partition("_")[2]) or ()):
        best[name.partition("_")[0]] = name
    return sorted(best.values())


def _joined(fixes: Sequence[str]) -> str | None:
    """One line for all of them: one command for several ``dataloader install X``, then the others."""
    verb = "dataloader install "
    plain = [fix for fix in fixes if fix.startswith(verb) and not re.search(r" --| && |#", fix)]
    together = [verb + " ".join(fix.removeprefix(verb) for fix in plain)] if plain else []
    return " && ".join([*together, *(fix for fix in fixes if fix not in plain)]) or None


def _finding(failures: list[Failure], victims: list[Verdict], situation: Situation) -> Finding:
    severities = [situation.importance(victim) for victim in victims]
    if failures[0].kind == "undefined-symbol" and situation.has_symbols(failures):
        # A plugin: the library that opens it brings the symbols (MKL's kernels, debuggers' helpers).
        severities = ["note" if level == "warning" else level for level in severities]
    if failures[0].kind == "missing-library" and situation.may_be_of_the_system(failures[0].name):
        severities = ["warning" if level == "error" else level for level in severities]
    severity: Severity = next((level for level in ("error", "warning", "note") if level in severities), "note")
    path = situation.relative(failures[0].path)
    message, evidence, fixes = _EXPLAIN[failures[0].kind](failures, situation)
    files = {situation.relative(failure.path) for failure in failures}
    if len(files) > 1:
        evidence = (*evidence, f"so do {some(sorted(files - {path}), _SHOWN)}")
    others = sorted({victim.path for victim in victims} - files)
    if others:
        evidence = (*evidence, f"needed to load {some(others, _SHOWN)}")
    owner = situation.owners.get(path)
    if owner:
        evidence = (*evidence, f"belongs to {owner.label}")
    return Finding(
        severity=severity,
        kind=failures[0].kind,
        path=path,
        message=message,
        evidence=evidence,
        fix=next(iter(fixes), None),
        alternatives=tuple(fixes[1:]),
        files=tuple(sorted({*files, *others})),
    )


_Explained = tuple[str, tuple[str, ...], Sequence[str]]
"""Message, evidence, commands."""


def _missing_library(failures: list[Failure], situation: Situation) -> _Explained:
    failure = failures[0]
    soname = PurePosixPath(failure.name).name
    owner = situation.owners.get(situation.relative(failure.path))
    evidence = (
        [f"{soname} is searched in {', '.join(map(situation.relative, failure.searched))}"] if failure.searched else []
    )
    elsewhere = situation.provided.get(soname, [])
    if elsewhere:
        where = ", ".join(elsewhere[:3])
        evidence.append(f"{where} is in the environment, but on no search path of this file")
        folder = PurePosixPath(elsewhere[0]).parent
        quoted = shlex.quote(f"{situation.prefix}/{folder}")
        fixes = [f"export LD_LIBRARY_PATH={quoted}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"]
    elif whose := situation.who_recorded(soname):
        evidence.append(f"{whose.label} installed {soname}, and it is gone")
        fixes = [reinstall(whose)]
    else:
        fixes = for_library(soname, owner, situation.cuda_major, situation.installed)
        evidence += [
            f"{soname} comes with a {package.name} for CUDA, and {package.label} here is for the CPU"
            for package in situation.installed.packages
            if package.name in distributions_of(CUDA_PARTS.get(soname, ""))
        ]
        evidence += _of_other_cuda(soname, owner, situation)
    where = "not found"
    if situation.may_be_of_the_system(failure.name):
        where = f"neither in the environment nor in the description of {situation.target.name or 'the target'}"
    return f"needs {failure.name}, which is {where}", tuple(evidence), fixes


def _of_other_cuda(soname: str, owner: InstalledPackage | None, situation: Situation) -> Iterator[str]:
    """The frameworks there that are for another CUDA than the one a library is of."""
    provider = load_tables().providers.get(soname)
    majors = provider.cuda_majors if provider is not None else ()
    names = {name for project in set(CUDA_PARTS.values()) for name in distributions_of(project)}
    for package in situation.installed.packages if len(majors) == 1 else ():
        other = situation.cuda_of(package) if package.name in names and package != owner else None
        if other is not None and other not in majors:
            yield f"it is built for CUDA {majors[0]}, and {package.label} here is for CUDA {other}"


def _version(failures: list[Failure], situation: Situation) -> _Explained:
    failure = failures[0]
    provider = situation.relative(failure.provider or "")
    owner = situation.owners.get(provider)
    family = failure.name.split("_", 1)[0]
    user = situation.owners.get(situation.relative(failure.path))
    if owner:
        fixes = [f"dataloader install '{'conda:' if owner.kind == 'conda' else ''}{owner.name}>{owner.version}'"]
    else:
        fixes = for_library(PurePosixPath(provider).name, user, None, situation.installed) if user else []
        fixes = [*(fix for fix in fixes if "conda:" in fix), *another_release(user)]
    whose = f" of {owner.label}" if owner else (" of the system" if provider.startswith("/") else "")
    evidence: tuple[str, ...] = (f"{provider}{whose} would be loaded",)
    if family == "GLIBC" and situation.target.glibc:
        evidence = (*evidence, f"the target has glibc {situation.target.glibc}")
    return f"needs {failure.name}, which {PurePosixPath(provider).name} does not offer", evidence, fixes


def _symbols(failures: list[Failure], situation: Situation) -> _Explained:
    names = [failure.name for failure in failures]
    readable = [demangle(name) for name in names[:_SHOWN]]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    owner = situation.owners.get(situation.relative(failures[0].path))
    evidence = tuple(readable[1:])
    found = {
        framework.label: framework for name in names[:_JUDGED] for framework in frameworks_of(name, situation.installed)
    }
    frameworks, names_of = sorted(found), sorted({framework.name for framework in found.values()})
    fixes: Sequence[str] = ()
    if frameworks and situation.has_symbols(failures):
        evidence = (*evidence, f"{' and '.join(frameworks)} has them, for those who open its libraries first")
    elif frameworks:
        evidence = (*evidence, f"built for another {' or '.join(names_of)} than {' and '.join(frameworks)} here")
        if owner:
            evidence = (*evidence, f"what is needed is a build of {owner.name} for {', '.join(frameworks)}")
        fixes = for_symbols(owner, list(found.values()), situation.matrix.companions)
        if owner:
            lines, ways = _window(owner, list(found.values()), situation)
            evidence, fixes = (*evidence, *lines), list(dict.fromkeys([*fixes, *ways]))
    elif is_pythons(names):
        evidence = (*evidence, "it is of Python's own interface: the file was built for a newer Python than this one")
        fixes = another_release(owner)
    return f"undefined symbol {readable[0]}{more}", evidence, fixes


def _window(
    owner: InstalledPackage, frameworks: Sequence[InstalledPackage], situation: Situation
) -> tuple[list[str], list[str]]:
    """What is known of the framework's releases, and the command that brings the newest with which a package loads."""
    told, fixes = [], []
    for framework in frameworks if owner.kind == "pypi" else ():
        words, releases = situation.window(owner, framework.name)
        if releases and framework.kind == "pypi":
            told.append(f"{owner.label} {words}, of the releases that were looked at")
            fixes.append(f"dataloader install '{framework.name}=={releases[-1]}'")
    return told, fixes


def frameworks_of(name: str, installed: InstalledPackages) -> Iterator[InstalledPackage]:
    """The installed packages that define a symbol, where its name says so."""
    project = framework_of(name)
    for package in installed.packages:
        if project and package.name in distributions_of(project):
            yield package
            return


def _malformed(failures: list[Failure], situation: Situation) -> _Explained:
    owner = situation.owners.get(situation.relative(failures[0].path))
    return f"cannot be loaded: {failures[0].name}", (), [reinstall(owner)] if owner else []


def _exec_stack(failures: list[Failure], situation: Situation) -> _Explained:
    path = situation.relative(failures[0].path)
    return (
        f"asks for an executable stack, which glibc {situation.target.glibc} refuses to a library that is opened",
        (),
        [f"patchelf --clear-execstack {shlex.quote(f'{situation.prefix}/{path}')}"],
    )


def _static_tls(failures: list[Failure], situation: Situation) -> _Explained:
    path = situation.absolute(failures[0].path)
    can_be_named = not re.search(r"[\s:]", path)  # of LD_PRELOAD, which has no way to quote
    return (
        f"needs {failures[0].name} of static thread-local storage, more than is left for a library that is opened",
        ("what is preloaded or linked gets it when the process begins",),
        [f"export LD_PRELOAD={shlex.quote(path)}${{LD_PRELOAD:+:$LD_PRELOAD}}"] * can_be_named,
    )


def _processor(failures: list[Failure], situation: Situation) -> _Explained:
    owner, here = situation.owners.get(situation.relative(failures[0].path)), situation.target.archspec or "less"
    evidence = (f"the processor has {here.replace('_', '-')}, and the loader asks",)
    return f"was built for processors of {failures[0].name} and later", evidence, another_release(owner)


_EXPLAIN: dict[str, Callable[[list[Failure], Situation], _Explained]] = {
    "missing-library": _missing_library,
    "version-not-provided": _version,
    "undefined-symbol": _symbols,
    "malformed-elf": _malformed,
    "not-a-library": _malformed,
    "wrong-machine": _malformed,
    "executable-stack": _exec_stack,
    "static-tls": _static_tls,
    "processor-too-old": _processor,
}
