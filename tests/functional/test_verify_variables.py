"""Variables of the process: each case is really imported with and without them before verify is asked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from dataloader.cli.app import main
from dataloader.machine.detect import detect_target
from dataloader.prefix.scripts import after_script
from dataloader.verify import Finding, VerifyOptions, verify_prefix
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, module_source, register

pytestmark = needs_gcc

_GOOD, _LESSER = "int answer(void) { return 42; }", "int another(void) { return 0; }"


def install(prefix: Path, tag: str = "runpath") -> None:
    """A package whose module finds a library of its own by RUNPATH or RPATH."""
    site = prefix / SITE
    dependency = make_library(site / "pkg.libs/libdep.so.1", _GOOD, soname="libdep.so.1")
    paths = ["pkg.libs/libdep.so.1", f"pkg/_ext{EXTENSION}"]
    source = "extern int answer(void);" + module_source("_ext", "answer();")
    make_library(site / paths[1], source, needs=[dependency], **{tag: "$ORIGIN/../pkg.libs"})
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": "from . import _ext"}, paths=paths)


def imports(prefix: Path, variables: Mapping[str, str]) -> bool:
    """Whether the package can be imported by a process with these variables."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "PYTHON"))}
    command = [str(prefix / "bin/python"), "-I", "-c", "import pkg"]
    done = subprocess.run(command, env={**environ, **variables}, capture_output=True, check=False, cwd=prefix)
    return done.returncode == 0


def findings(prefix: Path, variables: Mapping[str, str]) -> tuple[Finding, ...]:
    options = VerifyOptions(variables=tuple(variables.items()), variables_of="this shell")
    return verify_prefix(prefix, target=detect_target(), options=options).findings


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path / "env")


@pytest.mark.parametrize("variable", ["LD_LIBRARY_PATH", "LD_PRELOAD"])
@pytest.mark.parametrize(
    ("tag", "source", "works", "expected"),
    [
        ("runpath", _LESSER, False, ["error"]),
        ("runpath", _GOOD + " int more;", True, ["warning"]),
        ("rpath", _LESSER, False, ["error"]),
    ],
    ids=["a lesser one", "another one", "a lesser one, RPATH"],
)
def test_library_that_a_variable_puts_in_the_place_of_the_environment_s(
    prefix: Path, tmp_path: Path, variable: str, tag: str, source: str, works: bool, expected: list[str]
) -> None:
    install(prefix, tag)
    other = make_library(tmp_path / "old/libdep.so.1", source, soname="libdep.so.1")
    variables = {variable: str(other if variable == "LD_PRELOAD" else other.parent)}
    if tag == "rpath" and variable == "LD_LIBRARY_PATH":
        works, expected = True, []  # a DT_RPATH comes before the variable
    assert imports(prefix, {})
    assert imports(prefix, variables) is works

    found = findings(prefix, variables)

    assert [each.severity for each in found] == expected
    assert {each.kind for each in found} <= {"library-path-takes-over"}
    assert all(each.fix == f"unset {variable}" and str(other) in each.message for each in found)
    assert findings(prefix, {}) == ()


def test_variable_that_changes_nothing_is_no_finding(prefix: Path, tmp_path: Path) -> None:
    install(prefix)
    (tmp_path / "empty").mkdir()
    same = tmp_path / "same"
    same.mkdir()
    (same / "libdep.so.1").write_bytes((prefix / SITE / "pkg.libs/libdep.so.1").read_bytes())
    make_library(tmp_path / "more/libunused.so.1", "int unused;", soname="libunused.so.1")

    for variables in (
        {"LD_LIBRARY_PATH": f"{tmp_path}/empty:/nowhere::relative"},
        {"LD_LIBRARY_PATH": f"{tmp_path}/more"},
        {"LD_PRELOAD": "/nowhere/libgone.so libgone.so.2"},
        {"LD_LIBRARY_PATH": f"{prefix / SITE}/pkg.libs"},
    ):
        assert imports(prefix, variables)
        assert findings(prefix, variables) == ()


