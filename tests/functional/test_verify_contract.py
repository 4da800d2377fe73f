"""What ``verify --contract`` writes admits exactly the nodes for which verify itself finds nothing against it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataloader.base.errors import ExitCode
from dataloader.cli.app import main
from dataloader.compat.openings import table_rows
from dataloader.machine.target import Gpu, Target
from dataloader.verify.run import verify_targets
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.fatbin import cubin, fatbin_source, ptx
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, register

pytestmark = needs_gcc

_CAPABILITIES = [(7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0), (13, 0)]
_DRIVERS = {"11.8": "520.61.05", "12.1": "530.30.02", "12.4": "550.54.14", "12.8": "570.26", "13.0": "580.65.06"}
"""CUDA of a driver -> the first driver of it, as the toolkit table has it."""
_PACKAGES: dict[str, dict[str, list[bytes]]] = {
    "one": {"a": [cubin(80), cubin(90), ptx(90, (8, 4))]},
    "several": {"a": [cubin(75), cubin(86), ptx(86, (8, 1))], "b": [cubin(80), ptx(80, (8, 7))]},
    "only machine code": {"a": [cubin(86), cubin(100)]},
    "only PTX": {"a": [ptx(70, (8, 4))]},
    "none": {"a": []},
}


def _environment(tmp_path: Path, packages: dict[str, list[bytes]], cuda: str = "12.1.105") -> Path:
    prefix = make_prefix(tmp_path / "env")
    for name, entries in packages.items():
        source = fatbin_source(*entries) if entries else ""
        make_library(prefix / SITE / name / f"_c{EXTENSION}", source + f"\nint PyInit__c(void){{return {len(name)};}}")
        files = {f"{name}/__init__.py": "from . import _c\n"}
        register(prefix, name, "1.0", paths=[f"{name}/_c{EXTENSION}"], files=files)
    register(prefix, f"nvidia-cuda-runtime-cu{cuda.partition('.')[0]}", cuda, paths=[])
    return prefix


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _labels(capability: tuple[int, int], driver: str) -> dict[str, str]:
    parts = [*driver.split("."), "0"][:3]
    names = ("driver-version.major", "driver-version.minor", "driver-version.revision")
    found = {f"nvidia.com/cuda.{name}": part for name, part in zip(names, parts, strict=True)}
    return found | {f"nvidia.com/gpu.compute.{n}": str(v) for n, v in zip(("major", "minor"), capability, strict=True)}


def _holds(operator: str, values: list[str], label: str) -> bool:
    """As Kubernetes and Node Feature Discovery have it: numbers for Gt and Lt, text for In."""
    if operator == "In":
        return label in values
    low, high = values[0], values[-1]
    told = {
        "Gt": int(label) > int(low),
        "Lt": int(label) < int(low),
        "GtLt": int(low) < int(label) < int(high),
    }
    return told[operator]


def _by_affinity(text: str, labels: dict[str, str]) -> bool:
    node = yaml.safe_load(text)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return any(
        all(_holds(each["operator"], each["values"], labels[each["key"]]) for each in term["matchExpressions"])
        for term in node["nodeSelectorTerms"]
    )


def _by_nfd(text: str, labels: dict[str, str]) -> bool:
    (compatibility,) = yaml.safe_load(text)["compatibilities"]
    (rule,) = compatibility["rules"]
    ways = [way["matchFeatures"][0]["matchExpressions"] for way in rule["matchAny"]]
    return any(all(_holds(each["op"], each["value"], labels[key]) for key, each in way.items()) for way in ways)


def _by_require(text: str, capability: tuple[int, int], driver: str) -> bool:
    """Blanks mean or, commas and (NVIDIA container runtime)."""
    values: dict[str, tuple[int, ...]] = {"driver": _numbers(driver), "arch": capability}
    _, _, said = text.strip().partition("NVIDIA_REQUIRE_CUDA=")

    def holds(each: str) -> bool:
        name, sign, version = re.fullmatch(r"(\w+)(>=|<)([\d.]+)", each).groups()  # type: ignore[union-attr]
        return (values[name] >= _numbers(version)) is (sign == ">=")

    return any(all(map(holds, way.split(","))) for way in said.split(" "))


def _by_cel(text: str, capability: tuple[int, int], driver: str) -> bool:
    """The expression, with its calls and operators in Python's words."""
    values: dict[str, tuple[int, ...]] = {
        "driverVersion": (*_numbers(driver), 0)[:3],
        "cudaComputeCapability": (*capability, 0),
    }
    call = re.compile(r"device\.attributes\['gpu\.nvidia\.com'\]\.(\w+)\.compareTo\(semver\('([\d.]+)'\)\) (>=|<) 0")

    def compared(match: re.Match[str]) -> str:
        assert len(_numbers(match[2])) == 3
        return str((values[match[1]] >= _numbers(match[2])) is (match[3] == ">="))

    said = call.sub(compared, text.strip()).replace("device.driver == 'gpu.nvidia.com'", "True")
    said = said.replace("&&", "and").replace("||", "or")
    assert re.fullmatch(r"(True|False|and|or|[() ])+", said), said
    return bool(eval(said))


