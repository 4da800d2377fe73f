"""Regenerate compat-matrix/names.json.gz: which conda name and which PyPI project are one identity.

    python tools/names.py MAPPING.json.gz [REPODATA.json]...

MAPPING is parselmouth's compressed mapping (conda-forge name -> PyPI projects or null). Repodata, where given, tells a
wrapper (``matplotlib``) from the package that carries the files (``matplotlib-base``): the identity is the one that the
others depend on.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

MATRIX = Path(__file__).resolve().parent.parent / "compat-matrix"


def main(mapping_path: Path, repodata_paths: list[Path]) -> None:
    with gzip.open(mapping_path, "rt", encoding="utf-8") as stream:
        document = json.load(stream)
    decided = json.loads((MATRIX / "names-decided.json").read_text(encoding="utf-8"))
    mapping: dict[str, list[str]] = {
        conda: [canonicalize_name(project) for project in projects or ()]
        for conda, projects in document["mapping"].items()
    }
    identities = _identities(mapping, _wrapped(repodata_paths, set(mapping)))
    for row in decided["rows"]:
        identities[row["pypi"]] = row["conda"]
    _write(document, mapping, {pypi: conda for pypi, conda in identities.items() if conda})


def _wrapped(paths: list[Path], names: set[str]) -> dict[str, set[str]]:
    """conda name -> conda names that some record of it depends on."""
    wrapped: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        document = json.loads(path.read_text(encoding="utf-8"))
        for record in (*document["packages"].values(), *document["packages.conda"].values()):
            if record["name"] in names:
                wrapped[record["name"]].update(spec.split()[0] for spec in record["depends"])
    return wrapped


def _identities(mapping: dict[str, list[str]], wrapped: dict[str, set[str]]) -> dict[str, str | None]:
    carriers: defaultdict[str, list[str]] = defaultdict(list)
    for conda, projects in mapping.items():
        own = canonicalize_name(conda)
        # A package that bundles other projects beside its own is the identity of its own only.
        for project in projects if own not in projects else [own]:
            if len(projects) == 1 or project in (own, projects[0]):
                carriers[project].append(conda)
    return {project: _choose(project, names, wrapped) for project, names in carriers.items()}


def _choose(project: str, names: list[str], wrapped: dict[str, set[str]]) -> str:
    """The name that the others wrap; else the project's own spelling; else the shortest."""
    same = [name for name in names if canonicalize_name(name) == project]
    best = min(same or names, key=lambda name: (name != project, len(name), name))
    for _ in names:
        inner = sorted(name for name in names if name != best and name in wrapped.get(best, ()))
        if not inner:
            break
        best = inner[0]
    return best


def _write(document: dict[str, Any], mapping: dict[str, list[str]], identities: dict[str, str]) -> None:
    same = sorted(conda for conda, projects in mapping.items() if projects == [conda])
    absent = sorted(conda for conda, projects in mapping.items() if not projects)
    other = {conda: projects for conda, projects in sorted(mapping.items()) if projects and projects != [conda]}
    output = {
        "source": document["source"],
        "commit": document["commit"],
        "date": document["date"],
        "same": " ".join(same),
        "absent": " ".join(absent),
        "other": other,
        # Only what the names alone do not say: a project of `same` is identified with itself.
        "identity": {
            pypi: conda for pypi, conda in sorted(identities.items()) if pypi != conda or mapping.get(pypi) != [pypi]
        },
    }
    text = json.dumps(output, separators=(",", ":"), sort_keys=True).encode()
    (MATRIX / "names.json.gz").write_bytes(gzip.compress(text, compresslevel=9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