def test_what_loads_only_thanks_to_a_variable_is_noted(prefix: Path) -> None:
    install(prefix)
    module = prefix / SITE / f"pkg/_ext{EXTENSION}"
    source = "extern int answer(void);" + module_source("_ext", "answer();")
    make_library(module, source, needs=[prefix / SITE / "pkg.libs/libdep.so.1"])
    variables = {"LD_LIBRARY_PATH": f"{prefix / SITE}/pkg.libs"}
    assert (imports(prefix, variables), imports(prefix, {})) == (True, False)
    options = VerifyOptions(hashes=False, variables=tuple(variables.items()))

    found = verify_prefix(prefix, target=detect_target(), options=options).findings

    assert [(each.severity, each.kind) for each in found if each.kind != "file-changed"] == [
        ("note", "needs-library-path")
    ]
    bare = verify_prefix(prefix, target=detect_target(), options=VerifyOptions(hashes=False))
    assert "missing-library" in [each.kind for each in bare.findings]


def test_the_command_heeds_this_shell_and_can_be_told_otherwise(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(prefix)
    other = make_library(tmp_path / "old/libdep.so.1", _LESSER, soname="libdep.so.1").parent
    asked = ["verify", f"--prefix={prefix}", "--json"]

    def said(*more: str) -> tuple[int, str]:
        code = main([*asked, *more])
        return code, json.loads(capsys.readouterr().out)["process"]

    assert said() == (0, "")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(other))
    for _ in range(2):  # the second is the answer of the first
        assert said() == (1, f"LD_LIBRARY_PATH={other} (this shell; --no-env leaves it out)")
    assert said("--no-env") == (0, "")
    monkeypatch.delenv("LD_LIBRARY_PATH")
    assert said() == (0, "")
    assert said("--env", f"LD_LIBRARY_PATH={other}")[0] == 1
    assert main([*asked, "--env", "HOME"]) == 2


