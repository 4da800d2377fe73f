"""Programs of a prefix, each started in the model: what an ELF file in ``bin/`` or inside a wheel needs to begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataloader.elf.scan import ScannedFile
from dataloader.loader.model import Failure, Result
from dataloader.loader.process import Process
from dataloader.verify.checks.loads import Situation, check_loads
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.libraries import BareLoads
from dataloader.verify.loads import Verdict

_PLACES = ("bin/", "sbin/", "libexec/")
"""Folders of a prefix whose programs are run by name."""
_ASIDE = frozenset({"test", "tests", "testing", "examples", "samples"})


def start_programs(bare: BareLoads, situation: Situation) -> list[Verdict]:
    """What each program of the prefix for this machine comes to, started by itself."""
    environment = bare.process.environment
    verdicts: list[Verdict] = []
    for path, file in bare.files.items():
        if not _is_program(file, bare) or path == _own_python(bare):
            continue
        result = _start(bare, path)
        verdicts.append(
            Verdict(
                path=path,
                package=situation.owners.get(path),
                extension=False,
                bare=result.loads,
                loads=result.loads,
                failures=tuple(result.failures),
                scope=tuple(loaded.path for loaded in result.scope if loaded.image),
                driver=tuple(e.path for e in result.scope if e.image is None and environment.assumed(e.path)),
            )
        )
    return verdicts


def _is_program(file: ScannedFile, bare: BareLoads) -> bool:
    facts, environment = file.facts, bare.process.environment
    if facts is None or facts.interpreter is None or facts.is_library or not facts.dynamic:
        return False  # a library may have an interpreter too: libc prints its version
    return (facts.machine, facts.bits) == (environment.machine, environment.bits)


def _own_python(bare: BareLoads) -> str | None:
    """Python itself, of which another check speaks."""
    main = bare.process.main
    return main.path.removeprefix(f"{bare.prefix}/") if main is not None else None


def _start(bare: BareLoads, path: str) -> Result:
    facts = bare.files[path].facts
    wanted = facts.interpreter if facts else None
    if wanted and not bare.described and bare.process.environment.files.image(wanted) is None:
        missing = Failure(kind="missing-library", path=f"{bare.prefix}/{path}", name=wanted)
        return Result(None, [missing], [])
    return Process(bare.process.environment).run(f"{bare.prefix}/{path}")


def check_programs(verdicts: Sequence[Verdict], situation: Situation) -> Iterator[Finding]:
    """One finding for each cause that keeps programs from beginning."""

    def importance(verdict: Verdict) -> Severity:
        if verdict.path.startswith(_PLACES):
            return "error"
        if not _ASIDE.isdisjoint(verdict.path.split("/")[:-1]):
            return "note"
        # Inside a package its code may start it with the variables that it takes to find what is there.
        # What else is missing follows from the libraries that it does not get.
        absent = [failure.name for failure in verdict.failures if failure.kind == "missing-library"]
        brought = bool(absent) and all(name in situation.provided for name in absent)
        return "note" if brought else "error" if verdict.package is not None else "warning"

    yield from check_loads(
        [verdict for verdict in verdicts if not verdict.loads], situation._replace(importance=importance)
    )
