"""A wheel that was just built is judged before anything keeps it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from dataloader.base.errors import BuildFailure, IntegrityError
from dataloader.index.wheels.metadata import parse_metadata
from dataloader.loader.system import version_tuple
from dataloader.lockfile.model import Build, PypiPackage
from dataloader.resolve.words.tags import fit
from dataloader.verify.archive import ArchiveFacts, facts_of_archive


def judge(wheel: Path, package: PypiPackage, build: Build, overridden: Collection[str] = ()) -> ArchiveFacts:
    """See that a wheel is of the locked project, fits the lock's machines, and asks for what was solved.

    Args:
        overridden: Projects of which the request says what is asked, whatever packages do.

    Raises:
        BuildFailure: ``built-wheel-unfit``; the wheel cannot be used where the lock is for.
        IntegrityError: ``built-wheel-differs``; it is not what the source said that it would be.
    """
    _check_tags(wheel, package, build)
    facts = facts_of_archive(wheel)
    if facts.malformed:
        path, why = next(iter(facts.malformed.items()))
        raise _unfit(wheel, f"{path} is no library that can be loaded: {why}")
    floor = facts.highest_need("GLIBC")
    if floor and build.glibc and (version_tuple(floor) or ()) > (version_tuple(build.glibc) or ()):
        raise _unfit(
            wheel,
            f"compiled here it needs glibc {floor}, and the lock is for machines with {build.glibc}",
            "build on a machine that has no newer one, or lock for newer machines (--target)",
        )
    newest = build.abi.get("libstdcxx")
    needed = facts.highest_need("GLIBCXX")
    if needed and newest and (version_tuple(needed) or ()) > (version_tuple(newest) or ()):
        raise _unfit(
            wheel,
            f"compiled here it needs GLIBCXX_{needed} of libstdc++, and the lock is for machines with GLIBCXX_{newest}",
            "build with an older compiler (CC, CXX), or lock for newer machines (--target)",
        )
    _check_metadata(wheel, package, overridden)
    return facts


def _check_tags(wheel: Path, package: PypiPackage, build: Build) -> None:
    try:
        name, version, _, _ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise _unfit(wheel, str(error)) from error
    if (name, str(version)) != (package.name, package.version):
        raise _differs(package, f"its build gave {wheel.name}")
    interpreter, abi, platform = wheel.name.removesuffix(".whl").rsplit("-", 3)[1:]
    fits = fit(interpreter, abi, platform, build.platform, musl=build.glibc is None)
    minor = int(build.python.split(".")[1])
    if fits is None or not any(tag.serves(minor) for tag in fits.pythons):
        raise _unfit(wheel, f"the lock is for Python {build.python} on {build.platform}")


def _check_metadata(wheel: Path, package: PypiPackage, overridden: Collection[str]) -> None:
    try:
        with ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA"))
            metadata = parse_metadata(archive.read(name), project=package.name, version=package.version)
    except (StopIteration, BadZipFile) as error:
        raise _unfit(wheel, "it has no METADATA that can be read") from error
    now, locked = (_plain(requires, overridden) for requires in (metadata.requires_dist, package.requires_dist))
    if now != locked:
        more = [f"the wheel asks for {text}, which the lock does not know" for text in sorted(now - locked)]
        less = [f"the wheel does not ask for {text}, which the lock has" for text in sorted(locked - now)]
        raise _differs(package, *more, *less)


def _plain(requires: Iterable[str], but: Collection[str]) -> set[str]:
    """Return requirements as they compare: however a backend writes them."""
    found = set()
    for text in requires:
        try:
            parsed = Pep508(text)
        except InvalidRequirement:
            found.add(text)
            continue
        name = canonicalize_name(parsed.name)
        extras = ",".join(sorted(map(canonicalize_name, parsed.extras)))
        if name not in but:
            extras = f"[{extras}]" if extras else ""
            said = f"{name}{extras}{f' @ {parsed.url}' if parsed.url else parsed.specifier}"
            found.add(f"{said} ; {condition}" if (condition := _condition(parsed.marker)) else said)
    return found


def _condition(marker: Marker | None) -> str:
    """Return a marker as it compares: parts that all have to hold in one order, extras as they are normalised."""
    text = re.sub(r'extra == "([^"]*)"', lambda found: f'extra == "{canonicalize_name(found[1])}"', str(marker or ""))
    parts = text.split(" and ")
    if any(part.count("(") != part.count(")") for part in parts):
        return text  # one of them is in parentheses that hold several
    return " and ".join(
        sorted(part.removeprefix("(").removesuffix(")") if " or " not in part else part for part in parts)
    )


def _unfit(wheel: Path, why: str, *suggestions: str) -> BuildFailure:
    return BuildFailure(
        f"{wheel.name} was built and cannot be used", code="built-wheel-unfit", causes=(why,), suggestions=suggestions
    )


def _differs(package: PypiPackage, *causes: str) -> IntegrityError:
    again = "lock again with --python and the Python that builds it: what it asks for may depend on that"
    if package.content:  # it may have changed since it was locked; --frozen does not look
        again = "run `dataloader lock`: its tree may say something else by now"
    return IntegrityError(
        f"the wheel of {package.name} {package.version} is not what its source said it would be",
        code="built-wheel-differs",
        causes=causes,
        suggestions=(again,),
    )
