"""Projects whose wheels differ in their local version label alone, which names the torch and CUDA they are built for.

flash-attn (``2.8.3+cu12torch2.4cxx11abiFALSE``) and PyG's extensions (``2.1.2+pt21cu121``) name no torch in their
metadata, or torch without a range, so that any of them would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dataloader.base.values import dataclass
from dataloader.compat.axes import TORCH_ABI, TORCH_CUDA, same_major
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule
from dataloader.compat.rows import Label, MatrixBuild, variant

LABEL_PARTS = {
    "cuda": r"(?P<cuda>cpu|cu\d+)",
    "cudadot": r"(?P<cudadot>\d+\.\d+)",
    "torch": r"(?P<torch>\d+\.\d+)",
    "pt": r"(?P<pt>\d{2,3})",
    "abi": r"(?P<abi>true|false)",
}


@dataclass(frozen=True, slots=True)
class LabelReading:
    """What the labels of one project's wheels say."""

    row: Label

    @property
    def package(self) -> str:
        """The project."""
        return self.row.project

    def rules(self, version: str) -> tuple[Rule, ...]:
        """Return the torch, its CUDA and its C++ ABI that a label names.

        A version without a label, or with one of another form (one's own build), says nothing.
        """
        found = read_label(self.row, version)
        if found is None:
            return ()
        return (
            Rule(
                id=self.row.id,
                when=Bound(package=self.row.project, specifier=f"=={version}", world="pypi"),
                then=tuple(_bounds(found.groupdict())),
                why=f"wheels of {self.row.project} say in their version what they are built for: {found[0]}",
                source=self.row.source,
            ),
        )


def _bounds(parts: Mapping[str, str]) -> Iterator[Bound]:
    if cuda := parts.get("cuda") or parts.get("cudadot"):
        yield Bound(package=TORCH_CUDA, specifier="==0" if cuda == "cpu" else same_major(cuda_of_label(cuda)))
    if torch := parts.get("torch") or _dotted(parts.get("pt", "")):
        yield Bound(package="torch", specifier=f"=={torch}.*")
    if abi := parts.get("abi"):
        yield Bound(package=TORCH_ABI, specifier=f"=={int(abi == 'true')}")


def read_label(row: Label, version: str) -> re.Match[str] | None:
    """Return what the label of a version says, where it has the form of the row."""
    return re.fullmatch(row.label.replace(".", r"\.").format(**LABEL_PARTS), version.partition("+")[2])


def cuda_of_label(label: str) -> str:
    """Return the CUDA that a label means.

    >>> [cuda_of_label(label) for label in ("cu12", "cu118", "cu.12.8", "cu1213")]
    ['12', '11.8', '12.8', '12.1.3']
    """
    text = label.removeprefix("cu").removeprefix(".")
    if "." in text or len(text) < 3:
        return text
    return ".".join((text[:2], *text[2:]))


def _dotted(pt: str) -> str:
    return f"{pt[0]}.{pt[1:]}" if pt else ""


def places_of(matrix: Matrix, build: MatrixBuild) -> Mapping[str, str]:
    """Return where the wheels of each project for this build of torch are."""
    rows = reversed(matrix.labels)  # of several places the first
    return {row.project: row.wheels.format(torch=build.version, variant=variant(build.cuda)) for row in rows}
