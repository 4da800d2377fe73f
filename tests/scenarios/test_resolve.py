"""Each file of resolve/ is one problem and its answer: data only, solved by the real solver over a real channel."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import DataloaderError, IntegrityError
from dataloader.base.reporter import Reporter
from dataloader.compat.labels import LabelReading
from dataloader.compat.model import Bound, Rule, StackNeeds
from dataloader.compat.rows import Label
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.machine.target import Target
from dataloader.resolve.model import Problem, Requirement, Resolution
from dataloader.resolve.solve import resolve
from dataloader.resolve.words.records import parse_dependency

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCENARIOS = sorted((Path(__file__).parent / "resolve").glob("*.toml"))
PYTHONS = ("3.9.18", "3.10.13", "3.11.7", "3.12.1")


class DictIndex:
    """An index in memory: the double stands at the network's edge."""

    def __init__(self, wheels: list[dict[str, Any]]) -> None:
        self.read: list[str] = []
        self._wheels: dict[str, dict[str, Any]] = {}
        for wheel in wheels:
            name, version, *_ = wheel["file"].split("-")
            self._wheels[wheel["file"]] = {**wheel, "name": name.replace("_", "-").lower(), "version": version}

    async def project(self, name: str) -> tuple[IndexFile, ...]:
        return tuple(
            IndexFile(
                name=name,
                version=w["version"].removesuffix(".tar.gz"),
                filename=w["file"],
                url=f"https://index.invalid/{w['file']}",
                sha256="0" * 64,
                requires_python=None if w.get("metadata_alone") else w.get("requires_python"),
                yanked=w.get("yanked", False),
                upload_time=w.get("uploaded"),
                index="https://index.invalid/simple",
            )
            for w in self._wheels.values()
            if w["name"] == name
        )

    async def further(self, name: str, url: str) -> tuple[IndexFile, ...]:
        raise AssertionError(f"no scenario announces what {url} has of {name}")

    async def variants(self, file: IndexFile) -> None:
        """Nothing here has any."""

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        self.read.append(file.filename)
        wheel = self._wheels[file.filename]
        if "broken" in wheel:
            raise IntegrityError(wheel["broken"])
        return WheelMetadata(
            name=file.name,
            version=file.version,
            requires_dist=tuple(wheel.get("requires", ())),
            requires_python=wheel.get("requires_python"),
            extras=tuple(wheel.get("extras", ())),
        )


def write_channel(root: Path, records: list[dict[str, Any]]) -> str:
    """Write repodata as a channel has it, and return the channel's URL."""
    by_subdir: dict[str, dict[str, Any]] = {"linux-64": {}, "noarch": {}}
    for record in records:
        name, version, build = record["record"].split("=")
        subdir = record.get("subdir", "linux-64")
        number = build.rsplit("_", 1)[-1]
        by_subdir[subdir][f"{name}-{version}-{build}.conda"] = {
            "name": name,
            "version": version,
            "build": build,
            "build_number": int(number) if number.isdigit() else 0,
            "depends": record.get("depends", []),
            "constrains": record.get("constrains", []),
            "subdir": subdir,
            "sha256": "1" * 64,
            "size": 1,
            **({"timestamp": _milliseconds(record["uploaded"])} if "uploaded" in record else {}),
        }
    for subdir, packages in by_subdir.items():
        (root / subdir).mkdir(parents=True)
        document = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages, "repodata_version": 1}
        (root / subdir / "repodata.json").write_text(json.dumps(document))
    return root.as_uri() + "/"


def _milliseconds(moment: str) -> int:
    return int(dt.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)


def requirement(text: str, *, constraint: bool = False) -> Requirement:
    """Read a requirement as a scenario writes it: PEP 508, or ``pypi:`` before it."""
    parsed = parse_dependency(text.removeprefix("pypi:"))
    assert parsed is not None, text
    return Requirement(
        name=parsed.name,
        specifier=parsed.specifier,
        extras=parsed.extras,
        marker=parsed.marker,
        only_pypi=text.startswith("pypi:"),
        constraint=constraint,
        origin="the scenario",
    )


