"""Keep compat-matrix/ honest.

    python tools/matrix.py coverage    every build planned on a machine that fits, refused on one that does not
    python tools/matrix.py stale       rows that nobody has looked at for a year
    python tools/matrix.py missing     releases on PyPI that no row speaks of (asks pypi.org)
    python tools/matrix.py releases    the rows that release.jsonl lacks (asks pypi.org)

Exit status 1 when something is wrong, stale or missing.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from matrix_coverage import FIRST, iter_coverage

from dataloader.base.matrix_folder import matrix_dir
from dataloader.compat.matrix import load_matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import admits, key

INDEX = "https://pypi.org/simple"
FRESH = timedelta(days=365)


def coverage() -> int:
    """Print the counts for every framework, and every build that is not as it should be."""
    planned: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    total: Counter[str] = Counter()
    releases: dict[str, set[str]] = {}
    wrong = 0
    for trial in iter_coverage(load_matrix().check()):
        total[trial.framework] += 1
        planned[trial.framework] += trial.planned
        refused[trial.framework] += trial.refused
        releases.setdefault(trial.framework, set()).add(trial.version)
        if not (trial.planned and trial.refused):
            wrong += 1
            print(f"{trial.framework} {trial.version} for {trial.cuda or 'the CPU'}: {trial.detail}")
    for framework in total:
        print(
            f"{framework}: {len(releases[framework])} releases, {total[framework]} builds, "
            f"{planned[framework]} planned, {refused[framework]} refused where they do not fit"
        )
    print(f"all: {total.total()} builds, {planned.total()} planned, {refused.total()} refused, {wrong} wrong")
    return int(wrong > 0)


def stale() -> int:
    """Print the files with rows that were last looked at over a year ago."""
    limit = date.today() - FRESH  # noqa: DTZ011
    old = 0
    for path in sorted(matrix_dir().rglob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        aged = [row["id"] for row in rows if "id" in row and date.fromisoformat(row["date"]) < limit]
        old += len(aged)
        if aged:
            print(f"{path.relative_to(matrix_dir())}: {len(aged)} rows, such as {aged[0]}")
    print(f"{old} rows older than {limit}")
    return int(old > 0)


def missing() -> int:
    """Print the releases of every framework on PyPI that no row speaks of."""
    matrix = load_matrix()
    absent = 0
    for framework, first in FIRST.items():
        rows = [row for row in matrix.builds[framework] if row.channel == "pypi"]
        for project in sorted({row.package for row in rows}):
            ranges = [row.versions for row in rows if row.package == project]
            unknown = [version for version in _versions(project) if key(version) >= key(first)]
            unknown = [version for version in unknown if not any(admits(versions, version) for versions in ranges)]
            # jax is nothing without the jaxlib of its version; where PyPI no longer has that, there is no release.
            for twin in _twins(rows) if unknown else ():
                there = set(_versions(twin))
                unknown = [version for version in unknown if version in there]
            absent += len(unknown)
            if unknown:
                print(f"{project}: {', '.join(unknown)}")
        undated = {row.version for row in rows if matrix.released(framework, row.version) is None}
        absent += len(undated)
        if undated:
            print(f"{framework} has no row in release.jsonl: {', '.join(sorted(undated, key=key))}")
    print(f"{absent} releases without a row")
    return int(absent > 0)


def _twins(rows: Iterable[MatrixBuild]) -> set[str]:
    """Return the packages that builds need in their own version."""
    pins = (need.partition("==") for row in rows for need in row.needs if need.endswith(f"=={row.version}"))
    return {name for name, _, _ in pins}


def releases() -> int:
    """Print the rows that release.jsonl lacks, from the upload times of PyPI."""
    matrix = load_matrix()
    lacking = 0
    for framework in FIRST:
        wanted = {row.version: row.package for row in matrix.builds[framework] if row.channel == "pypi"}
        for version, package in sorted(wanted.items(), key=lambda item: key(item[0])):
            if matrix.released(framework, version) is None:
                lacking += 1
                print(_release_row(framework, version, package))
    return int(lacking > 0)


def _release_row(framework: str, version: str, package: str) -> str:
    files = [f for f in _page(package) if f"-{version}-" in f["filename"] and f.get("upload-time")]
    first = min((str(f["upload-time"])[:10] for f in files), default="")
    row = {
        "id": f"{framework}-{version}-release",
        "framework": framework,
        "version": version,
        "released": first,
        "source": f"PyPI, upload time of the first file of {package} {version}",
        "date": date.today().isoformat(),  # noqa: DTZ011
    }
    return json.dumps(row)


def _versions(project: str) -> Iterable[str]:
    """Return the releases of a project with a wheel for Linux on x86-64, oldest first; pre-releases are left out."""
    names = [str(file["filename"]) for file in _page(project)]
    wheels = [name.split("-") for name in names if name.endswith(".whl") and ("x86_64" in name or "-any" in name)]
    versions = {parts[1] for parts in wheels if "manylinux" in parts[-1] or parts[-1] == "any.whl"}
    plain = [version for version in versions if all(part.isdigit() for part in version.split("."))]
    return sorted(plain, key=key)


def _page(project: str) -> list[dict[str, Any]]:
    """Return the files of a project as PEP 691 has them; of an index that knows HTML alone, their names."""
    request = urllib.request.Request(
        f"{INDEX}/{project}/", headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    if text.startswith("{"):
        return list(json.loads(text)["files"])
    return [{"filename": name} for name in _links(text)]


def _links(page: str) -> list[str]:
    return [anchor.split("#")[0].split('"')[0].rsplit("/", 1)[-1] for anchor in page.split('href="')[1:]]


COMMANDS = {"coverage": coverage, "stale": stale, "missing": missing, "releases": releases}

if __name__ == "__main__":
    asked = sys.argv[1:] or ["coverage", "stale"]
    if unknown := [name for name in asked if name not in COMMANDS]:
        sys.exit(f"{Path(__file__).name}: no command {unknown[0]}; there are {', '.join(COMMANDS)}")
    sys.exit(max(COMMANDS[name]() for name in asked))
