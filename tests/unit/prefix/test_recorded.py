"""What a prefix holds is read in one way: rows of RECORD, and where distributions lie."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader.base.errors import PrefixError
from dataloader.prefix.layout import find_site_packages, main_site_packages
from dataloader.prefix.rows import record_rows
from dataloader.prefix.state import recorded_paths

NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)


@given(st.lists(st.tuples(NAMES, st.just("sha256=x"), st.integers(0, 99).map(str)), max_size=5))
def test_rows_are_what_csv_wrote(rows: list[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)

    assert [tuple(row) for row in record_rows(text.getvalue())] == rows


def test_a_record_that_is_no_csv_is_said(tmp_path: Path) -> None:
    info = tmp_path / "lib/python3.11/site-packages/a-1.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text('"' + "x" * (csv.field_size_limit() + 1) + '",,\n')

    with pytest.raises(PrefixError) as caught:
        list(recorded_paths(tmp_path, info.relative_to(tmp_path).as_posix()))

    assert caught.value.code == "prefix-damaged"


@pytest.mark.parametrize(
    ("folders", "main"),
    [
        ([], None),
        (["lib/python3.11/site-packages"], "lib/python3.11/site-packages"),
        (["lib/python3.10/site-packages", "lib/python3.11/site-packages"], "lib/python3.11/site-packages"),
        (["lib/python3/dist-packages"], None),
        (["lib64/python3.11/site-packages"], None),
    ],
)
def test_the_main_site_packages_is_one_of_all(tmp_path: Path, folders: list[str], main: str | None) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)

    assert main_site_packages(tmp_path) == main
    assert main is None or main in find_site_packages(tmp_path)
