from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import ManifestError
from dataloader.base.matrix_folder import matrix_dir
from dataloader.compat.matrix import load_matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.schema import TABLES

ROW: dict[str, Any] = {
    "id": "torch-9.9.0-cu140-pypi",
    "framework": "torch",
    "version": "9.9.0",
    "channel": "pypi",
    "cuda": "14.0",
    "source": "a release of the future",
    "date": "2026-11-21",
}


def test_every_row_of_every_shipped_file_is_sound() -> None:
    matrix = load_matrix().check()

    assert sum(len(rows) for rows in matrix.builds.values()) > 500
    assert {"torch", "tensorflow", "jax", "onnxruntime-gpu", "cupy"} <= matrix.builds.keys()


def test_every_shipped_file_belongs_to_a_table() -> None:
    others = {"names.json.gz", "names-decided.json"}
    shared = {"soname-providers", "dlopen", "together"}  # read by verify
    for path in matrix_dir().rglob("*"):
        if path.is_file() and path.name not in others and path.name.split(".")[0] not in shared:
            assert path.suffix == ".jsonl", path
            assert path.parent.name in TABLES or path.stem in TABLES, path


def test_every_build_stands_in_the_file_of_its_framework() -> None:
    for framework, rows in load_matrix().builds.items():
        assert {row.framework for row in rows} == {framework}


def test_a_table_is_read_when_it_is_first_used() -> None:
    matrix = load_matrix.__wrapped__()

    assert "torch" in matrix.builds
    assert not matrix.builds._read  # type: ignore[attr-defined]
    assert matrix.builds["torch"]
    assert list(matrix.builds._read) == ["torch"]  # type: ignore[attr-defined]


def test_every_build_for_cuda_names_a_toolkit_or_a_major_that_the_matrix_knows() -> None:
    matrix = load_matrix()
    majors = {cuda.split(".")[0] for cuda in matrix.toolkits}

    for rows in matrix.builds.values():
        for row in rows:
            assert row.cuda is None or row.cuda in matrix.toolkits or row.cuda in majors, row.id


def test_a_row_can_be_found_by_its_id() -> None:
    row = load_matrix().row("torch-2.1.0-cu118-index")

    assert isinstance(row, MatrixBuild)
    assert row.cudnn == "8.7.0.84"
    assert load_matrix().row("nobody") is None


def test_a_file_of_the_user_adds_rows(tmp_path: Path) -> None:
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps({"table": "build", **ROW}) + "\n")

    matrix = load_matrix(path)

    assert matrix.builds["torch"][-1].version == "9.9.0"
    assert "9.9.0" not in {row.version for row in load_matrix().builds["torch"]}


def test_a_file_of_the_user_overrides_a_row_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(
        """
        [[driver]]
        id = "driver-cuda-12"
        cuda_major = "12"
        driver = "530.30.02"
        source = "our cluster's policy"
        date = "2026-11-21"

        [[rule]]
        id = "our-transformers"
        when = "torch<2.2"
        then = ["transformers<4.40"]
        why = "tested by us"
        source = "issue 17 of ours"
        date = "2026-11-21"
        """
    )

    matrix = load_matrix(path)

    assert matrix.drivers["12"].driver == "530.30.02"
    assert matrix.rules[-1].id == "our-transformers"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"source": None}, "source: None is not a text"),
        ({"source": " "}, "source: ' ' is not a text"),
        ({"date": "yesterday"}, "date: 'yesterday' is not a date such as 2026-11-21"),
        ({"version": "two"}, "version: 'two' is not a version"),
        ({"cuda": "cu118"}, "cuda: 'cu118' is not a CUDA version such as 12.1"),
        ({"sm": ["sm_80"]}, "sm: 'sm_80' is not a compute capability such as 8.6"),
        ({"sm": "8.0"}, "sm: '8.0' is not a list"),
        ({"python": ["3"]}, "python: '3' is not a Python minor such as 3.11"),
        ({"cuda_runs": "about 12"}, "cuda_runs: 'about 12' is not a version specifier"),
        ({"needs": ["nvidia cudnn"]}, "needs: 'cudnn' is not a version specifier"),
        ({"cxx11_abi": "yes"}, "cxx11_abi: 'yes' is not true or false"),
    ],
)
def test_a_bad_value_is_refused_with_file_and_row(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"table": "build", **ROW, **change}) + "\n")

    with pytest.raises(ManifestError) as failure:
        load_matrix(path)

    assert failure.value.code == "matrix-invalid"
    assert failure.value.causes == (f"bad.jsonl row 1: {problem}",)


