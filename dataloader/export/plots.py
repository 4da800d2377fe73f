"""Plots of a lock as SVG, to stand in a page: sizes as a treemap, who needs whom as a graph in layers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from dataloader.export.report import Row, size_text
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import Lockfile

_WIDTH, _HEIGHT = 900.0, 420.0
_LETTER = 6.6
"""Width of a letter at 12 px, on the average."""
_MOST = 60
"""Packages in a graph: more lines than that say nothing to anybody."""


class _Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float


def size_plot(rows: Sequence[Row]) -> str:
    """Return a treemap: each package's area is its archive's share of all bytes."""
    known = [row for row in rows if row.size]
    if not known:
        return "<p>No size is known.</p>"
    tiles = []
    for row, box in zip(known, _squares([float(row.size or 0) for row in known]), strict=True):
        kind = "conda" if row.source.startswith("conda") else "wheel"
        title = f"{row.name} {row.version}: {size_text(row.size)}"
        tiles.append(
            f'<g><title>{escape(title)}</title><rect class="tile {kind}" x="{box.x:.1f}" y="{box.y:.1f}" '
            f'width="{box.width:.1f}" height="{box.height:.1f}"/>{_label(row, box)}</g>'
        )
    total = size_text(sum(row.size or 0 for row in known))
    kinds = ": wheels in blue, conda packages in green" if any(r.source.startswith("conda") for r in known) else ""
    return (
        f'<div class="plot"><svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="{len(known)} packages by size, {total} in all">{"".join(tiles)}</svg></div>'
        f'<p class="soft">{total} in {len(known)} archives{kinds}.</p>'
    )


def _label(row: Row, box: _Box) -> str:
    fits = int((box.width - 8) / _LETTER)
    if box.height < 18 or fits < min(len(row.name), 6):
        return ""
    name = row.name if len(row.name) <= fits else f"{row.name[: max(fits - 1, 1)]}…"
    lines = [f'<text class="on" x="{box.x + 4:.1f}" y="{box.y + 14:.1f}">{escape(name)}</text>']
    size = size_text(row.size)
    if box.height >= 34 and fits >= len(size):
        lines.append(f'<text class="on" x="{box.x + 4:.1f}" y="{box.y + 29:.1f}">{size}</text>')
    return "".join(lines)


def _squares(sizes: Sequence[float]) -> list[_Box]:
    """Return boxes of such areas, as square as can be, largest first (Bruls et al.: Squarified Treemaps)."""
    scale = _WIDTH * _HEIGHT / sum(sizes)
    areas = [size * scale for size in sizes]
    free = _Box(0.0, 0.0, _WIDTH, _HEIGHT)
    found: list[_Box] = []
    at = 0
    while at < len(areas):
        side = min(free.width, free.height)
        end = at + 1
        while end < len(areas) and _worst(areas[at : end + 1], side) <= _worst(areas[at:end], side):
            end += 1
        boxes, free = _row_of(areas[at:end], free)
        found += boxes
        at = end
    return found


def _worst(areas: Sequence[float], side: float) -> float:
    """Return how far from a square the worst box of a row is."""
    if side <= 0:
        return float("inf")
    thick = sum(areas) / side
    return max(max(thick * thick / area, area / (thick * thick)) for area in areas)


def _row_of(areas: Sequence[float], free: _Box) -> tuple[list[_Box], _Box]:
    """Return a row of boxes along the shorter side of what is free, and what is left free."""
    total, boxes = sum(areas), []
    if free.width >= free.height:
        thick, at = total / free.height if free.height else 0.0, free.y
        for area in areas:
            long = area / thick if thick else 0.0
            boxes.append(_Box(free.x, at, thick, long))
            at += long
        return boxes, _Box(free.x + thick, free.y, free.width - thick, free.height)
    thick, at = total / free.width if free.width else 0.0, free.x
    for area in areas:
        long = area / thick if thick else 0.0
        boxes.append(_Box(at, free.y, long, thick))
        at += long
    return boxes, _Box(free.x, free.y + thick, free.width, free.height - thick)


def graph_plot(lock: Lockfile) -> str:
    """Return who needs whom, from left to right; of a large lock what was asked for and what that needs first."""
    needs: defaultdict[str, list[str]] = defaultdict(list)
    for edge in edges_of(lock):
        if edge.target not in needs[edge.source]:
            needs[edge.source].append(edge.target)
    versions = {package.name: package.version for package in lock.packages}
    asked = {name.removeprefix("conda:") for name in lock.requested} & versions.keys()
    layers = _layers(sorted(asked or versions), needs)
    if not layers:
        return ""
    shown = {name for layer in layers for name in layer}
    lines = max(len(layer) for layer in layers)
    width, height = max(len(layers) * 190.0, _WIDTH), lines * 22.0 + 10
    places = {
        name: (column * width / len(layers) + 8, (number + 0.5) * (height / len(layer)))
        for column, layer in enumerate(layers)
        for number, name in enumerate(layer)
    }
    drawn = [
        _edge(places[source], places[target])
        for source in places
        for target in needs[source]
        if target in places and source != target
    ]
    for name, (x, y) in places.items():
        kind = "node asked" if name in asked else "node"
        label = name if len(name) <= 24 else f"{name[:23]}…"
        drawn.append(
            f'<g><title>{escape(f"{name} {versions[name]}")}</title><circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="4"/><text x="{x + 8:.1f}" y="{y + 4:.1f}">{escape(label)}</text></g>'
        )
    rest = len(versions) - len(shown)
    more = f'<p class="soft">{rest} more packages are in the list below.</p>' if rest else ""
    return (
        f'<div class="plot"><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="who needs whom">{"".join(drawn)}</svg></div>{more}'
    )


def _edge(source: tuple[float, float], target: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = source, target
    middle = (x1 + x2) / 2 if x2 > x1 else max(x1, x2) + 40
    return f'<path class="edge" d="M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"/>'


def _layers(roots: Sequence[str], needs: defaultdict[str, list[str]]) -> list[list[str]]:
    """Return names by how far they are from what was asked for: the first ones, as many as a graph can show."""
    seen, layers, layer = set(roots), [], list(roots)[:_MOST]
    left = _MOST - len(layer)
    while layer:
        layers.append(layer)
        following: list[str] = []
        for name in layer:
            for target in needs[name]:
                if target not in seen and len(following) < left:
                    seen.add(target)
                    following.append(target)
        left -= len(following)
        layer = following
    return layers
