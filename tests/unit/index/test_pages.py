from __future__ import annotations

import html
import json
import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.base.errors import IndexUnavailable
from dataloader.index.model import IndexFile
from dataloader.index.pages.any_html import slow_links
from dataloader.index.pages.any_json import slow_files
from dataloader.index.pages.plain_json import plain_files
from dataloader.index.pages.simple import NotPlainError, Page, parse_page, plain_links
from dataloader.index.system import System

HASH = "a" * 64
URL = "https://example.org/simple/foo/"


def parse(body: str, kind: str = "text/html", project: str | None = "foo") -> Page:
    return parse_page(body.encode(), kind, URL, project=project, index="https://example.org/simple")


def only(page: Page) -> IndexFile:
    (file,) = page.files
    return file


def test_a_link_of_pep_503_becomes_a_file() -> None:
    file = only(
        parse(f'<a href="../../f/foo-1.0-py3-none-any.whl#sha256={HASH}" data-requires-python="&gt;=3.8">x</a>')
    )

    assert file == IndexFile(
        name="foo",
        version="1.0",
        filename="foo-1.0-py3-none-any.whl",
        url="https://example.org/f/foo-1.0-py3-none-any.whl",
        sha256=HASH,
        requires_python=">=3.8",
        index="https://example.org/simple",
    )
    assert file.kind == "wheel"
    assert file.tags == ("py3", "none", "any")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", None),
        ('data-core-metadata="true"', ""),
        ('data-core-metadata="false"', None),
        (f'data-core-metadata="sha256={HASH}"', HASH),
        (f'data-dist-info-metadata="sha256={HASH}"', HASH),
        (f'data-dist-info-metadata="true" data-core-metadata="sha256={HASH}"', HASH),
    ],
)
def test_announced_metadata_is_seen_under_both_names(attributes: str, expected: str | None) -> None:
    assert only(parse(f'<a href="foo-1.0-py3-none-any.whl" {attributes}>x</a>')).metadata_sha256 == expected


@pytest.mark.parametrize(
    ("attribute", "yanked", "reason"),
    [
        ("", False, ""),
        ("data-yanked", True, ""),
        ('data-yanked=""', True, ""),
        ('data-yanked="a\n  bug"', True, "a bug"),
    ],
)
def test_a_yank_with_or_without_a_reason_is_seen(attribute: str, yanked: bool, reason: str) -> None:
    file = only(parse(f'<a href="foo-1.0-py3-none-any.whl" {attribute}>x</a>'))

    assert (file.yanked, file.yanked_reason) == (yanked, reason)


@pytest.mark.parametrize(
    "page",
    [
        '<A HREF="foo-1.0-py3-none-any.whl">x</A>',
        "<a href='foo-1.0-py3-none-any.whl'>x</a>",
        "<a href=foo-1.0-py3-none-any.whl>x</a>",
        '<a\n  data-requires-python=">=3.8"\n  href="foo-1.0-py3-none-any.whl"\n>x</a>',
        '<a rel="internal" class href="foo-1.0-py3-none-any.whl">x</a>',
        '<!-- <a href="foo-0.9-py3-none-any.whl">old</a> --><a href="foo-1.0-py3-none-any.whl">x</a>',
        '<script>"<a href=\'foo-0.9-py3-none-any.whl\'>"</script><a href="foo-1.0-py3-none-any.whl">x</a>',
        '<a href="foo-1.0-py3-none-any.whl" href="foo-0.9-py3-none-any.whl">x</a>',
        '<a name="top"><a href="foo-1.0-py3-none-any.whl?download=1">x</a>',
    ],
)
def test_odd_html_is_read_like_a_browser_reads_it(page: str) -> None:
    assert [file.version for file in parse(page).files] == ["1.0"]


def test_links_start_at_the_base_that_the_page_names() -> None:
    page = '<head><base href="https://files.example.org/x/"></head><a href="foo-1.0-py3-none-any.whl">x</a>'

    assert only(parse(page)).url == "https://files.example.org/x/foo-1.0-py3-none-any.whl"


