"""Calls left to other threads: in order, not far behind, and no error lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from dataloader.install.store import behind as behind_module
from dataloader.install.store.behind import Behind, Workers

FEW, MANY = Workers(1), Workers(-1)
WORTH_IT = behind_module._WORTH_IT


@pytest.mark.parametrize("workers", [FEW, MANY])
def test_calls_are_made_in_order(workers: Workers) -> None:
    done: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        behind = Behind(pool, workers)
        for number in range(2_000):
            behind.call(partial(done.append, number), WORTH_IT if number % 3 else 1)
        behind.finish()

    assert done == list(range(2_000))


def test_who_brings_more_than_fits_waits() -> None:
    gate, brought = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        behind = Behind(pool, FEW)
        behind.call(gate.wait, 3 << 20)

        def bring() -> None:
            behind.call(lambda: None, 3 << 20)
            brought.set()

        thread = threading.Thread(target=bring)
        thread.start()
        assert not brought.wait(0.1)
        gate.set()
        assert brought.wait(10)
        thread.join()
        behind.finish()


def test_one_that_is_larger_than_what_fits_comes_through() -> None:
    with ThreadPoolExecutor(1) as pool:
        behind = Behind(pool, FEW)
        for _ in range(3):
            behind.call(lambda: None, 1 << 30)
        behind.finish()


@pytest.mark.parametrize("workers", [FEW, MANY])
def test_an_error_comes_back_and_ends_the_rest(workers: Workers) -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("no")

    with ThreadPoolExecutor(1) as pool:
        behind = Behind(pool, workers)

        def go_on() -> None:
            behind.call(fail, WORTH_IT)
            while True:
                behind.call(partial(done.append, 1), 1 << 20)

        with pytest.raises(OSError, match="no"):
            go_on()
        with pytest.raises(OSError, match="no"):
            behind.finish()

    assert len(done) < 6


def test_what_is_dropped_is_not_called_any_more() -> None:
    done: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        behind = Behind(pool, FEW)
        behind.call(partial(time.sleep, 0.05), WORTH_IT)
        behind.call(partial(done.append, 1))
        behind.drop()
        time.sleep(0.05)

    assert done == []


def test_who_works_beside_many_makes_the_calls_itself_in_their_order() -> None:
    threads: list[int] = []
    workers = Workers(1)
    gate = threading.Event()

    def call() -> None:
        threads.append(threading.get_ident())

    with ThreadPoolExecutor(2) as pool, workers.one_more():
        behind = Behind(pool, workers)
        behind.call(gate.wait, WORTH_IT)
        with workers.one_more():
            behind.call(call, WORTH_IT)  # behind what waits for the gate: another's
            assert threads == []
            gate.set()
            behind.finish()
            behind.call(call, WORTH_IT)
        behind.call(call, WORTH_IT)
        behind.finish()

    own = threading.get_ident()
    assert [each == own for each in threads] == [False, True, False]


def test_a_small_call_is_left_to_nobody_but_who_is_at_work_already() -> None:
    threads: list[int] = []
    gate = threading.Event()

    def call() -> None:
        threads.append(threading.get_ident())

    with ThreadPoolExecutor(2) as pool:
        behind = Behind(pool, FEW)
        behind.call(call, 1)
        behind.call(gate.wait, WORTH_IT)
        behind.call(call, 1)
        gate.set()
        behind.finish()

    own = threading.get_ident()
    assert [each == own for each in threads] == [True, False]
