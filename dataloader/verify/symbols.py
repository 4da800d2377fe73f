"""The dynamic symbols of one file, as lookups ask for them and as the cache keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

_FIELD: Final = b"\x01\0"
_MAX_NAMES: Final = 256 << 20
_PIECE: Final = 256 << 10
"""Bytes that are taken apart at a time: all names of a library at once would be 100 MB of small objects."""


def _pieces(field: bytes) -> Iterator[list[bytes]]:
    """The names of a field, some thousand at a time."""
    at = 0
    while at < len(field):
        end = field.find(b"\0", at + _PIECE)
        end = len(field) if end < 0 else end
        yield field[at:end].split(b"\0")
        at = end + 1


class Symbols:
    """Dynamic symbols. A versioned name is ``name@version``.

    What satisfies a reference follows ``check_match`` of glibc's dl-lookup.c; the first three sets are its answers.
    Names stay in one piece of bytes until a set is asked for: a library may have 300,000, and most are never looked at.
    """

    __slots__ = ("_fields", "_sets", "_shared")

    def __init__(
        self,
        *,
        exact: Iterable[bytes] = (),
        plain: Iterable[bytes] = (),
        base: Iterable[bytes] | None = (),
        undefined: Iterable[bytes] = (),
    ) -> None:
        """``base=None``: the same as ``plain``."""
        self._shared = base is None
        self._fields = tuple(b"\0".join(names) for names in (exact, plain, base or (), undefined))
        self._sets: dict[int, frozenset[bytes]] = {}

    def _set(self, index: int) -> frozenset[bytes]:
        if index not in self._sets:
            field = self._fields[index]
            self._sets[index] = frozenset(field.split(b"\0")) if field else frozenset()
        return self._sets[index]

    @property
    def exact(self) -> frozenset[bytes]:
        """``name@version`` of every definition that has a version, hidden ones (``@`` not ``@@``) too."""
        return self._set(0)

    @property
    def plain(self) -> frozenset[bytes]:
        """Names that a reference without a version finds."""
        return self._set(1)

    @property
    def base(self) -> frozenset[bytes]:
        """Names that a reference with any version finds: definitions without a version."""
        return self._set(1 if self._shared else 2)

    @property
    def undefined(self) -> frozenset[bytes]:
        """``name`` or ``name@version`` of undefined symbols that are not weak."""
        return self._set(3)

    @property
    def size(self) -> int:
        """Bytes of all names."""
        return sum(map(len, self._fields))

    def among(self, names: set[bytes]) -> Symbols:
        """The same, of ``names`` alone: of 300,000 definitions some hundred are ever asked for."""
        found = Symbols()
        found._shared = self._shared
        for index in range(3):
            found._sets[index] = frozenset(
                name for piece in _pieces(self._fields[index]) for name in names.intersection(piece)
            )
        found._sets[3] = self.undefined
        return found

    def names(self, prefix: bytes) -> Iterable[bytes]:
        """Names of ``plain`` that begin with ``prefix``, found without taking the others apart."""
        text = b"\0" + self._fields[1]
        at = text.find(b"\0" + prefix)
        while at >= 0:
            end = text.find(b"\0", at + 1)
            yield text[at + 1 : end if end >= 0 else None]
            at = text.find(b"\0" + prefix, at + 1)

    def needs(self, name: bytes) -> bool:
        """Whether ``undefined`` has this name without a version."""
        return b"\0" + name + b"\0" in b"\0" + self._fields[3] + b"\0"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Symbols):
            return NotImplemented
        return (self.exact, self.plain, self.base, self.undefined) == (
            other.exact,
            other.plain,
            other.base,
            other.undefined,
        )

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self) -> bytes:
        """One blob, undefined names first; names of ELF symbols cannot hold NUL."""
        exact, plain, base, undefined = self._fields
        head = b"%d %d\n" % (self._shared, len(undefined))
        return head + undefined + _FIELD.join((b"", exact, plain, base))

    @classmethod
    def from_bytes(cls, blob: bytes) -> Symbols:
        """The inverse of :meth:`to_bytes`.

        Raises:
            ValueError: ``blob`` is something else.
        """
        start = blob.find(b"\n", 0, 32) + 1
        fields = blob[start:].split(_FIELD) if blob.count(_FIELD) == 3 else []
        if len(fields) != 4 or not start:
            raise ValueError("a symbols entry has four fields")
        symbols = cls()
        symbols._shared = blob.startswith(b"1 ")
        symbols._fields = (fields[1], fields[2], fields[3], fields[0])
        return symbols

    @classmethod
    def undefined_in(cls, stream: BinaryIO) -> frozenset[bytes]:
        """``undefined`` of a kept entry, without reading the rest of it.

        Raises:
            ValueError: the stream holds something else.
        """
        size = int(stream.readline(32).split(b" ")[-1])
        text = stream.read(min(size, _MAX_NAMES))
        return frozenset(text.split(b"\0")) if text else frozenset()
