"""packse's scenarios, from a checkout of its repository, answered by the command and by uv: ``nox -s packse -- DIR``.

Each file's packages are built as wheels and archives and served by an index of our own; its requirements are locked,
and compiled by uv. Those that need what is not done here are listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_sdist, make_wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Answer = dict[str, str] | None
"""Name -> version; None: refused."""
_OPTIONS = {"python", "prereleases", "no_build"}
"""What of ``resolver_options`` both can be told."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="packse's folder of scenarios")
    counts = {"equal": 0, "differs": 0, "left out": 0}
    for path in sorted(parser.parse_args().folder.rglob("*.toml")):
        scenario = tomllib.loads(path.read_text(encoding="utf-8"))
        reason = next(_not_applicable(scenario), None)
        verdict, told = ("left out", reason) if reason else _compared(scenario)
        counts[verdict] += 1
        sys.stdout.write(f"{verdict:9} {scenario.get('name', path.stem)}{f': {told}' if told else ''}\n")
    sys.stdout.write(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + "\n")
    return 1 if counts["differs"] or not counts["equal"] else 0


def _not_applicable(scenario: Mapping[str, Any]) -> Iterator[str]:
    options = scenario.get("resolver_options", {})
    if options.get("universal"):
        yield "it wants one answer for all machines; a lock has one for each of its platforms"
    for option in sorted(set(options) - _OPTIONS - {"universal"}):
        yield f"it sets {option}"
    for name, one in scenario.get("packages", {}).items():
        for version, said in one.get("versions", {}).items():
            if said.get("variants"):
                yield f"{name} {version} has variants of a provider of its own"


def _compared(scenario: Mapping[str, Any]) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        here, shelf = Path(folder) / "here", Path(folder) / "shelf"
        here.mkdir()
        shelf.mkdir()
        _build(scenario.get("packages", {}), shelf)
        (here / "requirements.in").write_text("\n".join(scenario["root"]["requires"]))
        with IndexServer(shelf) as index:
            index.yanked.update(dict.fromkeys(_yanked(scenario.get("packages", {}), shelf), "yanked"))
            ours, python = _ours(scenario, index.index_url, here)
            theirs = _by_uv(scenario, index.index_url, here, python)
    return ("equal", "") if ours == theirs else ("differs", f"{ours} here, {theirs} by uv")


def _yanked(packages: Mapping[str, Any], shelf: Path) -> Iterator[str]:
    """Yield the names of the files of releases that are yanked."""
    for name, one in packages.items():
        for version, said in one.get("versions", {}).items():
            if said.get("yanked"):
                stem = f"{name.replace('-', '_')}-{version}"
                yield from (f.name for f in shelf.iterdir() if f.name.startswith((f"{stem}-", f"{stem}.tar")))


def _build(packages: Mapping[str, Any], shelf: Path) -> None:
    for name, one in packages.items():
        for version, said in one.get("versions", {}).items():
            requires, python = said.get("requires", ()), said.get("requires_python", ">=3.8")
            extras = said.get("extras", {})
            for tag in said.get("wheel_tags", ["py3-none-any"]) if said.get("wheel", True) else ():
                make_wheel(shelf, name, version, tag=tag, requires=requires, requires_python=python, extras=extras)
            if said.get("sdist", True):
                make_sdist(shelf, name, version, requires=requires, requires_python=python)


def _python(scenario: Mapping[str, Any]) -> str:
    said = scenario.get("resolver_options", {}).get("python") or scenario.get("environment", {}).get("python", "3.11")
    return str(said)


def _ours(scenario: Mapping[str, Any], index: str, here: Path) -> tuple[Answer, str]:
    """Return the answer, and the Python that it is for: 3.8 is the release of it that this machine has."""
    words = ["lock", "--json", "-r", "requirements.in", f"--python={_python(scenario)}", "--platform", "linux-64"]
    words += ["--prerelease=allow"] if scenario.get("resolver_options", {}).get("prereleases") else []
    env = {**os.environ, "DATALOADER_INDEX_URL": index, "DATALOADER_CONDA": "never"}
    command = [sys.executable, "-m", "dataloader", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, env=env, check=False)
    assert done.returncode in (0, 1, 2), done.stderr
    document = json.loads(done.stdout)
    if done.returncode:
        return None, _python(scenario)
    return {p["name"]: p["version"] for p in document["packages"]}, document["stack"].get("python", _python(scenario))


def _by_uv(scenario: Mapping[str, Any], index: str, here: Path, python: str) -> Answer:
    words = ["pip", "compile", "-q", "--no-build", "--no-header", "--no-annotate", "--no-cache", "--index-url", index]
    words += ["--python-version", python, "requirements.in"]
    words += ["--prerelease=allow"] if scenario.get("resolver_options", {}).get("prereleases") else []
    done = subprocess.run(["uv", *words], capture_output=True, text=True, cwd=here, check=False)
    if done.returncode:
        return None
    pairs = (line.partition(" ")[0].split("==") for line in done.stdout.splitlines() if "==" in line)
    return {name.partition("[")[0]: version for name, version in pairs}


if __name__ == "__main__":
    sys.exit(main())
