"""What the version of a package says: which CUDA the environment has, or which version of another goes with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dataloader.base.values import dataclass
from dataloader.compat.axes import on_cuda, same_major
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule
from dataloader.compat.rows import CudaSign, Pair
from dataloader.compat.versions import minor, release


@dataclass(frozen=True, slots=True)
class PartReading:
    """What the versions of one part say."""

    row: CudaSign
    known: Collection[str]
    """The CUDA minors that the matrix knows."""

    @property
    def package(self) -> str:
        """PyPI project, or ``conda:NAME``."""
        return self.row.package

    def rules(self, version: str) -> tuple[Rule, ...]:
        """Return the CUDA of a version; of a minor that the matrix does not know the major counts."""
        specifier = self.row.cuda or self._told(version)
        if not specifier:
            return ()
        return (
            Rule(
                id=self.row.id,
                when=Bound(package=self.row.package, specifier=f"=={version}"),
                then=(on_cuda(specifier),),
                requires=True,
                why=f"{self.row.package} {version} is of CUDA {specifier.removeprefix('==').removesuffix('.*')}",
                source=self.row.source,
            ),
        )

    def _told(self, version: str) -> str:
        try:
            numbers = release(version)
        except ValueError:
            return ""
        cuda = minor(".".join(map(str, numbers)))
        if cuda in self.known and self.row.tells == "minor":
            return f"=={cuda}"
        majors = {version.partition(".")[0] for version in self.known}
        return same_major(cuda) if cuda.partition(".")[0] in majors else ""


@dataclass(frozen=True, slots=True)
class PairReading:
    """What the versions of one of a pair say."""

    row: Pair

    @property
    def package(self) -> str:
        """PyPI project."""
        return self.row.package

    def rules(self, version: str) -> tuple[Rule, ...]:
        """Return the bound on the other of the pair."""
        return (
            Rule(
                id=self.row.id,
                when=Bound(package=self.row.package, specifier=f"=={version}"),
                then=(Bound(package=self.row.other, specifier=f"=={version}"),),
                why=self.row.why,
                source=self.row.source,
            ),
        )


def pair_readings(matrix: Matrix) -> Iterator[PairReading]:
    """Yield what each pair says."""
    return map(PairReading, matrix.pairs)


def part_readings(matrix: Matrix) -> Iterator[PartReading]:
    """Yield what each part says."""
    known = frozenset(matrix.toolkits)
    for row in matrix.parts:
        yield PartReading(row, known)
