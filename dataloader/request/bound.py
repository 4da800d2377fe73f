"""What is asked of packages and the stack: all words joined, those of now in the place of what was held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dataloader.compat.versions import specifier_of
from dataloader.prefix.locate import LOCK_NAME
from dataloader.request.project import itself, left_alone, marker_of, overridden
from dataloader.request.public import public, secret_addresses
from dataloader.request.python import PYTHON, as_held, is_python, pythons, with_python
from dataloader.request.python import remembered as remembered_python
from dataloader.request.remembered import constraints_in, requirements_in, stack_in
from dataloader.request.specs.applies import applying, is_unbuildable, may_apply
from dataloader.request.specs.joined import renewed, title
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Requirement
from dataloader.request.specs.sources import allowed

if TYPE_CHECKING:
    from dataloader.request.input_file import InputFile
    from dataloader.request.manifests.manifest import Manifest, ManifestEnvironment
    from dataloader.request.manifests.resolution import ResolutionTable


class Given(NamedTuple):
    """What a command is given to read."""

    manifest: Manifest | None
    environment: ManifestEnvironment | None
    """The one of the manifest that is meant."""
    files: list[InputFile]
    remembered: Mapping[str, object] | None
    """``inputs`` of an earlier lock that the request adds to, where no manifest holds them."""
    groups: tuple[str, ...]
    built: tuple[str, ...]
    """Projects that may be built from source."""
    skip: bool
    """Whether what would have to be built is left out."""
    platform: str
    root: Path
    """Directory that paths of the manifest are relative to."""

    @property
    def resolution(self) -> ResolutionTable | None:
        """How the manifest says to solve."""
        return self.manifest.resolution if self.manifest else None

    @property
    def sources(self) -> Mapping[str, Any]:
        """Where distributions come from, as the earlier lock has it."""
        return (self.remembered or {}).get("sources", {})  # type: ignore[return-value]

    @property
    def conda(self) -> str | None:
        """How the manifest, or an earlier lock, has channels used."""
        held = (self.remembered or {}).get("options", {}).get("conda")  # type: ignore[attr-defined]
        return self.resolution.conda if self.resolution else held

    @property
    def overrides(self) -> tuple[PypiRequirement, ...]:
        """What takes the place of all that is asked of a project."""
        return (*(o for f in self.files for o in f.overrides), *(self.resolution.overrides if self.resolution else ()))

    @property
    def variables(self) -> dict[str, str]:
        """What is set where the environment is active."""
        own = self.environment.variables if self.environment else {}
        return {**own, **dict(pair for f in self.files for pair in f.variables)}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read and has no effect."""
        return (*(self.manifest.notes if self.manifest else ()), *(note for f in self.files for note in f.notes))


class Binding(NamedTuple):
    """What binds on the platform."""

    pypi: tuple[PypiRequirement, ...]
    conda: tuple[CondaRequirement, ...]
    constraints: tuple[PypiRequirement, ...]
    said: tuple[Requirement, ...]
    """What this command said: one for each project."""
    told: tuple[str, ...]
    """What takes the place of what, to be said."""
    left_out: tuple[Requirement, ...]
    secrets: tuple[str, ...]
    """Addresses with a user and a password."""
    stack: Mapping[str, str]
    pythons: tuple[str, ...]
    """Who asks for which Python."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is left out, to be said."""
        return tuple(map(_left_out, self.left_out))


def _left_out(requirement: Requirement) -> str:
    source = requirement.source if isinstance(requirement, PypiRequirement) else None
    return f"{requirement.origin}: {requirement.name} is left out: it would be built from {source}"


class _Joined(NamedTuple):
    """What binds, wherever it is solved for."""

    binding: list[Requirement]
    said: tuple[Requirement, ...]
    told: tuple[str, ...]
    stack: dict[str, str]
    pythons: tuple[str, ...]


def bind(given: Given, specs: Iterable[str], flags: Mapping[str, str], here: Path) -> Binding:
    """Return what binds of what is typed, listed in files, held by the manifest and remembered.

    Args:
        given: What was read.
        specs: PEP 508, ``conda:`` and ``pypi:`` specs from the command line.
        flags: Axis or framework -> what the options of the stack say.
        here: Directory that paths in specs are relative to.

    Raises:
        UsageError: a spec cannot be read, or something that was refused binds.
    """
    joined = _join(given, specs, flags, here)
    platforms, python = (given.platform,), specifier_of(joined.stack.get("python", ""))
    matters = partial(applying, platforms=platforms, python=python, skip=given.skip)
    asked = matters(joined.binding)
    pypi = [r for r in asked if isinstance(r, PypiRequirement) and not is_python(r)]
    unbuildable = filter(is_unbuildable, joined.binding if given.skip else ())
    insisted = set(given.resolution.pypi_only) if given.resolution else set()
    limits = [*constraints_in(given.remembered), *(c for f in given.files for c in f.constraints)]
    limits += given.resolution.constraints if given.resolution else ()
    return Binding(
        pypi=tuple(replace(r, world="pypi") if r.name in insisted else r for r in public(tuple(pypi))),
        conda=tuple(r for r in asked if isinstance(r, CondaRequirement)),
        constraints=tuple(r for r in matters(limits) if isinstance(r, PypiRequirement)),
        said=public(tuple(r for r in joined.said if r.refusal is None)),
        told=(*joined.told, *left_alone(given.manifest, given.built)),
        left_out=tuple(r for r in unbuildable if may_apply(marker_of(r), platforms, python)),
        secrets=tuple(secret_addresses(pypi)),
        stack=joined.stack,
        pythons=joined.pythons,
    )


def _join(given: Given, specs: Iterable[str], flags: Mapping[str, str], here: Path) -> _Joined:
    from dataloader.request.specs.spec import parse_spec

    environment, remembered, built = given.environment, given.remembered, given.built
    listed = [allowed(r, built) for f in given.files for r in f.requirements]
    typed = [allowed(parse_spec(spec, base=here), built) for spec in specs]
    held = [allowed(parse_spec(text, origin=LOCK_NAME), built) for text in requirements_in(remembered)]
    held += [allowed(r, built) for r in environment.replaceable] if environment else ()
    typed, typed_stack = as_held(held, typed, flags)
    held = [r for r in held if not (PYTHON in typed_stack and is_python(r))]
    kept = dict(environment.stack) if environment else {}
    own_python = remembered_python({**stack_in(remembered), **kept}, typed)
    said, told = renewed((*held, *own_python), typed, listed)
    said = tuple(r for r in said if r not in own_python)
    renamed = set(map(title, said))
    binding = [
        *(r for r in held if title(r) not in renamed),
        *(allowed(r, built) for r in (environment.fixed if environment else ())),
        *said,
    ]
    binding += [allowed(r, built) for r in itself(given.manifest, built, binding)]
    earlier = {axis: value for axis, value in stack_in(remembered).items() if axis not in renamed}
    if any(map(is_python, typed)) and PYTHON in renamed:  # what a file says binds beside it: it is of that project
        kept.pop(PYTHON, None)
    stack = with_python({**earlier, **kept, **typed_stack}, binding)
    # An override whose marker never holds leaves its project out: all of them count.
    binding = overridden(binding, given.overrides)
    return _Joined(binding, tuple(said), tuple(told), stack, pythons(binding, kept, typed_stack))
