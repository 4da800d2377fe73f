"""What a build may take, and what it sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.test_asking import at_a_terminal
from tests.functional.test_builds import Bench, desk, shelf
from tests.helpers.builds import make_source

__all__ = ["desk", "shelf"]

_MANIFEST = '[workspace]\nchannels = []\n[pypi-dependencies]\ndemo = "*"\n[build]\nallow = ["demo"]\n'


_HOLDS = "held = b'x' * (400 << 20)\nimport time\ntime.sleep(600)"


@pytest.mark.parametrize(
    ("run", "limit"),
    [
        ("import time\ntime.sleep(600)", "TIMEOUT"),
        (_HOLDS, "MEMORY"),
        (f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_HOLDS!r}])", "MEMORY"),
    ],
)
def test_who_takes_more_than_it_may_is_ended(desk: Bench, shelf: Path, run: str, limit: str) -> None:
    make_source(shelf, "demo", run=run)
    value = {"TIMEOUT": "2s", "MEMORY": "200MB"}[limit]

    own = {f"DATALOADER_BUILD_{limit}": value}
    error = desk.fails(1, "build-limit", "install", "demo", "--build", "demo", "-p", "env", **own)  # type: ignore[arg-type]

    assert f"DATALOADER_BUILD_{limit}" in error["suggestions"][0]
    assert not list(desk.cache.glob("building-*"))


def test_a_limit_that_cannot_be_read_is_refused(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo")
    (desk.here / "dataloader.toml").write_text(_MANIFEST + 'timeout = "soon"\n')

    desk.fails(2, "setting-invalid", "lock")


def test_a_build_without_isolation_sees_the_environment(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo", requires=["lib"], build_requires=["lib>=9"], run="import lib\nassert lib.V == 1")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(_MANIFEST)
    desk.fails(1, "build-requirements", "sync")  # nobody has lib 9

    manifest.write_text(_MANIFEST + 'no-isolation = ["demo"]\n')
    desk.ok("sync")

    build = desk.locked("demo")["build"]
    assert isinstance(build, dict)
    assert (build["isolated"], build["against"]) == (False, {"lib": "1.0"})
    desk.ok("sync", "--locked")
    assert desk.ran() == ["built demo 1.0"]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("n\n", 1)])
def test_who_sits_before_a_terminal_is_asked(
    desk: Bench, shelf: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    make_source(shelf, "demo")
    (desk.here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
    own = {"INDEX_URL": desk.index.index_url, "CONDA": "never", "CACHE_DIR": str(desk.cache)}
    for name, value in own.items():
        monkeypatch.setenv(f"DATALOADER_{name}", value)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(desk.here)

    found, said = at_a_terminal("add", "demo", answer=answer)

    assert found == code, said
    assert "Build demo? " in said
    assert ('allow = ["demo"]' in (desk.here / "dataloader.toml").read_text()) == (code == 0)
