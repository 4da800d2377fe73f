"""Fixes as commands for the tool that made the prefix: each is run literally, and the environment verifies then."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataloader.cli.app import main
from dataloader.machine.detect import detect_target
from dataloader.verify import verify_prefix
from dataloader.verify.fixes import Maker, command_for, maker_of
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, module_source, register, register_conda
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = needs_gcc

_UV = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def said(prefix: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    main(["verify", f"--prefix={prefix}", "--json", *more])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


def run(command: str, shelf: Path) -> None:
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf), "UV_FIND_LINKS": str(shelf)}
    environ |= {"UV_OFFLINE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(shelf, "helper", version, files={"helper.py": f"V = '{version}'"})
    make_wheel(shelf, "pkg", "1.0", files={"pkg/__init__.py": "X = 1", "pkg/core.py": ""}, requires=["helper<2"])
    return shelf


def make(tool: str, prefix: Path, shelf: Path) -> None:
    if tool == "uv":
        if _UV is None:
            pytest.skip("needs uv")
        run(f"{_UV} venv -q -p {sys.executable} {prefix} && {_UV} pip install -q -p {prefix}/bin/python pkg", shelf)
    elif tool == "pip":
        run(f"{sys.executable} -m venv {prefix} && {prefix}/bin/python -m pip install -q pkg", shelf)
    else:
        run(f"pip install -q --target {prefix} pkg", shelf)


def _upgrade(tool: str, prefix: Path) -> str:
    """What brings a helper that the package does not go with."""
    if tool == "uv":
        return f"{_UV} pip install -q -p {prefix}/bin/python --no-deps helper==2.0"
    if tool == "pip":
        return f"{prefix}/bin/python -m pip install -q --no-deps helper==2.0"
    return f"rm -r {prefix}/helper* && pip install -q --target {prefix} --no-deps --upgrade helper==2.0"


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv", "pip", "target"])
def test_fix_of_a_foreign_prefix_is_run_by_its_tool(
    tool: str, tmp_path: Path, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = tmp_path / "env"
    make(tool, prefix, shelf)
    site = prefix if tool == "target" else prefix / SITE
    assert [each for each in said(prefix, capsys) if each["severity"] == "error"] == []

    (site / "pkg/core.py").unlink()
    run(_upgrade(tool, prefix), shelf)

    fixes = {each["kind"]: each["fix"] for each in said(prefix, capsys)}
    assert set(fixes) == {"file-missing", "unmet-requirement"}
    for fix in fixes.values():
        assert str(prefix) in fix
        run(fix, shelf)

    assert [each for each in said(prefix, capsys) if each["severity"] == "error"] == []
    assert (site / "pkg/core.py").is_file()


def test_fix_of_our_own_prefix_keeps_what_its_lock_holds(
    tmp_path: Path, shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_wheel(shelf, "other", "1.0", files={"other.py": ""})
    monkeypatch.setenv("DATALOADER_CONDA", "never")
    with IndexServer(shelf) as index:
        monkeypatch.setenv("DATALOADER_INDEX_URL", index.index_url)
        assert main(["install", "pkg", "other", "--prefix=env"]) == 0
        capsys.readouterr()
        (tmp_path / "env" / SITE / "pkg/core.py").unlink()

        (finding,) = said(tmp_path / "env", capsys)

        assert finding["fix"].startswith("dataloader sync --reinstall --prefix")
        monkeypatch.chdir("/")
        assert main(shlex.split(finding["fix"])[1:]) == 0
        capsys.readouterr()
    assert (tmp_path / "env" / SITE / "pkg/core.py").is_file()
    assert (tmp_path / "env" / SITE / "other.py").is_file()


def test_variable_that_a_fix_sets_lets_the_module_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = make_prefix(tmp_path / "env")
    dependency = make_library(
        prefix / SITE / "libs of pkg/libdep.so.1", "int a(void) { return 1; }", soname="libdep.so.1"
    )
    source = "extern int a(void);" + module_source("_ext", "a();")
    make_library(prefix / SITE / f"pkg/_ext{EXTENSION}", source, needs=[dependency])
    paths = ["libs of pkg/libdep.so.1", f"pkg/_ext{EXTENSION}"]
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": "from . import _ext"}, paths=paths)
    (finding,) = said(prefix, capsys)

    run(f"{finding['fix']}; {prefix}/bin/python -I -c 'import pkg'", tmp_path)


@pytest.mark.parametrize(
    ("tool", "fix", "command"),
    [
        ("conda", "dataloader install conda:conda-forge::libpng", "conda install --prefix /e -c conda-forge libpng"),
        ("conda", "dataloader install --reinstall conda:x==1.0", "conda install --prefix /e --force-reinstall x=1.0"),
        ("conda", "dataloader install 'numpy<2'", "/e/bin/python -m pip install 'numpy<2'"),
        ("pip", "dataloader install conda:conda-forge::libpng", None),
        ("pip", "dataloader install --cuda=12", None),
        ("pip --python", "dataloader install 'x<2'", "pip --python /e/bin/python install 'x<2'"),
        ("pip --python", "dataloader remove x", "pip --python /e/bin/python uninstall --yes x"),
        ("the system", "dataloader install 'x<2'", None),
        ("the system", "dataloader remove x", None),
        ("uv", "dataloader sync", None),
        ("uv", "unset LD_PRELOAD", "unset LD_PRELOAD"),
        ("dataloader", "dataloader install 'numpy<2'", None),
    ],
)
def test_command_for_a_tool(tool: Any, fix: str, command: str | None) -> None:
    assert command_for(fix, Maker(tool, Path("/e"))) == command


def test_a_venv_without_pip_is_mended_from_outside(shelf: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    run(f"{sys.executable} -m venv --without-pip {prefix}", shelf)
    maker = maker_of(prefix, "")

    run(command_for("dataloader install 'helper<2'", maker) or "", shelf)

    assert (prefix / SITE / "helper.py").read_text() == "V = '1.0'"


def test_pixi_is_told_its_project() -> None:
    maker = Maker("pixi", Path("/p/.pixi/envs/default"))

    assert command_for("dataloader install conda:f::x 'y<2'", maker) == (
        "pixi add --manifest-path /p x && pixi add --pypi --manifest-path /p 'y<2'"
    )


# -- what the reports carry, and what is judged of records -------------------------------------------------------------


def test_json_and_sarif_carry_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = make_prefix(tmp_path / "env")
    gone = make_library(tmp_path / "libgone.so.1", soname="libgone.so.1")
    paths = [f"pkg/part{number:02}.so" for number in range(30)]
    for path in paths:
        make_library(prefix / SITE / path, needs=[gone])
    register(prefix, "pkg", "1.0", paths=paths, files={"pkg/__init__.py": ""})
    gone.unlink()

    (finding,) = said(prefix, capsys)
    main(["verify", f"--prefix={prefix}", "--format=sarif"])
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]

    assert finding["files"] == [f"{SITE}/{path}" for path in paths]
    assert len(result["relatedLocations"]) == len(paths) - 1
    assert said(prefix, capsys) == [finding]  # as it was kept


@pytest.mark.parametrize(
    ("path", "same", "expected"),
    [("lib/libx.so.1", False, ["error"]), ("share/doc.txt", False, ["warning"]), ("lib/libx.so.1", True, [])],
)
def test_file_of_a_conda_package_that_lies_among_the_clobbered(
    tmp_path: Path, path: str, same: bool, expected: list[str]
) -> None:
    prefix = make_prefix(tmp_path / "env")
    lost = prefix / "__clobbers__/beta" / path
    for each, content in ((prefix / path, "a text"), (lost, "a text" if same else "another")):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text(content)
    register_conda(prefix, "alpha", "1.0", paths=[path])
    register_conda(prefix, "beta", "1.0", paths=[f"__clobbers__/beta/{path}"])

    found = [each for each in verify_prefix(prefix, target=detect_target()).findings if each.kind == "clobbered-path"]

    assert [each.severity for each in found] == expected
    assert all(each.message.startswith("alpha 1.0 and beta 1.0 both own") for each in found)


@pytest.mark.parametrize(
    ("plugin", "jaxlib", "expected"),
    [("0.5.0", "0.4.35", ["error"]), ("0.5.0", "0.5.0", []), ("0.5.0.post1", "0.5.0+cuda", []), ("0.5.1", None, [])],
)
def test_plugin_of_jax_must_have_its_version(
    tmp_path: Path, plugin: str, jaxlib: str | None, expected: list[str]
) -> None:
    prefix = make_prefix(tmp_path / "env")
    register(prefix, "jax-cuda12-plugin", plugin)
    if jaxlib:
        register(prefix, "jaxlib", jaxlib)

    found = verify_prefix(prefix, target=detect_target()).findings

    assert [each.severity for each in found if "jaxlib" in each.message] == expected
