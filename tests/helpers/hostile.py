"""Packages that want more than their place: one list of kinds for wheels and conda packages alike, and a judge.

A ``Wish`` is what a package wants (files, links, commands); ``as_wheel`` and ``as_conda`` put it into an archive of
either world. ``WISHES`` is generated where one trick has many spellings. What only one world can say is in
``CONDA_ONLY`` and ``WHEEL_ONLY``. ``Outside`` is a place beside the prefix that must be the same before and after.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import zstandard

from dataloader.lockfile.model import CondaPackage
from tests.helpers.wheels import make_wheel

OUTSIDE = "{outside}"
"""Stands for the absolute path of the judge's folder."""

MINE = "evil"
"""Name of every hostile package."""

Verdict = Literal["refused", "harmless"]
"""``refused``: exit 4. ``harmless``: it may also be installed, or clash with something (exit 2), as long as nothing
outside changes."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a package wants."""

    name: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Path in the prefix to content."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Path in the prefix to the target of a symbolic link."""
    commands: tuple[str, ...] = ()
    verdict: Verdict = "refused"
    in_wheels: Verdict | None = None
    """The verdict on a wheel, where it differs: a link in a wheel becomes a file that holds the target's name."""


# -- spellings


def _escapes() -> Iterator[str]:
    yield from ("../evil", "../../evil", "a/../../evil", "a/b/../../../evil", "./../evil", "../evil-1.0-0/x/b.txt")
    yield from (
        f"{OUTSIDE}/new",
        f"{OUTSIDE}/victim",
        f"/{OUTSIDE}/new",
        f"a/{OUTSIDE}/../../../../../../../../tmp/new",
    )
    yield from ("../outside/victim", "a/../../outside/victim", "../outside/new/deep/er")
    yield from ("..\\evil", "a\\..\\..\\evil", "\\evil", "a/..\\..\\evil", "..\\../evil")
    yield from (".. /evil", "... /evil", "a/.. ./evil", "a/ /evil", ".../evil")
    yield from ("..", ".", "a/.", "a/..", "a/./b", "a//b", "/", "")


def _reserved() -> Iterator[str]:
    yield from ("pyvenv.cfg", "PYVENV.CFG", "Pyvenv.Cfg", "pyvenv.cfg.", "pyvenv.cfg ", "pyvenv.cfg/x", "pyvenv.cfg. .")
    yield from ("\uff50yvenv.cfg", "pyvenv\u200b.cfg", "pyvenv.cfg\ufeff", "bin/pyvenv.cfg", "bin/PYVENV.cfg")
    yield from (".dataloader", ".dataloader/state.json", ".dataloader/activation.json", ".dataloader/journal")
    yield from (".DataLoader/state.json", ".dataloader./x", ".dataloader\u200d/x", ".\uff44ataloader/state.json")
    yield from ("conda-meta", "conda-meta/history", "conda-meta/evil.json", "conda-meta/state", "conda-meta/x/y")
    yield from ("Conda-Meta/x.json", "CONDA-META/pinned", "conda-meta /x", "conda-\uff4deta/x", "CACHEDIR.TAG")
    yield "cachedir.tag"


def _impossible() -> Iterator[str]:
    yield from ("a\0b", "n" * 300, "\u00e9" * 200, "n/" * 150 + "f", "long/" + "x" * 200 + ("/" + "y" * 200) * 11)


