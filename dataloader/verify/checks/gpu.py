"""GPU code and CUDA runtimes against the GPUs and the driver of the target. Judgement only, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dataloader.elf.gpucode import GpuCode, parse_capability, runs_on
from dataloader.elf.scan import ScannedFile
from dataloader.machine.target import Target
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.loads import Verdict
from dataloader.verify.tables import load_tables, ptx_of_cuda


class Runtime(NamedTuple):
    """One CUDA runtime in a prefix."""

    package: InstalledPackage
    version: tuple[int, int]

    @property
    def text(self) -> str:
        """``"12.1"``."""
        return _dotted(self.version)


def find_runtimes(installed: InstalledPackages) -> list[Runtime]:
    """The CUDA runtimes that packages bring; their version is the toolkit's."""
    names = {
        name
        for provider in load_tables().providers.values()
        if provider.library == "libcudart"
        for name in (*(project for project, _ in provider.pypi), *(package for _, package in provider.conda))
    }
    found = []
    for package in installed.packages:
        version = re.match(r"(\d+)\.(\d+)", package.version)
        if package.name in names and version:
            found.append(Runtime(package=package, version=(int(version[1]), int(version[2]))))
    return found


def check_driver(installed: InstalledPackages, target: Target) -> Iterator[Finding]:
    """Each CUDA runtime against the driver (docs.nvidia.com/deploy/cuda-compatibility)."""
    limit = parse_capability(target.driver_cuda or "")
    if limit is None:
        return
    for runtime in find_runtimes(installed):
        label, path = runtime.package.label, runtime.package.path
        if runtime.version[0] > limit[0]:
            yield Finding(
                severity="error",
                kind="driver-too-old",
                path=path,
                message=f"CUDA {runtime.text} does not run on a driver for CUDA {target.driver_cuda}",
                evidence=(f"{label} is in the environment", "a newer major needs a newer driver"),
                fix=f"dataloader install --cuda={target.driver_cuda}",
            )
        elif runtime.version > limit:
            yield Finding(
                severity="note",
                kind="minor-version-compatibility",
                path=path,
                message=f"CUDA {runtime.text} runs on a driver for CUDA {target.driver_cuda} within its major version",
                evidence=(f"{label} is in the environment", "code that comes as PTX only does not"),
            )


class Device(NamedTuple):
    """One GPU of the target, and the CUDA of the driver that serves it."""

    name: str
    capability: tuple[int, int]
    driver_cuda: tuple[int, int] | None
    """``None``: not known, one that suffices is assumed."""

    @property
    def number(self) -> str:
        """``9.0``."""
        return _dotted(self.capability)

    @property
    def title(self) -> str:
        """``NVIDIA H200 (compute capability 9.0)``."""
        return f"{self.name} (compute capability {self.number})"

    def runs(self, code: GpuCode) -> bool:
        """Whether it executes ``code``, which its driver compiles first where it is PTX."""
        return runs_on(code, self.capability) and not self.refuses(code)

    def refuses(self, code: GpuCode) -> bool:
        """Whether ``code`` is PTX for it, of a newer version than its driver compiles.

        That is cudaErrorUnsupportedPtxVersion. A toolkit writes the newest version that drivers of its CUDA know, and
        minor-version compatibility does not cover it (docs.nvidia.com/deploy/cuda-compatibility).
        """
        limit = self.driver_cuda
        if not code.isa or limit is None or not runs_on(code, self.capability):
            return False
        return any(cuda >= limit and known < code.isa for cuda, known in ptx_of_cuda().items())


def devices_of(target: Target) -> Iterator[Device]:
    """The GPUs of a target whose compute capability is known."""
    for gpu in target.gpus:
        capability = parse_capability(gpu.capability)
        if capability is not None:
            yield Device(gpu.name, capability, parse_capability(target.driver_cuda or ""))