def test_target_file_says_the_variables_of_its_pool(
    prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(prefix)
    other = make_library(tmp_path / "old/libdep.so.1", _LESSER, soname="libdep.so.1").parent
    monkeypatch.setenv("LD_LIBRARY_PATH", str(other))  # not that pool's
    file = tmp_path / "pool.toml"
    codes = []
    for block in ("", f'[environment]\nLD_LIBRARY_PATH = "{other}"\n'):
        file.write_text(f'name = "a"\nglibc = "2.31"\nlibstdcxx = "3.4.28"\n{block}')
        codes.append(main(["verify", f"--prefix={prefix}", f"--target={file}"]))
        capsys.readouterr()

    assert codes == [0, 1]


@pytest.mark.parametrize(
    ("script", "expected", "unknown"),
    [
        ('export LD_LIBRARY_PATH="$CONDA_PREFIX/lib"', "/e/lib", False),
        ("export LD_LIBRARY_PATH=${CONDA_PREFIX}/a:${LD_LIBRARY_PATH}", "/e/a:/old", False),
        (
            "LD_LIBRARY_PATH=/a${LD_LIBRARY_PATH:+:${LD_LIBRARY_PATH}}\nexport LD_LIBRARY_PATH",
            "/a:/old",
            False,
        ),
        ("export X=/opt; \nexport LD_LIBRARY_PATH=$X/lib:${Y:-/y} # why", "/opt/lib:/y", False),
        ("export LD_LIBRARY_PATH='/a b'", "/a b", False),
        ("if [ -d /x ]; then\n  export LD_LIBRARY_PATH=/x\nfi", "/old", True),
        ("export LD_LIBRARY_PATH=$(dirname $0)/lib", "/old", True),
        ("f() {\n  LD_LIBRARY_PATH=/x\n}\nf", "/old", True),
        ("unset LD_LIBRARY_PATH", "/old", True),
        ("echo LD_LIBRARY_PATH", "/old", False),
    ],
)
def test_activation_script_is_read_as_bash_would_leave_it(script: str, expected: str, unknown: bool) -> None:
    start = {"CONDA_PREFIX": "/e", "LD_LIBRARY_PATH": "/old"}

    after, unread = after_script(script, start)

    assert (after["LD_LIBRARY_PATH"], bool(unread)) == (expected, unknown)
    if not unknown:
        done = subprocess.run(
            ["bash", "-c", f'{script}\necho "=$LD_LIBRARY_PATH"'], env=start, capture_output=True, text=True, check=True
        )
        assert done.stdout.rpartition("=")[2] == f"{expected}\n"


def test_activation_of_a_conda_environment_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix)
    (prefix / "conda-meta").mkdir()
    make_library(prefix / "compat/libdep.so.1", _LESSER, soname="libdep.so.1")
    folder = prefix / "etc/conda/activate.d"
    folder.mkdir(parents=True)
    (folder / "a.sh").write_text('export LD_LIBRARY_PATH="$CONDA_PREFIX/compat"\n')
    assert not imports(prefix, {"LD_LIBRARY_PATH": f"{prefix}/compat"})

    assert main(["verify", f"--prefix={prefix}", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)

    assert "activation" in found["process"]
    assert [each["kind"] for each in found["findings"] if each["severity"] == "error"] == ["library-path-takes-over"]
    assert main(["verify", f"--prefix={prefix}", "--no-env"]) == 0


def oci_layout(folder: Path, config: dict[str, object]) -> Path:
    """An image layout with one image of this configuration, behind an index of its own."""

    def blob(document: object) -> dict[str, object]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (folder / "blobs/sha256" / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifest = blob({"schemaVersion": 2, "config": blob(config), "layers": []})
    other = {**manifest, "platform": {"architecture": "s390x", "os": "linux"}}
    index = blob({"schemaVersion": 2, "manifests": [manifest, other]})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
    return folder


@pytest.mark.parametrize("form", ["config", "inspect", "layout"])
def test_the_variables_of_an_image_count_alone(
    form: str, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(prefix)
    other = make_library(tmp_path / "old/libdep.so.1", _LESSER, soname="libdep.so.1").parent
    env = ["PATH=/usr/bin", f"LD_LIBRARY_PATH={other}"]
    config: dict[str, object] = {"os": "linux", "config": {"Env": env}, "rootfs": {}}
    image = tmp_path / "image"
    if form == "layout":
        oci_layout(image, config)
    else:
        image.write_text(json.dumps(config if form == "config" else [{"Id": "x", "Config": {"Env": env}}]))
    asked = ["verify", f"--prefix={prefix}", "--json", "--env-from", str(image)]

    monkeypatch.setenv("LD_PRELOAD", "/gone/libnothing.so")
    for _ in range(2):
        assert main(asked) == 1
        said = json.loads(capsys.readouterr().out)
        assert said["process"] == f"LD_LIBRARY_PATH={other} (the image image)"
        assert [each["kind"] for each in said["findings"]] == ["library-path-takes-over"]
    assert main([*asked, "--env", f"LD_LIBRARY_PATH={tmp_path}"]) == 0
    assert main([*asked, "--no-env"]) == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {"Env": 1}}', "[1]", "null"])
def test_what_is_no_image_is_refused(
    text: str, prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image.json").write_text(text)

    assert main(["verify", f"--prefix={prefix}", "--env-from", str(tmp_path / "image.json")]) == 2
    assert "image-config-invalid" in capsys.readouterr().err


def test_activation_of_a_pixi_manifest_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = make_prefix(tmp_path / ".pixi/envs/default")
    install(prefix)
    make_library(tmp_path / "old/libdep.so.1", _LESSER, soname="libdep.so.1")
    manifest = tmp_path / "pixi.toml"
    head = '[workspace]\nname = "x"\nchannels = []\nplatforms = ["linux-64"]\n'
    asked = ["verify", f"--prefix={prefix}", "--json"]

    def kinds() -> list[str]:
        main(asked)
        return [each["kind"] for each in json.loads(capsys.readouterr().out)["findings"]]

    manifest.write_text(head)
    assert kinds() == []
    manifest.write_text(f'{head}[activation.env]\nLD_LIBRARY_PATH = "$PIXI_PROJECT_ROOT/old"\n')
    for _ in range(2):
        assert kinds() == ["library-path-takes-over"]
    manifest.write_text(head)
    assert kinds() == []
    manifest.write_text("[")
    assert kinds() == ["activation-not-followed"]