def _links() -> Iterator[Wish]:
    for path in (
        *("share/link", "pyvenv.cfg", ".dataloader/state.json", ".dataloader/activation.json", "conda-meta/history"),
        *("CACHEDIR.TAG", "bin/tool", "etc/conda/activate.d/x.sh", "Menu/x.json"),
    ):
        yield Wish(name=f"link {path} to a file outside", links={path: f"{OUTSIDE}/victim"})
        yield Wish(name=f"link {path} to a new file outside", links={path: f"{OUTSIDE}/new"})
    for path in (
        "lib",
        "bin",
        "share",
        ".dataloader",
        "conda-meta",
        "etc/conda",
        "etc/conda/activate.d",
        "a/b/c",
        "lib64",
    ):
        yield Wish(name=f"link {path} to a folder outside", links={path: OUTSIDE})
        yield Wish(name=f"link {path} upwards", links={path: "/".join([".."] * (path.count("/") + 1)) + "/outside"})
    yield Wish(name="link to the folder above", links={"up": ".."})
    yield Wish(name="link to the root", links={"a/b/root": "/"})
    yield Wish(name="link to a process' root", links={"a/b/root": "/proc/self/root/../../etc"})
    for target in ("/proc/self/root/tmp", "/proc/self/cwd", "/dev/shm/new", "/run/user/0", "/etc", "/usr/../tmp/new"):
        yield Wish(name=f"deep link to {target}", links={"a/b/c": target})
    yield Wish(name="file below a link outside", files={"d/new": b"x"}, links={"d": OUTSIDE})
    yield Wish(name="file below a link to the system", files={"a/b/d/new": b"x"}, links={"a/b/d": "/etc"})
    yield Wish(name="file below a link of links", files={"e/new": b"x"}, links={"d": OUTSIDE, "e": "d"})
    yield Wish(name="two links that add up", links={"a/b/up": "../..", "x/y": "../a/b/up/../outside/victim"})
    yield Wish(name="links that add up, by case", links={"a/b/up": "../..", "A/B/UP/x": "../../outside/victim"})
    yield Wish(name="file below links that add up", files={"z/new": b""}, links={"a/up": "..", "z": "a/up/../outside"})
    yield Wish(name="a circle with a file", files={"r/new": b"x"}, links={"r": "s", "s": "r"})
    many = {f"l{number}": f"l{number + 1}" for number in range(60)}
    yield Wish(name="many links in a row with a file", files={"l0/new": b"x"}, links={**many, "l60": OUTSIDE})


def _commands() -> Iterator[str]:
    yield from ("../evil", "../../evil", f"{OUTSIDE}/new", "a/b", "..", ".", "...", "/", "..\\evil", "pyvenv.cfg")
    yield from ("PYVENV.CFG", "pyvenv.cfg ", "pyvenv\u200b.cfg", "n" * 300, "a\0b", "a\tb")


def wishes() -> list[Wish]:
    """All kinds that both worlds can say."""
    found = [Wish(name=f"escape {path!r}", files={path: b"boo"}) for path in _escapes()]
    # The end of a member's name says that it is a folder, and folders of wheels are not made.
    found = [replace(wish, in_wheels="harmless") if {"", "/"} & wish.files.keys() else wish for wish in found]
    found += [Wish(name=f"reserved {path!r}", files={path: b"{}"}) for path in _reserved()]
    found += [Wish(name=f"impossible {path[:12]!r}", files={path: b""}) for path in _impossible()]
    found += [replace(wish, in_wheels=wish.in_wheels or "harmless") for wish in _links()]
    found += [Wish(name=f"command {name!r}"[:60], commands=(name,)) for name in _commands()]
    harmless: list[Wish] = [
        Wish(name="LD_PRELOAD for all", files={"etc/conda/env_vars.d/x.json": b'{"LD_PRELOAD": "/x.so"}'}),
        Wish(name="a menu", files={"Menu/evil.json": _MENU}),
        Wish(name="scripts of conda", files={f"bin/.evil-{when}.sh": _SCRIPT for when in _WHEN}),
        Wish(name="scripts of conda in info", files={f"info/recipe/{when}.sh": _SCRIPT for when in _WHEN}),
        Wish(name="a name of spaces inside", files={"a b/c d": b""}),
        Wish(name="newline in a name", files={"a\nb": b""}),
        Wish(name="names that differ by case", files={"x/A": b"1", "x/a": b"2"}),
    ]
    return found + [replace(wish, verdict="harmless") for wish in harmless]


_WHEN = ("post-link", "pre-link", "pre-unlink", "post-unlink")
_SCRIPT = f"#!/bin/sh\ntouch '{OUTSIDE}/new'\n".encode()
_MENU = json.dumps(
    {"menu_name": "evil", "menu_items": [{"name": "evil", "command": ["touch", OUTSIDE], "platforms": {"linux": {}}}]}
).encode()


# -- archives

Member = tuple[str, Literal["file", "link", "hard", "device", "pipe", "folder"], str | bytes]


