"""`cache serve`: peers get what a lock names from one machine, and go to the origin when it is gone."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dataloader.cli.clusters.serve import _advice
from dataloader.install.store.serving import Served, Server, _range, path_of
from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

PEERS = 4


def environ_of(cache: Path, index: IndexServer) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATALOADER", "PIP_"))}
    more = {"DATALOADER_CACHE_DIR": str(cache), "DATALOADER_INDEX_URL": index.index_url, "DATALOADER_CONDA": "never"}
    return {**kept, **more, "PIP_CONFIG_FILE": "/dev/null"}


@contextmanager
def serving(here: Path, index: IndexServer) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "dataloader", "cache", "serve", "--listen", "127.0.0.1:0", "--json"]
    environ = {**environ_of(here / "origin-cache", index), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=here, text=True, env=environ)
    assert process.stdout is not None
    try:
        text = ""
        for line in process.stdout:
            text += line
            if line.startswith("}"):
                break
        yield json.loads(text), process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.mark.slow
def test_each_byte_leaves_the_origin_once_and_nobody_fails_when_the_server_is_killed(tmp_path: Path) -> None:
    for number in range(4):
        make_wheel(tmp_path / "wheels", f"part{number}", "1.0", files={f"part{number}.py": "x = 1\n" * 20000})
    with IndexServer(tmp_path / "wheels") as index:

        def run(cache: str, *words: str) -> None:
            environ = environ_of(tmp_path / cache, index)
            done = run_command(*words, cwd=tmp_path, env=environ)
            assert done.returncode == 0, done.stdout + done.stderr

        run("first-cache", "lock", *(f"part{number}" for number in range(4)))
        index.requests.clear()

        def fetched() -> list[str]:
            return sorted(seen.path for seen in index.requests if seen.path.endswith(".whl") and seen.method == "GET")

        with serving(tmp_path, index) as (document, process):
            mirrors = [word for each in document["mirrors"] for word in ("--mirror", each)]

            def peer(number: int) -> None:
                run(f"cache-{number}", "sync", "--frozen", "-p", f"env-{number}", *mirrors)

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(peer, range(PEERS)))
            once = fetched()
            assert len(once) == len(set(once)) == 4
            assert all((tmp_path / f"env-{number}/pyvenv.cfg").is_file() for number in range(PEERS))

            process.send_signal(signal.SIGKILL)
            process.wait(10)
            peer(PEERS)  # from the origin
            assert len(fetched()) == 8


CLIENTS = int(os.environ.get("CLIENTS", "4"))
"""Peers that fetch when the server is killed; `nox -s clients` has 50."""


@pytest.mark.slow
def test_nobody_fails_when_the_server_is_killed_while_all_fetch(tmp_path: Path) -> None:
    size = 24 << 20  # more than sockets hold
    make_wheel(tmp_path / "wheels", "large", "1.0", files={"large/data.bin": os.urandom(size)})
    with IndexServer(tmp_path / "wheels") as index:

        def start(cache: str, *words: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "dataloader", *words]
            environ = environ_of(tmp_path / cache, index)
            return subprocess.Popen(
                command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )

        def run(cache: str, *words: str) -> None:
            process = start(cache, *words)
            said = process.communicate()[1]
            assert process.returncode == 0, said

        run("first-cache", "lock", "large")
        with serving(tmp_path, index) as (document, server):
            mirrors = [word for each in document["mirrors"] for word in ("--mirror", each)]
            run("warm", "sync", "--frozen", "-p", "env-warm", *mirrors)  # the server has it now
            index.requests.clear()
            more = ["--no-verify", "--limit-rate", "6000k"]
            clients = [
                start(f"cache-{number}", "sync", "--frozen", "-p", f"env-{number}", *mirrors, *more)
                for number in range(CLIENTS)
            ]
            while len(list(tmp_path.glob("cache-*/downloads/*.part"))) < CLIENTS // 2:
                assert all(client.poll() in (None, 0) for client in clients)
                time.sleep(0.05)
            assert not [seen for seen in index.requests if seen.path.endswith(".whl")]
            server.send_signal(signal.SIGKILL)
            said = [client.communicate()[1] for client in clients]
    assert [text for text, client in zip(said, clients, strict=True) if client.returncode] == []
    assert all((tmp_path / f"env-{number}/pyvenv.cfg").is_file() for number in range(CLIENTS))
    at_origin = [seen for seen in index.requests if seen.path.endswith(".whl") and seen.method == "GET"]
    assert at_origin


def test_without_an_address_of_a_network_no_mirror_is_advised() -> None:
    assert _advice("http://h:1", []).endswith("http://h:1/sha256/HASH")
    assert _advice("http://h:1", ["a=b", "c=d"]).splitlines() == ["peers say", "  --mirror a=b", "  --mirror c=d"]


def get(server: Server, path: str, **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def test_only_what_is_named_is_served_and_in_parts_too(tmp_path: Path) -> None:
    import threading

    data = os.urandom(100_000)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "secret").write_text("s")
    files = {"/sha256/ab": Served("ab", tmp_path / "a"), "/https/h.test/x+1.whl": Served("ab", tmp_path / "a"),
             "/gone": Served("cd", tmp_path / "gone")}  # fmt: skip
    with Server("127.0.0.1", 0, files) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            assert get(server, "/sha256/ab")[:2] == (200, data)
            assert get(server, "/https/h.test/x%2B1.whl")[1] == data
            status, part, headers = get(server, "/sha256/ab", Range="bytes=99990-")
            assert (status, part, headers["Content-Range"]) == (206, data[-10:], "bytes 99990-99999/100000")
            assert get(server, "/sha256/ab", Range="bytes=-5")[1] == data[-5:]
            assert get(server, "/sha256/ab", Range="bytes=100000-")[0] == 416
            for path in ("/gone", "/", "/secret", "/../secret", "/sha256/../secret", "//etc/passwd"):
                assert get(server, path)[0] == 404
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("said", "part"),
    [(None, (0, 10)), ("bytes=2-4", (2, 5)), ("bytes=2-40", (2, 10)), ("bytes=-", (0, 10)), ("lines=1-2", (0, 10)),
     ("bytes=0-1,4-5", (0, 10)), ("bytes=-3", (7, 10)), ("bytes=-30", (0, 10))],
)  # fmt: skip
def test_ranges(said: str | None, part: tuple[int, int]) -> None:
    assert _range(said, 10) == part


def test_an_address_is_a_path_without_its_login() -> None:
    assert path_of("http://me:pw@h.test:81/a/b%20c.whl#sha256=1") == "/http/h.test:81/a/b c.whl"
