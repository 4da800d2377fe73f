"""The JSON document of a plan. Pure: a stack in, plain values out."""

from __future__ import annotations

from typing import Any

from dataloader.stack.model import Reason, Stack


def plan_document(stack: Stack) -> dict[str, Any]:
    """Return the document of ``dataloader plan --json``; keys are sorted when it is printed."""
    return {
        "version": 1,
        "status": "ok",
        "stack": stack_document(stack),
        "reasons": [_reason(reason) for reason in stack.reasons],
        "warnings": list(stack.warnings),
        "doubts": doubts_document(stack),
    }


def doubts_document(stack: Stack) -> list[dict[str, str]]:
    """Return what nobody knows of a stack: the ``doubts`` key of every document."""
    return [_reason(doubt) for doubt in stack.doubts]


def _reason(reason: Reason) -> dict[str, str]:
    return {"axis": reason.axis, "text": reason.text, "row": reason.row, "source": reason.source}


def stack_document(stack: Stack) -> dict[str, Any]:
    """Return the axes and builds of a stack: the ``stack`` key of every document."""
    return {
        "axes": dict(stack.axes),
        "builds": [
            {
                "project": build.project,
                "version": build.version,
                "cuda": build.cuda,
                "rows": [
                    {"id": row.id, "channel": row.channel, "package": row.package, "build": row.build}
                    for row in build.rows
                ],
            }
            for build in stack.builds
        ],
        "pythons": list(stack.pythons),
    }