@dataclass(kw_only=True)
class CondaArchive:
    """A conda package whose parts can each be made to lie."""

    name: str = MINE
    version: str = "1.0"
    build: str = "0"
    members: list[Member] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    index: Mapping[str, Any] | None = None
    """Other fields of info/index.json."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of info/paths.json."""
    info: dict[str, bytes | None] = field(default_factory=dict)
    """Further files of info/, or others in place of the usual; None leaves one out."""
    info_members: list[Member] = field(default_factory=list)
    noarch: str | None = None
    lock: dict[str, Any] = field(default_factory=dict)
    """Fields of the lock that differ."""
    format: Literal["conda", "tar.bz2"] = "conda"
    mangle: Callable[[bytes], bytes] = bytes
    """A last change to the archive's bytes."""

    def add(self, path: str, content: bytes = b"x", **row: Any) -> CondaArchive:
        """A file and its row."""
        self.members.append((path, "file", content))
        digest = hashlib.sha256(content).hexdigest()
        usual = {"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(content)}
        self.rows.append({**usual, **row})
        return self

    def add_link(self, path: str, target: str, **row: Any) -> CondaArchive:
        """A symbolic link and its row."""
        self.members.append((path, "link", target))
        usual = {"_path": path, "path_type": "softlink", "sha256": None, "size_in_bytes": 0}
        self.rows.append({**usual, **row})
        return self

    def write(self, channel: Path, outside: Path) -> CondaPackage:
        """Write the archive, and return what a lock has of it."""

        def put(text: Any) -> Any:
            if isinstance(text, bytes):
                return text.replace(OUTSIDE.encode(), os.fsencode(outside))
            if isinstance(text, str):
                return text.replace(OUTSIDE, str(outside))
            if isinstance(text, Mapping):
                return {key: put(value) for key, value in text.items()}
            return [put(each) for each in text] if isinstance(text, list) else text

        subdir = "noarch" if self.noarch else "linux-64"
        index: Any = {"name": self.name, "version": self.version, "build": self.build, "build_number": 0}
        index |= {"subdir": subdir, "depends": [], **({"noarch": self.noarch} if self.noarch else {})}
        index = (
            {**index, **self.index} if isinstance(self.index, dict) else (index if self.index is None else self.index)
        )
        info = {
            "info/index.json": json.dumps(put(index)).encode(),
            "info/paths.json": json.dumps({"paths": put(self.rows), "paths_version": 1, **self.record}).encode(),
        }
        if self.noarch == "python":
            info["info/link.json"] = b'{"noarch": {"type": "python"}, "package_metadata_version": 1}'
        described: list[Member] = [
            (name, "file", put(data)) for name, data in {**info, **self.info}.items() if data is not None
        ]
        members: list[Member] = [(put(name), kind, put(data)) for name, kind, data in self.members]
        described += [(put(name), kind, put(data)) for name, kind, data in self.info_members]
        stem = f"{MINE if '/' in self.name else self.name}-{hashlib.sha256(repr(self).encode()).hexdigest()[:8]}-0"
        target = channel / f"{stem}.{self.format}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.format == "tar.bz2":
            data = bz2.compress(_tar([*described, *members]))
        else:
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as archive:
                archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
                archive.writestr(f"pkg-{stem}.tar.zst", zstandard.compress(_tar(members), 1))
                archive.writestr(f"info-{stem}.tar.zst", zstandard.compress(_tar(described), 1))
            data = stream.getvalue()
        data = self.mangle(data)
        target.write_bytes(data)
        fields: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": 0,
            "subdir": subdir,
            "url": target.as_uri(),
            "channel": f"{channel.as_uri()}/",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "noarch": self.noarch,
        }
        return CondaPackage(**{**fields, **put(self.lock)})


def as_conda(wish: Wish) -> CondaArchive:
    """A wish in a conda package; commands need one for any Python."""
    archive = CondaArchive(noarch="python" if wish.commands else None)
    for path, content in wish.files.items():
        archive.add(path, content)
    for path, target in wish.links.items():
        archive.add_link(path, target)
    if wish.commands:
        points = [f"{name} = evil:main" for name in wish.commands]
        link = {"noarch": {"type": "python", "entry_points": points}, "package_metadata_version": 1}
        archive.info["info/link.json"] = json.dumps(link).encode()
    return archive


def as_wheel(wish: Wish, folder: Path, outside: Path) -> Path:
    """A wish in a wheel, whose data scheme goes to the prefix itself."""
    wheel = make_wheel(folder, MINE, "1.0", files={"evil.py": ""})
    members = {f"evil-1.0.data/data/{path}": content for path, content in wish.files.items()}
    links = {f"evil-1.0.data/data/{path}": target.encode() for path, target in wish.links.items()}
    if wish.commands:
        lines = "".join(f"{name} = evil:main\n" for name in wish.commands)
        members["evil-1.0.dist-info/entry_points.txt"] = f"[console_scripts]\n{lines}".encode()
    return add_members(wheel, {**members, **links}, outside, links=links)


