"""Other processes: a fork that answers, work beside, one that outlives us, another program of ours."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.process.beside import Beside, BesideInTwo
from dataloader.process.fork import fork
from dataloader.process.program import command_of
from dataloader.process.tuning import short_turns, without_collecting


@pytest.fixture
def alone() -> None:
    """No thread of another test is left: beside one there is no fork."""
    end = time.monotonic() + 5
    while threading.active_count() > 1 and time.monotonic() < end:
        time.sleep(0.05)
    if threading.active_count() > 1:
        pytest.skip(f"threads of other tests still run: {threading.enumerate()[1:]}")


def leaves_no_child(code: str) -> bool:
    """Whether a process of its own has no child behind some code: this one has others, of other tests."""
    ask = "import os\ntry: os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError: print('none')"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{ask}"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout == "none\n"


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("answer", [True, False])
def test_a_fork_ends_as_its_job_says(answer: bool) -> None:
    child = fork(lambda: answer)

    assert child
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if answer else 1)


@pytest.mark.usefixtures("alone")
def test_a_job_that_fails_says_no() -> None:
    child = fork(lambda: bool(1 // 0))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_there_is_no_fork_beside_threads() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert fork(lambda: True) == 0
    finally:
        stop.set()
        thread.join()


@pytest.mark.usefixtures("alone")
def test_work_is_done_by_another_process() -> None:
    with Beside(os.getpid) as beside:
        assert beside.result() != os.getpid()


@pytest.mark.usefixtures("alone")
def test_work_that_is_lost_there_is_done_here() -> None:
    here = os.getpid()

    def job() -> str:
        if os.getpid() != here:
            os._exit(3)
        return "here"

    with Beside(job) as beside:
        assert beside.result() == "here"


def test_work_that_nobody_asks_for_is_waited_for() -> None:
    code = "from dataloader.process.beside import Beside\nwith Beside(lambda: b'x' * (1 << 20)): pass"

    assert leaves_no_child(code)


@pytest.mark.usefixtures("alone")
def test_a_second_value_is_computed_while_the_first_lies_in_the_pipe() -> None:
    much = b"x" * (1 << 22)  # more than a pipe holds

    def job() -> tuple[bytes, Callable[[], tuple[int, float]]]:
        return much, lambda: (os.getpid(), time.monotonic())

    with BesideInTwo(job) as beside:
        time.sleep(1)
        asked = time.monotonic()
        assert beside.first() == much
        who, ready = beside.second()
        assert who != os.getpid()
        assert ready < asked


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("lost", ["first", "second", "neither"])
def test_either_of_two_values_is_computed_here_where_it_is_lost(lost: str) -> None:
    here = os.getpid()

    def told(value: str) -> str:
        if os.getpid() != here and value == lost:
            os._exit(3)
        return value

    with BesideInTwo(lambda: (told("first"), lambda: told("second"))) as beside:
        assert (beside.first(), beside.second()) == ("first", "second")


def test_two_values_beside_threads_are_computed_here() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with BesideInTwo(lambda: (os.getpid(), os.getpid)) as beside:
            assert (beside.first(), beside.second()) == (os.getpid(), os.getpid())
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("heard", ["", "beside.first()"])
def test_a_second_value_that_nobody_asks_for_is_waited_for(heard: str) -> None:
    job = "lambda: (b'x' * (1 << 20), lambda: b'y' * (1 << 20))"

    assert leaves_no_child(
        f"from dataloader.process.beside import BesideInTwo\nwith BesideInTwo({job}) as beside: {heard or 'pass'}"
    )


def test_a_detached_process_is_no_child_and_has_nothing_of_ours_open(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = (
        "import os, sys, pathlib; place = pathlib.Path(sys.argv[1]); part = place.with_name('part');"
        "part.write_text(f'{os.getcwd()} {len(os.listdir(\"/proc/self/fd\"))}');"
        "part.rename(place)"
    )
    command = [sys.executable, "-c", program, str(told)]
    opened = "import os\nos.set_inheritable(os.open('/', os.O_RDONLY), True)"
    code = f"{opened}\nfrom dataloader.process.detached import start_detached\nstart_detached({command!r})"

    assert leaves_no_child(code)
    until = time.monotonic() + 30
    while not told.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert told.read_text() == "/ 4"  # the three streams, and the listing itself


def test_a_program_of_ours_finds_its_modules() -> None:
    done = subprocess.run(
        command_of("dataloader.process.leaving", "x"), capture_output=True, text=True, cwd="/", check=False
    )

    assert "cannot import name 'main'" in done.stderr


def test_settings_are_put_back() -> None:
    before = sys.getswitchinterval(), gc.isenabled()
    with short_turns(), without_collecting():
        assert (sys.getswitchinterval(), gc.isenabled()) != before

    assert (sys.getswitchinterval(), gc.isenabled()) == before
