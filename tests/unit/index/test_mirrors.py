from __future__ import annotations

import pytest

from dataloader.index.web.mirrors import Mirrors

MIRRORS = {
    "https://pypi.org": ("https://a.org/pypi", "https://b.org"),
    "https://pypi.org/files/": ("https://f.org/",),
}


def test_mirrors_come_in_their_order_and_the_address_itself_last() -> None:
    mirrors = Mirrors(MIRRORS)

    assert mirrors.addresses("https://pypi.org/simple/x/") == [
        "https://a.org/pypi/simple/x/",
        "https://b.org/simple/x/",
        "https://pypi.org/simple/x/",
    ]


def test_the_longest_prefix_decides_and_only_whole_segments_count() -> None:
    mirrors = Mirrors(MIRRORS)

    assert mirrors.addresses("https://pypi.org/files/x") == ["https://f.org/x", "https://pypi.org/files/x"]
    assert mirrors.addresses("https://pypi.orgy/x") == ["https://pypi.orgy/x"]


def test_a_bad_mirror_comes_last_until_it_is_forgiven() -> None:
    now = [0.0]
    mirrors = Mirrors(MIRRORS, clock=lambda: now[0])

    mirrors.blame("https://a.org/pypi/other")
    assert mirrors.addresses("https://pypi.org/x")[-1] == "https://a.org/pypi/x"

    now[0] = 1000.0
    assert mirrors.addresses("https://pypi.org/x")[0] == "https://a.org/pypi/x"


def test_a_mirror_that_serves_again_is_trusted_again() -> None:
    mirrors = Mirrors(MIRRORS)
    mirrors.blame("https://a.org/pypi/other")

    mirrors.trust("https://a.org/pypi/another")

    assert mirrors.addresses("https://pypi.org/x")[0] == "https://a.org/pypi/x"


def test_an_address_at_a_mirror_stands_for_the_original() -> None:
    mirrors = Mirrors(MIRRORS)

    asked = "https://pypi.org/simple/x/"
    assert mirrors.canonical("https://b.org/simple/x/", asked) == asked
    assert mirrors.canonical("https://c.org/simple/x/", asked) == "https://c.org/simple/x/"


@pytest.mark.parametrize("original", ["https://pypi.org", "https://pypi.org/more", "https://ours.example"])
def test_a_mirror_of_several_stands_for_the_one_that_was_asked(original: str) -> None:
    mirrors = Mirrors(
        dict.fromkeys(("https://pypi.org", "https://pypi.org/more", "https://ours.example"), ("https://m",))
    )

    assert mirrors.canonical("https://m/simple/x/", f"{original}/simple/x/") == f"{original}/simple/x/"
