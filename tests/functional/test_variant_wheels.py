"""Variant wheels (PEP 825) of an index: chosen for a target, locked, installed, and refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.cli.app import main
from dataloader.lockfile.yaml import read_lock
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import describe_variants, make_wheel

CUDA = "cuda_version_lower_bound"
TAG = "py3-none-manylinux_2_17_x86_64"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    shelf = tmp_path / "shelf"
    for name in ("cu12-part", "cu13-part", "plain-part"):
        make_wheel(shelf, name, "1.0")
    needs = [
        f'cu12-part; "nvidia :: {CUDA} :: 12.8" in variant_properties',
        'cu13-part; variant_label == "cu130"',
        'plain-part; "nvidia" not in variant_namespaces',
    ]
    for label in ("cu128", "cu130", "null", "v3"):
        make_wheel(
            shelf, "gpulib", "1.0", requires=needs, tag=TAG, variant=label, files={"gpulib.py": f"V={label!r}\n"}
        )
    variants = {label: {"nvidia": {CUDA: [cuda]}} for label, cuda in (("cu128", "12.8"), ("cu130", "13.0"))}
    describe_variants(shelf, "gpulib", "1.0", {**variants, "null": {}, "v3": {"x86_64": {"level": ["v3"]}}})
    make_wheel(shelf, "onlygpu", "2.0", variant="cu130")
    make_wheel(shelf, "onlygpu", "2.0", variant="other")
    more = {"cu130": variants["cu130"], "other": {"blas": {"b": ["c"]}}}
    describe_variants(shelf, "onlygpu", "2.0", more, namespaces=["nvidia", "blas"])
    make_wheel(shelf, "silent", "1.0", variant="cu130")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with IndexServer(shelf) as server:
        monkeypatch.setenv("DATALOADER_INDEX_URL", server.index_url)
        monkeypatch.setenv("DATALOADER_CONDA", "never")
        yield server


def target(said: str) -> str:
    Path("t.toml").write_text(f'platform = "linux-64"\nglibc = "2.36"\n{said}\n')
    return "t.toml"


@pytest.mark.parametrize(
    ("said", "label", "brought"),
    [
        ('cuda = "12.9"', "cu128", "cu12-part"),
        ('cuda = "13.2"', "cu130", "cu13-part"),
        ('archspec = "x86_64_v4"', "v3", "plain-part"),
        ("", "null", "plain-part"),
    ],
)
def test_the_variant_of_the_target_is_locked_with_what_it_needs(
    index: IndexServer, said: str, label: str, brought: str
) -> None:
    assert main(["lock", "--target", target(said), "gpulib"]) == 0

    packages = {package.name: package for package in read_lock(Path("dataloader.lock")).packages}
    assert set(packages) == {"gpulib", brought}
    assert packages["gpulib"].file_name == f"gpulib-1.0-{TAG}-{label}.whl"
    assert main(["lock", "--target", "t.toml", "gpulib", "--offline"]) == 0


def test_a_format_of_a_tool_that_knows_no_variants_refuses_them(
    index: IndexServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "--target", target(""), "gpulib"]) == 0
    assert main(["export", "pylock.toml", "-o", "pylock.toml"]) == 2

    assert "pylock.toml has no place for variant wheels" in capsys.readouterr().err
    assert not Path("pylock.toml").exists()
    assert main(["export", "cyclonedx", "-o", "bom.json"]) == 0
    assert "null.whl" in Path("bom.json").read_text()


def test_a_variant_is_installed_and_looked_at(index: IndexServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "gpulib", "-p", "env"]) == 0
    assert main(["verify", "-p", "env"]) == 0
    assert main(["sync", "-p", "env", "--check"]) == 0

    capsys.readouterr()
    main(["list", "-p", "env", "--json"])
    assert {p["name"] for p in json.loads(capsys.readouterr().out)["packages"]} >= {"gpulib", "plain-part"}


def test_where_no_variant_fits_each_reason_is_said(index: IndexServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock", "--target", target('cuda = "12.9"'), "onlygpu"]) == 1

    said = capsys.readouterr().err
    assert f"variant cu130: nvidia :: {CUDA} :: 13.0 does not fit a driver for CUDA 12.9" in said
    assert "variant other: blas :: b :: c is not known here" in said
    assert main(["lock", "silent"]) == 1
    assert "variant cu130: nothing on its index describes its variant" in capsys.readouterr().err


def test_a_description_that_was_changed_is_not_believed(index: IndexServer, capsys: pytest.CaptureFixture[str]) -> None:
    index.fault("/files/gpulib-1.0-variants.json", Fault("corrupt"))

    assert main(["lock", "gpulib"]) == 4
    assert "hash-mismatch" in capsys.readouterr().err
