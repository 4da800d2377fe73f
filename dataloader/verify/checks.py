"""Verdicts of the loader's model -> findings: severity, cause, and the command that mends it. No I/O."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dataloader.target import Target
from dataloader.verify.demangle import demangle
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.installed import Installed, InstalledPackage
from dataloader.verify.loader import Failure
from dataloader.verify.loads import Verdict
from dataloader.verify.scan import ScannedFile
from dataloader.verify.tables import install_command

_SHOWN = 8
"""Names listed of one kind in one finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the judgement needs to know beside the verdicts."""

    prefix: str
    target: Target
    installed: Installed
    provided: dict[str, list[str]]
    """soname or file name -> paths of the prefix that have it."""
    owners: dict[str, InstalledPackage]
    cuda_major: str | None
    """The CUDA major that most of the environment is built for."""
    importance: Callable[[Verdict], Severity]
    """How much it matters that a library cannot load."""

    def relative(self, path: str) -> str:
        """A path as findings show it."""
        return os.path.relpath(path, self.prefix) if path.startswith(self.prefix + "/") else path


def check_malformed(files: Sequence[ScannedFile], owners: dict[str, InstalledPackage]) -> Iterator[Finding]:
    """Files that are named like libraries and cannot be read as ELF."""
    for file in files:
        problem = file.problem or ("a segment reaches past its end" if file.facts and file.facts.truncated else None)
        if problem is None:
            continue
        owner = owners.get(file.path)
        yield Finding(
            severity="error" if owner else "warning",
            kind="malformed-elf",
            path=file.path,
            message=f"not a library that could be loaded: {problem}",
            evidence=(f"{file.stat.size} bytes",),
            fix=f"dataloader install --reinstall {owner.name}=={owner.version}" if owner else None,
        )


def check_loads(verdicts: Sequence[Verdict], situation: Situation) -> Iterator[Finding]:
    """One finding for each cause; the libraries that it takes down are its evidence."""
    causes: dict[tuple[str, str, str], list[Verdict]] = {}
    first: dict[tuple[str, str, str], list[Failure]] = {}
    for verdict in verdicts:
        if verdict.loads:
            continue
        for failure in verdict.failures:
            grouped = "" if failure.kind == "undefined-symbol" else failure.name
            key = (failure.kind, failure.path, grouped)
            if verdict not in causes.setdefault(key, []):
                causes[key].append(verdict)
            kept = first.setdefault(key, [])
            if all(other.name != failure.name for other in kept):
                kept.append(failure)
    for key in sorted(causes):
        yield _finding(first[key], causes[key], situation)


def _finding(failures: list[Failure], victims: list[Verdict], situation: Situation) -> Finding:
    severities = [situation.importance(victim) for victim in victims]
    severity: Severity = next((level for level in ("error", "warning", "note") if level in severities), "note")
    path = situation.relative(failures[0].path)
    message, evidence, fix = _EXPLAIN[failures[0].kind](failures, situation)
    others = sorted({victim.path for victim in victims} - {path})
    if others:
        shown = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
        evidence = (*evidence, f"needed to load {shown}")
    owner = situation.owners.get(path)
    if owner:
        evidence = (*evidence, f"belongs to {owner.label}")
    return Finding(severity=severity, kind=failures[0].kind, path=path, message=message, evidence=evidence, fix=fix)


_Explained = tuple[str, tuple[str, ...], str | None]


def _missing_library(failures: list[Failure], situation: Situation) -> _Explained:
    failure = failures[0]
    soname = PurePosixPath(failure.name).name
    conda = any(package.kind == "conda" for package in situation.installed.packages)
    evidence = (
        [f"{soname} is searched in {', '.join(map(situation.relative, failure.searched))}"] if failure.searched else []
    )
    elsewhere = situation.provided.get(soname, [])
    if elsewhere:
        where = ", ".join(elsewhere[:3])
        evidence.append(f"{where} is in the environment, but on no search path of this file")
        folder = PurePosixPath(elsewhere[0]).parent
        fix = f"dataloader run -- CMD  # or LD_LIBRARY_PATH={situation.prefix}/{folder}"
    else:
        fix = install_command(soname, situation.cuda_major, conda=conda) or ""
    return f"needs {failure.name}, which is not found", tuple(evidence), fix or None


def _version(failures: list[Failure], situation: Situation) -> _Explained:
    failure = failures[0]
    provider = situation.relative(failure.provider or "")
    owner = situation.owners.get(provider)
    family = failure.name.split("_", 1)[0]
    fix = None
    if owner:
        fix = f"dataloader install '{'conda:' if owner.kind == 'conda' else ''}{owner.name}>{owner.version}'"
    elif family in ("GLIBCXX", "CXXABI"):
        fix = install_command("libstdc++.so.6", None, conda=True)
    whose = f" of {owner.label}" if owner else (" of the system" if provider.startswith("/") else "")
    evidence: tuple[str, ...] = (f"{provider}{whose} would be loaded",)
    if family == "GLIBC" and situation.target.glibc:
        evidence = (*evidence, f"the target has glibc {situation.target.glibc}")
    return f"needs {failure.name}, which {PurePosixPath(provider).name} does not offer", evidence, fix


def _symbols(failures: list[Failure], situation: Situation) -> _Explained:
    names = [failure.name for failure in failures]
    readable = [demangle(name) for name in names[:_SHOWN]]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    owner = situation.owners.get(situation.relative(failures[0].path))
    evidence = tuple(readable[1:])
    fix = None
    frameworks = sorted({label for name in names for label in _frameworks(name, situation.installed)})
    if frameworks:
        evidence = (*evidence, f"built for another {' or '.join(frameworks)} than the one installed")
        if owner:
            fix = f"dataloader install {owner.name}  # a build for {', '.join(frameworks)}"
    return f"undefined symbol {readable[0]}{more}", evidence, fix


_NAMESPACES = {
    "c10": "torch",
    "at": "torch",
    "torch": "torch",
    "caffe2": "torch",
    "tensorflow": "tensorflow",
    "tsl": "tensorflow",
}
"""C++ namespace -> distribution that defines it."""


def _frameworks(name: str, installed: Installed) -> Iterator[str]:
    for namespace, project in _NAMESPACES.items():
        if f"{len(namespace)}{namespace}" in name:
            for package in installed.packages:
                if package.name == project or (project == "torch" and package.name == "pytorch"):
                    yield package.label
                    return


def _malformed(failures: list[Failure], situation: Situation) -> _Explained:
    owner = situation.owners.get(situation.relative(failures[0].path))
    fix = f"dataloader install --reinstall {owner.name}=={owner.version}" if owner else None
    return f"cannot be loaded: {failures[0].name}", (), fix


def _exec_stack(failures: list[Failure], situation: Situation) -> _Explained:
    path = situation.relative(failures[0].path)
    return (
        f"asks for an executable stack, which glibc {situation.target.glibc} refuses to a library that is opened",
        (),
        f"patchelf --clear-execstack {path}",
    )


_EXPLAIN: dict[str, Callable[[list[Failure], Situation], _Explained]] = {
    "missing-library": _missing_library,
    "version-not-provided": _version,
    "undefined-symbol": _symbols,
    "malformed-elf": _malformed,
    "not-a-library": _malformed,
    "wrong-machine": _malformed,
    "executable-stack": _exec_stack,
}
