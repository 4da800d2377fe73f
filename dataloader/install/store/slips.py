"""Publishers' slips: files of a package that differ from the package's own record.

The archive has the locked hash, so refusing protects nobody, unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dataloader.base.errors import IntegrityError
from dataloader.base.reporter import Reporter


class Slip(NamedTuple):
    """What a record says of a file, and what is true."""

    published: str
    installed: str


def tell_slips(slips: Mapping[str, Iterable[str]], record: str, reporter: Reporter, *, code: str, strict: bool) -> None:
    """Warn of the files that differ, or refuse them.

    Args:
        slips: ``name version`` of each package that has any, and the paths in its archive.
        record: What the package's own record is called.
        strict: Refuse.

    Raises:
        IntegrityError: with ``code``; it names all files.
    """
    if slips and strict:
        raise IntegrityError(
            f"{len(slips)} package(s) differ from their own {record}, and strict records are asked for",
            code=code,
            causes=tuple(f"{package}: {path}" for package, paths in slips.items() for path in paths),
            suggestions=(
                "lock another version, or leave out --strict-records: the archives themselves have the locked hashes",
                "report it to the publisher",
            ),
        )
    for package, found in slips.items():
        first, *others = found
        more = f" and {len(others)} more" if others else ""
        reporter.warn(
            f"{package} differs from its own {record} in {first}{more}; it is installed as it is in the archive, "
            "which has the locked hash; --strict-records refuses it"
        )
