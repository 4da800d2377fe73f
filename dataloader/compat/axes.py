"""The axes of a stack as packages of the problem: their names, and how builds speak of them."""

from __future__ import annotations

from dataloader.compat.model import AXIS, Bound
from dataloader.compat.versions import major

CUDA = f"{AXIS}cuda"
"""The CUDA of the environment: minors, as the toolkits of the matrix name them."""
TORCH_CUDA = f"{AXIS}torch-cuda"
"""The CUDA that torch was compiled against; ``0``: none."""
TORCH_ABI = f"{AXIS}torch-abi"
"""The C++ ABI that torch was compiled with: ``0`` the old, ``1`` the new."""
TORCH_PLACE = f"{AXIS}torch-place"
"""Where torch comes from: what is compiled against it must come from the same family of builds."""
NEVER = f"{AXIS}never"
"""An axis without values: what depends on it cannot be."""
ASIDE = f"{AXIS}aside"
"""A build of a further index beside one of PyPI that would do as well."""
DOUBT = f"{AXIS}doubt"
"""A build that hardly has code for some GPU of the machines, though no row says so."""
PRESENT = "0"
"""The value of an axis that has one alone."""


def cpu_of(framework: str) -> str:
    """Return the axis of what is taken for a framework's CPU build."""
    return f"{AXIS}cpu.{framework}"


def unknown_of(framework: str) -> str:
    """Return the axis of what no row of a framework describes."""
    return f"{AXIS}unknown.{framework}"


def mute_of(framework: str) -> str:
    """Return the axis of what no row of a framework describes, and whose metadata says nothing of CUDA either."""
    return f"{AXIS}mute.{framework}"


def forbidden(axis: str) -> Bound:
    """Return the bound that no value of an axis meets."""
    return Bound(package=axis, specifier="<0")


def said_of(axis: str) -> str | None:
    """Return what is said where an axis of a framework is forbidden; None for others.

    >>> said_of(cpu_of("jax"))
    'no build of jax for the CPU is taken where CUDA is asked for'
    """
    kind, _, framework = axis.removeprefix(AXIS).partition(".")
    said = {
        "cpu": f"no build of {framework} for the CPU is taken where CUDA is asked for",
        "unknown": f"no build of {framework} is taken that the matrix does not know",
        "mute": f"no build of {framework} is taken that does not say which CUDA it is for",
    }
    return said.get(kind)


def on_cuda(specifier: str) -> Bound:
    """Return the bound on the CUDA of the environment."""
    return Bound(package=CUDA, specifier=specifier)


def same_major(cuda: str) -> str:
    """Return the specifier of all CUDA of one major.

    >>> same_major("12.4")
    '==12.*'
    """
    return f"=={major(cuda)}.*"
