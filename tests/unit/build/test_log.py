"""Logs of builds that failed, as compilers and backends write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader.build.log import decisive, end_of, meaning


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("Backend 'flit_core.buildapi' is not available.", "the build backend flit_core.buildapi"),
        ("ModuleNotFoundError: No module named 'numpy'", "its build imports numpy"),
        ("ModuleNotFoundError: No module named 'torch.utils'", "its build imports torch"),
        ("ModuleNotFoundError: No module named 'distutils.core'", "it needs distutils"),
        ("x.c:1:10: fatal error: Python.h: No such file or directory", "no headers"),
        ("x.c:1:10: fatal error: 'Python.h' file not found", "no headers"),
        ("x.c:1:10: fatal error: 'libpq-fe.h' file not found", "the header libpq-fe.h is not"),
        ("/usr/bin/ld: cannot find -lz: No such file or directory", "the library z is not"),
        ("/usr/bin/ld: cannot find -lcudart: No such file or directory", "cudart of CUDA"),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "compiler x86_64-linux-gnu-gcc"),
        ("unable to execute 'gcc': No such file or directory", "compiler gcc"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'g++'", "compiler g++"),
        ("CMake Error: No CMAKE_CXX_COMPILER could be found.", "compiler CMAKE_CXX_COMPILER"),
        ("meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc']]", "compiler cc"),
        ("OSError: CUDA_HOME environment variable is not set.", "CUDA toolkit"),
        ("    arch_list[-1] += '+PTX'\nIndexError: list index out of range", "which GPUs"),
        ("error: can't find Rust compiler", "Rust"),
        ("g++: fatal error: Killed signal terminated program cc1plus", "out of memory"),
    ],
)
def test_known_causes_are_said_in_our_terms(log: str, told: str) -> None:
    known = meaning(f"running build_ext\n{log}\nexit status 1\n", "demo")

    assert known is not None
    assert told in known[0]
    assert known[1]
    assert log.splitlines()[-1] in decisive(f"running build_ext\n{log}\nexit status 1\n")


@given(st.text())
def test_any_log_is_read(log: str) -> None:
    meaning(log, "demo")
    assert all(line in log for line in decisive(log))
    assert bool(decisive(log)) == bool(log.split())


def test_of_a_long_log_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert end_of(log) == ""
    log.write_text("\u00e9" * (1 << 20) + "\nerror: here\n")
    assert len(end_of(log)) <= 1 << 20
    assert decisive(end_of(log)) == ("error: here",)


def test_nothing_is_guessed() -> None:
    assert meaning("error: something else", "demo") is None
    assert decisive("one\ntwo\n\nthree\n") == ("one", "two", "three")
