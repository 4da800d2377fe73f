"""What we read of an ELF file's structure is what binutils' readelf reads of it, for the libraries of this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from dataloader.elf.facts import ElfFacts, read_elf, read_runpath

_NEED = re.compile(
    r"Version: \d+\s+File: (\S+)\s+Cnt:|^\s+0x\w+:\s+Name: (\S+)\s+Flags: (.*?)\s+Version: \d+", re.MULTILINE
)
_DEFINITION = re.compile(r"Rev: \d+\s+Flags: (.*?)\s+Index: \d+\s+Cnt: \d+\s+Name: (\S+)")

LIBRARIES = sorted(
    {
        path.resolve()
        for folder in (sysconfig.get_config_var("DESTSHARED"), "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64")
        if folder and Path(folder).is_dir()
        for path in Path(folder).glob("*.so*")
        if path.is_file()
    }
)
SAMPLE = LIBRARIES[:: max(1, len(LIBRARIES) // 120)]


def tell(path: Path, *options: str) -> str:
    """What readelf says."""
    done = subprocess.run(["readelf", "-W", *options, path], capture_output=True, text=True, check=True)
    return done.stdout


def version_needs(text: str) -> list[tuple[str, str, bool]]:
    """File, version, and whether it is weak."""
    part = text.partition("Version needs section")[2]
    found, file = [], ""
    for match in _NEED.finditer(part):
        file = match.group(1) or file
        if match.group(2):
            found.append((file, match.group(2), "WEAK" in match.group(3)))
    return found


def facts_of(path: Path) -> tuple[object, ...]:
    """As readelf has them."""
    dynamic, versions = tell(path, "-d"), tell(path, "-V")

    def values(tag: str) -> list[str]:
        return re.findall(rf"\({tag}\)\s+[^\[\n]*\[(.*)\]$", dynamic, re.MULTILINE)

    definitions = None
    if "(VERDEF)" in dynamic:
        part = versions.partition("Version definition section")[2].partition("Version needs section")[0]
        definitions = tuple(name for flags, name in _DEFINITION.findall(part) if "BASE" not in flags)
    return (
        tuple(values("NEEDED")),
        next(iter(values("SONAME")), None),
        next(iter(values("RPATH")), None),
        next(iter(values("RUNPATH")), None),
        version_needs(versions),
        definitions,
    )


def ours(facts: ElfFacts) -> tuple[object, ...]:
    needs = [tuple(need) for need in facts.version_needs]
    return facts.needed, facts.soname, facts.rpath, facts.runpath, needs, facts.version_definitions


@pytest.mark.skipif(not shutil.which("readelf"), reason="readelf (binutils) is not installed")
def test_the_structure_is_what_readelf_reads() -> None:
    judged = 0
    for path in SAMPLE:
        if path.read_bytes()[:4] != b"\x7fELF":  # a linker script
            continue
        facts, _ = read_elf(path)
        if not facts.dynamic:
            continue

        assert ours(facts) == facts_of(path), path
        assert read_runpath(path) == (facts.runpath or facts.rpath or "")
        judged += 1

    assert judged
