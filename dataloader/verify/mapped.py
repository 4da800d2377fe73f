"""Which libraries a Python has mapped once it has imported some packages: what is read first of an environment."""

from __future__ import annotations

import os
from collections.abc import Collection

from dataloader.base.names import normalized
from dataloader.verify.judgement import Inspection


def mapped_libraries(inspection: Inspection, names: Collection[str]) -> tuple[str, ...]:
    """Files in the prefix, in the order of loading: Python's own, then what importing each package opens.

    What a package opens only in some cases is among them. Modules of Python's own library are not: they are small.

    Args:
        names: Of distributions; those that are none are passed over.
    """
    judge = inspection.judge
    wanted = set(map(normalized, names))
    found = dict.fromkeys(loaded.path for loaded in judge.bare.process.objects)
    for package in inspection.situation.installed.packages:
        if package.kind != "pypi" or package.name not in wanted:
            continue
        around = [story.around for story in judge.stories(package)]
        processes = [*(imported_in_process.perhaps for imported_in_process in around), judge.context(package)]
        found |= dict.fromkeys(loaded.path for process in processes for loaded in process.objects)
    inside = f"{os.path.realpath(judge.bare.prefix)}/"
    real = dict.fromkeys(os.path.realpath(path) for path in found)
    return tuple(path[len(inside) :] for path in real if path.startswith(inside))
