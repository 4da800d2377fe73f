"""Command lines of ours, each in a process of its own that begins with the program imported.

    done = run_command("lock", "six", cwd=folder)       # as subprocess.run(..., capture_output=True, text=True)

Importing is most of what a command does that has little to do: 0.3 s of 0.45. One process imports everything once, and
is forked for each command line; what a command leaves behind, in variables, caches or signals, ends with it.
What the interpreter reads of the environment when it starts is not read again: a command whose environment differs
there, or that is to have hashes of its own (``fresh``), is started as users start it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).parents[2]
_OF_THE_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "OPENSSL_")
"""How variables begin that an interpreter, or a library of it, reads once."""


def run_command(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text: str | None = None,
    fresh: bool = False,
    room: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end.

    Args:
        arguments: What comes after ``dataloader``.
        cwd: Where it runs; here.
        env: All of its environment; this process's.
        text: Its standard input.
        fresh: Start an interpreter for it.
        room: Bytes of memory that it may have.
    """
    env = os.environ if env is None else env
    if fresh or _of_the_start(env) != _START:
        assert room is None
        command = [sys.executable, "-m", "dataloader", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, input=text, check=False)
    request = {"arguments": arguments, "cwd": str(cwd or Path.cwd()), "env": dict(env), "room": room}
    files = [_memory(json.dumps(request)), _memory(text or ""), _memory(""), _memory("")]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(_server())
        socket.send_fds(connection, [b"run"], files)
        status = int(connection.recv(16))
    out, err = (_content(file) for file in files[2:])
    for file in files:
        os.close(file)
    return subprocess.CompletedProcess(["dataloader", *arguments], status, out, err)


def _of_the_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_OF_THE_START)}


_CLEANED = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH"}
"""Of those, what tests/conftest.py takes out of every test's world."""
_START = {name: value for name, value in _of_the_start(os.environ).items() if name not in _CLEANED}


def _memory(content: str) -> int:
    file = os.memfd_create("of a command")
    os.write(file, content.encode(errors="surrogateescape"))
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _content(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    with open(file, encoding="utf-8", errors="surrogateescape", closefd=False) as stream:
        return stream.read()


def program(folder: Path, name: str = "dataloader") -> Path:
    """Write a program that hands its command line on, for scripts that run ``dataloader``; ``folder`` is for PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!{sys.executable} -IS\nSERVER = {_server()!r}\n{_CLIENT}")
    file.chmod(0o755)
    return file


_CLIENT = """
import json, os, socket, sys
request = os.memfd_create("request")
asked = {"arguments": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "room": None}
os.write(request, json.dumps(asked).encode())
os.lseek(request, 0, os.SEEK_SET)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
    connection.connect(SERVER)
    socket.send_fds(connection, [b"run"], [request, 0, 1, 2])
    sys.exit(int(connection.recv(16)) % 256)
"""


@cache
def _server() -> str:
    """The address of the process that is forked, started for the first command; it ends with this process."""
    folder = tempfile.mkdtemp(prefix="dataloader-command-", dir="/tmp")
    address = f"{folder}/server"
    lifeline, held = os.pipe()
    listening, ready = os.pipe()
    command = [sys.executable, "-m", "tests.helpers.command", address, str(lifeline), str(ready)]
    environ = {name: value for name, value in os.environ.items() if name not in _CLEANED}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, pass_fds=[lifeline, ready])
    os.close(lifeline)
    os.close(ready)
    with open(listening) as heard:
        assert heard.read() == "ready", "the server of commands did not start"

    def end() -> None:
        os.close(held)
        process.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    return address


# -- in the process that is forked


def serve(address: str, lifeline: int, ready: int) -> None:
    """Fork for each request until the process that began it is gone, and say how each ended."""
    _import_everything()
    waiting: dict[int, tuple[int, socket.socket]] = {}
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        selectors.DefaultSelector() as selector,
        open(ready, "w") as tell,
    ):
        listener.bind(address)
        listener.listen(64)
        tell.write("ready")
        tell.close()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(lifeline, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == lifeline:
                    return
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    _, files, _, _ = socket.recv_fds(connection, 16, 4)
                    child = os.fork()
                    if not child:
                        _become(*files)
                    for file in files:
                        os.close(file)
                    ended = os.pidfd_open(child)
                    waiting[ended] = child, connection
                    selector.register(ended, selectors.EVENT_READ)
                    continue
                child, connection = waiting.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(child, 0)
                with suppress(BrokenPipeError), connection:  # who asked may be gone
                    connection.send(str(os.waitstatus_to_exitcode(status)).encode())


_LATE = ("httpcore", "anyio._backends._asyncio", "h2.connection", "rattler", "rich.progress", "typer.testing")
"""What others import when it is first used."""


def _import_everything() -> None:
    import dataloader
    from dataloader.compat.matrix import load_matrix

    for module in pkgutil.walk_packages(dataloader.__path__, "dataloader."):
        importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)
    load_matrix().check()
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process that forks has one thread"
    gc.collect()
    gc.freeze()


def _become(request: int, *streams: int) -> NoReturn:
    """Be the process of one command line."""
    code = 1
    try:
        with open(request) as file:
            asked = json.load(file)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 4096)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if asked["room"]:
            resource.setrlimit(resource.RLIMIT_AS, (asked["room"], asked["room"]))
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        tempfile.tempdir = None
        sys.path[0] = str(Path.cwd())
        sys.argv = [str(REPOSITORY / "dataloader" / "__main__.py"), *asked["arguments"]]
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            raw = io.FileIO(number, "w" if number else "r", closefd=False)
            buffer = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
            now = getattr(sys, name)
            setattr(
                sys,
                name,
                io.TextIOWrapper(
                    buffer, now.encoding, now.errors, line_buffering=number == 2, write_through=now.write_through
                ),
            )
        sys.modules["__main__"] = sys.modules["dataloader.__main__"]
        sys.modules["dataloader.__main__"].main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception:  # noqa: BLE001 -- an interpreter says it so, and ends with 1
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
