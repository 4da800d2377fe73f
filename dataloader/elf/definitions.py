"""The dynamic symbols of one file as lookups ask for them, and the hash by which they are found."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

_DIGITS: Final = b"0123456789abcdefghijklmnopqrstuvw"
_LOW: Final = bytes(_DIGITS[byte % 33] for byte in range(256))
_HIGH: Final = bytes(_DIGITS[byte // 33] for byte in range(256))
_LONG: Final = 4000
"""``int`` refuses 4,300 digits and more."""


def gnu_hash(name: bytes) -> int:
    """The hash of DT_GNU_HASH (glibc's dl-new-hash.h): ``h = h * 33 + byte``, from 5381, in 32 bits.

    So it is a number to the base of 33, and ``int`` reads one ten times as fast as a loop. A byte is more than one
    digit holds, and is taken as two.

    >>> hex(gnu_hash(b"printf"))
    '0x156b2bb8'
    """
    if not 0 < len(name) <= _LONG:
        value = 5381
        for byte in name:
            value = (value * 33 + byte) & 0xFFFFFFFF
        return value
    digits = int(name.translate(_LOW), 33) + 33 * int(name.translate(_HIGH), 33)
    return (digits + _start(len(name))) & 0xFFFFFFFF


@cache
def _start(length: int) -> int:
    """What the initial 5381 comes to after so many bytes."""
    return 5381 * pow(33, length, 1 << 32)


def bare(name: bytes) -> bytes:
    """``name`` of ``name@version``."""
    return name.partition(b"@")[0]


class AskedNames:
    """Names, without versions, that lookups ask for: of 300,000 definitions some hundred are looked at."""

    __slots__ = ("_labelled", "_since", "added", "hashes", "names")

    def __init__(self, names: Iterable[bytes] = ()) -> None:
        self.names: set[bytes] = set()
        self.added: list[set[bytes]] = []
        """The same, as one addition after the other brought them."""
        self._since: tuple[int, int, AskedNames] | None = None
        self.hashes: dict[int, None] = {}
        """Of all names, with the lowest bit set and without: in a hash table it marks the end of a chain. No set, as
        most of what is looked for is not there, and a dictionary knows that from a small part of itself."""
        self._labelled: set[bytes] = set()
        self.add(names)

    def add(self, names: Iterable[bytes]) -> None:
        """Ask for these too, ``name`` or ``name@version``."""
        labelled = set(names) - self._labelled
        self._labelled |= labelled
        new = {name.partition(b"@")[0] for name in labelled} - self.names
        self.names |= new
        hashes = dict.fromkeys(map(gnu_hash, new))
        self.hashes |= hashes
        self.hashes |= dict.fromkeys(value ^ 1 for value in hashes)
        if new:
            self.added.append(new)

    def since(self, additions: int) -> AskedNames:
        """Those that came after so many additions."""
        if additions == 0:
            return self
        if self._since is None or self._since[:2] != (additions, len(self.added)):
            later = AskedNames(name for names in self.added[additions:] for name in names)
            self._since = additions, len(self.added), later
        return self._since[2]


class Definitions(NamedTuple):
    """What one file defines, of the names that were asked for.

    What satisfies a reference follows ``check_match`` of glibc's dl-lookup.c; the three sets are its answers.
    """

    exact: frozenset[bytes] = frozenset()
    """``name@version`` of every definition that has a version, hidden ones (``@`` not ``@@``) too."""
    plain: frozenset[bytes] = frozenset()
    """Names that a reference without a version finds."""
    base: frozenset[bytes] = frozenset()
    """Names that a reference with any version finds: definitions without a version."""

    def __or__(self, other: Definitions) -> Definitions:
        """What the file defines of the names that either was asked for."""
        return Definitions(self.exact | other.exact, self.plain | other.plain, self.base | other.base)
