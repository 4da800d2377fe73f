"""Whether a tree differs from what it was by links alone that others made to its files, or took away.

Environments that are linked from one store share inodes, and each that is made or removed changes the time of change
and the number of links of all their files. Where that time differs and the number does not, a file was written, and its
time of modification set back.
"""

from __future__ import annotations

import marshal
from array import array
from hashlib import sha256
from typing import NamedTuple

from dataloader.prefix.walk import PrefixPart, SealedTree

_FIELDS = 6
"""Numbers of one file's state; the last two are its time of change and its number of links."""


class Stamps(NamedTuple):
    """What a tree is, in two parts."""

    content: str
    """Stands for everything but the stamps."""
    stamps: bytes
    """Time of change and number of links of each file, and of each that a symbolic link leads to."""


def stamps_of(tree: SealedTree) -> Stamps:
    """Both parts of a tree."""
    digest, stamps = sha256(), array("q")
    for _, packed in tree.parts:
        part = PrefixPart.unpack(packed)
        states = [tuple(part.numbers[field::_FIELDS]) for field in range(_FIELDS - 2)]
        links = [(path, target, *_split(state, stamps)) for path, (target, state) in sorted(part.links.items())]
        digest.update(marshal.dumps((part.names, part.elf, states, links), 2))  # as Part.pack(), a tenth of JSON's time
        stamps.extend(_pairs(part.numbers))
    return Stamps(digest.hexdigest(), stamps.tobytes())


def is_relinked(before: Stamps, now: Stamps) -> bool:
    """Whether nothing has changed but numbers of links, and with them times of change."""
    if before.content != now.content or len(before.stamps) != len(now.stamps):
        return False
    was, is_ = array("q"), array("q")
    was.frombytes(before.stamps)
    is_.frombytes(now.stamps)
    rows = zip(was[::2], is_[::2], was[1::2], is_[1::2], strict=True)
    return all(changed == since or links != others for changed, since, links, others in rows)


def _pairs(numbers: list[int]) -> array[int]:
    pairs = array("q", bytes(array("q").itemsize * (len(numbers) // _FIELDS) * 2))
    pairs[0::2], pairs[1::2] = (array("q", numbers[field::_FIELDS]) for field in (_FIELDS - 2, _FIELDS - 1))
    return pairs


def _split(state: str, stamps: array[int]) -> tuple[str, ...]:
    """The lasting part of a state as text; the rest is added to the stamps."""
    fields = state.split("-")
    if len(fields) != _FIELDS:
        return (state,)  # it leads nowhere
    stamps.extend(map(int, fields[-2:]))
    return tuple(fields[:-2])
