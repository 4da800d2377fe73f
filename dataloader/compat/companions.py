"""Projects that are compiled against one torch: which of their releases go with which build of it.

Much of this is in nobody's metadata: a wheel was compiled for one CUDA and one C++ ABI and names neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from dataloader.base.values import dataclass
from dataloader.compat.axes import TORCH_ABI, TORCH_CUDA, TORCH_PLACE, same_major
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule
from dataloader.compat.rows import Companion, MatrixBuild

TORCH = "torch"


def torch_places(matrix: Matrix) -> dict[str, str]:
    """Return the places that publish torch, each with its value of the axis."""
    return {place: str(number) for number, place in enumerate(sorted({row.channel for row in torch_rows(matrix)}), 1)}


def torch_rows(matrix: Matrix) -> tuple[MatrixBuild, ...]:
    """Return the builds of torch."""
    return matrix.builds.get(TORCH, ())


@dataclass(frozen=True, slots=True)
class CompanionReading:
    """What the wheels of one companion were compiled for."""

    package: str
    rows: Mapping[str, Companion]
    """Version to what PyPI's wheel was compiled for."""
    abis: Mapping[str, bool]
    """Release of torch to the C++ ABI of PyPI's wheel, and so of what PyPI has for it."""
    labels: Mapping[str, str]
    """Local label of an index that serves it, to the CUDA that it means (``0``: none)."""
    vendor: Mapping[str, str]
    """Local label of its own publisher's index to the CUDA that it means."""
    cudas: tuple[str, ...]
    places: tuple[str, ...]
    """All values of either axis."""
    pypi: str
    indexes: tuple[str, ...]
    """Values of the axis of places: PyPI, and the indexes that serve it."""

    def rules(self, version: str) -> tuple[Rule, ...]:
        """Return which builds of torch a wheel goes with."""
        public, _, local = version.partition("+")
        row = self.rows.get(public)
        if local:
            found = self._labelled(local)
            why = f"{self.package} {version} is of the family of torch builds with the label {local}"
        else:
            found = list(self._plain(row)) if row else []
            compiled = " or ".join(row.cuda) if row else ""
            why = f"the wheel of {self.package} {version} on PyPI was compiled for CUDA {compiled}"
        if not found:
            return ()
        return (
            Rule(
                id=row.id if row else f"{self.package}-{local}",
                when=Bound(package=self.package, specifier=f"=={version}", world="pypi"),
                then=tuple(found),
                why=why,
                source=row.source if row else "",
            ),
        )

    def _labelled(self, local: str) -> list[Bound]:
        if local in self.vendor:
            cuda = self.vendor[local]
            # built for one minor, it runs with the libraries of that and of later ones
            return [Bound(package=TORCH_CUDA, specifier=f">={cuda},{same_major(cuda)}")]
        if local not in self.labels:
            return []
        family = only((self.pypi, *self.indexes), self.places)
        return [
            Bound(package=TORCH_CUDA, specifier=f"=={self.labels[local]}"),
            Bound(package=TORCH_PLACE, specifier=family),
        ]

    def _plain(self, row: Companion) -> Iterator[Bound]:
        if row.cuda:
            # one binary per CUDA minor works beside a torch without CUDA too
            minors = only(("0", *row.cuda), self.cudas)
            yield Bound(package=TORCH_CUDA, specifier=minors if row.match == "minor" else same_major(row.cuda[0]))
        if row.torch.startswith("=="):
            abi = self.abis.get(row.torch[2:])
            if abi is not None:
                yield Bound(package=TORCH_ABI, specifier=f"=={int(abi)}")
            if self.indexes:
                elsewhere = [place for place in self.places if place not in self.indexes]
                yield Bound(package=TORCH_PLACE, specifier=only(elsewhere, self.places))


def torch_cudas(matrix: Matrix) -> tuple[str, ...]:
    """Return the values of the axis of what torch was compiled against."""
    return tuple(dict.fromkeys(("0", *(row.cuda for row in torch_rows(matrix) if row.cuda))))


def companion_readings(matrix: Matrix) -> Iterator[CompanionReading]:
    """Yield what the wheels of each companion say."""
    places, wheels = torch_places(matrix), [row for row in torch_rows(matrix) if row.channel == "pypi"]
    abis = {row.version: row.cxx11_abi for row in wheels if row.cxx11_abi is not None}
    for project, group in groupby(matrix.companions, key=lambda row: row.project):
        indexes = [i for i in matrix.indexes.values() if project in i.projects and i.name in places]
        own = [row for row in matrix.further if row.project == project and row.cuda]
        built = [row for row in torch_rows(matrix) if row.channel in {index.name for index in indexes}]
        yield CompanionReading(
            package=project,
            rows={row.version: row for row in group},
            abis=abis,
            labels={matrix.indexes[row.channel].local_of(row.cuda): row.cuda or "0" for row in built},
            vendor={matrix.indexes[row.place].local_of(row.cuda): row.cuda or "" for row in own},
            cudas=torch_cudas(matrix),
            places=tuple(places.values()),
            pypi=places.get("pypi", ""),
            indexes=tuple(places[index.name] for index in indexes if index.name in places),
        )


def family_rules(matrix: Matrix) -> Iterator[Rule]:
    """Yield the rules that keep companions of conda channels beside the torch of their own channel.

    A channel of a name that the matrix does not know may mirror any: there it is enough that torch is of conda.
    """
    places = torch_places(matrix)
    conda = {place[6:]: value for place, value in places.items() if place.startswith("conda:")}
    if not conda:
        return
    pinned = {row.project: row for row in matrix.companions if row.torch.startswith("==")}
    for project, row in sorted(pinned.items()):
        for channel, admitted in [("", tuple(conda.values())), *((name, (conda[name],)) for name in conda)]:
            if channel and channel not in matrix.channels:
                continue
            yield Rule(
                id=f"{project}-of-{channel or 'conda'}",
                when=Bound(package=project, world="conda", channel=channel),
                then=(Bound(package=TORCH_PLACE, specifier=only(admitted, places.values())),),
                why=f"{project} of a conda channel is compiled against the torch of that channel",
                source=row.source,
            )


def only(admitted: Iterable[str], among: Iterable[str]) -> str:
    """Return the specifier that leaves ``admitted`` of an axis's values.

    >>> only(("1", "3"), ("1", "2", "3", "4"))
    '!=2,!=4'
    """
    return ",".join(f"!={value}" for value in among if value not in set(admitted))