def test_a_plus_written_as_percent_2b_is_a_local_version() -> None:
    file = only(parse('<a href="/whl/cu118/foo-2.1.0%2Bcu118-cp311-cp311-linux_x86_64.whl">x</a>'))

    assert file.version == "2.1.0+cu118"
    assert file.url == "https://example.org/whl/cu118/foo-2.1.0%2Bcu118-cp311-cp311-linux_x86_64.whl"


def test_credentials_in_a_link_are_left_out() -> None:
    assert only(parse('<a href="https://me:secret@h.org/foo-1.0.tar.gz">x</a>')).url == "https://h.org/foo-1.0.tar.gz"


def test_a_link_that_is_no_url_is_passed_over() -> None:
    assert parse('<a href="http://[::1/foo-1.0.zip">x</a><a href="foo-1.1.zip">x</a>').files[0].version == "1.1"
    assert parse(json_page(url="http://[::1/foo-1.0.zip"), JSON).files == ()


def test_files_of_other_projects_and_of_unknown_form_are_skipped_by_name() -> None:
    page = parse('<a href="foo-1.0.exe">x</a><a href="bar-1.0-py3-none-any.whl">x</a><a href="foo-1.0.zip">x</a>')

    assert [file.filename for file in page.files] == ["foo-1.0.zip"]
    assert page.skipped == ("foo-1.0.exe", "bar-1.0-py3-none-any.whl")


def test_a_find_links_page_holds_many_projects() -> None:
    page = parse('<a href="foo-1.0-py3-none-any.whl">x</a><a href="bar-2.0.tar.gz">x</a>', project=None)

    assert [(file.name, file.version) for file in page.files] == [("foo", "1.0"), ("bar", "2.0")]


VALUE = st.text("ab ='>&;<\"\n#%é", max_size=8)
NAME = st.sampled_from(["href", "data-yanked", "data-requires-python", "HREF", "class", "x"])


@st.composite
def pages(draw: st.DrawFn) -> str:
    pieces = []
    for _ in range(draw(st.integers(0, 5))):
        attributes = []
        for name in draw(st.lists(NAME, max_size=3)):
            value = html.escape(draw(VALUE)) if draw(st.booleans()) else draw(VALUE).replace('"', "")
            attributes.append(
                draw(st.sampled_from([f'{name}="{value}"', name, f"{name}='{value.replace(chr(39), '')}'"]))
            )
        start = draw(st.sampled_from(["<a ", "<a  ", "<A ", "<abbr ", "<a\n", "<p "]))
        pieces.append(start + " ".join(attributes) + draw(st.sampled_from([">", " >", "/>"])) + "text</a>\n")
    return "<!DOCTYPE html>\n" + "".join(pieces)


@settings(deadline=None)
@given(pages())
def test_the_fast_reader_finds_what_html_parser_finds(page: str) -> None:
    with suppress(NotPlainError):
        assert (None, list(plain_links(page))) == slow_links(page)


@settings(deadline=None)
@given(st.lists(st.tuples(VALUE, st.booleans(), VALUE), max_size=3))
def test_the_fast_reader_takes_the_form_that_indexes_write(links: list[tuple[str, bool, str]]) -> None:
    page = "<!DOCTYPE html><html><head><title>Links for foo</title></head><body>\n"
    for href, hashed, requires in links:
        href = re.sub("[&\"'<]", "", href) + (f"#sha256={HASH}" if hashed else "")
        page += f'<a href="{href}" data-requires-python="{html.escape(requires, quote=True)}">foo</a><br/>\n'

    assert list(plain_links(page)) == slow_links(page)[1]


def json_page(**file: object) -> str:
    entry = {"filename": "foo-1.0-py3-none-any.whl", "url": "foo-1.0-py3-none-any.whl", "hashes": {}, **file}
    return json.dumps({"meta": {"api-version": "1.3"}, "name": "foo", "files": [entry]})


JSON = "application/vnd.pypi.simple.v1+json"


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.text(max_size=3))
HASHES = st.dictionaries(st.sampled_from(("sha256", "md5")), st.one_of(SCALARS, st.just(HASH)), max_size=2)
FILES = st.fixed_dictionaries(
    {"filename": st.sampled_from(("foo-1.0.zip", "foo-1.0-py3-none-any.whl")), "url": st.just("x#y")},
    optional={
        "hashes": st.one_of(HASHES, SCALARS),
        "size": st.one_of(st.integers(0, 99), SCALARS),
        "yanked": SCALARS,
        "requires-python": SCALARS,
        "upload-time": SCALARS,
        "core-metadata": st.one_of(SCALARS, HASHES),
        "dist-info-metadata": st.one_of(SCALARS, HASHES),
        "gpg-sig": SCALARS,
    },
)


