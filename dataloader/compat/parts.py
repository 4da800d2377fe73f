"""Packages that say which CUDA the environment has: runtime libraries, metapackages, plugins for one major."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dataloader.compat.axes import on_cuda, same_major
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import Bound, Rule
from dataloader.compat.rows import Part
from dataloader.compat.versions import minor, release


@dataclass(frozen=True, slots=True)
class PartReading:
    """What the versions of one part say."""

    row: Part
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
        majors = {each.partition(".")[0] for each in self.known}
        return same_major(cuda) if cuda.partition(".")[0] in majors else ""


def part_readings(matrix: Matrix) -> Iterator[PartReading]:
    """Yield what each part says."""
    known = frozenset(matrix.toolkits)
    for row in matrix.parts:
        yield PartReading(row, known)
