"""What is raised while an archive is read that is damaged, or packed in a way that cannot be read here."""

from __future__ import annotations

import errno
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

ZIP_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,  # a member ends before its size
    IndexError,  # a member has no name (ZipInfo.is_dir)
    RuntimeError,  # one is encrypted or, as NotImplementedError, of a method or a version that zipfile does not know
    ValueError,  # a name is in no encoding, or (before 3.12) the directory begins before the archive does
    struct.error,  # an extra field ends early
)
"""Of zipfile and what it unpacks with, beside ``OSError`` with :data:`DAMAGE_ERRNO`."""

DAMAGE_ERRNO: Final = frozenset({None, errno.EINVAL})
"""Numbers of an ``OSError`` that is no fault of a disk: bz2's word for damage has none, and a place that the archive
names before its own beginning is no place to seek."""


@contextmanager
def damage_told(tell: Callable[[Exception], Exception], *more: type[Exception]) -> Iterator[None]:
    """Raise what ``tell`` makes of damage, and of ``more`` that a reader raises; faults of a disk go through."""
    damage: tuple[type[Exception], ...] = (*ZIP_DAMAGE, *more)
    try:
        yield
    except damage as error:
        raise tell(error) from error
    except OSError as error:
        if error.errno not in DAMAGE_ERRNO:
            raise
        raise tell(error) from error
