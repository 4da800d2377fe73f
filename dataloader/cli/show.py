"""The commands that explain: plan, explain, tree."""

from __future__ import annotations

import os
from pathlib import Path

from dataloader.cli.flow import session
from dataloader.cli.options import CommonOptions, StackFlags
from dataloader.cli.render import table


def plan(options: CommonOptions, flags: StackFlags) -> int:
    """Choose a stack from the matrix alone, and say why."""
    from dataloader.compat.matrix import load_matrix
    from dataloader.locking import make_targets, stack_request
    from dataloader.request import make_request
    from dataloader.stack.document import plan_document
    from dataloader.stack.planner import iter_stacks

    with session(options) as one:
        request = make_request(options, (), flags, environ=os.environ, here=Path.cwd())
        matrix = load_matrix(*([request.matrix] if request.matrix else []))
        targets = make_targets(request, matrix, os.environ)
        worlds = frozenset({"pypi"} if request.conda_mode == "never" else {"conda", "pypi"})
        channels = request.channels if request.channels_said and "conda" in worlds else ()
        stack = next(iter_stacks(matrix, stack_request(request, worlds, channels), *targets))
        document = plan_document(stack)
        reasons = {reason.axis: reason.text for reason in reversed(stack.reasons)}
        rows = [(axis, value, reasons.get(axis, "")) for axis, value in stack.axes.items()]
        warnings = "".join(f"warning: {text}\n" for text in stack.warnings)
        one.write(document, table(rows, ("axis", "value", "why")) + warnings)
    return 0
