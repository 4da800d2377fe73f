"""Wheels that were built, in a registry: each under the key of its build, for whoever would build the same."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.core_metadata import parse_headers
from dataloader.base.errors import IndexUnavailable, UsageError
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.oci.artefact import find_artefact, give_artefact
from dataloader.oci.model import OURS
from dataloader.oci.reference import Reference, parse_reference
from dataloader.oci.registry import Registry
from dataloader.verify.archive import facts_of_archive

if TYPE_CHECKING:
    from dataloader.index.settings import IndexSettings
    from dataloader.install.store.store import StoredWheel
    from dataloader.lockfile.model import PypiPackage

WHEEL_TYPE = "application/vnd.dataloader.wheel.v1+zip"
VARIABLE = "DATALOADER_BUILD_REGISTRY"
_FLOORS = ("GLIBC", "GLIBCXX", "CXXABI")
"""Of what a compiled wheel needs of a machine, noted beside it."""
_TIME = (1980, 1, 1, 0, 0, 0)
"""The first that zip knows: the same files give the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBuilds:
    """What a registry has of builds. Who may write there says what is installed, as with any layer of the cache."""

    repository: Reference
    settings: IndexSettings
    reporter: Reporter

    async def take(self, package: PypiPackage, folder: Path) -> Path | None:
        """Bring the wheel of a build into a folder; ``None`` where the registry has none, or does not answer.

        Raises:
            IntegrityError: ``hash-mismatch``, ``image-malformed``; what it has is not what it says.
            UsageError: ``index-auth``.
        """
        reference = self._of(package)
        try:
            async with Registry(self.settings, self.reporter, [(reference, "pull")]) as registry:
                found = await find_artefact(registry, reference, WHEEL_TYPE)
                if found is None:
                    return None
                await registry.fetch(reference, found.blob, folder / found.title)
        except IndexUnavailable as error:
            self.reporter.warn(f"{package.name} is built here: {error.message}")
            return None
        return folder / found.title

    async def give(self, package: PypiPackage, stored: StoredWheel, folder: Path) -> PushedBuild:
        """Bring the wheel of a build from the store to the registry, unless that has one.

        Args:
            folder: An empty one, for the archive.

        Raises:
            IndexUnavailable, UsageError, IntegrityError: as ``give_artefact`` has it.
        """
        reference = self._of(package)
        async with Registry(self.settings, self.reporter, [(reference, "pull,push")]) as registry:
            if found := await find_artefact(registry, reference, WHEEL_TYPE):
                return PushedBuild(found.title, found.blob.digest, 0)
            wheel = await asyncio.to_thread(packed, stored, folder)
            facts = await asyncio.to_thread(facts_of_archive, wheel)
            needs = {f"needs.{family.lower()}": facts.highest_need(family) for family in _FLOORS}
            said = {"name": package.name, "version": package.version, "key": package.stored_as, **needs}
            notes = {f"{OURS}{name}": value for name, value in said.items() if value}
            blob, sent = await give_artefact(registry, reference, WHEEL_TYPE, wheel, notes)
            return PushedBuild(wheel.name, blob.digest, sent)

    def _of(self, package: PypiPackage) -> Reference:
        return replace(self.repository, tag=package.stored_as)


class PushedBuild(NamedTuple):
    """One wheel that a registry has now."""

    wheel: str
    digest: str
    sent: int
    """Bytes; none where it was there."""


def registry_of(said: str | None, environ: Mapping[str, str]) -> Reference | None:
    """Return the repository of builds that a manifest, or in its place a variable, names.

    Raises:
        UsageError: ``image-name-invalid``; it is no name of a repository.
    """
    text = environ.get(VARIABLE) or said
    if not text:
        return None
    found = parse_reference(text)
    if found.tag or found.digest:
        raise UsageError(
            f"{text} is one artefact: builds go to a repository, each under its key",
            code="image-name-invalid",
            suggestions=(f"leave out what follows {found.repository}",),
        )
    return found


def packed(stored: StoredWheel, folder: Path) -> Path:
    """Make an unpacked wheel an archive again; the same files give the same bytes."""
    info, files = stored.recipe.dist_info, sorted(stored.recipe.files)
    wheel = (stored.files / info / "WHEEL").read_text(encoding="utf-8")
    path = folder / f"{info.removesuffix('.dist-info')}-{_tags(wheel)}.whl"
    rows = [(file.source, f"sha256={file.digest}", str(file.size)) for file in files]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            source = stored.files / file.source
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            with source.open("rb") as data, archive.open(_member(file.source, mode), "w", force_zip64=True) as into:
                while block := data.read(1 << 20):
                    into.write(block)
        archive.writestr(_member(f"{info}/RECORD", 0o644), _record([*rows, (f"{info}/RECORD", "", "")]))
    return path


def _member(name: str, mode: int) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name, _TIME)
    found.compress_type, found.external_attr = zipfile.ZIP_DEFLATED, (0o100000 | mode) << 16
    return found


def _record(rows: list[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _tags(wheel: str) -> str:
    """Return the tags of a WHEEL file as its archive's name has them, its build number before them.

    >>> _tags("Wheel-Version: 1.0\\nTag: py2-none-any\\nTag: py3-none-any\\n")
    'py2.py3-none-any'
    """
    fields = parse_headers(wheel)
    parts = zip(*(tag.strip().split("-") for tag in fields.get("tag", ())), strict=True)
    return "-".join([*fields.get("build", ()), *(".".join(dict.fromkeys(part)) for part in parts)])
