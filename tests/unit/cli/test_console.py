"""Lines, bars, and the one error handler."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataloader.base.errors import ExitCode, IntegrityError
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.telling.bars import BarReporter
from dataloader.cli.telling.console import (
    ErrorHandler,
    LineReporter,
    Style,
    known_error,
    make_reporter,
    wants_colour,
)

SECRET = "https://me:hush-hush@example.org/simple"


def lines(verbosity: int = 0) -> tuple[LineReporter, io.StringIO]:
    stream = io.StringIO()
    return LineReporter(Style(verbosity=verbosity), stream), stream


@pytest.mark.parametrize(
    ("verbosity", "levels"),
    [(1, ["INFO", "WARN", "DEBUG"]), (0, ["INFO", "WARN"]), (-1, ["WARN"]), (-2, [])],
)
def test_verbosity_chooses_what_is_said(verbosity: int, levels: list[str]) -> None:
    reporter, stream = lines(verbosity)

    reporter.info("a")
    reporter.warn("b")
    reporter.debug("c")

    assert [line.split("]")[0].strip("[") for line in stream.getvalue().splitlines()] == levels


def test_stages_and_large_downloads_are_one_line_each() -> None:
    reporter, stream = lines()

    reporter.start("link", "Linking 40 packages", 40, "packages")
    reporter.start("torch", "torch-2.1.0.whl", 800 * 1024 * 1024)
    reporter.start("small", "small.whl", 1000)
    for task in ("small", "torch", "link", "never-started"):
        reporter.advance(task, 10)
        reporter.finish(task)

    assert stream.getvalue() == "[INFO] Linking 40 packages\n[INFO] torch-2.1.0.whl (800.0 MiB)\n"


def test_what_took_over_a_second_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, stream = lines()
    now = iter([0.0, 2.5])
    monkeypatch.setattr("dataloader.cli.telling.console.time.monotonic", lambda: next(now))

    reporter.start("a", "a.whl", 2048)
    reporter.advance("a", 2048)
    reporter.finish("a")

    assert stream.getvalue() == "[INFO] a.whl: 2.0 KiB in 2.5 s\n"


def test_secrets_never_reach_a_line() -> None:
    reporter, stream = lines()

    reporter.warn(f"{SECRET} is slow")

    assert "hush" not in stream.getvalue()


@pytest.mark.parametrize(
    ("flag", "environ", "terminal", "colour"),
    [
        (None, {}, True, True),
        (None, {}, False, False),
        (None, {"NO_COLOR": "1"}, True, False),
        (None, {"NO_COLOR": ""}, True, True),
        (None, {"FORCE_COLOR": "1"}, False, True),
        (None, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        (True, {"NO_COLOR": "1"}, False, True),
        (False, {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_decided_by_flag_then_environment_then_terminal(
    flag: bool | None, environ: dict[str, str], terminal: bool, colour: bool
) -> None:
    assert wants_colour(flag, environ, terminal=terminal) is colour


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "quiet", "bars"),
    [
        ({"TERM": "xterm"}, 0, True),
        ({"TERM": "xterm", "CI": "1"}, 0, False),
        ({"TERM": "dumb"}, 0, False),
        ({}, 1, False),
    ],
)
def test_bars_are_drawn_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], quiet: int, bars: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", _Terminal())

    style = Style.of(CommonOptions(quiet=quiet), environ)

    assert isinstance(make_reporter(style), BarReporter) is bars


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_bars_fit_and_say_how_far_all_is(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = _Terminal()
    with BarReporter(Style(progress=True), stream) as reporter:
        reporter.event("package", kind="pypi", package="kept")
        reporter.event("stage-started", stage="download", total=39, unit="packages")
        for number in range(12):
            reporter.event("package", kind="pypi", package=f"part{number}")
        name = "pandas-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
        reporter.start(name, name, 12 * 1024 * 1024)
        reporter.advance(name, 5 * 1024 * 1024)
        until = time.monotonic() + 20
        while "5.0 MiB/12.0 MiB" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.02)
        reporter.finish(name)
        reporter.event("stage-finished", stage="download", ok=True)

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").splitlines()
    assert max(map(len, shown)) <= columns
    bars = [line for line in shown if line.startswith("pandas 2.1.0") and "5.0 MiB/12.0 MiB" in line]
    assert any(line.count("━") >= 3 for line in bars), shown  # what is not filled has no sign without colour
    assert [line for line in shown if line.startswith("wheels fetched") and " 12/39 " in line], shown


def test_bars_show_bytes_and_rate_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()

    with BarReporter(Style(progress=True), stream) as reporter:
        reporter.start("a", "a.whl", 4 * 1024 * 1024)
        reporter.advance("a", 1024 * 1024)
        until = time.monotonic() + 5
        while "1.0 MiB/4.0 MiB" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.02)
        reporter.info("said in between")
        reporter.finish("a")
        reporter.info("said after")

    text = stream.getvalue()
    assert "1.0 MiB/4.0 MiB" in text
    assert "[INFO] said in between" in text
    assert text.endswith("[INFO] said after\n")


def handled(error: BaseException, style: Style | None = None) -> int:
    handler = ErrorHandler(style or Style())
    with handler:
        raise error
    return handler.code


def test_our_errors_become_their_exit_code_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    code = handled(IntegrityError(f"{SECRET} was tampered with"))

    out, err = capsys.readouterr()
    assert (code, out) == (ExitCode.INTEGRITY, "")
    assert err.startswith("error[integrity]: https://****@example.org/simple was tampered with\n")


def test_under_json_a_failure_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    handled(IntegrityError(SECRET), Style(json=True))

    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "version": 1,
        "status": "error",
        "error": {"code": "integrity", "message": "https://****@example.org/simple", "causes": [], "suggestions": []},
    }
    assert "error[integrity]" in err


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), ExitCode.RETRY, "disk-full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), ExitCode.RETRY, "disk-full"),
        (PermissionError(errno.EACCES, "Permission denied", "/opt/x"), ExitCode.USAGE, "permission-denied"),
        (OSError(errno.EROFS, "Read-only file system", "/opt/x"), ExitCode.USAGE, "permission-denied"),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            ExitCode.USAGE,
            "permission-denied",
        ),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
        (RuntimeError("boom"), ExitCode.BUG, "internal-error"),
    ],
)
def test_foreign_errors_are_said_in_our_terms(
    error: BaseException, code: ExitCode, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert handled(error) == code

    err = capsys.readouterr().err
    assert err.startswith(f"error[{name}]: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize("name", ["made", ".made.0123456789abcdef.tmp", b"made\xff"])
@pytest.mark.parametrize("is_there", [True, False])
def test_who_may_not_write_reads_of_a_place_that_is_there(
    number: int, name: str | bytes, is_there: bool, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(name)
    if is_there:
        path.touch()
    told = os.fsencode(path) if isinstance(name, bytes) else str(path)
    error = known_error(OSError(number, os.strerror(number), told))

    assert error is not None
    assert error.code == "permission-denied"
    assert error.suggestions
    assert ("nothing can be written in" in error.message) is not is_there
    assert str(tmp_path) in error.message
    assert (".tmp" in error.message) is (is_there and ".tmp" in str(name))


def test_an_interrupt_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    handled(KeyboardInterrupt())

    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_leaves_its_traceback_in_a_file_without_secrets(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    handled(RuntimeError(f"no {SECRET}"))

    (log,) = tmp_path.iterdir()
    assert str(log) in capsys.readouterr().err
    assert "Traceback" in log.read_text()
    assert "hush" not in log.read_text()


def test_twice_verbose_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    handled(IntegrityError("x"), Style(verbosity=2))

    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_error() -> None:
    script = "import sys\nfrom dataloader.__main__ import main\nsys.argv = ['dataloader', 'info']\nmain()\n"

    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "$0" | true; echo ${{PIPESTATUS[0]}}', script],
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout.strip(), done.stderr) == ("0", "")
