"""Programs of a prefix: each is really run before verify is asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dataloader.machine.detect import detect_target
from dataloader.verify import Finding, verify_prefix
from tests.helpers.elf import make_library, make_program, needs_gcc
from tests.helpers.prefixes import SITE, make_prefix, register, register_conda

pytestmark = needs_gcc

_CALLS = "extern int answer(void); int main(int n, char **v) { return n > 5 ? answer() : 0; }"
_POINTS = "extern int answer(void); int (*volatile at)(void) = answer; int main(void) { return at == 0; }"


def run(program: Path) -> tuple[int, str]:
    done = subprocess.run([program], capture_output=True, text=True, check=False, env={})
    return done.returncode, done.stderr


def findings(prefix: Path) -> list[Finding]:
    return list(verify_prefix(prefix, target=detect_target()).findings)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path / "env")


def build(prefix: Path, where: str, source: str, *flags: str) -> Path:
    """A program that needs ``libdep.so.5`` of the prefix's ``lib``."""
    dependency = make_library(prefix / "lib/libdep.so.5", "int answer(void) { return 0; }", soname="libdep.so.5")
    rpath = f"-Wl,-rpath,{prefix / 'lib'}"
    return make_program(prefix / where, source, flags=[str(dependency), "-Wl,--no-as-needed", rpath, *flags])


@pytest.mark.parametrize("where", ["bin/tool", "libexec/git-core/tool", f"{SITE}/pkg/bin/ptxas"])
def test_program_without_its_library_does_not_start(prefix: Path, where: str) -> None:
    program = build(prefix, where, _CALLS)
    if where.startswith("lib/"):
        register(prefix, "pkg", "1.0", paths=[where.removeprefix(f"{SITE}/")])
    else:
        register_conda(prefix, "tool", "1.0", paths=[where])
    assert run(program)[0] == 0
    assert findings(prefix) == []

    (prefix / "lib/libdep.so.5").unlink()

    assert run(program)[0] == 127
    (finding,) = findings(prefix)
    assert (finding.severity, finding.kind, finding.path) == ("error", "missing-library", where)
    assert "libdep.so.5" in finding.message


@pytest.mark.parametrize(
    ("source", "flags", "starts"),
    [
        (_CALLS, ["-Wl,-z,lazy"], True),
        (_CALLS, ["-Wl,-z,now"], False),
        (_POINTS, ["-Wl,-z,lazy"], False),
        (_CALLS, ["-Wl,-z,lazy", "-no-pie"], True),
        (_CALLS, ["-Wl,-z,now", "-no-pie"], False),
    ],
    ids=["lazy", "now", "a pointer", "lazy, at a fixed address", "now, at a fixed address"],
)
def test_missing_symbol_counts_where_it_is_looked_up_before_the_program_begins(
    prefix: Path, source: str, flags: list[str], starts: bool
) -> None:
    program = build(prefix, "bin/tool", source, *flags)
    register_conda(prefix, "tool", "1.0", paths=["bin/tool"])
    make_library(prefix / "lib/libdep.so.5", "int another;", soname="libdep.so.5")

    code, said = run(program)
    assert ((code == 0), "symbol lookup error" in said) == (starts, not starts)

    assert [(each.severity, each.kind) for each in findings(prefix)] == (
        [] if starts else [("error", "undefined-symbol")]
    )


def test_version_that_a_program_needs_is_checked_before_it_begins(prefix: Path) -> None:
    make_library(
        prefix / "lib/libdep.so.5", "int answer(void) { return 0; }", soname="libdep.so.5", versions="V2 { answer; };"
    )
    rpath = f"-Wl,-rpath,{prefix / 'lib'}"
    program = make_program(prefix / "bin/tool", _CALLS, flags=[str(prefix / "lib/libdep.so.5"), rpath])
    register_conda(prefix, "tool", "1.0", paths=["bin/tool"])
    assert (run(program)[0], findings(prefix)) == (0, [])

    make_library(
        prefix / "lib/libdep.so.5", "int answer(void) { return 0; }", soname="libdep.so.5", versions="V1 { answer; };"
    )

    assert "version `V2' not found" in run(program)[1]
    assert [(each.severity, each.kind) for each in findings(prefix)] == [("error", "version-not-provided")]


def test_program_for_a_loader_that_is_not_there_cannot_be_run(prefix: Path) -> None:
    program = make_program(
        prefix / "bin/tool", "int main(void) { return 0; }", flags=["-Wl,--dynamic-linker=/lib/ld-musl-none.so.1"]
    )
    register_conda(prefix, "tool", "1.0", paths=["bin/tool"])
    with pytest.raises(FileNotFoundError):
        run(program)

    (finding,) = findings(prefix)

    assert (finding.severity, finding.kind) == ("error", "missing-library")
    assert "/lib/ld-musl-none.so.1" in finding.message


def test_static_program_and_test_program_are_no_errors(prefix: Path) -> None:
    make_program(prefix / "bin/static", "int main(void) { return 0; }", flags=["-static"])
    program = build(prefix, f"{SITE}/pkg/tests/tool", _CALLS)
    paths = ["pkg/tests/tool"]
    register(prefix, "pkg", "1.0", paths=paths)
    (prefix / "lib/libdep.so.5").unlink()
    assert run(program)[0] == 127

    assert [each.severity for each in findings(prefix)] == ["note"]