def add_members(wheel: Path, members: Mapping[str, bytes], outside: Path, *, links: Iterable[str] = ()) -> Path:
    """Write members, of any name, behind those of a wheel."""
    with zipfile.ZipFile(wheel, "a") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name.replace(OUTSIDE, str(outside))
            info.external_attr = (0o120777 if name in links else 0o100644) << 16
            archive.writestr(info, content.replace(OUTSIDE.encode(), os.fsencode(outside)))
    return wheel


def _tar(members: list[Member]) -> bytes:
    stream = io.BytesIO()
    kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, data in members:
            member = tarfile.TarInfo(name)
            member.mtime, member.mode = 1_700_000_000, 0o755 if name.startswith("bin/") else 0o644
            if kind == "file":
                content = data.encode() if isinstance(data, str) else data
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                continue
            member.type = kinds.get(kind, tarfile.DIRTYPE)
            if kind in {"link", "hard"}:
                member.linkname = data if isinstance(data, str) else os.fsdecode(data)
            if kind == "device":
                member.devmajor, member.devminor = 1, 3
            archive.addfile(member)
    return stream.getvalue()


# -- what only one world can say


@dataclass(frozen=True, kw_only=True)
class Case:
    """Conda packages that come together."""

    name: str
    archives: tuple[CondaArchive, ...]
    verdict: Verdict = "refused"


def conda_only() -> list[Case]:
    """What only conda packages can say."""
    return [*_two_packages(), *_wrong_rows(), *_wrong_descriptions(), *_wrong_locks(), *_wrong_tars()]


def _two_packages() -> Iterator[Case]:
    def pair(name: str, one: CondaArchive, other: CondaArchive) -> Case:
        other.name = "other"
        return Case(name=name, archives=(one, other))

    new = CondaArchive
    yield pair("a link of one, a file of the other", new().add_link("a/b/d", "/etc"), new().add("a/b/d/new"))
    yield pair("links of two that add up", new().add_link("a/up", ".."), new().add_link("z", "a/up/../outside"))
    yield pair("a link by case", new().add_link("a/b", ".."), new().add_link("A/B/x", "../outside/victim"))
    command = as_conda(Wish(name="", commands=("tool",)))
    yield pair("a link where the other has a command", new().add_link("bin/tool", "../share/t").add("share/t"), command)
    site = new(noarch="python").add("site-packages/m/x.py")
    yield pair("a link where the other's modules go", new().add_link("lib/python/site-packages/m", "../../../.."), site)


def _wrong_rows() -> Iterator[Case]:
    def row(name: str, verdict: Verdict = "refused", path: str = "share/x", **fields: Any) -> Case:
        return Case(name=f"row: {name}", archives=(CondaArchive().add(path, **fields),), verdict=verdict)

    yield row("no path", _path=None)
    yield row("a number for a path", _path=7)
    yield row("a list for a path", _path=["share", "x"])
    yield row("no kind", path_type=None)
    yield row("an unknown kind", path_type="device")
    yield row("a file that is not there", _path="share/y")
    yield row("a file as link", path_type="softlink")
    yield row("a file as folder", path_type="directory")
    yield row("a hash that is none", sha256="x" * 64)
    yield row("a short hash", sha256="00")
    yield row("another hash", "harmless", sha256="00" * 32)
    for size in (-1, 2**70, 1.5, "many", [1]):
        yield row(f"size {size}", size_in_bytes=size)
    yield row("another size", "harmless", size_in_bytes=7)
    for said in (5, {"share/x": 5}, {"share/x": ["a"]}, {"share/x": ["a", {}]}, {"../x": ["a", "b"]}):
        archive = CondaArchive(record={"published_otherwise": said}).add("share/x")
        yield Case(name=f"rows: our own key is {said}", archives=(archive,), verdict="harmless")
    for mode in ("text", "binary"):
        yield row(f"empty placeholder, {mode}", prefix_placeholder="", file_mode=mode)
        yield row(f"placeholder of one character, {mode}", "harmless", prefix_placeholder="x", file_mode=mode)
    yield row("placeholder that is a number", "harmless", prefix_placeholder=7, file_mode="text")
    yield row("an unknown mode", "harmless", prefix_placeholder="/opt", file_mode="octal")
    yield row("no mode", "harmless", prefix_placeholder="/opt")
    link = CondaArchive().add_link("share/l", "x", path_type="hardlink", prefix_placeholder="/opt", file_mode="text")
    yield Case(name="row: a placeholder in a link", archives=(link.add("share/x"),))
    twice = CondaArchive().add("share/x", b"1")
    twice.rows *= 2
    yield Case(name="row: twice", archives=(twice,))
    same = CondaArchive(noarch="python").add("bin/x", b"1").add("python-scripts/x", b"2")
    yield Case(name="row: two that are one place", archives=(same,))
    for name, rows in (("no list", {"a": 1}), ("a number", 5), ("strings", ["share/x"]), ("nothing", None)):
        yield Case(name=f"rows: {name}", archives=(CondaArchive(rows=rows),))  # type: ignore[arg-type]
    hidden = CondaArchive(members=[("d", "link", OUTSIDE)], rows=[{"_path": "d/victim", "path_type": "hardlink"}])
    yield Case(name="a file of outside, by a link that no row names", archives=(hidden,))


