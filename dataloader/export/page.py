"""The report of a lock as one HTML page, for light and dark, wide and narrow screens: no script, no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape

from dataloader.export.formats import ExportOptions, Verified
from dataloader.export.plots import graph_plot, size_plot
from dataloader.export.report import Row, inside_of, rows_of, size_text, summary, verdict_text, why
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import Lockfile

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #2f6fc9; --other: #2c8558; --asked: #c2571a; --soft: #667; }
@media (prefers-color-scheme: dark) { :root { --bar: #3f74b5; --other: #35795a; --asked: #d9722f; --soft: #99a; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: break-word; }
td.size { white-space: nowrap; text-align: right; }
.bar { display: block; height: .35rem; background: var(--bar); border-radius: .2rem; min-width: 1px; }
.soft { color: var(--soft); }
b.error { color: #c33; } b.warning { color: #a60; }
svg { width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; } svg text { fill: currentColor; }
.plot { overflow-x: auto; } .plot svg { min-width: 40rem; }
.tile { fill: var(--bar); stroke: Canvas; } .tile.conda { fill: var(--other); }
.edge { stroke: var(--line); fill: none; }
.node { fill: var(--bar); } .node.asked { fill: var(--asked); } svg text.on { fill: #fff; pointer-events: none; }
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
    rows = rows_of(lock)
    largest = max((row.size or 0 for row in rows), default=0) or 1
    title = escape(options.name)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        _pairs(summary(lock, options)),
    ]
    if lock.stack:
        parts += ["<h2>Stack</h2>", _pairs(sorted(lock.stack.items()))]
    if options.verdict:
        parts.append(_verdict(options.verdict))
    parts += ["<h2>Sizes</h2>", size_plot(rows)]
    parts += [
        "<h2>Packages</h2><table><thead><tr><th>name<th>version<th>from<th>archive<th>why</tr></thead><tbody>",
        *(_html_row(row, largest) for row in rows),
        "</tbody></table>",
        _inside(options),
        "<h2>Who needs whom</h2>",
        graph_plot(lock),
        _graph(lock),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _verdict(verdict: Verified) -> str:
    rows = "".join(
        f'<tr><td><b class="{escape(severity)}">{escape(severity)}</b><td>{escape(kind)}<td>{escape(path)}'
        f"<td>{escape(message)}</tr>"
        for severity, kind, path, message in verdict.findings
    )
    table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
    return f"<h2>Verified</h2><p>{escape(verdict_text(verdict))}</p>{table}"


def _inside(options: ExportOptions) -> str:
    rows = inside_of(options)
    if not rows:
        return ""
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}' for cell in row)}</tr>" for row in rows)
    head = "<thead><tr><th>package<th>what<th>version<th>from<th>GPU code</tr></thead>"
    return (
        f"<h2>Inside</h2><details><summary>{len(rows)} libraries and components</summary>"
        f"<table>{head}<tbody>{cells}</tbody></table></details>"
    )


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(key)}<td>{escape(value)}</tr>" for key, value in pairs)
    return f"<table><tbody>{rows}</tbody></table>"


def _html_row(row: Row, largest: int) -> str:
    share = 100 * (row.size or 0) / largest
    bar = f'<span class="bar" style="width:{share:.1f}%"></span>'
    bound = f'<br><span class="soft">bound by {escape(", ".join(row.rules))}</span>' if row.rules else ""
    return (
        f"<tr><td><b>{escape(row.name)}</b><td>{escape(row.version)}<td>{escape(row.source)}"
        f'<td class="size">{size_text(row.size)}{bar}<td>{escape(why(row))}{bound}</tr>'
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
