"""The quick answers are those of the full command: over generated command lines, manifests, locks and variables."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloader.cli import quick
from dataloader.cli.app import main
from dataloader.cli.commands import load
from dataloader.cli.line.words import spelled
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

LINES = int(os.environ.get("QUICK_LINES", "300"))
"""Command lines tried of each command."""

MANIFEST = """
[workspace]
name = "here"
platforms = ["linux-64"]

[pypi-dependencies]
{requirement} = "*"

[pypi-options]
index-url = "{index}"

[resolution]
conda = "never"
"""


class Place:
    """A directory with a manifest, its lock and its environment; both can be put back as they were."""

    def __init__(self, here: Path, index: str) -> None:
        self.here, self.index = here, index
        self.write_manifest("lib")

    def write_manifest(self, requirement: str) -> None:
        (self.here / "dataloader.toml").write_text(MANIFEST.format(index=self.index, requirement=requirement))

    def keep(self) -> None:
        shutil.copytree(self.here, f"{self.here}.kept", symlinks=True)

    def restore(self) -> None:
        """Put back manifest, lock and what a sync noted; the environment is left as it is."""
        kept = Path(f"{self.here}.kept")
        for name in ("dataloader.toml", "dataloader.lock", ".dataloader/envs/default/.dataloader/synced.json"):
            data = (kept / name).read_bytes()
            if not (self.here / name).is_file() or (self.here / name).read_bytes() != data:
                (self.here / name).write_bytes(data)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    (here / "below").mkdir(parents=True)
    for name in ("lib", "more"):
        make_wheel(shelf, name, "1.0", files={f"{name}.py": "V = 1\n"})
    monkeypatch.chdir(here)
    with IndexServer(shelf) as index:
        made = Place(here, index.index_url)
        for arguments in (["sync"], ["sync"], ["verify"]):
            assert full(arguments, {})[0] == 0
        made.keep()
        yield made


@contextlib.contextmanager
def variables(environ: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        yield


def full(arguments: Sequence[str], environ: dict[str, str]) -> tuple[int, str]:
    """Exit code and standard output of the full command."""
    with (
        variables(environ),
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        code = main(list(arguments))
    return int(code), out.getvalue()


def at_once(arguments: Sequence[str], environ: dict[str, str]) -> tuple[int, str] | None:
    """Exit code and standard output of the quick answer, if there is one."""
    out = _Out()
    with variables(environ), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = quick.answer(list(arguments), os.environ)
    if code is None:
        assert out.getvalue() == ""
        return None
    return code, out.getvalue()


class _Out(io.StringIO):
    encoding = "utf-8"
    errors = "strict"


GOOD = {
    "prefix": [".dataloader/envs/default", "./.dataloader//envs/default/"],
    "lockfile": ["dataloader.lock", "./dataloader.lock"],
    "events": ["events.jsonl"],
    "status_file": ["status.json"],
    "metrics_file": ["metrics.prom"],
    "form": ["text", "json", "sarif", "junit", "github", "markdown"],
    "fail_on": ["error", "warning", "note"],
}
HERE = ["env", ".dataloader/envs/default", "./.dataloader//envs/default/", "nowhere", "", "-q", "=", "a b"]
TEXTS = {
    "prefix": HERE,
    "lockfile": ["dataloader.lock", "./dataloader.lock", "dataloader.toml", "nowhere.lock", ""],
    "events": ["events.jsonl", ""],
    "status_file": ["status.json", ""],
    "metrics_file": ["metrics.prom"],
    "form": ["text", "json", "sarif", "junit", "github", "markdown", "pdf", ""],
    "fail_on": ["error", "warning", "note", "never"],
}
"""Values that mean something; every other option gets one of ODD."""
ODD = ["1", "x", "", "linux-64", "2020-01-01", "2.5"]


def lines_of(name: str) -> st.SearchStrategy[list[str]]:
    """Command lines of a command: options in every spelling, right and wrong, more often what has a quick answer."""
    known = spelled(load(name).parameters)

    def well_said(option: str) -> st.SearchStrategy[list[str]]:
        field, state = known[option]
        if state is not None:
            return st.just([option])
        values = st.sampled_from(GOOD[field])
        if not option.startswith("--"):
            return values.map(lambda value: [option, value])
        return values.flatmap(lambda value: st.sampled_from([[f"{option}={value}"], [option, value]]))

    def said(option: str) -> st.SearchStrategy[list[str]]:
        field, state = known[option]
        if state is not None:
            return st.sampled_from([[option]] * 8 + [[f"{option}=1"]])
        values = st.sampled_from(TEXTS.get(field, ODD))
        return st.one_of(
            values.map(lambda value: [f"{option}={value}"]),
            values.map(lambda value: [option, value]),
            st.just([option]),
        )

    usual = st.sampled_from(sorted(quick.SPELLED[name])).flatmap(said)
    options = st.sampled_from(sorted(known.keys() - {"--root", "--name"})).flatmap(said)
    free = st.sampled_from([["--"], [], ["--nothing"], *([text] for text in TEXTS["prefix"])])
    good = st.sampled_from(sorted(quick.SPELLED[name])).flatmap(well_said)
    parts = st.one_of(st.lists(good, max_size=3), st.lists(st.one_of(good, usual, options, free), max_size=4))
    return parts.map(lambda found: [name, *(word for words in found for word in words)])


VARIABLES: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}),
    st.just({}),
    st.dictionaries(
        st.sampled_from(
            [
                *("PREFIX", "LOCKFILE", "OFFLINE", "JSON", "FORMAT", "QUIET", "STATUS_FILE", "CACHE_DIR2"),
                *("CHANNEL", "CONDA", "INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "MIRROR"),
            ]
        ).map(lambda name: f"DATALOADER_{name}"),
        st.sampled_from(["", "0", "1", "true", "garbage", ".dataloader/envs/default", "json", "never"]),
        max_size=2,
    ),
    st.sampled_from([{"PIP_TIMEOUT": "soon"}, {"PIP_INDEX_URL": "https://nowhere.invalid/simple"}, {"NO_COLOR": "1"}]),
    st.sampled_from([{"LD_LIBRARY_PATH": "/nowhere"}, {"LD_PRELOAD": "/nowhere/lib.so"}, {"PYTHONPATH": "/nowhere"}]),
)

_MANIFESTS = [*["as it was"] * 6, "broken", "another requirement", "a comment", "no manifest", "below"]
STATES = {
    "sync": [*_MANIFESTS, "another requirement, and a frozen sync", "a sync that said more", "a machine of its own"],
    "verify": _MANIFESTS,
}


def bring_about(place: Place, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place.restore()
    monkeypatch.chdir(place.here / "below" if state == "below" else place.here)
    manifest = place.here / "dataloader.toml"
    match state:
        case "broken":
            manifest.write_text("[workspace\n")
        case "another requirement":
            place.write_manifest("more")
        case "a comment":
            manifest.write_text(manifest.read_text() + "# more\n")
        case "no manifest":
            manifest.unlink()
        case "another requirement, and a frozen sync":
            place.write_manifest("more")
            assert full(["sync", "--frozen"], {})[0] == 0
        case "a sync that said more":
            assert full(["sync"], {"DATALOADER_PRERELEASE": "allow"})[0] == 0
        case "a machine of its own":
            assert full(["sync"], {"DATALOADER_CONDA": "never"})[0] == 0


def timeless(text: str) -> str:
    """What was written, without what differs from run to run."""
    return re.sub(r'\d+\.\d+|\d{4}-\d\d-\d\dT[\d:.]+Z|"run": "\w+"|"pid": \d+|_seconds\{.* [\d.]+', "", text)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(quick.SPELLED))
def test_a_quick_answer_is_none_or_that_of_the_full_command(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=LINES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(lines_of(name), VARIABLES, st.sampled_from(STATES[name]))
    def same(arguments: list[str], environ: dict[str, str], state: str) -> None:
        bring_about(place, state, monkeypatch)
        answered = at_once(arguments, environ)
        seen["tried"] += 1
        if answered is not None:
            seen["answered"] += 1
            code, text = full(arguments, environ)
            assert answered == (code, text)

    same()
    assert seen["answered"] > seen["tried"] // 20, seen


@pytest.mark.parametrize("name", sorted(quick.SPELLED))
def test_what_the_quick_answers_read_is_what_the_commands_declare(name: str) -> None:
    made = load(name)
    declared = spelled(made.parameters)
    variables = {variable: p.name for p in made.parameters for variable in p.variables}
    choices = {p.name: set(p.choices) for p in made.parameters}

    assert {word: declared.get(word) for word in quick.SPELLED[name]} == quick.SPELLED[name]
    assert quick.VARIABLES[name].items() <= variables.items()
    if name == "verify":
        assert (choices["form"], choices["fail_on"]) == (quick.FORMS, quick.SEVERITIES)


def test_programs_are_told_the_same_in_the_quick_way(place: Place) -> None:
    told = []
    for way, line in ((at_once, ["sync"]), (full, ["sync"])):
        outlets = [place.here / f"{way.__name__}.{name}" for name in ("events", "status", "metrics")]
        options = zip(("--events", "--status-file", "--metrics-file"), map(str, outlets), strict=True)
        found = way([*line, *(word for pair in options for word in pair)], {})
        assert found is not None
        told.append([found, *(timeless(path.read_text()) for path in outlets)])

    assert told[0] == told[1]


def test_an_outlet_that_cannot_be_written_is_said_and_done_without(place: Place) -> None:
    assert at_once(["sync", "--status-file=/nowhere/at/all"], {}) == at_once(["sync"], {})


def test_a_working_directory_that_is_gone_is_no_traceback(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = place.here / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert at_once(["sync"], {}) is None
    assert full(["sync"], {})[0] == 2


def test_what_a_machine_says_of_its_indexes_is_no_reason_to_be_slow(place: Place) -> None:
    said = {"DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": place.index}
    assert at_once(["sync"], said) is None  # nobody has looked at it with these
    assert full(["sync"], said)[0] == 0
    assert at_once(["sync"], said) is not None
    assert at_once(["sync"], {**said, "DATALOADER_INDEX_URL": f"{place.index}other/"}) is None


def test_what_a_sync_left_behind_the_switch_is_removed_before_nothing_is_to_do(place: Place) -> None:
    """It was killed when all was done but to clear up: there is still something to do, for once."""
    left = place.here / ".dataloader/envs/.default.dataloader-tree-0123456789ab"
    (left / "lib").mkdir(parents=True)

    assert at_once(["sync"], {}) is None
    assert full(["sync"], {})[0] == 0
    assert not left.exists()
    assert at_once(["sync"], {}) is not None


@pytest.mark.parametrize("name", sorted(quick.SPELLED))
def test_a_quick_answer_imports_next_to_nothing(name: str, place: Place) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "dataloader", name]
    subprocess.run(command, capture_output=True, check=True)  # the first may be the full command

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    modules = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    slow = {"typing", "pathlib", "dataclasses", "inspect", "typer", "yaml", "httpx", "rattler", "threading"}
    assert "dataloader.cli.quick" in modules
    assert modules & {*slow, "dataloader.cli.app"} == set()
