"""The lock: the same bytes for the same values, read back as they were, readable by rattler, clear when broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import rattler
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dataloader.base.errors import LockfileError
from dataloader.lockfile.model import CondaPackage, LockedPython, Lockfile, PypiPackage
from dataloader.lockfile.parts import beside, meant
from dataloader.lockfile.yaml import (
    dump_lock,
    dump_locks,
    groups_in,
    lock_bytes,
    parse_lock,
    parse_locks,
    read_lock,
    read_locks,
    write_lock,
)
from dataloader.prefix.locate import MADE_FROM

CONDA = CondaPackage(
    name="python",
    version="3.11.7",
    build="hab00c5b_1_cpython",
    build_number=1,
    subdir="linux-64",
    url="https://conda.anaconda.org/conda-forge/linux-64/python-3.11.7-hab00c5b_1_cpython.conda",
    channel="https://conda.anaconda.org/conda-forge/",
    sha256="a" * 64,
    md5="b" * 32,
    size=30000000,
    depends=("libzlib >=1.2.13,<1.3.0a0", "openssl >=3.2.0,<4.0a0"),
    constrains=("python_abi 3.11.* *_cp311",),
    license="Python-2.0",
    timestamp=1703344000000,
)
WHEEL = PypiPackage(
    name="torch",
    version="2.1.0+cu118",
    url="https://download.pytorch.org/whl/cu118/torch-2.1.0%2Bcu118-cp311-cp311-linux_x86_64.whl",
    sha256="c" * 64,
    size=2325900000,
    requires_dist=("filelock", 'triton==2.1.0 ; platform_system == "Linux"'),
    requires_python=">=3.8.0",
    extras=("opt-einsum",),
    index="https://download.pytorch.org/whl/cu118",
)
LOCK = Lockfile(
    platform="linux-64",
    channels=("https://conda.anaconda.org/conda-forge/",),
    indexes=("https://pypi.org/simple",),
    python=LockedPython(source="conda", version="3.11.7"),
    packages=(CONDA, WHEEL),
    requested=("torch",),
    stack={"cuda": "11.8", "torch": "2.1.0+cu118"},
    rules={"torch": ("torch-numpy-abi",)},
    inputs={"requirements": ["torch==2.1.0"], "stack": {"cuda": "11.8"}, "options": {"conda": "auto"}},
)


def test_a_lock_is_read_back_as_it_was() -> None:
    assert parse_lock(dump_lock(LOCK).encode(), Path("x.lock")) == LOCK


def test_the_same_lock_gives_the_same_bytes() -> None:
    shuffled = replace(LOCK, stack=dict(reversed(list(LOCK.stack.items()))))

    assert dump_lock(shuffled) == dump_lock(LOCK)


def test_rattler_reads_it(tmp_path: Path) -> None:
    import rattler

    path = tmp_path / "dataloader.lock"
    write_lock(LOCK, path)
    lock = rattler.LockFile.from_path(path)
    environment = lock.default_environment()
    assert environment is not None
    packages = environment.packages(lock.platforms()[0])

    assert packages is not None
    assert [(p.name, p.location, p.hashes.sha256.hex()) for p in packages if p.hashes and p.hashes.sha256] == [
        ("python", CONDA.url, CONDA.sha256),
        ("torch", WHEEL.url, WHEEL.sha256),
    ]


def test_writing_what_is_there_already_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dataloader.lock"

    assert write_lock(LOCK, path)
    before = path.stat().st_mtime_ns
    assert not write_lock(LOCK, path)
    assert path.stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(min_size=1, max_size=40))
def test_any_text_survives(text: str) -> None:
    lock = replace(LOCK, inputs={"requirements": [text], "options": {text: text}})

    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert parse_lock(dump_lock(lock).encode(), Path("x")).inputs == lock.inputs


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x00\xff", "not YAML"),
        (b"version: 6\n  bad: [", "not YAML"),
        (b"[]", "version is None"),
        (b"version: 1", "version is 1"),
        (b"version: 6", "'environments' is missing"),
        (dump_lock(LOCK).replace("sha256: " + "c" * 64, "sha: 1").encode(), "'sha256' is missing"),
        (dump_lock(LOCK).replace("dataloader:\n  version: 1", "dataloader:\n  version: 99").encode(), "version 99"),
    ],
)
def test_a_broken_lock_is_an_error_that_says_where(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "dataloader.lock"
    path.write_bytes(data)

    with pytest.raises(LockfileError) as caught:
        read_lock(path)

    assert str(path) in caught.value.message
    assert says in caught.value.message


def test_a_missing_lock_is_told(tmp_path: Path) -> None:
    with pytest.raises(LockfileError) as caught:
        read_lock(tmp_path / "dataloader.lock")

    assert caught.value.code == "lockfile-missing"


def test_the_text_is_plain_yaml() -> None:
    document = yaml.safe_load(dump_lock(LOCK))

    assert document["version"] == 6
    assert document["packages"][1]["pypi"] == WHEEL.url


def test_locks_for_several_platforms_are_read_back_as_they_were_and_by_rattler(tmp_path: Path) -> None:
    shared = replace(WHEEL, url="https://example.org/demo-1.0-py3-none-any.whl", name="demo", version="1.0")
    parts = (
        replace(LOCK, platform="linux-64", packages=(CONDA, replace(shared, extras=("gpu",)))),
        replace(LOCK, platform="osx-arm64", packages=(shared,), channels=(), stack={}),
        replace(LOCK, platform="win-64", packages=(shared,), indexes=("https://example.org/simple",), rules={}),
    )
    path = tmp_path / "dataloader.lock"
    path.write_bytes(lock_bytes(parts[1], path, (parts[2], parts[0])))

    assert read_locks(path) == parts
    assert lock_bytes(parts[0], path, parts[1:]) == path.read_bytes()
    environment = rattler.LockFile.from_path(path).environment("default")
    assert environment is not None
    names = {str(p): [each.name for each in environment.packages(p) or ()] for p in environment.platforms()}
    assert names == {"linux-64": ["python", "demo"], "osx-arm64": ["demo"], "win-64": ["demo"]}
    with pytest.raises(LockfileError) as caught:
        read_lock(path, "linux-aarch64")
    assert caught.value.code == "lock-unfit"


_NAMES = ("default", "test", "3.12", "yes", "a-b_c.d")
_PLATFORMS = ("linux-64", "osx-arm64", "win-64")


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(_NAMES), st.sampled_from(_PLATFORMS)),
        st.tuples(st.booleans(), st.lists(st.sampled_from(("extra:x", "group:y")), unique=True)),
        min_size=1,
    )
)
def test_locks_of_any_environments_are_read_back_as_they_were(
    places: dict[tuple[str, str], tuple[bool, list[str]]],
) -> None:
    parts = [
        replace(
            LOCK,
            environment=name,
            platform=platform,
            packages=(CONDA, replace(WHEEL, extras=("more",)) if differs else WHEEL),
            channels=LOCK.channels if differs else (),
            inputs={**LOCK.inputs, **({"groups": groups} if groups else {}), "project": "pyproject.toml"},
        )
        for (name, platform), (differs, groups) in places.items()
    ]
    whole = beside(parts, ())
    data = dump_locks(whole).encode()

    assert parse_locks(data, Path("x.lock")) == whole
    assert any(each in data for each in MADE_FROM)
    for name in {part.environment for part in whole}:
        first = next(part for part in whole if part.environment == name)
        chosen = [places[name, p] for p in _PLATFORMS if (name, p) in places]
        if len({tuple(groups) for _, groups in chosen}) == 1:  # as they are where one command chose them
            assert list(groups_in(data, name)) == chosen[0][1]
        assert meant(whole, first.platform, Path("x.lock"), name) == first
