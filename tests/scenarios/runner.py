"""Ask any tool what it makes of the scenarios in resolve/: ``python -m tests.scenarios.runner --tool 'COMMAND'``.

resolve/README.md has the form of the files and what a tool is asked and answers. Each scenario's channels are written
as repodata, its wheels are built and served by an index, so a tool needs nothing of this project.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_sdist, make_wheel
from tests.scenarios.test_resolve import PYTHONS, SCENARIOS, in_channel, write_channel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT = 1
_OURS = ("rules", "axes", "labels", "needs", "preferred")
"""Keys for what only this project has: a tool is told of them, and may pass."""
_LIMIT_S = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, help="a command that reads a request and writes an answer, as JSON")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios, without .toml; all if none is named")
    arguments = parser.parse_args()
    chosen = [path for path in SCENARIOS if not arguments.names or path.stem in arguments.names]
    counts = {"equal": 0, "differs": 0, "passed over": 0}
    for path in chosen:
        verdict, told = ask(path, shlex.split(arguments.tool))
        counts[verdict] += 1
        sys.stdout.write(f"{verdict:11} {path.stem}{f': {told}' if told else ''}\n")
    sys.stdout.write(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + "\n")
    return 1 if counts["differs"] or not counts["equal"] else 0


def ask(path: Path, tool: list[str]) -> tuple[str, str]:
    """Return the verdict on a tool's answer to one scenario, and what is to be said of it.

    Raises:
        RuntimeError: the tool failed, or what it wrote is no answer.
    """
    scenario = tomllib.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        shelf = Path(folder) / "index"
        shelf.mkdir()
        with IndexServer(shelf, json=True) as index:
            _stock(index, scenario.get("wheels", ()))
            request = {"name": path.stem, **_request(scenario, Path(folder) / "channels", index.index_url)}
            answer = _answer(tool, request, Path(folder))
    if "passed" in answer:
        return "passed over", str(answer["passed"])
    expected = scenario["expected"]
    packages = sorted(line for line in expected.get("packages", ()) if not line.endswith(" host"))
    wanted = None if "error" in expected else packages
    found = None if "refused" in answer else sorted("{name} {version} {from}".format(**p) for p in answer["packages"])
    is_equal = set(wanted or ()) <= set(found or ()) if not expected.get("exactly", True) else wanted == found
    return ("equal", "") if is_equal else ("differs", f"{found} instead of {wanted}")


def _stock(index: IndexServer, wheels: list[Mapping[str, Any]]) -> None:
    """Build what the scenario's index has, each file with what its page says of it."""
    for said in wheels:
        name, version, *tags = str(said["file"]).removesuffix(".whl").split("-")
        *variant, tag = ("-".join(tags[:3]), *tags[3:])[::-1]
        if "broken" in said:
            (index.folder / said["file"]).write_bytes(b"no archive")
        elif said["file"].endswith(".whl"):
            make_wheel(
                index.folder,
                name,
                version,
                tag=tag,
                variant=variant[0] if variant else None,
                requires=said.get("requires", ()),
                requires_python=said.get("requires_python"),
                extras=said.get("extras", ()),
            )
        else:
            make_sdist(index.folder, name, version.removesuffix(".tar.gz"), requires=said.get("requires", ()))
        if said.get("yanked"):
            index.yanked[said["file"]] = "yanked"
        if said.get("uploaded"):
            index.upload_times[said["file"]] = said["uploaded"]


def _request(scenario: Mapping[str, Any], folder: Path, index: str) -> dict[str, Any]:
    urls = {name: write_channel(folder / name, records) for name, records in scenario.get("channels", {}).items()}
    python = [line.split(" ")[1] for line in scenario["expected"].get("packages", ()) if line.endswith(" host")]
    return {
        "format": FORMAT,
        "description": scenario["description"],
        "platform": "linux-64",
        "glibc": scenario.get("target", {}).get("glibc", "2.36"),
        "channels": list(urls.values()),
        "conda": [in_channel(spec, urls) for spec in scenario.get("conda", ())],
        "index": index,
        "requirements": scenario.get("requirements", []),
        "constraints": scenario.get("constraints", []),
        "python": scenario.get("python", ""),
        "pythons": python or (list(scenario.get("host_pythons", PYTHONS)) if not urls else []),
        "exclude_newer": scenario.get("exclude_newer"),
        "prerelease": scenario.get("prerelease", "if-necessary"),
        "beyond": [key for key in _OURS if key in scenario],
    }


def _answer(tool: list[str], request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    here = folder / "here"
    here.mkdir()
    done = subprocess.run(
        tool, input=json.dumps(request), capture_output=True, text=True, cwd=here, timeout=_LIMIT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(tool)} ended with {done.returncode} on {request['name']}:\n{done.stderr}")
    answer = json.loads(done.stdout)
    if not isinstance(answer, dict) or len(answer.keys() & {"packages", "refused", "passed"}) != 1:
        raise RuntimeError(f"{shlex.join(tool)} answered {request['name']} with {done.stdout!r}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