def _wrong_descriptions() -> Iterator[Case]:
    def info(name: str, key: str, data: bytes | None) -> Case:
        return Case(name=f"info: {name}", archives=(CondaArchive(info={f"info/{key}.json": data}).add("share/x"),))

    deep = b"[" * 100_000
    for name in ("index", "paths"):
        for what, data in (("missing", None), ("empty", b""), ("no JSON", b"{"), ("a list", b"[]"), ("deep", deep)):
            yield info(f"{name} {what}", name, data)
        yield info(f"{name} not UTF-8", name, b'{"name": "\xff\xfe"}')
        gone = CondaArchive(info={f"info/{name}.json": None}).add("share/x")
        gone.info_members = [(f"info/{name}.json", "link", f"{OUTSIDE}/victim")]
        yield Case(name=f"info: {name} is a link", archives=(gone,))
    for key, value in (
        *(("name", "other"), ("name", None), ("name", "../../evil"), ("name", ["evil"]), ("version", "2.0")),
        *(("version", None), ("build", "1"), ("build", 0), ("depends", "python"), ("subdir", 5)),
        *(("build_number", "x"), ("build_number", -1), ("noarch", "sideways"), ("timestamp", 2**80)),
        *(("python_site_packages_path", 5), ("track_features", {"a": 1}), ("license", 5), ("size", "x")),
    ):
        harmless = key not in {"name", "version", "build"}
        archive = CondaArchive(index={key: value}).add("share/x")
        yield Case(name=f"index: {key} {value!r}", archives=(archive,), verdict="harmless" if harmless else "refused")
    for what, data in (
        *(("missing", None), ("no JSON", b"{"), ("a list", b"[]"), ("empty", b"{}"), ("a number", b'{"noarch": 5}')),
        *(("points are a number", b'{"noarch": {"type": "python", "entry_points": 5}}'),),
        *(("points of numbers", b'{"noarch": {"type": "python", "entry_points": [5]}}'),),
        *(("no equals sign", b'{"noarch": {"type": "python", "entry_points": ["tool"]}}'),),
        *(("code for a module", b'{"noarch": {"type": "python", "entry_points": ["t = os; x:y"]}}'),),
    ):
        archive = CondaArchive(noarch="python", info={"info/link.json": data}).add("share/x")
        yield Case(name=f"link.json: {what}", archives=(archive,), verdict="harmless")
    old = CondaArchive(info={"info/paths.json": None, "info/files": b"share/x\n../evil\n"}).add("share/x")
    yield Case(name="an old package that escapes", archives=(old,))
    old = CondaArchive(info={"info/paths.json": None, "info/files": b"share/l\n"}).add_link("share/l", OUTSIDE)
    yield Case(name="an old package with a link outside", archives=(old,))


