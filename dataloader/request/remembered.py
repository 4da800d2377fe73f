"""What an earlier lock was made from (its ``inputs``), read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataloader.prefix.locate import LOCK_NAME
from dataloader.request.specs.requirements import PypiRequirement


def requirements_in(inputs: Mapping[str, object] | None) -> list[str]:
    """Return the specs of both worlds."""
    if not inputs:
        return []
    texts: list[str] = list(inputs.get("requirements", ()))  # type: ignore[call-overload]
    return texts + [f"conda:{text}" for text in inputs.get("conda", ())]  # type: ignore[attr-defined]


def constraints_in(inputs: Mapping[str, object] | None) -> Iterator[PypiRequirement]:
    """Yield the constraints."""
    from dataloader.request.specs.spec import parse_pypi

    for text in (inputs or {}).get("constraints", ()):  # type: ignore[attr-defined]
        yield parse_pypi(text, origin=LOCK_NAME)


def stack_in(inputs: Mapping[str, object] | None) -> dict[str, str]:
    """Return the stack, by axis."""
    return dict(inputs.get("stack", {})) if inputs else {}  # type: ignore[call-overload]
