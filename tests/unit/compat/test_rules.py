from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.compat.model import Bound
from dataloader.compat.rows import variant
from dataloader.compat.rules import parse_bound


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("numpy<2", Bound(package="numpy", specifier="<2")),
        ("nvidia-nccl-cu12", Bound(package="nvidia-nccl-cu12")),
        ("conda:mkl <2024.1", Bound(package="conda:mkl", specifier="<2024.1", world="conda")),
        ("conda:libtorch * cuda118*", Bound(package="conda:libtorch", build="cuda118*", world="conda")),
    ],
)
def test_requirements_of_rows_are_read_as_bounds(text: str, bound: Bound) -> None:
    assert parse_bound(text) == bound


def test_every_requirement_in_the_matrix_is_readable(matrix: Matrix) -> None:
    for row in matrix.rules:
        assert [parse_bound(text) for text in row.then]
    for rows in matrix.builds.values():
        for build in rows:
            assert all(parse_bound(need).package for need in build.needs)


def test_variants_are_spelt_as_indexes_do() -> None:
    assert (variant("11.8"), variant("13.0"), variant(None)) == ("cu118", "cu130", "cpu")


def test_the_rows_in_the_documentation_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "matrix.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.lstrip().startswith('{"id": "torch-2.16')]
    toml = text.split("```toml")[1].split("```")[0]
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"table": "build", **json.loads(row)}) + "\n" for row in rows)
    )
    (tmp_path / "ours.toml").write_text(toml)

    matrix = load_matrix(tmp_path / "rows.jsonl", tmp_path / "ours.toml")

    assert len(rows) == 2
    assert matrix.builds["torch"][-1].version == "2.16.0"
    assert matrix.drivers["12"].driver == "535.54.03"
