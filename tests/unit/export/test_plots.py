"""Plots of the report: areas are sizes, nothing overlaps, what is drawn is well-formed."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from dataloader.export.plots import _HEIGHT, _WIDTH, _squares, graph_plot, size_plot
from dataloader.export.report import rows_of
from dataloader.lockfile.model import PypiPackage
from tests.helpers.locks import lock_of


@given(st.lists(st.floats(min_value=1, max_value=1e9), min_size=1, max_size=40))
def test_areas_are_sizes_and_nothing_overlaps(sizes: list[float]) -> None:
    sizes = sorted(sizes, reverse=True)
    boxes = _squares(sizes)

    assert len(boxes) == len(sizes)
    scale = _WIDTH * _HEIGHT / sum(sizes)
    for size, box in zip(sizes, boxes, strict=True):
        assert abs(box.width * box.height - size * scale) <= 1e-6 * _WIDTH * _HEIGHT
        assert -1e-6 <= box.x <= box.x + box.width <= _WIDTH + 1e-3
        assert -1e-6 <= box.y <= box.y + box.height <= _HEIGHT + 1e-3
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert wide <= 1e-6 or high <= 1e-6 or wide * high <= 1e-3


def test_plots_are_well_formed_whatever_the_names() -> None:
    packages = [
        PypiPackage(
            name=f"p{number}",
            version="<1>&\"'",
            url=f"https://h/p{number}-1-py3-none-any.whl",
            sha256="a" * 64,
            size=None if number % 7 == 0 else number * 1000,
            requires_dist=(f"p{number // 2}", f"p{(number + 1) % 90}"),
        )
        for number in range(90)
    ]
    lock = lock_of(*packages, requested=["p89"])
    for plot in (size_plot(rows_of(lock)), graph_plot(lock), graph_plot(lock_of(*packages[:1])), size_plot([])):
        ET.fromstring(f"<div>{plot}</div>")
    assert graph_plot(lock).count("<circle") == 60
    assert "30 more packages" in graph_plot(lock)