@given(st.lists(FILES, max_size=3), st.sampled_from(("1.0", "1.4")))
def test_whatever_a_json_page_of_the_plain_form_says_the_slow_reader_says_too(
    files: list[dict[str, object]], version: str
) -> None:
    body = json.dumps({"meta": {"api-version": version}, "files": files}).encode()
    plain = plain_files(body)

    if plain is not None:
        slow = list(slow_files(body))
        assert [(f.url, f.size, f.requires_python, f.upload_time) for f in plain] == [
            (f.url, f.size, f.requires_python, f.upload_time) for f in slow
        ]
        assert [(f.yanked or f.yanked == "", f.hashes) for f in plain] == [
            (f.yanked or f.yanked == "", f.hashes) for f in slow
        ]
        assert [f.announced or False for f in plain] == [f.announced or False for f in slow]


@pytest.mark.parametrize("odd", [{"size": "7"}, {"hashes": []}, {"upload-time": 3}, {"core-metadata": "yes"}])
def test_what_has_another_type_than_it_should_counts_as_not_said(odd: dict[str, object]) -> None:
    body = json_page(**odd)

    assert plain_files(body.encode()) is None
    assert only(parse(body, JSON)).version == "1.0"


def test_json_tells_sizes_times_hashes_and_yanks() -> None:
    page = json_page(
        hashes={"sha256": HASH},
        size=7,
        yanked="bad",
        **{"requires-python": ">=3.8", "upload-time": "2024-01-01T00:00:00Z", "core-metadata": {"sha256": HASH}},
    )

    file = only(parse(page, JSON))

    assert (file.sha256, file.size, file.requires_python) == (HASH, 7, ">=3.8")
    assert (file.yanked, file.yanked_reason, file.upload_time) == (True, "bad", "2024-01-01T00:00:00Z")
    assert file.metadata_sha256 == HASH


@pytest.mark.parametrize(("value", "expected"), [(True, ""), (False, None), ({"md5": "x"}, "")])
def test_json_metadata_without_a_sha256_is_announced_without_one(value: object, expected: str | None) -> None:
    assert only(parse(json_page(**{"core-metadata": value}), JSON)).metadata_sha256 == expected


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("{", JSON),
        ("[]", JSON),
        ('{"files": 1}', JSON),
        ('{"files": [1]}', JSON),
        ('{"files": [{"filename": "foo-1.0.zip"}]}', JSON),
        ('{"meta": {"api-version": "2.0"}, "files": []}', JSON),
        ("not a page", "text/html"),
        ("%PDF-1.7", "application/pdf"),
    ],
)
def test_a_page_that_cannot_be_read_is_an_error_that_names_it(body: str, kind: str) -> None:
    with pytest.raises(IndexUnavailable, match=re.escape(URL)) as caught:
        parse(body, kind)

    assert caught.value.code == "index-bad-page"


def test_of_the_wheels_for_other_systems_one_of_a_release_is_kept() -> None:
    names = [
        "foo-1.0-cp310-cp310-win32.whl",
        "foo-1.0-cp311-cp311-win_amd64.whl",
        "foo-1.0-cp311-cp311-macosx_10_9_x86_64.whl",
        "foo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "foo-1.0-cp311-cp311-manylinux_2_17_aarch64.whl",
        "foo-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",
        "foo-1.0-py3-none-any.whl",
        "foo-2.0-cp311-cp311-macosx_11_0_arm64.whl",
        "foo-2.0-cp312-cp312-macosx_11_0_arm64.whl",
    ]
    body = "".join(f'<a href="https://x/{name}">{name}</a>' for name in names).encode()

    page = parse_page(
        body, "text/html", "https://x/foo/", project="foo", index="https://x", system=System("x86_64", "glibc")
    )

    assert [file.filename for file in page.files] == [names[0], names[3], names[6], names[7]]
