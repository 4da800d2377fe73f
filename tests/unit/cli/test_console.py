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
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.base.errors import ExitCode, IntegrityError, UsageError
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.telling.bars import BarReporter
from dataloader.cli.telling.console import ErrorHandler, LineReporter, Style, known_error, wants_colour
from dataloader.cli.telling.fetching import Fetching
from dataloader.cli.telling.folding import folded
from dataloader.cli.telling.reporters import make_reporter

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


WHEEL = "pandas-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
CONDA = "ca-certificates-2025.10.5-hbd8a1cb_0.conda"
MIB = 1024 * 1024


def shown_until(stream: io.StringIO, text: str) -> None:
    """Wait until something is drawn."""
    until = time.monotonic() + 20
    while text not in stream.getvalue() and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("sized", [True, False])
def test_bars_fit_and_say_how_far_all_is(columns: int, sized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = _Terminal()
    with BarReporter(Style(progress=True), stream) as reporter:
        reporter.event("package", kind="pypi", package="kept", source="cache", bytes=5 * MIB)
        reporter.event("stage-started", stage="download", total=30, bytes=1900 * MIB if sized else None)
        reporter.event("stage-started", stage="download-conda", total=9, bytes=500 * MIB)
        reporter.start("unpack", "Unpacking wheels", None)
        reporter.advance("unpack", 3000 * MIB)  # that is not fetched
        for number in range(12):
            kind = "conda" if number < 3 else "pypi"
            reporter.event("package", kind=kind, package=f"part{number}", source="cache", bytes=70 * MIB)
        reporter.start(WHEEL, WHEEL, 1200 * MIB)
        reporter.advance(WHEEL, 600 * MIB)
        shown_until(stream, "of 2.3 GiB" if sized else "12 of 39  ")
        shown_until(stream, "0.6 of 1.2 GiB")
        reporter.finish(WHEEL)
        reporter.event("stage-finished", stage="download", ok=True)
        reporter.event("stage-finished", stage="download-conda", ok=True)

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").splitlines()
    assert max(map(len, shown)) <= columns
    assert not any("Unpacking" in line for line in shown)
    bars = [line for line in shown if line.startswith("pandas 2.1.0") and "0.6 of 1.2 GiB" in line]
    assert any("━" in line for line in bars), shown  # what is not filled has no sign without colour
    total = [line for line in shown if line.startswith("12 of 39 packages")]
    # 12 packages of 70 MiB that were there already, and 600 MiB of the wheel
    assert any(f" {'1.4 of 2.3 GiB' if sized else '12 of 39'}" in line for line in total), total


def test_without_a_terminal_a_line_every_few_seconds_says_how_far_all_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reporter, stream = lines()
    reporter.fetched = Fetching(lambda: now)
    reporter.event("stage-started", stage="download", total=3, bytes=1000 * MIB)
    reporter.start(WHEEL, WHEEL, 800 * MIB)
    reporter.start("small-1-py3-none-any.whl", "small-1-py3-none-any.whl", MIB)
    for _ in range(200):
        now += 0.1
        reporter.advance(WHEEL, 3 * MIB)
    reporter.event("package", kind="pypi", package="pandas", source="network", bytes=800 * MIB)
    reporter.event("stage-finished", stage="download", ok=True)

    told = [line for line in stream.getvalue().splitlines() if line.startswith("[INFO] fetched")]
    assert len(told) == 4
    assert told[0].startswith("[INFO] fetched 0 of 3 packages, 15")
    assert told[1].endswith("of 1000.0 MiB, 30.0 MiB/s, 23.3 s left (pandas 2.1.0: 300.0 of 800.0 MiB)"), told


def test_bars_show_bytes_and_rate_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = _Terminal()

    with BarReporter(Style(progress=True), stream) as reporter:
        reporter.start("a", "a.whl", 4 * MIB)
        reporter.advance("a", MIB)
        shown_until(stream, "1.0 of 4.0 MiB")
        reporter.info("said in between")
        reporter.finish("a")
        reporter.info("said after")

    text = stream.getvalue()
    assert "1.0 of 4.0 MiB" in text
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


@settings(max_examples=200)
@given(
    st.lists(st.text(st.sampled_from("ab `-:.[]"), max_size=60), max_size=4).map("\n".join),
    st.integers(24, 80),
)
def test_folded_text_has_the_same_words_and_fits_where_they_do(text: str, columns: int) -> None:
    told = folded(text, columns)
    assert told.split() == text.split()
    for line in told.split("\n"):
        if len(line) > columns:  # one word, or one command, behind what it hangs below
            assert " " not in re.sub(r"`[^`]*`", "", line.strip().removeprefix("- ")).strip(), line
    assert folded(text, None) == text


def test_a_terminal_hears_lines_that_fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"{'word ' * 30}`dataloader run -- python`"
    stream = io.StringIO()
    with LineReporter(Style(columns=60, colour=True), stream) as reporter:
        reporter.info(said)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert [line[:7] for line in shown] == ["[INFO] ", *[" " * 7] * (len(shown) - 1)]
    assert max(map(len, shown)) <= 60
    handled(UsageError(said, causes=(said,), suggestions=(said,)), Style(columns=60))
    assert max(map(len, capsys.readouterr().err.splitlines())) <= 60
