"""Run inside an environment's own Python: opens each file in a child process, so that one load never helps another.

Standard input: ``{"modules": [...], "keep": [...], "paths": [...]}``. The modules are imported first, then the files
of ``keep`` are opened and stay. Standard output: one JSON object with ``opened`` (path -> "ok" or the error) and
``imports`` (module -> "ok" or the error).
"""

import ctypes
import importlib
import json
import os
import signal
import sys

_SECONDS = 120


def open_in_child(path: str) -> str:
    """What dlopen(path, RTLD_NOW) says in a forked copy of this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        signal.alarm(_SECONDS)
        try:
            ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
            answer = "ok"
        except OSError as error:
            answer = str(error) or "OSError"
        os.write(writer, answer.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    # The loader reports; only a constructor of a library that it loaded can end the process without a word.
    return answer or "ok: a constructor ended the process"


def main() -> None:
    """Serve one request."""
    request = json.load(sys.stdin)
    out = os.dup(1)
    os.dup2(2, 1)  # packages print while they are imported
    imports = {}
    for name in request["modules"]:
        try:
            importlib.import_module(name)
            imports[name] = "ok"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an import may raise anything
            imports[name] = f"{type(error).__name__}: {error}"
    for path in request["keep"]:
        try:
            ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError:
            continue  # it is asked for again below, and then its error counts
    opened = {path: open_in_child(path) for path in request["paths"]}
    os.write(out, json.dumps({"imports": imports, "opened": opened}).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
