"""Which libraries others open by name at run time (compat-matrix/dlopen.jsonl), and how such tables are read."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any, NamedTuple

from dataloader.base.errors import ManifestError
from dataloader.base.matrix_folder import matrix_dir


class Opening(NamedTuple):
    """Libraries that one library opens by name at run time, where no DT_NEEDED tells."""

    id: str
    by: str
    """Soname of the opening library."""
    opens: tuple[str, ...]
    pattern: str | None
    """Regular expression of names to be read from the opening file itself."""
    part: str
    """What does not work without them."""
    needs: str
    """``always``: the opening library is of no use without; ``stack``: only where the stack asks for CUDA;
    ``optional``: works without."""
    project: str | None
    """The distribution that the opening library is of, where it counts only of some releases."""
    specifier: str

    def is_of(self, project: str, version: str) -> bool:
        """Whether it counts for a release of a distribution; true where its version is none that PyPI knows."""
        if self.project != project:
            return False
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion

        try:
            return SpecifierSet(self.specifier).contains(version, prereleases=True)
        except InvalidVersion:
            return True  # conda versions need not be PEP 440; nothing can be said


@cache
def load_openings() -> tuple[Opening, ...]:
    """The rows of dlopen.jsonl.

    Raises:
        ManifestError: ``matrix-invalid``, with every row that is wrong.
    """
    return tuple(
        Opening(
            id=row["id"],
            by=row["by"],
            opens=tuple(row.get("opens", ())),
            pattern=row.get("pattern"),
            part=row["part"],
            needs=row["needs"],
            project=row.get("project"),
            specifier=row.get("specifier", ""),
        )
        for row in table_rows("dlopen.jsonl")
    )


def table_rows(name: str) -> list[dict[str, Any]]:
    """The rows of one table of the matrix's folder, each with an id, a source and a date.

    Raises:
        ManifestError: ``matrix-invalid``, with every row that is wrong.
    """
    path = matrix_dir() / name
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ManifestError(f"cannot read {path}", code="matrix-invalid", causes=(error.strerror or "",)) from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            missing = [key for key in ("id", "source", "date") if not row.get(key)]
        except (ValueError, AttributeError):
            missing = ["a JSON object"]
        if missing:
            problems.append(f"{name} line {number}: no {', '.join(missing)}")
        else:
            rows.append(row)
    counts = Counter(row["id"] for row in rows)
    problems += [f"{name}: {count} rows are called {identifier}" for identifier, count in counts.items() if count > 1]
    if problems:
        raise ManifestError(f"{name} is not valid", code="matrix-invalid", causes=tuple(problems))
    return rows