def _admitted(prefix: Path, nodes: Sequence[tuple[tuple[int, int], str]]) -> list[bool]:
    """Whether verify finds nothing against each compute capability, with the first driver of a CUDA."""
    targets = [
        Target(
            glibc="2.36",
            driver=_DRIVERS[cuda],
            driver_cuda=cuda,
            gpus=(Gpu(name="a GPU", capability=".".join(map(str, capability))),),
        )
        for capability, cuda in nodes
    ]
    reports = verify_targets(prefix, targets=targets).reports
    return [not any(each.severity == "error" for each in report.findings) for report in reports]


@pytest.mark.parametrize("name", sorted(_PACKAGES))
def test_each_format_admits_what_verify_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    prefix = _environment(tmp_path, _PACKAGES[name])
    said: dict[str, str] = {}
    for form in ("nfd", "dra", "affinity", "nvidia-require"):
        assert main(["verify", "-p", str(prefix), "--contract", form]) == ExitCode.OK
        said[form] = capsys.readouterr().out
    nodes = list(itertools.product(_CAPABILITIES, _DRIVERS))
    admitted = _admitted(prefix, nodes)
    assert set(admitted) == {True, False}
    for (capability, cuda), expected in zip(nodes, admitted, strict=True):
        driver = _DRIVERS[cuda]
        labels = _labels(capability, driver)
        told = {
            "nfd": _by_nfd(said["nfd"], labels),
            "dra": _by_cel(said["dra"], capability, driver),
            "affinity": _by_affinity(said["affinity"], labels),
            "nvidia-require": _by_require(said["nvidia-require"], capability, driver),
        }
        assert told == dict.fromkeys(told, expected), (capability, cuda, said)


def test_drivers_of_this_test_are_those_of_the_table() -> None:
    table = {str(row["cuda"]): str(row["driver"]) for row in table_rows("toolkit.jsonl") if row.get("driver")}
    assert {cuda: table[cuda] for cuda in _DRIVERS} == _DRIVERS


def _run(prefix: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["verify", "-p", str(prefix), "--contract=nvidia-require", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_packages_that_no_gpu_runs_together_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = _environment(tmp_path, {"old": [cubin(70)], "young": [cubin(90)]})
    code, document = _run(prefix, capsys)
    assert (code, document["error"]["code"]) == (ExitCode.NO, "no-common-gpu")
    assert document["error"]["causes"] == ["old 1.0: sm_70", "young 1.0: sm_90"]


def test_a_part_that_runs_on_more_does_not_speak_for_the_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = _environment(tmp_path, {"whole": [cubin(80), *[cubin(86)] * 500]})
    make_library(prefix / SITE / "whole" / "libpart.so", fatbin_source(ptx(80)))
    record = next((prefix / SITE).glob("whole-1.0.dist-info/RECORD"))
    record.write_text(f"{record.read_text()}whole/libpart.so,,\n")
    _, document = _run(prefix, capsys)
    assert document["capabilities"] == [{"least": [8, 0], "below": [9, 0], "driver": [525, 60, 13]}]


def test_an_environment_without_cuda_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = make_prefix(tmp_path / "env")
    register(prefix, "plain", "1.0", files={"plain.py": ""})
    code, document = _run(prefix, capsys)
    assert (code, document["contract"], document["capabilities"]) == (ExitCode.OK, "", [])


def test_what_it_excludes_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = make_prefix(tmp_path / "env")
    code, document = _run(prefix, capsys, "--fail-on=note")
    assert (code, document["error"]["code"]) == (ExitCode.USAGE, "usage")
