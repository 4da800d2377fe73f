"""From what is wrong with a fresh environment to what its package files contradict: facts for another solve. No I/O.

Only what other packages could mend becomes a contradiction. A library that this machine lacks is the machine's affair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dataloader.base.errors import unreachable
from dataloader.compat.model import Bound
from dataloader.elf.demangle import demangle
from dataloader.loader.model import Failure
from dataloader.loader.system import version_tuple
from dataloader.lockfile.model import Lockfile
from dataloader.prefix.records import InstalledPackage
from dataloader.trial.model import Artefact, Contradiction, artefact_of, exclusion
from dataloader.verify.checks.gpu import describe, devices_of
from dataloader.verify.checks.loads import causes_of, frameworks_of
from dataloader.verify.checks.one_process import clashes
from dataloader.verify.findings import Finding, FindingKind
from dataloader.verify.judgement import Inspection
from dataloader.verify.loads import Verdict
from dataloader.verify.tables import load_tables

LOADER_KINDS = frozenset({"version-not-provided", "undefined-symbol", "missing-library"})
"""Failures that another package's library may be the reason of."""
_PYTHON_API = re.compile(r"_?Py[A-Z_]")


class Contradictions:
    """Reads one inspection of an environment that was built from a lock."""

    def __init__(self, inspection: Inspection, lock: Lockfile) -> None:
        self._inspection, self._situation = inspection, inspection.situation
        self._artefacts = {
            _identity(artefact): artefact for artefact in map(artefact_of, lock.packages) if artefact.sha256
        }
        self._cuda = lock.stack.get("cuda", "").partition(".")[0]
        self._python = lock.python.version or ""
        self._files = {file.path: file for file in inspection.scanned}

    def find(self) -> Iterator[Contradiction]:
        """Everything that another choice of packages could mend; reasons for one and the same are counted."""
        reasons: dict[tuple[object, ...], dict[Contradiction, None]] = {}
        for contradiction in self._all():
            same = (
                contradiction.artefact,
                contradiction.then,
                contradiction.requires,
                contradiction.unless_cuda,
                contradiction.gpu,
            )
            reasons.setdefault(same, {})[contradiction] = None
        for first, *more in reasons.values():
            yield replace(first, why=f"{first.why}, and {len(more)} more like it") if more else first

    def _all(self) -> Iterator[Contradiction]:
        for verdict in self._inspection.verdicts:
            if verdict.loads:
                yield from self._foreign_runtime(verdict)
            elif self._situation.importance(verdict) == "error":
                for failure in causes_of(verdict, self._situation):
                    yield from self._of_failure(failure, verdict)
        errors = [finding for finding in self._inspection.findings if finding.severity == "error"]
        for finding in errors:
            yield from self._of_finding(finding)
        loads = {verdict.path for verdict in self._inspection.verdicts if verdict.loads}
        blamed = {path for finding in errors if finding.kind in LOADER_KINDS for path in (finding.path, *finding.files)}
        if blamed & loads:
            yield from self._in_one_process()

    def _in_one_process(self) -> Iterator[Contradiction]:
        """Modules that load by themselves: which other package stands against one, where it is a certain one."""
        for clash in clashes(self._inspection.judge, self._inspection.verdicts, self._situation):
            module = self._owner(clash.verdict.path)
            members = [self._artefacts.get(_identity(member)) for member in clash.company.members]
            for failure in clash.verdict.failures if clash.severity == "error" and module else ():
                first = self._owner(failure.provider or "")
                if first is None and len(members) == 2 and failure.kind != "static-tls":
                    first = next((member for member in members if member != module), None)
                if first is not None and module is not None and first != module:
                    symbol = demangle(failure.name.partition("@")[0])
                    why = f"{module.label} needs {symbol}, which {first.label} lacks, where both are in one process"
                    yield exclusion(module, first, failure.kind, why)

    def _of_finding(self, finding: Finding) -> Iterator[Contradiction]:
        if finding.kind == "numpy-abi":
            yield from self._numpy(finding)
        elif finding.kind == "clobbered-path":
            yield from self._clobbered(finding)
        elif finding.kind == "malformed-elf":
            yield from self._malformed(finding)
        elif finding.kind in ("no-gpu-code", "ptx-too-new"):
            yield from self._gpu(finding)

    # -- what does not load

    def _of_failure(self, failure: Failure, verdict: Verdict) -> Iterator[Contradiction]:
        artefact = self._owner(failure.path)
        if artefact is None:
            return
        match failure.kind:
            case "processor-too-old":
                why = f"{artefact.label} was built for processors of {failure.name}"
                yield self._alone(artefact, failure.kind, why, lasting=False)
            case "malformed-elf" | "wrong-machine" | "not-a-library" | "executable-stack":  # it lies in the file alone
                yield self._alone(artefact, failure.kind, f"{artefact.label} has a library that cannot be loaded here")
            case "missing-library":
                yield from self._missing(artefact, failure)
            case "version-not-provided":
                yield from self._version(artefact, failure)
            case "undefined-symbol":
                yield from self._symbol(artefact, failure, verdict)
            case "static-tls":
                pass  # hangs on what was opened before, not on the packages
            case _:
                unreachable(failure.kind)

    def _missing(self, artefact: Artefact, failure: Failure) -> Iterator[Contradiction]:
        name = failure.name.rpartition("/")[2]
        if name in self._situation.provided or self._situation.may_be_of_the_system(name):
            return  # it is there, and activation puts it on the search path
        provider = load_tables().providers.get(name)
        if provider is not None and not provider.driver:
            majors = provider.cuda_majors
            if self._cuda.isdigit() and majors and self._cuda not in majors:
                yield self._of_other_cuda(artefact, name, majors)
                return
            wheels = [project for project, major in provider.pypi if major in (None, self._cuda) or not self._cuda]
            needed = wheels[-1:] if artefact.kind == "pypi" else [f"conda:{name}" for _, name in provider.conda[:1]]
            for package in needed:
                why = f"{artefact.label} needs {name}, which none of the packages has"
                yield Contradiction(
                    artefact=artefact, then=(Bound(package=package),), requires=True, kind=failure.kind, why=why
                )
            return
        for relative in self._of_the_same_name(name):
            other = self._owner(relative)
            if other is not None and other != artefact:
                has = relative.rpartition("/")[2]
                yield exclusion(
                    artefact, other, failure.kind, f"{artefact.label} needs {name}, and {other.label} has {has}"
                )

    def _of_the_same_name(self, name: str) -> Iterator[str]:
        """Libraries of the environment that differ from ``name`` in what follows ``.so`` alone."""
        stem = name.partition(".so")[0]
        for known, paths in self._situation.provided.items():
            if known.partition(".so")[0] == stem:
                yield from paths[:1]

    def _version(self, artefact: Artefact, failure: Failure) -> Iterator[Contradiction]:
        family, _, number = failure.name.partition("_")
        library = (failure.provider or "").rpartition("/")[2]
        other = self._owner(failure.provider or "")
        if other is not None:
            if other != artefact:
                why = f"{artefact.label} needs {failure.name}, which {library} of {other.label} does not offer"
                yield exclusion(artefact, other, failure.kind, why)
        elif family == "GLIBC" and number[:1].isdigit():
            why = f"{artefact.label} needs glibc {number}, and the target has {self._situation.target.glibc}"
            need = Bound(package="conda:__glibc", specifier=f">={number}", world="conda")
            yield Contradiction(artefact=artefact, then=(need,), requires=True, kind=failure.kind, why=why)
        else:
            why = f"{artefact.label} needs {failure.name}, which {library} of this machine does not offer"
            yield self._alone(artefact, failure.kind, why, lasting=False)

    def _symbol(self, artefact: Artefact, failure: Failure, verdict: Verdict) -> Iterator[Contradiction]:
        symbol = demangle(failure.name.partition("@")[0])
        others = [_identity(framework) for framework in frameworks_of(failure.name, self._situation.installed)]
        partners = [self._artefacts[identity] for identity in others if identity in self._artefacts]
        partners = partners or list(self._partners(failure, verdict))
        partners = [partner for partner in partners if partner != artefact]
        if partners:
            other = partners[0]
            why = f"{artefact.label} needs {symbol}, which {other.label} does not define"
            yield exclusion(artefact, other, failure.kind, why)
        elif _PYTHON_API.match(failure.name) and self._python:
            minor = ".".join(self._python.split(".")[:2])
            why = f"{artefact.label} needs {symbol}, which Python {minor} does not have"
            bound = Bound(package="python", specifier=f"!={minor}.*")
            yield Contradiction(artefact=artefact, then=(bound,), kind=failure.kind, why=why)
        else:
            why = f"{artefact.label} needs {symbol}, which nothing that it loads defines"
            yield self._alone(artefact, failure.kind, why, lasting=False)

    def _partners(self, failure: Failure, verdict: Verdict) -> Iterator[Artefact]:
        """Whose libraries the file at fault asks for by name: one of them should have the symbol."""
        file = self._files.get(self._situation.relative(failure.path))
        needed = frozenset(file.facts.needed) if file and file.facts else frozenset()
        for path in verdict.scope:
            other = self._owner(path)
            found = self._files.get(self._situation.relative(path))
            soname = found.facts.soname if found and found.facts else None
            if other is not None and needed & {soname, path.rpartition("/")[2]}:
                yield other

    # -- what loads, and does not belong

    def _foreign_runtime(self, verdict: Verdict) -> Iterator[Contradiction]:
        """An extension module that brings a CUDA runtime of another major than the stack's."""
        if not (self._cuda.isdigit() and verdict.extension and verdict.package):
            return
        artefact = self._artefacts.get(_identity(verdict.package))
        for path in verdict.scope:
            file = self._files.get(self._situation.relative(path))
            soname = file.facts.soname if file and file.facts else None
            provider = load_tables().providers.get(soname or "")
            if artefact is None or provider is None or provider.library != "libcudart":
                continue
            if len(provider.cuda_majors) == 1 and self._cuda not in provider.cuda_majors:
                yield self._of_other_cuda(artefact, provider.soname, provider.cuda_majors)

    def _of_other_cuda(self, artefact: Artefact, soname: str, majors: tuple[str, ...]) -> Contradiction:
        why = f"{artefact.label} needs {soname} of CUDA {', '.join(majors)}, and the stack is CUDA {self._cuda}"
        return Contradiction(
            artefact=artefact, then=(artefact.excluded(),), unless_cuda=majors, kind="two-cuda-stacks", why=why
        )

    def _numpy(self, finding: Finding) -> Iterator[Contradiction]:
        artefact = self._owner(finding.path)
        found = [self._files[path].facts for path in finding.files if path in self._files]
        least = sorted(
            {facts.numpy_least for facts in found if facts and facts.numpy_least},
            key=lambda version: version_tuple(version) or (),
        )
        if artefact is None:
            return
        why, bound = f"{artefact.label} was compiled with NumPy 1 and cannot use NumPy 2", "<2"
        if least:
            why, bound = f"{artefact.label} was compiled for the C API of numpy {least[-1]}", f">={least[-1]}"
        yield Contradiction(
            artefact=artefact, then=(Bound(package="numpy", specifier=bound),), kind=finding.kind, why=why
        )

    def _packages(self) -> Sequence[InstalledPackage]:
        return self._situation.installed.packages

    def _clobbered(self, finding: Finding) -> Iterator[Contradiction]:
        claims = {finding.path, *(f"__clobbers__/{package.name}/{finding.path}" for package in self._packages())}
        owners = [package for package in self._packages() if not claims.isdisjoint(package.files.columns[0])]
        found = {self._artefacts[_identity(owner)] for owner in owners if _identity(owner) in self._artefacts}
        ordered = sorted(found, key=lambda artefact: (artefact.kind, artefact.name))
        for other in ordered[1:]:
            why = f"{ordered[0].label} and {other.label} both own {finding.path}, and differ"
            yield exclusion(ordered[0], other, finding.kind, why)

    def _malformed(self, finding: Finding) -> Iterator[Contradiction]:
        artefact = self._owner(finding.path)
        if artefact is not None:
            yield self._alone(artefact, finding.kind, f"{finding.path} of {artefact.label}: {finding.message}")

    def _gpu(self, finding: Finding) -> Iterator[Contradiction]:
        artefact, owner = self._owner(finding.path), self._situation.owners.get(finding.path)
        files = [file for file in self._files.values() if self._situation.owners.get(file.path) == owner and file.facts]
        code = [gpu_code for file in files if file.facts for gpu_code in file.facts.gpu]
        for device in devices_of(self._situation.target):
            if artefact and not any(device.runs(gpu_code) for gpu_code in code):
                why = f"{artefact.label} has no code for {device.name} ({device.number}), only {describe(code)}"
                # Which PTX can be compiled is the driver's affair, and another machine may have another.
                lasting = not any(device.refuses(gpu_code) for gpu_code in code)
                yield Contradiction(
                    artefact=artefact,
                    then=(artefact.excluded(),),
                    gpu=device.number,
                    lasting=lasting,
                    kind=finding.kind,
                    why=why if lasting else f"{why}, which is too new for the driver",
                )

    # -- whose

    def _owner(self, path: str) -> Artefact | None:
        owner: InstalledPackage | None = self._situation.owners.get(self._situation.relative(path))
        return self._artefacts.get(_identity(owner)) if owner else None

    def _alone(self, artefact: Artefact, kind: FindingKind, why: str, *, lasting: bool = True) -> Contradiction:
        return Contradiction(artefact=artefact, then=(artefact.excluded(),), lasting=lasting, kind=kind, why=why)


def _identity(package: Artefact | InstalledPackage) -> tuple[str, str]:
    return (package.kind, package.name)
