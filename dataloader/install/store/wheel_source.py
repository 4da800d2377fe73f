"""Work out what a wheel installs, by PyPA's ``installer``: schemes, scripts, metadata. No prefix is involved."""

# ruff: noqa: ARG002  (the shape of a WheelDestination is installer's)

from __future__ import annotations

import configparser
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, cast

import installer
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import RecordEntry
from installer.scripts import Script
from installer.sources import WheelContentElement, WheelSource
from installer.utils import Scheme, parse_metadata_file

from dataloader.base.names import normalized
from dataloader.install.bounds import Refused, check_command, check_place, with_parents
from dataloader.install.store.member import UnpackedFile
from dataloader.install.store.recipe import EntryPoint, Recipe, StoredFile, malformed

_WRITTEN_BY_INSTALLERS = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Files of dist-info that say how this installation came about; a wheel's own are not taken."""


_PLACES = {"data": "", "scripts": "bin/"}
"""Install schemes that lead to more than packages' own folders."""

_RECORDED = RecordEntry("", None, None)
"""What installer would put into RECORD, which is written later."""


def make_recipe(wheel_name: str, root: Path, members: Mapping[str, UnpackedFile]) -> Recipe:
    """Work out what an unpacked wheel installs.

    Args:
        wheel_name: The archive's file name, for messages.
        root: Where it is unpacked.
        members: Archive path to what was written, each with its digest.

    Raises:
        IntegrityError: it is not a wheel by the binary distribution format.
    """
    source = _UnpackedWheel(wheel_name, root, members)
    destination = _Recorder(root, members)
    try:
        installer.install(source, destination, additional_metadata={})
        metadata = parse_metadata_file(source.read_dist_info("METADATA"))
    except Refused as refusal:
        raise refusal.as_error(wheel_name, code="wheel-malformed") from refusal
    except (InstallerError, configparser.Error, ValueError, KeyError, AssertionError, OSError) as error:
        raise malformed(wheel_name, str(error) or type(error).__name__) from error
    _check_places(wheel_name, destination.files)
    name, version = metadata["Name"], metadata["Version"]
    if not name or not version:
        raise malformed(wheel_name, "METADATA has no Name or no Version")
    return Recipe(
        name=normalized(name),
        version=version,
        dist_info=source.dist_info_dir,
        root_scheme=destination.root_scheme,
        files=tuple(destination.files),
        entry_points=tuple(destination.entry_points),
    )


def _check_places(wheel_name: str, files: Iterable[StoredFile]) -> None:
    """Refuse what no environment can hold: two contents at one place, or below a file."""
    placed: dict[tuple[str, str], str] = {}
    for file in files:
        place = ("lib" if file.scheme in {"purelib", "platlib"} else file.scheme, file.path)
        if placed.setdefault(place, file.digest) != file.digest:
            raise malformed(wheel_name, f"two of its files go to {file.path}")
    for scheme in {scheme for scheme, _ in placed}:
        names = {path for placed_in, path in placed if placed_in == scheme}
        if both := names & with_parents(path.rpartition("/")[0] for path in names):
            raise malformed(wheel_name, f"it has {min(both)} as a file and as a folder")


class _UnpackedWheel(WheelSource):
    """The unpacked archive as ``installer`` wants to see it; no file is opened while its contents are listed."""

    def __init__(self, wheel_name: str, root: Path, members: Mapping[str, UnpackedFile]) -> None:
        self._root = root
        self._members = members
        folders = {path.split("/", 1)[0] for path in members if "/" in path}
        infos = sorted(folder for folder in folders if folder.endswith(".dist-info"))
        if len(infos) != 1:
            raise malformed(wheel_name, f"it has {len(infos)} .dist-info directories, not one")
        self._stem = infos[0].removesuffix(".dist-info")
        datas = sorted(folder for folder in folders if folder.endswith(".data"))
        # Builders disagree on how the name is escaped in the two; a lone .data directory is the wheel's own.
        self._data = datas[0] if len(datas) == 1 else f"{self._stem}.data"
        distribution, _, version = self._stem.partition("-")
        expected = wheel_name.split("-", 1)[0]
        if normalized(distribution) != normalized(expected):
            raise malformed(wheel_name, f"its {infos[0]} belongs to another project")
        super().__init__(distribution, version)

    @property
    def dist_info_dir(self) -> str:
        return f"{self._stem}.dist-info"

    @property
    def data_dir(self) -> str:
        return self._data

    @property
    def dist_info_filenames(self) -> list[str]:
        start = f"{self.dist_info_dir}/"
        return [path.removeprefix(start) for path in self._members if path.startswith(start)]

    def read_dist_info(self, filename: str) -> str:
        return (self._root / self.dist_info_dir / filename).read_text(encoding="utf-8")

    def get_contents(self) -> Iterator[WheelContentElement]:
        info = f"{self.dist_info_dir}/"
        for path, member in self._members.items():
            # Bytecode in a wheel is a way to hide code: installer would warn of it and skip it too.
            if "__pycache__/" in path and "/__pycache__/" in f"/{path}":
                continue
            if path.startswith(info) and path.removeprefix(info) in _WRITTEN_BY_INSTALLERS:
                continue
            # The destination wants the archive path only; it comes in the stream's place. It knows hash and size.
            yield (path, "", ""), cast("BinaryIO", path), member.executable


class _Recorder(WheelDestination):
    """Writes nothing: notes what ``installer`` would have written where."""

    def __init__(self, root: Path, members: Mapping[str, UnpackedFile]) -> None:
        self._root = root
        self._members = members
        self.files: list[StoredFile] = []
        self.entry_points: list[EntryPoint] = []
        self.root_scheme = "purelib"

    def write_script(self, name: str, module: str, attr: str, section: Literal["console", "gui"]) -> RecordEntry:
        check_command(name)
        # On POSIX a gui script is a console script.
        _, content = Script(name, module, attr, "console").generate("python", "posix")
        self.entry_points.append(EntryPoint(name, content.partition(b"\n")[2].decode()))
        return _RECORDED

    def write_file(self, scheme: Scheme, path: object, stream: BinaryIO, is_executable: bool) -> RecordEntry:
        source = cast("str", stream)
        if scheme in _PLACES:
            check_place(f"{_PLACES[scheme]}{path}")
        member = self._members[source]
        shebang = scheme == "scripts" and _starts_with_python_shebang(self._root / source)
        known = (member.digest, member.size, member.mtime_ns)
        self.files.append(StoredFile(scheme, str(path), source, *known, shebang, member.crc))
        return _RECORDED

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        self.root_scheme = str(scheme)


def _starts_with_python_shebang(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(8) == b"#!python"
