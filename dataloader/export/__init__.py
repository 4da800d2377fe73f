"""A lock, as the files that other tools read. Each format is a pure function; what it cannot hold is told by name."""

from dataloader.export.formats import FORMATS, Format, export_lock

__all__ = ["FORMATS", "Format", "export_lock"]
