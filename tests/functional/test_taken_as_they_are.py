"""A lock that is taken as it is: what is said besides is honoured, or refused by name."""

from __future__ import annotations

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.wheels import make_wheel

WHEEL = "lib-1.0-py3-none-any.whl"
LOCKS = {
    "pylock.toml": 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "lib"\nversion = "1.0"\n'
    f'[[packages.wheels]]\nname = "{WHEEL}"\npath = "shelf/{WHEEL}"\nhashes = {{ sha256 = "{{digest}}" }}\n',
    "uv.lock": 'version = 1\nrequires-python = ">=3.8"\n[[package]]\nname = "lib"\nversion = "1.0"\n'
    f'source = {{ registry = "shelf" }}\nwheels = [{{ path = "{WHEEL}", hash = "sha256:{{digest}}" }}]\n',
    "poetry.lock": '[[package]]\nname = "lib"\nversion = "1.0"\noptional = false\npython-versions = "*"\n'
    f'groups = ["main"]\nfiles = [{{ file = "{WHEEL}", hash = "sha256:{{digest}}" }}]\n'
    '[metadata]\nlock-version = "2.1"\npython-versions = "*"\ncontent-hash = "0"\n',
    "explicit.txt": "@EXPLICIT\nhttps://conda.example.org/main/linux-64/lib-1.0-0.conda#33333333333333333333333333333333\n",
}


@pytest.fixture
def locks(desk: Desk) -> Desk:
    import hashlib

    make_wheel(desk.here / "shelf", "lib", "1.0", files={"lib.py": "\n"})
    digest = hashlib.sha256((desk.here / "shelf" / WHEEL).read_bytes()).hexdigest()
    for name, text in LOCKS.items():
        (desk.here / name).write_text(text.replace("{digest}", digest))
    return desk


@pytest.mark.parametrize("name", LOCKS)
def test_an_environment_of_a_lock_without_any_is_refused(name: str, locks: Desk) -> None:
    error = locks.fails(2, "usage", "sync", "--lockfile", name, "--environment", "gpu")
    assert f"{name} has no environments" in error["message"]


def test_extras_of_a_lock_without_any_are_refused(locks: Desk) -> None:
    error = locks.fails(2, "usage", "sync", "--lockfile", "explicit.txt", "--extra", "more")
    assert "no extras and groups" in error["message"]


@pytest.mark.parametrize("name", LOCKS)
def test_a_platform_that_there_is_not_is_refused(name: str, locks: Desk) -> None:
    locks.fails(2, "platform-unknown", "sync", "--lockfile", name, "-p", "env", "--platform", "nonsense")


@pytest.mark.parametrize("name", [name for name in LOCKS if name != "explicit.txt"])
def test_a_platform_whose_part_cannot_be_told_is_refused(name: str, locks: Desk) -> None:
    error = locks.fails(2, "lock-unfit", "sync", "--lockfile", name, "-p", "env", "--platform", "osx-arm64")
    assert "osx-arm64" in error["message"]
    assert not (locks.here / "env").exists()


def test_a_lock_of_ours_for_another_platform_is_refused(desk: Desk) -> None:
    desk.ok("lock", "lib")
    words = ("sync", "-p", "env", "--platform", "linux-aarch64")
    error = desk.fails(2, "lock-unfit", *words)
    assert error["suggestions"] == []  # without a manifest there is nothing that a lock could be made from
    (desk.here / "dataloader.toml").write_text("[workspace]\nchannels = []\n[pypi-dependencies]\nlib = '*'\n")
    error = desk.fails(2, "lock-unfit", *words, "--frozen")
    assert "dataloader lock --platform linux-aarch64" in error["suggestions"][0]


def test_what_has_a_say_in_a_lock_is_refused_with_advice_that_can_be_followed(desk: Desk) -> None:
    desk.ok("lock", "lib")
    error = desk.fails(2, "usage", "sync", "-p", "env", "--prerelease", "allow")
    assert error["suggestions"] == ["leave it out"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("uv.lock", "lock-unfit", "no extra or group more"), ("lines.txt", "group-unknown", "lines.txt has none")],
)
def test_an_extra_that_a_file_named_with_r_does_not_have_is_refused(
    name: str, code: str, said: str, locks: Desk
) -> None:
    (locks.here / "lines.txt").write_text("lib\n")
    error = locks.fails(2, code, "install", "-r", name, "--extra", "more", "-p", "env")
    assert said in error["message"]