def check_gpu_code(
    scanned: Sequence[ScannedFile],
    verdicts: Sequence[Verdict],
    owners: Mapping[str, InstalledPackage],
    target: Target,
) -> Iterator[Finding]:
    """Each GPU of the target against the code of each package.

    A package whose own extension modules carry or bring GPU code is of no use on a GPU that none of it runs on; a
    library that serves only newer GPUs (sparse tensor cores) is not at fault for an older one.
    """
    frameworks = {verdict.package.path for verdict in verdicts if verdict.extension and verdict.package}
    by_package: dict[str, list[ScannedFile]] = {}
    for file in scanned:
        owner = owners.get(file.path)
        if file.facts and file.facts.gpu and owner:
            by_package.setdefault(owner.path, []).append(file)
    for device in devices_of(target):
        for path, files in sorted(by_package.items()):
            files.sort(key=lambda file: (not file.path.rpartition("/")[2].startswith("lib"), -file.size))
            yield from _check_package(owners[files[0].path], files, device, needed=path in frameworks)


def _check_package(
    package: InstalledPackage, files: Sequence[ScannedFile], device: Device, *, needed: bool
) -> Iterator[Finding]:
    code = [gpu_code for file in files if file.facts for gpu_code in file.facts.gpu]
    usable = [gpu_code for gpu_code in code if device.runs(gpu_code)]
    severity: Severity = "error" if needed else "warning"
    path, has = files[0].path, f"it has {describe(code)}"
    if not usable:
        refused = [gpu_code for gpu_code in code if device.refuses(gpu_code)]
        if refused:
            yield _too_new(package, path, refused, device, severity)
        else:
            yield Finding(
                severity=severity,
                kind="no-gpu-code",
                path=path,
                message=f"{package.label} has no code that runs on {device.title}",
                evidence=(has,),
            )
    elif all(gpu_code.kind == "ptx" for gpu_code in usable):
        certain = device.driver_cuda and all(gpu_code.isa for gpu_code in usable)
        yield Finding(
            severity="note",
            kind="ptx-only",
            path=path,
            message=f"{package.label} is compiled from PTX when it first runs on {device.title}",
            evidence=(has,) if certain else (has, "the driver must be as new as the CUDA that made the PTX"),
        )
    else:
        yield from _without_code(package, files, device)


def _too_new(
    package: InstalledPackage, path: str, refused: Sequence[GpuCode], device: Device, severity: Severity
) -> Finding:
    isa = min(gpu_code.isa for gpu_code in refused)
    enough = [cuda for cuda, known in ptx_of_cuda().items() if known >= isa]
    takes = f"a driver for CUDA {_dotted(min(enough))}" if enough else "a newer driver"
    return Finding(
        severity=severity,
        kind="ptx-too-new",
        path=path,
        message=f"{package.label} has only PTX for {device.title}, which a driver for CUDA"
        f" {_dotted(device.driver_cuda or ())} does not compile",
        evidence=(f"it is PTX {_dotted(isa)}, which takes {takes}", "minor-version compatibility does not cover PTX"),
    )


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _without_code(package: InstalledPackage, files: Sequence[ScannedFile], device: Device) -> Iterator[Finding]:
    lacking = [file for file in files if file.facts and not any(device.runs(gpu_code) for gpu_code in file.facts.gpu)]
    if lacking:
        yield Finding(
            severity="note",
            kind="no-gpu-code",
            path=lacking[0].path,
            message=f"{len(lacking)} of {len(files)} libraries with GPU code of {package.label} have none for"
            f" {device.title}",
            evidence=tuple(f"{file.path}: {describe(file.facts.gpu)}" for file in lacking[:8] if file.facts),
        )


def describe(code: Sequence[GpuCode]) -> str:
    """``sm_80 sm_90a, PTX 90``."""
    cubins = sorted(
        {gpu_code for gpu_code in code if gpu_code.kind == "cubin"},
        key=lambda gpu_code: (gpu_code.number, gpu_code.suffix),
    )
    ptx = sorted(
        {gpu_code for gpu_code in code if gpu_code.kind == "ptx"},
        key=lambda gpu_code: (gpu_code.number, gpu_code.suffix),
    )
    parts = [" ".join(dict.fromkeys(f"sm_{cubin.arch}" for cubin in cubins))] if cubins else []
    parts += ["PTX " + " ".join(dict.fromkeys(gpu_code.arch for gpu_code in ptx))] if ptx else []
    return ", ".join(parts) or "none"
