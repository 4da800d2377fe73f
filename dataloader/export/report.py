"""A report of a lock to read: the stack, the packages with their sizes, who needs whom. No script, no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from dataloader.export.formats import ExportOptions
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import CondaPackage, Lockfile, Package


class _Row(NamedTuple):
    """What is said of one package."""

    name: str
    version: str
    source: str
    size: int | None
    """Bytes of its archive."""
    asked: bool
    needed_by: tuple[str, ...]
    rules: tuple[str, ...]


def _rows(lock: Lockfile) -> list[_Row]:
    """Largest first; those of unknown size last."""
    needed: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for edge in edges_of(lock):
        needed[edge.target][edge.source] = None
    rows = [
        _Row(
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
    return "wheel"


def _why(row: _Row) -> str:
    if row.asked:
        return "asked for"
    return f"needed by {', '.join(row.needed_by)}" if row.needed_by else "chosen with the others"


def _summary(lock: Lockfile) -> list[tuple[str, str]]:
    known = [p.size for p in lock.packages if p.size is not None]
    unknown = len(lock.packages) - len(known)
    size = _size(sum(known)) + (f" and {unknown} of unknown size" if unknown else "")
    counts = f"{len(lock.conda())} from conda, {len(lock.pypi())} wheels"
    python = lock.python.version or "none"
    where = {"host": "of this machine", "conda": "a package", "none": ""}[lock.python.source]
    return [
        ("Platform", lock.platform),
        ("Python", f"{python} ({where})" if where else python),
        ("Packages", f"{len(lock.packages)}: {counts}"),
        ("To download", size),
    ]


def _size(count: int | None) -> str:
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
    lines = [f"# {_plain(options.name)}", "", *_table(("", ""), _summary(lock))]
    if lock.stack:
        lines += ["", "## Stack", "", *_table(("axis", "value"), sorted(lock.stack.items()))]
    cells = [(row.name, row.version, row.source, _size(row.size), _why(row) + _bound(row.rules)) for row in _rows(lock)]
    lines += ["", "## Packages", "", *_table(("name", "version", "from", "archive", "why"), cells)]
    return "\n".join(lines) + "\n"


def _bound(rules: tuple[str, ...]) -> str:
    return f"; bound by {', '.join(rules)}" if rules else ""


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(head)
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    return lines + [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b7dd8; --soft: #667; }
@media (prefers-color-scheme: dark) { :root { --bar: #6aa5f5; --soft: #99a; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: anywhere; }
td.size { white-space: nowrap; text-align: right; }
.bar { display: block; height: .35rem; background: var(--bar); border-radius: .2rem; min-width: 1px; }
.soft { color: var(--soft); }
details { margin-left: 1rem; } summary { cursor: pointer; }
ul { list-style: none; padding-left: 1rem; margin: .2rem 0; }
@media (max-width: 40rem) {
  thead { display: none; }
  tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  td { display: block; border: 0; padding: 0; }
  td.size { text-align: left; }
}
"""


def html(lock: Lockfile, options: ExportOptions) -> str:
    """The report as one HTML page, for light and dark, wide and narrow screens."""
    rows = _rows(lock)
    largest = max((row.size or 0 for row in rows), default=0) or 1
    title = escape(options.name)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        _pairs(_summary(lock)),
    ]
    if lock.stack:
        parts += ["<h2>Stack</h2>", _pairs(sorted(lock.stack.items()))]
    parts += [
        "<h2>Packages</h2><table><thead><tr><th>name<th>version<th>from<th>archive<th>why</tr></thead><tbody>",
        *(_html_row(row, largest) for row in rows),
        "</tbody></table><h2>Who needs whom</h2>",
        _graph(lock),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(key)}<td>{escape(value)}</tr>" for key, value in pairs)
    return f"<table><tbody>{rows}</tbody></table>"


def _html_row(row: _Row, largest: int) -> str:
    share = 100 * (row.size or 0) / largest
    bar = f'<span class="bar" style="width:{share:.1f}%"></span>'
    bound = f'<br><span class="soft">bound by {escape(", ".join(row.rules))}</span>' if row.rules else ""
    return (
        f"<tr><td><b>{escape(row.name)}</b><td>{escape(row.version)}<td>{escape(row.source)}"
        f'<td class="size">{_size(row.size)}{bar}<td>{escape(_why(row))}{bound}</tr>'
    )


def _graph(lock: Lockfile) -> str:
    """Each package that was asked for, and below it what it needs; a package that was shown is not opened again."""
    needs: defaultdict[str, list[str]] = defaultdict(list)
    for edge in edges_of(lock):
        if edge.target not in needs[edge.source]:
            needs[edge.source].append(edge.target)
    versions = {package.name: package.version for package in lock.packages}
    roots = sorted({name.removeprefix("conda:") for name in lock.requested} & versions.keys()) or sorted(versions)
    shown: set[str] = set()
    parts: list[str] = []
    # Depth first, by a list of what is still to be written: a graph may be deeper than Python's stack.
    rest: list[str | tuple[str]] = [(name,) for name in reversed(roots)]
    while rest:
        entry = rest.pop()
        if isinstance(entry, str):
            parts.append(entry)
            continue
        (name,) = entry
        label = f'{escape(name)} <span class="soft">{escape(versions[name])}</span>'
        if name in shown or not needs[name]:
            again = ' <span class="soft">(above)</span>' if name in shown and needs[name] else ""
            parts.append(f"<ul><li>{label}{again}</li></ul>")
            continue
        shown.add(name)
        parts.append(f"<details><summary>{label}</summary>")
        rest.append("</details>")
        rest += [(target,) for target in reversed(needs[name])]
    return "\n".join(parts)
