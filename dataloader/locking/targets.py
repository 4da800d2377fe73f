"""The machines that a request is solved for: those of a target file, or this one as the manifest has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.base.reporter import Reporter
from dataloader.machine.target import Target

if TYPE_CHECKING:
    from dataloader.compat.matrix import Matrix
    from dataloader.request.asked import Asked
    from dataloader.request.request import Request


def make_targets(
    request: Request, matrix: Matrix, environ: Mapping[str, str], *, for_stack: bool = False
) -> tuple[Target, ...]:
    """Return the machines to solve for: those of ``--target``, or this one, as the manifest has it, for the platform.

    ``for_stack`` leaves out of this one what no stack depends on.
    """
    from dataloader.machine.detect import EVERYTHING, detect_target, with_system_requirements

    if request.target_file is not None:
        from dataloader.request.target_file import load_target

        described = load_target(request.target_file, matrix.capabilities, matrix.cuda_of_driver)
        return tuple(target for target in described if target.platform == request.platform)
    detected = detect_target(request.platform, environ, ask=() if for_stack else EVERYTHING)
    target = with_system_requirements(detected, request.system)
    if not request.gpus:
        return (target,)
    from dataloader.request.target_file import find_gpu

    gpus = [find_gpu(name, matrix.capabilities) for name in request.gpus]
    known = tuple(gpu for gpu in gpus if gpu is not None)
    if len(known) < len(gpus):
        unknown = [name for name, gpu in zip(request.gpus, gpus, strict=True) if gpu is None]
        raise UsageError(f"no GPU is known as {', '.join(unknown)}", code="gpu-unknown")
    return (target._replace(gpus=known) if known else target,)


def named_targets(options: Asked, environ: Mapping[str, str], ask: Collection[str]) -> tuple[Target, ...]:
    """Return the machines of ``--target``, else what to ``ask`` of this one, for commands that solve nothing."""
    if options.target is None:
        from dataloader.machine.detect import detect_target

        return (detect_target(options.platform, environ, ask=ask),)
    from dataloader.compat.matrix import matrix_with
    from dataloader.request.target_file import load_target

    matrix = matrix_with(options.matrix)
    return load_target(options.target, matrix.capabilities, matrix.cuda_of_driver)


def decides(target: Target) -> bool:
    """Whether a machine has anything that facts about CUDA decide: a driver, or GPUs."""
    return bool(target.driver or target.driver_cuda or target.gpus)


def common_target(targets: tuple[Target, ...]) -> Target:
    """Return a machine that asks no more than every one of ``targets`` has: what is solved for it runs on all."""
    from dataloader.compat.versions import key

    first = targets[0]
    if len(targets) == 1:
        return first
    glibcs = [t.glibc for t in targets if t.glibc]
    libstdcxxs = [t.libstdcxx for t in targets if t.libstdcxx]
    cudas = [t.driver_cuda for t in targets if t.driver_cuda]
    levels = {t.archspec for t in targets}
    return first._replace(
        glibc=min(glibcs, key=key) if len(glibcs) == len(targets) else None,
        libstdcxx=min(libstdcxxs, key=key) if len(libstdcxxs) == len(targets) else None,
        driver_cuda=min(cudas, key=key) if cudas else None,
        archspec=first.archspec if len(levels) == 1 else first.arch,
    )


def with_sufficient_driver(target: Target, cuda: str) -> Target:
    """Return the target with a driver that suffices for a CUDA where none was seen: images and CI have none."""
    if target.driver_cuda or not cuda:
        return target
    return target._replace(driver_cuda=cuda, assumed=(*target.assumed, "driver_cuda"))


def say_target(target: Target, request: Request, reporter: Reporter) -> None:
    libc = f"glibc {target.glibc}" if target.glibc else f"musl {target.musl}" if target.musl else "no known libc"
    if not target.platform.startswith("linux-"):
        libc = f"macOS {target.macos}" if target.macos else "no known version"
    driver = (
        f"NVIDIA driver {target.driver or '?'} (CUDA {target.driver_cuda})"
        if target.driver_cuda
        else "no NVIDIA driver"
    )
    gcc = f", GCC {target.gcc}" if target.gcc else ""
    reporter.info(f"target {target.platform}: {libc}, {driver}{gcc}")
    if not target.driver_cuda and request.stack.get("cuda") not in (None, "none"):
        reporter.info("no driver was seen here: solving for a machine whose driver suffices")
