"""Rows of pyelftools' records, each taken apart at once: field by field, most of a file's time goes into headers."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping
from functools import cache
from struct import Struct as Layout
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from elftools.construct import Struct


class Rows(NamedTuple):
    """How rows of one record are read."""

    layout: Layout
    make: Any
    """Makes a row, with fields as elf(5) names them, of its values."""
    names: tuple[tuple[int, Mapping[int, str]], ...]
    """Position of each enumeration, and the names of its values."""

    def read(self, data: bytes) -> Iterator[Any]:
        """Each row of ``data``, which holds whole ones."""
        for values in self.layout.iter_unpack(data):
            row = list(values)
            for at, names in self.names:
                row[at] = names.get(row[at], row[at])
            yield self.make(row)


@cache
def rows_of(record: Struct) -> Rows | None:
    """How to read rows of a record of plain numbers and enumerations; what is worked out of others is left out.

    ``None`` for a record that has something else.
    """
    # Not at the top: see dataloader.elf.image.
    from elftools.construct import FormatField, MappingAdapter, Pass, Value

    fields: list[str] = []
    order, codes = "", ""
    enumerations: list[tuple[int, Mapping[int, str]]] = []
    for subcon in record.subcons:
        if isinstance(subcon, Value):
            continue
        field = subcon
        if isinstance(subcon, MappingAdapter) and subcon.decdefault is Pass:
            enumerations.append((len(fields), subcon.decoding))
            field = subcon.subcon
        if not isinstance(field, FormatField):
            return None
        code: str = field.packer.format
        order, codes = code[:1], codes + code[1:]
        fields.append(field.name)
    # The fields are pyelftools', so there is no class to write for them.
    make: Any = namedtuple(record.name or "Row", fields)  # type: ignore[misc]  # noqa: PYI024
    return Rows(Layout(order + codes), make._make, tuple(enumerations))