@pytest.mark.parametrize("key", ["id", "source", "date", "version", "cuda"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "bad.jsonl"
    row = {name: value for name, value in ROW.items() if name != key}
    path.write_text("\n" + json.dumps({"table": "build", **row}) + "\n")

    with pytest.raises(ManifestError) as failure:
        load_matrix(path)

    assert failure.value.causes == (f"bad.jsonl row 2: key '{key}' is missing",)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"table": "build"}\nnot json\n{"table": "furniture"}\n[1]\n')

    with pytest.raises(ManifestError) as failure:
        load_matrix(path)

    causes = failure.value.causes
    assert "bad.jsonl row 1: key 'id' is missing" in causes
    assert any(cause.startswith("bad.jsonl row 2: not JSON") for cause in causes)
    assert any(cause.startswith("bad.jsonl row 3: key 'table' must be one of") for cause in causes)
    assert any(cause.startswith("bad.jsonl row 4: key 'table' must be one of") for cause in causes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[build]\n", "bad.toml: not TOML"),
        ("[[furniture]]\n", "bad.toml: [[furniture]] is not a table of the matrix"),
        ("build = 3\n", "bad.toml: [[build]] is not a table of the matrix"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)

    with pytest.raises(ManifestError) as failure:
        load_matrix(path)

    assert failure.value.causes[0].startswith(problem)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "bad.jsonl"
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(ManifestError) as failure:
        load_matrix(tmp_path / "absent.toml", binary)

    assert "absent.toml: cannot be read (No such file or directory)" in failure.value.causes[0]
    assert failure.value.causes[1] == "bad.jsonl: not UTF-8 (byte 0)"


def test_two_rows_may_not_speak_of_one_thing(tmp_path: Path) -> None:
    path = tmp_path / "twice.toml"
    path.write_text(
        """
        [[driver]]
        id = "another-12"
        cuda_major = "12"
        driver = "530.30.02"
        source = "elsewhere"
        date = "2026-11-21"
        """
    )

    with pytest.raises(ManifestError) as failure:
        load_matrix(path)

    assert failure.value.causes == ("twice.toml [[driver]] row 1: 12 is already described by driver.jsonl row 2",)


def test_version_ranges_of_one_build_may_not_overlap(tmp_path: Path) -> None:
    first = {**ROW, "id": "a", "version": "9.9.0", "versions": ">=9.5,<10"}
    second = {**ROW, "id": "b", "version": "9.7.0", "versions": ">=9.0,<9.8"}
    path = tmp_path / "overlap.jsonl"
    path.write_text("".join(json.dumps({"table": "build", **row}) + "\n" for row in (first, second)))

    with pytest.raises(ManifestError) as failure:
        load_matrix(path)

    assert failure.value.causes == ("overlap.jsonl row 2: version 9.7.0 overlaps with overlap.jsonl row 1",)


def test_a_row_speaks_for_its_own_version(tmp_path: Path) -> None:
    rows = [{**ROW, "id": "a", "versions": "<9"}, {**ROW, "id": "b", "version": "10.0"}]
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps({"table": "build", **row}) + "\n" for row in rows))

    with pytest.raises(ManifestError) as failure:
        load_matrix(path)

    assert failure.value.causes == ("odd.jsonl row 1: version 9.9.0 is not within its own versions <9",)
