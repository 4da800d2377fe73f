"""Projects whose wheels differ in their local version label alone, which names the torch and CUDA they are built for.

flash-attn (``2.8.3+cu12torch2.4cxx11abiFALSE``) and PyG's extensions (``2.1.2+pt21cu121``) name no torch in their
metadata, or torch without a range, so that any of them would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule
from dataloader.compat.rows import Build, Label, World
from dataloader.compat.versions import major, minor

_ANY = {"cuda": r"(cpu|cu\d+)", "torch": r"\d+\.\d+", "pt": r"\d+", "abi": "(true|false)"}
"""What stands in a label of any build."""


def label_rules(matrix: Matrix, build: Build) -> Iterator[Rule]:
    """Yield the rules that leave out wheels whose label names another torch, CUDA major or C++ ABI than ``build`` has.

    A version without a label, or with one of another form (one's own build), is left alone: nothing is known of it.
    Beside a torch of conda the channel's own records stay, which are compiled against it.
    """
    world: World = "conda" if build.channel.startswith("conda:") else "pypi"
    for row in matrix.labels:
        yield Rule(
            id=row.id,
            when=Bound(package=build.framework, world=world),
            then=(Bound(package=row.project, world="any", unlike=_unlike(row, build)),),
            why=f"wheels of {row.project} say in their version what they are built for: {_title(build)} it must be",
            source=row.source,
        )


def places_of(matrix: Matrix, build: Build) -> Mapping[str, str]:
    """Return where the wheels of each project for this build of torch are."""
    variant = "cpu" if build.cuda is None else "cu" + build.cuda.replace(".", "")
    return {row.project: row.wheels.format(torch=build.version, variant=variant) for row in matrix.labels}


def _unlike(row: Label, build: Build) -> str:
    """Return a regular expression of the labels of every other build."""
    torch = minor(build.version)
    wanted = {
        "cuda": "cpu" if build.cuda is None else rf"cu{major(build.cuda)}\d?",
        "torch": re.escape(torch),
        "pt": torch.replace(".", ""),
        "abi": _ANY["abi"] if build.cxx11_abi is None else str(build.cxx11_abi).lower(),
    }
    return f"(?!{row.label.format(**wanted)}$){row.label.format(**_ANY)}"


def _title(build: Build) -> str:
    abi = "" if build.cxx11_abi is None else f" and the {'new' if build.cxx11_abi else 'old'} C++ ABI"
    return f"torch {minor(build.version)}, {f'CUDA {major(build.cuda)}' if build.cuda else 'the CPU'}{abi}"
