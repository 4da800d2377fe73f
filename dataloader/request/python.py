"""Python in a request: an axis of the stack, by whomever and wherever it is said.

``--python``, a distribution's requirement of that name (a project's ``requires-python``, Poetry's ``python``, a line
``python>=3.10``) and [stack] python mean the same, and are kept in [stack]. A conda requirement on ``python`` is one
on a package, and binds beside it; in a project that says its Python so, what a command says takes the place of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dataloader.compat.versions import specifier_of
from dataloader.request.specs.joined import both
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement

PYTHON = "python"
"""The axis, and the name in requirements."""

_OF_STACK = "[stack] python"


def is_python(requirement: Requirement) -> bool:
    """Say whether a requirement is one on the axis."""
    return isinstance(requirement, PypiRequirement) and requirement.name == PYTHON


def is_conda_python(requirement: Requirement) -> bool:
    """Say whether a requirement is one on conda's package."""
    return isinstance(requirement, CondaRequirement) and requirement.name == PYTHON


def as_held(
    held: Iterable[Requirement], typed: Sequence[Requirement], flags: Mapping[str, str]
) -> tuple[list[Requirement], dict[str, str]]:
    """Return what is typed of packages and of the stack, with Python where the project has it.

    >>> held = [CondaRequirement(name="python", version="3.11.*")]
    >>> [[r.match_spec for r in as_held(held, [], {"python": said})[0]] for said in ("3.12", ">=3.12")]
    [['python 3.12.*'], ['python >=3.12']]
    """
    if not any(map(is_conda_python, held)):
        return list(typed), dict(flags)
    said = [(specifier_of(flags[PYTHON]), "--python")] if flags.get(PYTHON) else []
    said += [(r.specifier, r.origin) for r in typed if isinstance(r, PypiRequirement) and is_python(r)]
    packages = [CondaRequirement(name=PYTHON, version=_conda_version(text), origin=origin) for text, origin in said]
    rest = {axis: value for axis, value in flags.items() if axis != PYTHON}
    return [*(r for r in typed if not is_python(r)), *packages], rest


def asked_python(stack: Mapping[str, str], conda: Iterable[CondaRequirement]) -> str | None:
    """Return which Python is asked for, of the stack or of conda's package; None: any, or what a specifier cannot say.

    >>> asked_python({}, [CondaRequirement(name="python", version=">=3.10,<3.12")])
    '>=3.10,<3.12'
    """
    from dataloader.request.specs.spec import axis_mistake

    if stack.get(PYTHON):
        return stack[PYTHON]
    said = ",".join(r.version for r in conda if is_conda_python(r) and r.version)
    plain = said.removesuffix(".*") if "," not in said else said
    return plain if plain and axis_mistake(PYTHON, plain) is None else None


def _conda_version(specifier: str) -> str | None:
    """Return a specifier as conda writes it: 3.12.* for ==3.12.*."""
    alone = specifier.endswith(".*") and specifier.startswith("==") and "," not in specifier
    return (specifier.removeprefix("==") if alone else specifier) or None


def remembered(stack: Mapping[str, str], said: Iterable[Requirement]) -> tuple[PypiRequirement, ...]:
    """Return what the stack that was remembered says of Python, if a command says something of it by a requirement."""
    if not stack.get(PYTHON) or not any(map(is_python, said)):
        return ()
    return (PypiRequirement(name=PYTHON, specifier=specifier_of(stack[PYTHON]), origin=_OF_STACK),)


def with_python(stack: Mapping[str, str], requirements: Iterable[Requirement]) -> dict[str, str]:
    """Return the stack with what requirements say of its axis."""
    said = [r.specifier for r in requirements if isinstance(r, PypiRequirement) and r.name == PYTHON]
    if not said:
        return dict(stack)
    return {**stack, PYTHON: both([specifier_of(stack.get(PYTHON, "")), *said])}


def stated(
    said: Iterable[Requirement], listed: Collection[Requirement], flags: Mapping[str, str], held: str | None
) -> str | None:
    """Return what is to be kept of Python, where a command says anything of it; None: nothing.

    Args:
        said: All its requirements.
        listed: Those of its files, which bind beside what is held, and take no place.
        flags: What it says of the stack.
        held: What the stack says already.
    """
    texts = [flags[PYTHON]] if PYTHON in flags else []
    own = [r for r in said if isinstance(r, PypiRequirement) and r.name == PYTHON]
    texts += [held] if held and own and not texts and all(r in listed for r in own) else []
    texts += [r.specifier for r in own]
    return (texts[0] if len(texts) == 1 else both(map(specifier_of, texts))) if texts else None


def pythons(binding: Sequence[Requirement], held: Mapping[str, str], flags: Mapping[str, str]) -> tuple[str, ...]:
    """Return who asks for which Python, as ``PLACE (VERSION)``."""
    named = [r for r in binding if r.name == PYTHON]
    said = [(r.origin, r.specifier if isinstance(r, PypiRequirement) else r.version or "") for r in named]
    if typed := flags.get(PYTHON):
        said.append(("--python", typed))
    elif PYTHON in held:
        said.append((_OF_STACK, held[PYTHON]))
    return tuple(dict.fromkeys(f"{place} ({version})" for place, version in said if version))
