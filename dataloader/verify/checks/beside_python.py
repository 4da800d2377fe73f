"""Libraries that Python's own modules and those of packages both bring, OpenSSL for one: the first one serves both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dataloader.loader.model import Failure, Result
from dataloader.prefix.python import PrefixPython
from dataloader.verify.checks.loads import Situation, check_loads
from dataloader.verify.findings import Finding
from dataloader.verify.loads import Judge, Verdict

_MODULES: Final = ("_ssl", "_hashlib", "_sqlite3", "_lzma")
"""Of Python's own library, those that bring libraries that packages bring too."""
_LIBRARIES: Final = ("libssl.so", "libcrypto.so", "libsqlite3.so", "liblzma.so")
"""How their names begin."""


def check_beside_python(judge: Judge, verdicts: Sequence[Verdict], situation: Situation) -> Iterator[Finding]:
    """Extension modules that do not load after Python's own, or after which those do not load.

    Which of them comes first is the program's affair, so it is a warning.
    """
    sonames = (file.facts.soname or "" for file in judge.bare.files.values() if file.facts)
    if not any(soname.startswith(_LIBRARIES) for soname in sonames):
        return
    own = _opened(judge, _own_modules(judge.bare.interpreter))
    brought = _contents(judge, [loaded.path for result in own.values() for loaded in result.scope])
    meeting: dict[str, list[Verdict]] = {}
    for verdict in verdicts if brought else ():
        mine = _contents(judge, verdict.scope) if verdict.bare and verdict.extension else {}
        if verdict.package and any(brought.get(soname, key) != key for soname, key in mine.items()):
            meeting.setdefault(verdict.package.path, []).append(verdict)
    for group in meeting.values():
        yield from _after_python(judge, group, own, situation)
        yield from _before_python(judge, group, own)


def _own_modules(interpreter: PrefixPython) -> list[Path]:
    if interpreter.program is None or interpreter.version is None:
        return []
    folder = interpreter.program.parent.parent / f"lib/python{interpreter.version}/lib-dynload"
    return [path for name in _MODULES for path in sorted(folder.glob(f"{name}.*.so"))]


def _opened(judge: Judge, paths: Sequence[Path]) -> dict[Path, Result]:
    results = {path: judge.bare.process.open(str(path), keep=False) for path in paths}
    return {path: result for path, result in results.items() if result.loads}


def _contents(judge: Judge, paths: Sequence[str]) -> dict[str, str]:
    """soname -> content."""
    files, found = judge.bare.process.environment.files, {}
    for path in paths:
        image = files.image(path)
        if image is not None and image.facts is not None and image.facts.soname:
            found[image.facts.soname] = image.key
    return found


def _after_python(
    judge: Judge, group: Sequence[Verdict], own: Mapping[Path, Result], situation: Situation
) -> Iterator[Finding]:
    process = judge.bare.process.copy()
    for path in own:
        process.open(str(path))
    results = [(verdict, process.open(f"{judge.bare.prefix}/{verdict.path}", keep=False)) for verdict in group]
    broken = [verdict._replace(loads=False, failures=tuple(r.failures)) for verdict, r in results if not r.loads]
    for finding in check_loads(broken, situation._replace(importance=lambda _: "warning")):
        evidence = (*finding.evidence, "it loads before Python has imported ssl, hashlib or sqlite3")
        yield finding._replace(message=f"{finding.message}, after Python's own modules", evidence=evidence)


def _before_python(judge: Judge, group: Sequence[Verdict], own: Mapping[Path, Result]) -> Iterator[Finding]:
    process = judge.bare.process.copy()
    for verdict in group:
        process.open(f"{judge.bare.prefix}/{verdict.path}")
    failing = {path: process.open(str(path), keep=False).failures for path in own}
    lines = [
        f"{path.name.partition('.')[0]}: {_word(failure)}" for path, all_of in failing.items() for failure in all_of[:2]
    ]
    if lines:
        package = group[0].package
        yield Finding(
            severity="warning",
            kind=next(failure.kind for all_of in failing.values() for failure in all_of),
            path=group[0].path,
            message=f"Python's own {', '.join(dict.fromkeys(line.partition(':')[0] for line in lines))} cannot be"
            f" loaded after {package.label if package else 'it'}",
            evidence=tuple(lines[:8]),
            files=tuple(verdict.path for verdict in group),
        )


def _word(failure: Failure) -> str:
    where = f" of {failure.provider}" if failure.provider else ""
    return f"{failure.kind.replace('-', ' ')} {failure.name}{where}"
