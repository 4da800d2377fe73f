"""How builds, places and machines are named in a sentence."""

from __future__ import annotations

from dataloader.compat.rows import MatrixBuild
from dataloader.machine.target import Gpu, Target


def build_title(row: MatrixBuild) -> str:
    """``torch 2.1.0 for CUDA 11.8``."""
    name = row.framework if row.version == row.versions[2:] else f"{row.framework} {row.versions}"
    version = f" {row.version}" if row.versions == f"=={row.version}" else ""
    return f"{name}{version} for {'the CPU' if row.cuda is None else f'CUDA {row.cuda}'}"


def channel_title(channel: str) -> str:
    """``pypi`` -> ``PyPI``, ``conda:conda-forge`` -> ``channel conda-forge``."""
    if channel == "pypi":
        return "PyPI"
    return f"channel {channel[6:]}" if channel.startswith("conda:") else f"the {channel.removesuffix('-index')} index"


def pool_title(pool: Target) -> str:
    """How a machine is named in a sentence."""
    return f"pool {pool.name}" if pool.name else "the target"


def gpu_title(gpu: Gpu) -> str:
    """``a GPU V100 (compute capability 7.0)``."""
    return f"a GPU {gpu.name} (compute capability {gpu.capability})"
