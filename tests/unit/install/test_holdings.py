"""The list of what a cache may hold: docs/cache.md shows it, and each name leads to one row."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.install.store.holdings import DAY, HOLDINGS, HOUR, _pattern, holding_of, is_left_over, survey
from dataloader.install.store.leftovers import sweep
from dataloader.install.store.pruning import prune_cache
from dataloader.install.store.users import InUse
from dataloader.install.switch.owner import signed
from tests.helpers.examples import examples

DOCS = Path(__file__).parents[3] / "docs"


def table() -> str:
    """The list as a table, to be pasted into the page."""
    return "".join(
        f"| {holding.kind} | {', '.join(f'`{path}`' for path in holding.paths)} | {holding.stay} | {holding.about} |\n"
        for holding in HOLDINGS
    )


def test_the_documentation_shows_the_whole_list() -> None:
    text = (DOCS / "cache.md").read_text()
    rows = re.findall(r"^\| (?!what \||---).*\n", text, re.MULTILINE)

    assert "".join(rows) == table()


PATHS = [(holding, path) for holding in HOLDINGS for path in holding.paths]


@given(st.data())
@settings(max_examples=examples(60), deadline=None)
def test_each_name_leads_to_its_row(data: st.DataObject) -> None:
    """Also where a name would fit several: the first row that fits is the one that is meant."""
    holding, pattern = data.draw(st.sampled_from(PATHS))
    path = data.draw(st.from_regex(re.compile(_pattern(pattern), re.ASCII), fullmatch=True))

    found = holding_of(path)

    assert found is not None
    assert HOLDINGS.index(found) <= HOLDINGS.index(holding)
    assert found.stay == holding.stay or found.stay in {"temporary", "lock"}


@pytest.mark.parametrize(
    "path",
    ["x", "wheels/ab/short", "wheels/zz", "pkgs/README", "downloads/torch.whl", "facts/notes", "index/pages/x.html"],
)
def test_what_no_row_names_is_unknown(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("mine")

    assert [found.holding for found in survey(tmp_path)] == [None]


def dead_maker() -> str:
    """The signature of a process of this machine that has ended."""
    done = subprocess.Popen(["true"])
    done.wait()
    return re.sub(r"\.\d+-", f".{done.pid}-", signed(""))


def of_elsewhere() -> str:
    """The signature of a process that cannot be judged from here."""
    return f"{signed('')[:-8]}{'0' * 8}"


SHA = "a" * 64
YOUNG, SILENT, OLD, ANCIENT = 60.0, HOUR / 3, 2 * HOUR, 2 * DAY


@pytest.mark.parametrize(
    ("path", "age", "expected"),
    [
        (lambda: f"wheels/ab/.new-{signed('')}", OLD, False),
        (lambda: f"wheels/ab/.new-{dead_maker()}", YOUNG, True),
        (lambda: f"wheels/ab/.new-{dead_maker()}-12345678-b", YOUNG, True),
        (lambda: f"wheels/ab/.new-{of_elsewhere()}", YOUNG, False),
        (lambda: f"wheels/ab/.new-{of_elsewhere()}", SILENT, True),
        (lambda: f"pkgs/.new-{dead_maker()}", YOUNG, True),
        (lambda: f"pkgs/.new-{of_elsewhere()}", YOUNG, False),
        (lambda: f"pkgs/.new-{of_elsewhere()}", SILENT, True),
        (lambda: f"wheels/ab/{SHA}", ANCIENT, False),
        (lambda: "pkgs/.some-1-0AbCdEf", YOUNG, False),
        (lambda: "pkgs/.some-1-0AbCdEf", OLD, True),
        (lambda: "pkgs/some-1-0.lock", YOUNG, False),
        (lambda: "pkgs/some-1-0.lock", OLD, True),
        (lambda: "pkgs/.cache.lock", ANCIENT, False),
        (lambda: "pkgs-seen/some-1-0-0123456789abcdef.json", OLD, True),
        (lambda: f"downloads/{SHA}.whl.part", YOUNG, False),
        (lambda: f"downloads/{SHA}.whl.part", OLD, True),
        (lambda: f"downloads/{SHA}.conda-archive", OLD, True),
        (lambda: f"downloads/{SHA}.lease", YOUNG, False),
        (lambda: f"downloads/{SHA}.lease", OLD, True),
        (lambda: f"downloads/conda-{dead_maker()}", YOUNG, True),
        (lambda: f"users/{dead_maker()}", YOUNG, True),
        (lambda: f"users/{of_elsewhere()}", OLD, True),
        (lambda: f"users/{signed('')}", OLD, False),
        (lambda: f"warming-{dead_maker()}", YOUNG, True),
        (lambda: "warming-abcd1234", OLD, True),
        (lambda: ".interpreters.json.0123456789abcdef.tmp", YOUNG, False),
        (lambda: ".interpreters.json.0123456789abcdef.tmp", OLD, True),
        (lambda: "interpreters.json", ANCIENT, False),
        (lambda: "facts/elf-1", OLD, False),
        (lambda: "facts/elf-1", ANCIENT, True),
        (lambda: "something-else", ANCIENT, False),
    ],
)
def test_what_is_left_over(tmp_path: Path, path: Callable[[], str], age: float, expected: bool) -> None:
    place = tmp_path / path()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("")
    then = time.time() - age
    os.utime(place, (then, then))

    (found,) = survey(tmp_path)

    assert is_left_over(tmp_path, found) is expected
    sweep(tmp_path)
    assert place.exists() is not (expected and not found.path.startswith("facts/"))


def test_folders_among_the_downloads_are_removed_too(tmp_path: Path) -> None:
    for name in (f"conda-{dead_maker()}", f"conda-{signed('')}"):
        (tmp_path / "downloads" / name).mkdir(parents=True)
        (tmp_path / "downloads" / name / "some-1-0.conda").write_text("half")

    pruned = prune_cache(tmp_path)

    assert len(pruned.removed) == len(pruned.kept) == 1
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [pruned.kept[0].name]


def test_a_lease_of_the_dead_is_left_over_at_once(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    lease = tmp_path / "downloads" / f"{SHA}.lease"
    lease.symlink_to(f"{dead_maker()}@here")
    other = tmp_path / "downloads" / f"{'b' * 64}.lease"
    other.symlink_to(f"{signed('')}@here")

    sweep(tmp_path)

    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [other.name]


def test_what_a_sync_of_elsewhere_makes_stays_while_it_lives(tmp_path: Path) -> None:
    """Its note is touched while it works, however old what it makes is by now."""
    maker = of_elsewhere()
    (tmp_path / "users").mkdir()
    note = tmp_path / "users" / maker
    note.write_text("")
    folders = [tmp_path / "wheels/ab" / f".new-{maker}", tmp_path / "pkgs" / f".new-{maker}"]
    for folder in folders:
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))

    sweep(tmp_path)
    assert all(folder.exists() for folder in folders)
    os.utime(note, (1, 1))
    sweep(tmp_path)

    assert not any(folder.exists() for folder in folders)


def test_what_a_running_sync_needs_is_not_left_over(tmp_path: Path) -> None:
    kept = [f"downloads/{SHA}.whl.part", "pkgs/.some-1-0AbCdEf", "pkgs/some-1-0.lock"]
    for path in kept:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")
        os.utime(tmp_path / path, (1, 1))

    with InUse(tmp_path, [SHA, "some-1-0"]):
        sweep(tmp_path)
        assert all((tmp_path / path).exists() for path in kept)
    sweep(tmp_path)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
