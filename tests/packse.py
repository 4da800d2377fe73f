"""packse's scenarios answered by the command and by uv: ``nox -s packse -- DIR``.

``DIR`` is a checkout of packse, or uv's unpacked sdist, whose tests draw the scenarios as trees. Each one's packages
built as wheels and archives and served by an index of our own; its requirements are locked, and compiled by uv. One
that is about a lock for all machines at once is asked for three of them, one after the other. Those that need what is
not done here are listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.helpers.command import run_command
from tests.helpers.scenario_trees import scenarios_in
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
_UV = {"linux-64": "x86_64-manylinux_2_28", "osx-arm64": "aarch64-apple-darwin", "win-64": "x86_64-pc-windows-msvc"}
_OF_FILES = re.compile(r"wheels|sdist|binary|build")
"""In the name of a scenario whose tree does not say all: which files its releases have."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="packse's folder of scenarios, or uv's sdist, unpacked")
    parser.add_argument("-k", dest="named", default="", help="only those whose name holds this")
    options = parser.parse_args()
    counts = {"equal": 0, "differs": 0, "left out": 0}
    for scenario, is_tree in _scenarios(options.folder):
        if options.named not in scenario["name"]:
            continue
        reason = next(_not_applicable(scenario, is_tree=is_tree), None)
        verdict, told = ("left out", reason) if reason else _compared(scenario)
        counts[verdict] += 1
        sys.stdout.write(f"{verdict:9} {scenario['name']}{f': {told}' if told else ''}\n")
        sys.stdout.flush()
    sys.stdout.write(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + "\n")
    return 1 if counts["differs"] or not counts["equal"] else 0


def _scenarios(folder: Path) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the scenarios below a folder, and whether each was drawn as a tree."""
    trees = sorted(folder.rglob("*_scenarios.rs"))
    yield from ((one, True) for path in trees for one in scenarios_in(path))
    for path in () if trees else sorted(folder.rglob("*.toml")):
        yield {"name": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))}, False


def _not_applicable(scenario: Mapping[str, Any], *, is_tree: bool) -> Iterator[str]:
    options = scenario.get("resolver_options", {})
    if is_tree and _OF_FILES.search(scenario["name"]):
        yield "it is about which files a release has, which its tree does not say"
    for option in sorted(set(options) - _OPTIONS - {"universal"}):
        yield f"it sets {option}"
    for name, one in scenario.get("packages", {}).items():
        for version, said in one.get("versions", {}).items():
            if said.get("variants"):
                yield f"{name} {version} has variants of a provider of its own"


def _compared(scenario: Mapping[str, Any]) -> tuple[str, str]:
    wanted = scenario.get("resolver_options", {}).get("universal")
    with tempfile.TemporaryDirectory() as folder:
        here, shelf = Path(folder) / "here", Path(folder) / "shelf"
        here.mkdir()
        shelf.mkdir()
        _build(scenario.get("packages", {}), shelf)
        (here / "requirements.in").write_text("\n".join(scenario["root"]["requires"]))
        with IndexServer(shelf) as index:
            index.yanked.update(dict.fromkeys(_yanked(scenario.get("packages", {}), shelf), "yanked"))
            ours, python = _ours(scenario, index.index_url, here, tuple(_UV) if wanted else ("linux-64",))
            for platform, answer in ours.items():
                theirs = _by_uv(scenario, index.index_url, here, python, platform)
                if answer != theirs:
                    return "differs", f"for {platform}: {answer} here, {theirs} by uv"
    return "equal", "for each of three platforms" if wanted else ""


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
            requires = [*requires, *(_under(text, extra) for extra, texts in extras.items() for text in texts)]
            for tag in said.get("wheel_tags", ["py3-none-any"]) if said.get("wheel", True) else ():
                make_wheel(shelf, name, version, tag=tag, requires=requires, requires_python=python, extras=extras)
            if said.get("sdist", True):
                make_sdist(shelf, name, version, requires=requires, requires_python=python)


def _under(text: str, extra: str) -> str:
    """Return a requirement of an extra."""
    asked, _, marker = text.partition(";")
    return f"{asked} ; {f'({marker.strip()}) and ' if marker else ''}extra == '{extra}'"


def _python(scenario: Mapping[str, Any]) -> str:
    said = scenario.get("resolver_options", {}).get("python") or scenario.get("environment", {}).get("python", "3.11")
    return str(said)


def _ours(
    scenario: Mapping[str, Any], index: str, here: Path, platforms: tuple[str, ...]
) -> tuple[dict[str, Answer], str]:
    """Return the answer for each platform, and the Python of it: 3.8 is the release of it that this machine has."""
    python = _python(scenario)
    words = ["lock", "--json", "-r", "requirements.in", f"--python={python}"]
    words += [word for each in platforms for word in ("--platform", each)]
    words += ["--prerelease=allow"] if scenario.get("resolver_options", {}).get("prereleases") else []
    usual = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env = {**usual, "PIP_CONFIG_FILE": os.devnull, "DATALOADER_INDEX_URL": index, "DATALOADER_CONDA": "never"}
    done = run_command(*words, cwd=here, env=env)
    assert done.returncode in (0, 1, 2), done.stderr
    document = json.loads(done.stdout)
    if not done.returncode:
        parts = (document, *document.get("others", ()))
        answers = {part["platform"]: {p["name"]: p["version"] for p in part["packages"]} for part in parts}
        return dict(answers), document["stack"].get("python", python)
    if len(platforms) == 1:
        return {platforms[0]: None}, python
    each = [_ours(scenario, index, here, (platform,)) for platform in platforms]
    return {platform: answer for one, _ in each for platform, answer in one.items()}, each[0][1]


def _by_uv(scenario: Mapping[str, Any], index: str, here: Path, python: str, platform: str) -> Answer:
    words = ["pip", "compile", "-q", "--no-build", "--no-header", "--no-annotate", "--no-cache", "--index-url", index]
    words += [
        "--python",
        sys.executable,
        "--python-version",
        python,
        "--python-platform",
        _UV[platform],
        "requirements.in",
    ]
    words += ["--prerelease=allow"] if scenario.get("resolver_options", {}).get("prereleases") else []
    done = subprocess.run(["uv", *words], capture_output=True, text=True, cwd=here, check=False)
    if done.returncode:
        return None
    pairs = (line.partition(" ")[0].split("==") for line in done.stdout.splitlines() if "==" in line)
    return {name.partition("[")[0]: version for name, version in pairs}


if __name__ == "__main__":
    sys.exit(main())
