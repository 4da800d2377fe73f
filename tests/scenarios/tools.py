"""Tools that answer the runner's requests: ``python -m tests.scenarios.tools dataloader|uv|rattler``."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

Request = Mapping[str, Any]
Answer = dict[str, Any]


def main() -> NoReturn:
    (name,) = sys.argv[1:]
    json.dump(TOOLS[name](json.load(sys.stdin)), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # threads of rattler's may outlive the interpreter, and fall over what it has taken down


def of_dataloader(request: Request) -> Answer:
    """What the command says; its matrix stays its own, so what a scenario has of that is passed over."""
    if request["beyond"]:
        return {"passed": f"it has {' and '.join(request['beyond'])} of its own"}
    Path("constraints.txt").write_text("\n".join(request["constraints"]))
    Path("requirements.txt").write_text("-c constraints.txt\n")
    Path("target.json").write_text(json.dumps({"platform": request["platform"], "glibc": request["glibc"]}))
    words = ["lock", "--json", "--target", "target.json", "--index-url", request["index"]]
    words += ["-r", "requirements.txt"] if request["constraints"] else []
    words += [word for url in request["channels"] for word in ("--channel", url)] or ["--conda", "never"]
    words += [f"--python={python}"] if (python := request["python"] or _newest(request["pythons"])) else []
    words += [f"--exclude-newer={request['exclude_newer']}"] if request["exclude_newer"] else []
    words += [*request["requirements"], *(f"conda:{spec}" for spec in request["conda"])]
    env = {**os.environ, "DATALOADER_CACHE_DIR": str(Path("cache").resolve()), "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "-m", "dataloader", *words], capture_output=True, text=True, env=env, check=False
    )
    document = json.loads(done.stdout)
    if done.returncode:
        return {"refused": document["error"]["message"]}
    return {"packages": [{"name": p["name"], "version": p["version"], "from": p["kind"]} for p in document["packages"]]}


def of_uv(request: Request) -> Answer:
    """What ``uv pip compile`` says of a scenario without channels."""
    if request["channels"] or request["beyond"]:
        return {"passed": "it has more than an index"}
    Path("requirements.in").write_text("\n".join(text.removeprefix("pypi:") for text in request["requirements"]))
    Path("constraints.txt").write_text("\n".join(request["constraints"]))
    words = ["pip", "compile", "-q", "--no-build", "--no-header", "--no-annotate", "--no-cache"]
    words += ["--default-index", request["index"], "-c", "constraints.txt", "requirements.in"]
    words += ["--python-version", request["python"] or _newest(request["pythons"])]
    words += ["--python-platform", "x86_64-manylinux_" + request["glibc"].replace(".", "_")]
    words += ["--exclude-newer", request["exclude_newer"]] if request["exclude_newer"] else []
    env = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    done = subprocess.run(["uv", *words], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        return {"refused": done.stderr}
    pins = (line.partition(" ")[0].split("==") for line in done.stdout.splitlines() if "==" in line)
    return {"packages": [{"name": n.partition("[")[0], "version": version, "from": "pypi"} for n, version in pins]}


def of_rattler(request: Request) -> Answer:
    """What rattler's solver says of a scenario that asks for nothing but conda packages."""
    from rattler.exceptions import SolverError

    from tests.helpers.rattler_alone import solve_alone

    date = request["exclude_newer"]
    if request["requirements"] or request["constraints"] or request["beyond"]:
        return {"passed": "it asks for more than conda packages"}
    try:
        records = asyncio.run(
            solve_alone(
                request["channels"],
                request["conda"],
                platform=request["platform"],
                glibc=request["glibc"],
                exclude_newer=dt.datetime.fromisoformat(date.replace("Z", "+00:00")) if date else None,
                cache=Path("cache"),  # and not the one that others use meanwhile
            )
        )
    except SolverError as error:
        return {"refused": str(error)}
    return {
        "packages": [{"name": r.name.normalized, "version": str(r.version), "from": "conda"} for r in records],
    }


def _newest(pythons: list[str]) -> str:
    return max(pythons, key=lambda version: [int(part) for part in version.split(".")], default="")


TOOLS: dict[str, Callable[[Request], Answer]] = {"dataloader": of_dataloader, "uv": of_uv, "rattler": of_rattler}

if __name__ == "__main__":
    main()
