from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from dataloader.base.errors import UsageError
from dataloader.index.filenames import normal_version, parse_filename, parse_listed, variant_label, without_variant
from dataloader.request.specs.spec import parse_spec

NAMES = """
torch-2.1.0-cp311-cp311-manylinux1_x86_64.whl
torch-2.1.0+cu118-cp311-cp311-linux_x86_64.whl
torch-2.1.0%2Bcu118-cp311-cp311-linux_x86_64.whl
numpy-2.0.0rc1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl
typing_extensions-4.8.0-py3-none-any.whl
Typing.Extensions-4.8.0-py3-none-any.whl
six-1.16.0-py2.py3-none-any.whl
foo-1.0-1-py3-none-any.whl
foo-1.0-1abc-py3-none-any.whl
foo-1.0-abc-py3-none-any.whl
foo__bar-1.0-py3-none-any.whl
foo-bar-1.0-py3-none-any.whl
foo-1.0.whl
foo-1.0-py3-none.whl
foo-1!2.0-py3-none-any.whl
foo-01.0-py3-none-any.whl
foo-v1.0-py3-none-any.whl
foo-1.0.POST1-py3-none-any.whl
foo-1.0-py3-none-any.WHL
foo-1.0_1-py3-none-any.whl
foo-1.0+local_1-py3-none-any.whl
foo-latest-py3-none-any.whl
-1.0-py3-none-any.whl
foo--py3-none-any.whl
foo-1.0.tar.gz
foo-bar-1.0.tar.gz
foo_bar-1.0.dev3.zip
foo.tar.gz
foo-.tar.gz
foo-1.0.tar.bz2
foo-1.0-src.tar.gz
foo-1.0.win32-py2.4.exe
foo-1.0-py3.7.egg
"""
CORPUS = NAMES.split()


def packaging_says(filename: str) -> tuple[str, str] | None:
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        else:
            name, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return str(name), str(version)


@pytest.mark.parametrize("filename", CORPUS)
def test_the_fast_parser_says_what_packaging_says(filename: str) -> None:
    assert parse_filename(filename) == packaging_says(filename)


@pytest.mark.parametrize("filename", [".foo-1.0-py3-none-any.whl", "foo_-1.0-py3-none-any.whl"])
def test_names_that_no_project_can_have_are_not_taken(filename: str) -> None:
    assert parse_filename(filename) is None


PART = st.text("ab1.+_!-v", min_size=1, max_size=6)


@example(("1", "1-1", "py3-none"))
@example(("a", "1", "py3.-none-any"))
@example(("a", "1", "py3-none..b-any"))
@example(("a", "1", "py3-none-.any"))
@settings(deadline=None)
@given(
    st.tuples(PART, PART, st.sampled_from(["py3-none-any", "1-py3-none-any", "cp311-cp311-linux_x86_64", "py3-none"]))
)
def test_what_the_fast_parser_takes_packaging_takes_too(parts: tuple[str, str, str]) -> None:
    filename = "-".join(parts) + ".whl"

    assert parse_filename(filename) in {None, packaging_says(filename)}


@settings(deadline=None)
@given(
    st.from_regex(
        r"v?[0-9]{1,2}(\.[0-9]{1,2}){0,3}([-_.]?(a|b|rc|alpha|post|dev|r)[-_.]?[0-9]?)?(\+[a-z0-9._-]{1,4})?",
        fullmatch=True,
    )
)
def test_versions_get_the_normal_form_of_packaging(text: str) -> None:
    try:
        expected: str | None = str(Version(text))
    except InvalidVersion:
        expected = None

    assert normal_version(text) == expected


@pytest.mark.parametrize(
    ("filename", "project", "found"),
    [
        ("foo-bar-1.0.tar.gz", "foo-bar", ("foo-bar", "1.0")),
        ("foo-1.0-2.tar.gz", "foo", ("foo", "1.0.post2")),
        ("foo-bar-1.0.tar.gz", "foo", None),
        ("bar-1.0-py3-none-any.whl", "foo", None),
    ],
)
def test_the_project_settles_where_the_name_ends(filename: str, project: str, found: tuple[str, str] | None) -> None:
    assert parse_filename(filename, project) == found


@given(
    st.sampled_from(["foo-1.0-py3-none-any", "foo_bar-2.1+cu12-cp311-cp311-linux_x86_64", "f-1-2a-py2.py3-none-any"]),
    st.from_regex(r"[a-z0-9_.]{1,16}", fullmatch=True),
)
def test_a_variant_wheel_names_its_release_and_is_none_to_name_by_itself(stem: str, variant: str) -> None:
    name = f"{stem}-{variant}.whl"

    assert parse_filename(name) is None
    assert parse_listed(name) == parse_filename(f"{stem}.whl") is not None
    assert (without_variant(name), without_variant(f"{stem}.whl")) == (f"{stem}.whl", "")
    assert variant_label(name) == variant
    with pytest.raises(UsageError, match=r"is a variant wheel \(PEP 825\)"):
        parse_spec(f"https://example.org/{quote(name)}")
