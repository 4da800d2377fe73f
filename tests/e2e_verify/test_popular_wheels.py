"""Popular binary wheels, each in an environment of its own: every dlopen compared with the verdict.

``popular.txt`` has one environment a line: its name, then the requirements. Set ``DATALOADER_E2E_ENVIRONMENTS`` to a
folder to keep the environments from one run to the next (all of them take some 60 GB).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataloader.machine.detect import detect_target
from dataloader.prefix.records import InstalledPackage, InstalledPackages, read_installed, required_names
from dataloader.verify.checks.sources import SourceIndex, module_name
from dataloader.verify.loads import Verdict
from dataloader.verify.options import VerifyOptions
from dataloader.verify.run import verify_prefix

pytestmark = [pytest.mark.e2e, pytest.mark.pypi]

_JUDGE = Path(__file__).parents[1] / "helpers" / "dlopen_judge.py"
_ENVIRONMENTS = {
    name: requirements
    for name, *requirements in (
        line.split() for line in Path(__file__).with_name("popular.txt").read_text().splitlines()
    )
}
# Each true: the library named is not on the machine these were judged on, and the import of the package, or of one of
# its extension modules (intelex: MPI), fails without it; xformers is for CUDA 12, and brings a torch for CUDA 13.
_BROKEN = {"open3d", "opencv", "pyqt6", "pyside6", "vtk", "oracledb", "intelex", "xformers"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("DATALOADER_E2E_ENVIRONMENTS")
    return Path(kept) if kept else tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="session")
def totals() -> Iterator[Counter[str]]:
    counts: Counter[str] = Counter()
    yield counts
    sys.stderr.write(f"\npopular wheels: {dict(counts)}\n")


def create(prefix: Path, requirements: Sequence[str]) -> None:
    if prefix.is_dir():
        return
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("needs uv to make environments")
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, prefix], check=True)
    python = str(prefix / "bin/python")
    install = [uv, "pip", "install", "-q", "--only-binary", ":all:", "-p", python, *requirements]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(prefix)
        pytest.skip(f"cannot be installed here: {done.stderr[-300:]}")


def ask(
    prefix: Path, paths: list[str], *, modules: Sequence[str] = (), keep: Sequence[str] = (), bare: bool = False
) -> Any:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "PYTHON"))}
    environ |= {"CUDA_VISIBLE_DEVICES": "", "QT_QPA_PLATFORM": "offscreen"}
    request = json.dumps({"modules": list(modules), "keep": list(keep), "paths": paths})
    flags = ["-I", "-S"] if bare else ["-I"]
    command = [str(prefix / "bin/python"), *flags, str(_JUDGE)]
    done = subprocess.run(
        command, input=request, capture_output=True, text=True, env=environ, check=False, timeout=900, cwd=prefix
    )
    if '{"imports"' not in done.stdout:
        return {"imports": dict.fromkeys(modules, "died"), "opened": {}}
    return json.loads(done.stdout[done.stdout.rindex('{"imports"') :])


def top_levels(package: InstalledPackage, site: str) -> list[str]:
    names = {module_name(file.path, site) for file in package.files}
    return sorted(name for name in names if name and "." not in name and not name.startswith("__"))


def above(installed: InstalledPackages, package: InstalledPackage) -> list[InstalledPackage]:
    """The packages that require it, and those that require them."""
    found = [package]
    for below in found:  # grows while it is walked
        found += [
            each for each in installed.packages if below.name in required_names(each.requires) and each not in found
        ]
    return found[1:]


@pytest.mark.parametrize("name", sorted(_ENVIRONMENTS))
def test_every_verdict_is_what_dlopen_says(name: str, folder: Path, totals: Counter[str]) -> None:
    prefix = folder / name
    create(prefix, _ENVIRONMENTS[name])
    options = VerifyOptions(cache=folder / ".facts", hashes=False)

    report = verify_prefix(prefix, target=detect_target(), options=options)

    verdicts = {str(prefix / verdict.path): verdict for verdict in report.verdicts}
    differences = [*compare_bare(prefix, verdicts, totals), *compare_after_import(prefix, verdicts, totals)]
    assert differences == []
    if name not in _BROKEN:
        assert [finding for finding in report.findings if finding.severity == "error"] == []


def compare_bare(prefix: Path, verdicts: dict[str, Verdict], totals: Counter[str]) -> Iterator[str]:
    """In a Python that has imported nothing."""
    opened = ask(prefix, list(verdicts), bare=True)["opened"]
    for path, verdict in verdicts.items():
        said = opened[path]
        totals["libraries"] += 1
        if verdict.driver and any(soname in said for soname in verdict.driver):
            totals["needs the driver"] += 1
        elif said.startswith("ok") == verdict.bare:
            totals["bare: agree"] += 1
            totals["bare: cannot load"] += not verdict.bare
        else:
            yield f"bare {verdict.path}: {said}, the model says {verdict.bare}"


def compare_after_import(prefix: Path, verdicts: dict[str, Verdict], totals: Counter[str]) -> Iterator[str]:
    """After the import of its package, then with the package's other modules, then as the modules that use it do."""
    installed = read_installed(prefix)
    sources = SourceIndex(prefix, installed)
    by_package: dict[str, list[tuple[str, Verdict]]] = {}
    for path, verdict in verdicts.items():
        if verdict.package is not None:
            by_package.setdefault(verdict.package.path, []).append((path, verdict))
    site = installed.site_packages[0]
    for items in by_package.values():
        package = items[0][1].package
        assert package is not None
        modules = top_levels(package, site)
        opened = ask(prefix, [path for path, _ in items], modules=modules)["opened"]
        for path, verdict in items:
            said = opened.get(path, "died")
            if said == "died" or (verdict.driver and any(soname in said for soname in verdict.driver)):
                continue
            if not said.startswith("ok") and verdict.loads:
                keep = [other for other, each in items if each.extension and each.loads and other != path]
                said = ask(prefix, [path], modules=modules, keep=keep)["opened"].get(path, "died")
            if not said.startswith("ok") and verdict.loads:
                users = sorted(sources.of(package).importers(sources.module(verdict.path) or ""))
                said = ask(prefix, [path], modules=[*modules, *users])["opened"].get(path, "died")
            if not said.startswith("ok") and verdict.loads:
                # A package of libraries alone may leave it to those that require it to open them (libcudf).
                users = [name for each in above(installed, package) for name in top_levels(each, site)]
                said = ask(prefix, [path], modules=[*users, *modules])["opened"].get(path, "died")
            if said.startswith("ok") == verdict.loads:
                totals["after import: agree"] += 1
                totals["after import: cannot load"] += not verdict.loads
            else:
                kind = "false alarm" if said.startswith("ok") else "missed"
                totals[kind] += 1
                yield f"{kind} {verdict.path}: {said}, the model says {verdict.failures[:2] or 'it loads'}"