def bound(value: Mapping[str, Any]) -> Bound:
    return Bound(**value)


def in_channel(spec: str, urls: Mapping[str, str]) -> str:
    """Replace ``CHANNEL(name)`` by the URL that the scenario's channel got."""
    for name, url in urls.items():
        spec = spec.replace(f"CHANNEL({name})", url.rstrip("/"))
    return spec


def make_problem(scenario: Mapping[str, Any], tmp_path: Path) -> Problem:
    channels = scenario.get("channels", {})
    rules = tuple(
        Rule(
            id=r["id"],
            when=bound(r["when"]) if "when" in r else None,
            then=tuple(bound(b) for b in r["then"]),
            requires=r.get("requires", False),
            why=r.get("why", ""),
        )
        for r in scenario.get("rules", ())
    )
    urls = {name: write_channel(tmp_path / name, records) for name, records in channels.items()}
    labels = (
        LabelReading(Label(id=f"label-{one['project']}", wheels="", source="", date="", **one))
        for one in scenario.get("labels", ())
    )
    needs = StackNeeds(
        requirements=tuple(bound(b) for b in scenario.get("needs", ())),
        rules=rules,
        axes={axis: tuple(values) for axis, values in scenario.get("axes", {}).items()},
        readings=tuple(labels),
    )
    return Problem(
        target=Target(**{"glibc": "2.36", "driver_cuda": "12.4", **scenario.get("target", {})}),
        channels=tuple(urls.values()),
        conda_specs=tuple(in_channel(spec, urls) for spec in scenario.get("conda", ())),
        requirements=(
            *(requirement(text) for text in scenario.get("requirements", ())),
            *(requirement(text, constraint=True) for text in scenario.get("constraints", ())),
        ),
        needs=needs,
        python=scenario.get("python", ""),
        host_pythons=tuple(scenario.get("host_pythons", PYTHONS)) if not channels else (),
        prerelease=scenario.get("prerelease", "if-necessary"),
        strategy=scenario.get("strategy", "highest"),
        exclude_newer=scenario.get("exclude_newer"),
        frameworks=frozenset({"torch"}),
        preferred=scenario.get("preferred", {}),
    )


def summary(resolution: Resolution) -> list[str]:
    wheels = [f"{p.name} {p.version} pypi" for p in resolution.pypi]
    records = [f"{p.name} {p.version} conda" for p in resolution.conda]
    python = [f"python {resolution.python} host"] if resolution.python_source == "host" else []
    return sorted([*wheels, *records, *python])


def solve(problem: Problem, index: DictIndex, cache: Path) -> Resolution | DataloaderError:
    try:
        return asyncio.run(resolve(problem, index, Reporter(), cache=cache))
    except DataloaderError as error:
        return error


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path) -> None:
    scenario = tomllib.loads(path.read_text())
    problem = make_problem(scenario, tmp_path)
    index = DictIndex(scenario.get("wheels", []))
    expected = scenario["expected"]

    outcome = solve(problem, index, tmp_path / "cache")
    if isinstance(outcome, DataloaderError):
        told = "\n".join([outcome.message, *outcome.causes, *outcome.suggestions])
        assert outcome.code == expected.get("error"), told
        assert [text for text in expected.get("says", []) if text not in told] == [], told
        assert sorted(expected.get("causes", outcome.causes)) == sorted(outcome.causes)
        return

    assert "error" not in expected, summary(outcome)
    chosen = summary(outcome)
    if expected.get("exactly", True):
        assert chosen == sorted(expected["packages"])
    assert [line for line in expected["packages"] if line not in chosen] == []
    assert [text for text in expected.get("notes", []) if not any(text in n for n in outcome.notes)] == []
    assert [name for name in expected.get("not_read", []) if name in index.read] == []
    assert sorted({a.rule.id for a in outcome.applied}) == sorted(expected.get("rules", [])) or "rules" not in expected


def test_there_are_scenarios_on_both_sides() -> None:
    outcomes = ["error" in tomllib.loads(path.read_text())["expected"] for path in SCENARIOS]

    assert len(outcomes) >= 20
    assert any(outcomes)
    assert not all(outcomes)
