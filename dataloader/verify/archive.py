"""Facts of a wheel or conda package file before it is installed: what it needs, provides and owns.

Members are streamed to a temporary file one at a time, so memory stays small and no name of the archive becomes a path.
Where the archive records hashes and the cache knows them, nothing is unpacked at all.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from dataloader.base.core_metadata import parse_headers
from dataloader.base.damage import damage_told
from dataloader.base.errors import IntegrityError
from dataloader.base.names import World, normalized
from dataloader.base.values import dataclass
from dataloader.elf.cache import FactsCache
from dataloader.elf.facts import ElfFacts, read_elf
from dataloader.elf.gpucode import GpuCode
from dataloader.elf.image import MalformedElf
from dataloader.loader.system import version_tuple
from dataloader.machine.target import Target
from dataloader.prefix.records import RecordedFile, conda_files, parse_record
from dataloader.prefix.rows import BadRecord
from dataloader.prefix.walk import is_library_name
from dataloader.verify.findings import Finding, FindingKind
from dataloader.verify.memory.hashing import hash_file
from dataloader.verify.tables import load_tables

_MAX_MEMBER: Final = 16 << 30
"""Bytes; no library is larger, and an archive that claims more is not unpacked."""
_MAX_TEXT: Final = 256 << 20
_ZSTD_WINDOW: Final = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """What one package file holds."""

    kind: World
    name: str
    """Normalised for ``pypi``."""
    version: str
    files: tuple[RecordedFile, ...]
    """Paths it owns: relative to site-packages for a wheel, to the prefix for conda."""
    libraries: Mapping[str, ElfFacts]
    """Path -> facts of each ELF file."""
    malformed: Mapping[str, str]
    """Path -> why it cannot be read as the library that its name says."""

    @property
    def provides(self) -> frozenset[str]:
        """Sonames and file names of its libraries."""
        names = {facts.soname for facts in self.libraries.values()} | {p.rsplit("/", 1)[-1] for p in self.libraries}
        return frozenset(name for name in names if name)

    @property
    def needs(self) -> frozenset[str]:
        """Sonames that its libraries need and that it does not provide itself."""
        return frozenset(name for facts in self.libraries.values() for name in facts.needed) - self.provides

    @property
    def cuda_majors(self) -> frozenset[str]:
        """CUDA majors that the libraries it needs or provides belong to; sonames of several majors do not count."""
        providers = load_tables().providers
        majors = (providers[name].cuda_majors for name in self.needs | self.provides if name in providers)
        return frozenset(major[0] for major in majors if len(major) == 1)

    @property
    def gpu(self) -> tuple[GpuCode, ...]:
        """GPU code of all its libraries."""
        return tuple(sorted({code for facts in self.libraries.values() for code in facts.gpu}))

    def highest_need(self, family: str) -> str | None:
        """The highest version of ``family`` (``GLIBC``, ``GLIBCXX``) that a library needs, as ``2.28``."""
        found = {
            need.version.partition("_")[2]
            for facts in self.libraries.values()
            for need in facts.version_needs
            if need.version.startswith(family + "_") and not need.weak
        }
        numbered = [(number, text) for text in found if (number := version_tuple(text))]
        return max(numbered)[1] if numbered else None


def facts_of_archive(path: Path, *, cache: FactsCache | None = None) -> ArchiveFacts:
    """Read a ``.whl``, ``.conda`` or ``.tar.bz2`` file.

    Raises:
        IntegrityError: ``archive-unreadable``; it is no such file, or a damaged one.
        OSError: it cannot be opened.
    """
    import zstandard

    reader = next((read for suffix, read in _READERS.items() if path.name.endswith(suffix)), None)
    if reader is None:
        raise IntegrityError(f"{path.name} is no wheel and no conda package", code="archive-unreadable")
    damage = (
        tarfile.TarError,
        zstandard.ZstdError,
        BadRecord,
        KeyError,  # what must be in a package is not
    )
    with damage_told(partial(_unreadable, path), *damage):
        return reader(path, cache or FactsCache(None))


def _unreadable(path: Path, error: Exception) -> IntegrityError:
    why = str(error) or type(error).__name__
    return IntegrityError(f"{path.name} cannot be read", code="archive-unreadable", causes=(why,))


def _read_wheel(path: Path, cache: FactsCache) -> ArchiveFacts:
    with zipfile.ZipFile(path) as archive:
        record = next((n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/RECORD")), None)
        if record is None:
            raise BadRecord("no RECORD")
        folder = record.removesuffix("RECORD")
        metadata = parse_headers(_text(archive, folder + "METADATA"))
        files = tuple(parse_record(_text(archive, record), ""))
        hashes = {file.path: file.sha256 for file in files}
        libraries: dict[str, ElfFacts] = {}
        malformed: dict[str, str] = {}
        for info in archive.infolist():
            if info.is_dir() or not is_library_name(info.filename):
                continue

            @contextmanager
            def opened(info: zipfile.ZipInfo = info) -> Iterator[IO[bytes]]:
                with archive.open(info) as stream:
                    yield stream

            _add(info.filename, info.file_size, hashes.get(info.filename), opened, cache, libraries, malformed)
    return ArchiveFacts(
        kind="pypi",
        name=normalized(metadata["name"][0]),
        version=metadata["version"][0],
        files=files,
        libraries=libraries,
        malformed=malformed,
    )


def _text(archive: zipfile.ZipFile, name: str) -> str:
    if archive.getinfo(name).file_size > _MAX_TEXT:
        raise BadRecord(f"{name} is too large")
    return archive.read(name).decode("utf-8", "surrogateescape")


def _add(
    name: str,
    size: int,
    digest: str | None,
    opened: Callable[[], AbstractContextManager[IO[bytes]]],
    cache: FactsCache,
    libraries: dict[str, ElfFacts],
    malformed: dict[str, str],
) -> None:
    """Facts of one member: from the cache by its recorded hash, else from its bytes."""
    known = cache.load_facts(digest) if digest else None
    if known is not None:
        libraries[name] = known
        return
    if size > _MAX_MEMBER:
        raise BadRecord(f"{name} is too large")
    with tempfile.NamedTemporaryFile(prefix="dataloader-verify-") as file, opened() as stream:
        shutil.copyfileobj(stream, file, 1 << 20)
        file.flush()
        try:
            facts, undefined = read_elf(Path(file.name))
        except MalformedElf as error:
            malformed[name] = str(error)
            return
        libraries[name] = facts
        # Under what the bytes are, not under what a record of the archive says they are.
        cache.store(hash_file(file.name).hex(), facts, undefined)


def _read_conda(path: Path, cache: FactsCache) -> ArchiveFacts:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        info = next(name for name in [*names, ""] if name.startswith("info-") or not name)
        package = next(name for name in [*names, ""] if name.startswith("pkg-") or not name)
        if not info or not package:
            raise BadRecord("no info and pkg members")
        with _tar_zst(archive, info) as members:
            texts = _info_files(members)
        index, files, hashes = _conda_info(texts)
        libraries: dict[str, ElfFacts] = {}
        malformed: dict[str, str] = {}
        wanted = [file.path for file in files if is_library_name(file.path)]
        if not all(cache.has(hashes[name]) for name in wanted if hashes.get(name)):
            with _tar_zst(archive, package) as members:
                _add_members(members, hashes, cache, libraries, malformed)
        else:
            known = {name: cache.load_facts(hashes[name]) for name in wanted if hashes.get(name)}
            libraries = {name: facts for name, facts in known.items() if facts is not None}
    return _conda_facts(index, files, libraries, malformed)


def _read_tar_bz2(path: Path, cache: FactsCache) -> ArchiveFacts:
    # One pass for the info files, one for the libraries: which files are links or texts is known only then.
    with tarfile.open(path, "r:bz2") as members:
        texts = _info_files(members)
    index, files, hashes = _conda_info(texts)
    libraries: dict[str, ElfFacts] = {}
    malformed: dict[str, str] = {}
    with tarfile.open(path, "r:bz2") as members:
        _add_members(members, hashes, cache, libraries, malformed)
    return _conda_facts(index, files, libraries, malformed)


@contextmanager
def _tar_zst(archive: zipfile.ZipFile, name: str) -> Iterator[tarfile.TarFile]:
    import zstandard

    with (
        archive.open(name) as packed,
        zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as members,
    ):
        yield members


def _info_files(members: tarfile.TarFile) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for member in members:
        if member.name in ("info/index.json", "info/paths.json") and member.isfile() and member.size <= _MAX_TEXT:
            stream = members.extractfile(member)
            if stream is not None:
                found[member.name] = stream.read()
    return found


def _conda_info(texts: Mapping[str, bytes]) -> tuple[dict[str, Any], tuple[RecordedFile, ...], dict[str, str]]:
    index = json.loads(texts["info/index.json"])
    paths = json.loads(texts.get("info/paths.json", b'{"paths": []}'))
    if not isinstance(index, dict) or not isinstance(paths, dict):
        raise BadRecord("info/ holds no JSON objects")
    files = tuple(conda_files({"paths_data": paths}))
    return index, files, {file.path: file.sha256 for file in files if file.sha256}


def _add_members(
    members: tarfile.TarFile,
    hashes: Mapping[str, str],
    cache: FactsCache,
    libraries: dict[str, ElfFacts],
    malformed: dict[str, str],
) -> None:
    for member in members:
        if not member.isfile() or not is_library_name(member.name):
            continue

        @contextmanager
        def opened(member: tarfile.TarInfo = member) -> Iterator[IO[bytes]]:
            stream = members.extractfile(member)
            if stream is None:
                raise BadRecord(f"{member.name} cannot be read")
            yield stream

        _add(member.name, member.size, hashes.get(member.name), opened, cache, libraries, malformed)


def _conda_facts(
    index: Mapping[str, Any],
    files: tuple[RecordedFile, ...],
    libraries: Mapping[str, ElfFacts],
    malformed: Mapping[str, str],
) -> ArchiveFacts:
    return ArchiveFacts(
        kind="conda",
        name=str(index["name"]),
        version=str(index["version"]),
        files=files,
        libraries=libraries,
        malformed=malformed,
    )


_READERS: Final = {".whl": _read_wheel, ".conda": _read_conda, ".tar.bz2": _read_tar_bz2}


def check_archive(
    facts: ArchiveFacts, *, target: Target, cuda_major: str | None = None, others: Sequence[ArchiveFacts] = ()
) -> tuple[Finding, ...]:
    """Where a package file contradicts the environment it is meant for, before anything of it is installed.

    Args:
        cuda_major: CUDA major of the stack (``"11"``), where one was chosen.
        others: Facts of the other package files of the same world that will be installed beside it.
    """
    label = f"{facts.name} {facts.version}"
    findings: list[Finding] = []

    def error(kind: FindingKind, path: str, message: str, *evidence: str) -> None:
        findings.append(Finding(severity="error", kind=kind, path=path, message=message, evidence=evidence))

    for path, why in sorted(facts.malformed.items()):
        error("malformed-elf", path, f"{label} holds a library that cannot be loaded: {why}")
    foreign = sorted(facts.cuda_majors - {cuda_major}) if cuda_major else []
    if foreign and cuda_major not in facts.cuda_majors:
        providers = load_tables().providers
        known = (name for name in sorted(facts.needs | facts.provides) if name in providers)
        names = [name for name in known if providers[name].cuda_majors == (foreign[0],)]
        message = f"{label} belongs to CUDA {', '.join(foreign)}, the stack is CUDA {cuda_major}"
        error("two-cuda-stacks", label, message, *names[:8])
    # A newer libstdc++ may come with another package; a newer glibc never does.
    highest = facts.highest_need("GLIBC")
    if target.glibc and highest and (version_tuple(highest) or ()) > (version_tuple(target.glibc) or ()):
        error("version-not-provided", label, f"{label} needs glibc {highest}, the target has {target.glibc}")
    for other in others:
        findings += _clashes(facts, other)
    return tuple(findings)


def _clashes(facts: ArchiveFacts, other: ArchiveFacts) -> list[Finding]:
    if (facts.kind, facts.name) == (other.kind, other.name) or facts.kind != other.kind:
        return []
    theirs = {file.path: file.sha256 for file in other.files}
    return [
        Finding(
            severity="error" if is_library_name(file.path) else "warning",
            kind="clobbered-path",
            path=file.path,
            message=f"{facts.name} and {other.name} both own this path with different content",
        )
        for file in facts.files
        if file.sha256 and theirs.get(file.path) and theirs[file.path] != file.sha256
    ]