def _wrong_locks() -> Iterator[Case]:
    for name in ("../evil", "a/b", "..", f"{OUTSIDE}/x", "", "Evil", "a\0b"):
        yield Case(name=f"lock: name {name!r}", archives=(CondaArchive(lock={"name": name}).add("share/x"),))
    for field_name in ("version", "build"):
        for text in ("../../evil", "1/../..", f"{OUTSIDE}/x", "", "1\0"):
            archive = CondaArchive(lock={field_name: text}).add("share/x")
            yield Case(name=f"lock: {field_name} {text!r}", archives=(archive,))
    for path in ("../outside", OUTSIDE, "conda-meta", ".dataloader/x", "a/../../outside", "..\\x", ""):
        python = CondaArchive(name="python", version="3.11.0", lock={"python_site_packages_path": path})
        module = CondaArchive(noarch="python").add("site-packages/new.py")
        yield Case(name=f"lock: modules in {path!r}", archives=(python.add("share/x"), module))


def _wrong_tars() -> Iterator[Case]:
    def tar(name: str, *members: Member, verdict: Verdict = "refused") -> Case:
        return Case(
            name=f"tar: {name}", archives=(CondaArchive(members=list(members)).add("share/x"),), verdict=verdict
        )

    yield tar("device", ("d", "device", ""), verdict="harmless")  # rattler makes plain files of these
    yield tar("pipe", ("p", "pipe", ""), verdict="harmless")
    yield tar("pipe for a description", ("info/about.json", "pipe", ""), verdict="harmless")
    yield tar("hard link outside", ("h", "hard", f"{OUTSIDE}/victim"))
    yield tar("hard link upwards", ("h", "hard", "../../../outside/victim"))
    yield tar("hard link through a link", ("s", "link", OUTSIDE), ("h", "hard", "s/victim"))
    yield tar("file through a link", ("s", "link", OUTSIDE), ("s/new", "file", b"x"))
    yield tar("file over a link", ("s", "link", f"{OUTSIDE}/victim"), ("s", "file", b"x"), verdict="harmless")
    yield tar("folder over a link", ("s", "link", OUTSIDE), ("s", "folder", ""), verdict="harmless")
    yield tar("upwards, in no row", ("../evil", "file", b"x"), verdict="harmless")
    yield tar("absolute, in no row", (f"{OUTSIDE}/new", "file", b"x"), verdict="harmless")
    yield tar("deep folders in no row", ("n/" * 1500 + "f", "file", b"x"))
    yield tar("a long name in no row", ("n" * 300, "file", b"x"))
    for name, mangle in (
        ("nothing", lambda data: b""),
        ("noise", lambda data: b"no archive at all" * 50),
        ("cut off", lambda data: data[: len(data) // 2]),
        ("changed", lambda data: data[:90] + bytes(40) + data[130:]),
    ):
        archive = CondaArchive(mangle=mangle).add("share/x", bytes(5000))
        yield Case(name=f"archive: {name}", archives=(archive,))
        yield Case(name=f"archive: {name}, old", archives=(replace(archive, format="tar.bz2"),))


@dataclass(frozen=True, kw_only=True)
class WheelCase:
    """A wheel, made in a folder; the second argument is the judge's folder."""

    name: str
    make: Callable[[Path, Path], Path]
    verdict: Verdict = "refused"


def wheel_only() -> list[WheelCase]:
    """What only wheels can say."""
    return [*_wrong_members(), *_wrong_metadata(), *_wrong_zips()]


def _member_case(name: str, members: Mapping[str, bytes], verdict: Verdict = "refused") -> WheelCase:
    def make(folder: Path, outside: Path) -> Path:
        return add_members(make_wheel(folder, MINE, "1.0", files={"evil.py": ""}), members, outside)

    return WheelCase(name=name, make=make, verdict=verdict)


def _wrong_members() -> Iterator[WheelCase]:
    yield _member_case("member: no name", {"": b"x"})
    yield _member_case("member: null in its name", {"evil/a\0b.py": b"x"})
    yield _member_case("member: null behind its name", {"evil/a.py\0": b"x"})
    yield _member_case("member: 5,000 folders", {"n/" * 5000 + "f": b"x"})
    yield _member_case("member: 120 folders", {"n/" * 120 + "f": b"x"})
    yield _member_case("member: upwards from purelib", {"../../../../outside/victim": b"x"})
    yield _member_case("member: file and folder", {"evil.py/x": b"x"})
    yield _member_case("member: folder and file", {"a/b/c": b"x", "a/b": b"y"})
    yield _member_case("member: file and folder by schemes", {"evil-1.0.data/purelib/evil.py/x": b"x"})
    yield _member_case("member: two contents by schemes", {"evil-1.0.data/purelib/evil.py": b"other"})
    yield _member_case("member: script upwards", {"evil-1.0.data/scripts/../../evil": b"x"})
    yield _member_case("member: script in the environment's file", {"evil-1.0.data/scripts/pyvenv.cfg": b"x"})
    yield _member_case("member: header upwards", {"evil-1.0.data/headers/../../../x.h": b"x"})
    yield _member_case("member: unknown scheme", {"evil-1.0.data/system/x": b"x"})
    yield _member_case("member: two data folders", {"evil-2.data/data/../../x": b"x"})
    yield _member_case("member: a script in a folder", {"evil-1.0.data/scripts/a/b": b"x"}, "harmless")
    yield _member_case("member: bytecode", {"__pycache__/evil.cpython-311.pyc": b"x"}, "harmless")
    yield _member_case("member: newline in its name", {"evil/a\nb.py": b""}, "harmless")
    yield _member_case("member: a name in no alphabet", {"evil/\u00ff\u2028.py": b""}, "harmless")
    site = "evil-1.0.data/data/lib/python{}.{}/site-packages".format(*sys.version_info[:2])
    for name in ("RECORD", "INSTALLER", "METADATA"):
        path = f"{site}/evil-1.0.dist-info/{name}"
        yield _member_case(f"member: a {name} by the data scheme", {path: b"x"}, "harmless")


def _wrong_metadata() -> Iterator[WheelCase]:
    def case(name: str, part: str, data: bytes | None, verdict: Verdict = "refused") -> WheelCase:
        def make(folder: Path, _: Path) -> Path:
            wheel = make_wheel(folder, MINE, "1.0", entry_points={"console_scripts": {"evil": "evil:main"}})
            with zipfile.ZipFile(wheel) as archive:
                members = {each: archive.read(each) for each in archive.namelist()}
            members.pop(f"evil-1.0.dist-info/{part}", None)
            if data is not None:
                members[f"evil-1.0.dist-info/{part}"] = data
            with zipfile.ZipFile(wheel, "w") as archive:
                for each, content in members.items():
                    archive.writestr(each, content)
            return wheel

        return WheelCase(name=f"{part}: {name}", make=make, verdict=verdict)

    yield case("a section without an end", "entry_points.txt", b"[console_scripts\nevil = evil:main\n")
    yield case("no section", "entry_points.txt", b"evil = evil:main\n")
    yield case("twice the same", "entry_points.txt", b"[console_scripts]\ne = a:b\ne = c:d\n")
    yield case("interpolation", "entry_points.txt", b"[console_scripts]\ne = %(home)s:b\n", "harmless")
    yield case("not UTF-8", "entry_points.txt", b"[console_scripts]\n\xff = a:b\n")
    yield case("no attribute", "entry_points.txt", b"[console_scripts]\ne = a\n", "harmless")
    yield case("code", "entry_points.txt", b"[console_scripts]\ne = a;import os:b\n", "harmless")
    for part in ("METADATA", "WHEEL", "RECORD"):
        yield case("none", part, None)
        yield case("noise", part, bytes(range(256)) * 4, "harmless")
        yield case("long lines", part, b"x" * 1_000_000, "harmless")
    yield case("no name", "METADATA", b"Metadata-Version: 2.1\nVersion: 1.0\n\n")
    yield case("no version", "METADATA", b"Metadata-Version: 2.1\nName: evil\n\n")
    yield case("another project", "METADATA", b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n\n")
    yield case("another version", "METADATA", b"Metadata-Version: 2.1\nName: evil\nVersion: 2\n\n")
    yield case("a name that is a path", "METADATA", b"Metadata-Version: 2.1\nName: ../../x\nVersion: 1.0\n\n")
    yield case("of the future", "WHEEL", b"Wheel-Version: 99.0\nRoot-Is-Purelib: true\n")
    yield case("a field of a megabyte", "RECORD", b'"' + b"x" * 1_000_000)
    yield case("a null", "RECORD", b"evil/__init__.py,sha256=\0,\n", "harmless")
    yield case("paths outside", "RECORD", b"../../../x,sha256=abc,1\n/etc/passwd,sha256=abc,1\n", "harmless")
    yield case("an unknown hash", "RECORD", b"evil/__init__.py,rot13=abc,1\n")
    yield case("a hash of no name", "RECORD", b"evil/__init__.py,=,1\nevil/__init__.py,abc,x,y\n", "harmless")
    yield case("another hash", "RECORD", b"evil/__init__.py,sha256=abc,1\n", "harmless")


def _wrong_zips() -> Iterator[WheelCase]:
    def case(name: str, change: Callable[[bytes], bytes], verdict: Verdict = "refused") -> WheelCase:
        def make(folder: Path, _: Path) -> Path:
            wheel = make_wheel(folder, MINE, "1.0", files={"evil.py": "x = 1\n" * 2000})
            wheel.write_bytes(change(wheel.read_bytes()))
            return wheel

        return WheelCase(name=f"zip: {name}", make=make, verdict=verdict)

    def patched(signature: bytes, offset: int, value: bytes) -> Callable[[bytes], bytes]:
        def change(data: bytes) -> bytes:
            start = data.index(signature) + offset
            return data[:start] + value + data[start + len(value) :]

        return change

    local, listed = b"PK\3\4", b"PK\1\2"
    yield case("nothing", lambda data: b"")
    yield case("noise", lambda data: b"no archive" * 100)
    for part in range(1, 8):
        yield case(f"cut off at {part}/8", lambda data, part=part: data[: len(data) * part // 8])  # type: ignore[misc]
    yield case("another name before the member", patched(local, 30, b"evol"))
    yield case("a name upwards before the member", patched(local, 30, b"../x"))
    yield case("another name in the directory", patched(listed, 46, b"evol"))
    yield case("encrypted", patched(listed, 8, b"\1"))
    yield case("an unknown method", patched(listed, 10, b"\x63"))
    yield case("damaged bz2", patched(listed, 10, b"\x0c"))
    yield case("damaged lzma", patched(listed, 10, b"\x0e"))
    yield case("an unknown version", patched(listed, 6, b"\xff"))
    yield case("another checksum", patched(listed, 16, b"\0\1\2\3"))
    yield case("another size", patched(listed, 24, b"\1\0\0\0"))
    yield case("a huge size", patched(listed, 24, b"\xfe\xff\xff\xff"))
    yield case("a place behind the end", patched(listed, 42, b"\xff\xff\xff\x7f"))
    yield case("sizes of eight bytes that are not there", patched(listed, 24, b"\xff\xff\xff\xff"))
    yield case("more members than there are", patched(b"PK\5\6", 10, b"\xff\x7f"), "harmless")
    yield case("a directory elsewhere", patched(b"PK\5\6", 16, b"\xff\xff\xff\x7f"))
    yield case("something before it", lambda data: b"#!/bin/sh\n" * 100 + data, "harmless")
    yield case("something behind it", lambda data: data + b"x" * 70_000)
    yield case("two archives", lambda data: data + data, "harmless")
    yield case("a changed byte", lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:])


# -- judging


class Outside:
    """What lies beside an environment and its cache: it must be the same before and after."""

    def __init__(self, root: Path, prefix: Path, cache: Path) -> None:
        self.root = root
        self.folder = root / "outside"
        self.folder.mkdir()
        (self.folder / "victim").write_text("untouched")
        (self.folder / "inner").mkdir()
        self._prefix, self._cache = prefix, cache
        self._before: dict[str, tuple[object, ...]] = {}

    def remember(self) -> None:
        """What is there now is what must be there afterwards."""
        self._before = self._look()

    def changes(self) -> list[str]:
        """The paths that are new, gone or different since; the prefix and the cache do not count."""
        now = self._look()
        return sorted(path for path in {*now, *self._before} if now.get(path) != self._before.get(path))

    def _look(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for where, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if Path(where, name) not in {self._prefix, self._cache}]
            for name in (*folders, *names):
                path = Path(where, name)
                if path != self._prefix:
                    found[str(path)] = _state(path)
        return found


def _state(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return (status.st_mode, str(path.readlink()))
    if stat.S_ISREG(status.st_mode):
        return (status.st_mode, status.st_mtime_ns, status.st_nlink, hashlib.sha256(path.read_bytes()).hexdigest())
    return (status.st_mode,)


def links_out(prefix: Path) -> list[str]:
    """The symbolic links in an environment that lead out of it, but for its Python's."""
    root = os.path.realpath(prefix)
    found = []
    for where, folders, names in os.walk(prefix):
        for name in (*folders, *names):
            path = Path(where, name)
            if path.is_symlink() and not f"{os.path.realpath(path)}/".startswith(f"{root}/"):
                found.append(os.path.relpath(path, prefix))
    return sorted(path for path in found if not path.startswith("bin/python"))
