"""A report of a lock to read, in Markdown: the stack, the packages with their sizes and why they are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from dataloader.export.formats import ExportOptions, Verified
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import CondaPackage, Lockfile, Package


class Row(NamedTuple):
    """What is said of one package."""

    name: str
    version: str
    source: str
    size: int | None
    """Bytes of its archive."""
    asked: bool
    needed_by: tuple[str, ...]
    rules: tuple[str, ...]


def rows_of(lock: Lockfile) -> list[Row]:
    """Largest first; those of unknown size last."""
    needed: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for edge in edges_of(lock):
        needed[edge.target][edge.source] = None
    rows = [
        Row(
            p.name,
            p.version,
            _source(p),
            p.size,
            p.name in lock.requested or f"conda:{p.name}" in lock.requested,
            tuple(needed[p.name]),
            tuple(lock.rules.get(p.name, ())),
        )
        for p in lock.packages
    ]
    return sorted(rows, key=lambda row: (-(row.size or 0), row.name))


def _source(package: Package) -> str:
    if isinstance(package, CondaPackage):
        return f"conda {package.build}"
    if package.build is None:
        return "wheel"
    return {"git": "repository", "tree": "local tree", "archive": "source archive"}[package.origin.kind]


def why(row: Row) -> str:
    """Why a package is there."""
    if row.asked:
        return "asked for"
    return f"needed by {', '.join(row.needed_by)}" if row.needed_by else "chosen with the others"


def summary(lock: Lockfile, options: ExportOptions) -> list[tuple[str, str]]:
    """What comes first."""
    known = [p.size for p in lock.packages if p.size is not None]
    unknown = len(lock.packages) - len(known)
    size = size_text(sum(known)) + (f" and {unknown} of unknown size" if unknown else "")
    counts = f"{len(lock.conda())} from conda, {len(lock.pypi())} wheels"
    python = lock.python.version or "none"
    where = {"host": "of this machine", "conda": "a package", "none": ""}[lock.python.source]
    return [
        ("Platform", lock.platform),
        ("Python", f"{python} ({where})" if where else python),
        ("Packages", f"{len(lock.packages)}: {counts}"),
        ("To download", size),
        *([("Verified", verdict_text(options.verdict))] if options.verdict else []),
    ]


def verdict_text(verdict: Verified) -> str:
    """What verify says, in one line."""
    severities = [severity for severity, _, _, _ in verdict.findings]
    counts = [(severities.count(severity), severity) for severity in ("error", "warning", "note")]
    told = ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for count, severity in counts)
    return f"{told}; looked at {verdict.counts.get('libraries', 0)} libraries"


def size_text(count: int | None) -> str:
    """Bytes as people read them."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def markdown(lock: Lockfile, options: ExportOptions) -> str:
    """The report as Markdown (CommonMark with tables)."""
    lines = [f"# {_plain(options.name)}", "", *_table(("", ""), summary(lock, options))]
    if lock.stack:
        lines += ["", "## Stack", "", *_table(("axis", "value"), sorted(lock.stack.items()))]
    cells = [
        (row.name, row.version, row.source, size_text(row.size), why(row) + _bound(row.rules)) for row in rows_of(lock)
    ]
    lines += ["", "## Packages", "", *_table(("name", "version", "from", "archive", "why"), cells)]
    if options.verdict and options.verdict.findings:
        lines += ["", "## Findings", "", *_table(("severity", "kind", "file", "what"), options.verdict.findings)]
    if inside := inside_of(options):
        lines += ["", "## Inside", "", *_table(("package", "what", "version", "from", "GPU code"), inside)]
    return "\n".join(lines) + "\n"


def inside_of(options: ExportOptions) -> list[tuple[str, str, str, str, str]]:
    """What the packages hold, without extension modules of their own that have no GPU code."""
    found = [
        (
            library.package,
            library.name,
            library.version or "",
            "put into the wheel" if library.is_bundled else "",
            ", ".join(library.gpu),
        )
        for library in options.libraries
        if library.gpu or not library.is_module
    ]
    return found + [(e.package, e.name, e.version or "", e.purl or "declared", "") for e in options.declared]


def _bound(rules: tuple[str, ...]) -> str:
    return f"; bound by {', '.join(rules)}" if rules else ""


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(head)
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    return lines + [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
