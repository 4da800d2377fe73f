"""Which commands mend a cause, worked out from the tables and from what packages require; the likeliest first. No I/O.

In dataloader's own words: ``dataloader.verify.fixes`` says them to the tool that made the prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dataloader.base.names import normalized
from dataloader.compat.rows import Companion
from dataloader.elf.frameworks import distributions_of
from dataloader.prefix.records import InstalledPackage, InstalledPackages, required_names
from dataloader.verify.tables import Provider, load_tables

_PYTHON = re.compile(r"_?Py[A-Z_]")
_LABEL = re.compile(r"(?:-|\+)cu(?P<major>1[0-9])")


def reinstall(package: InstalledPackage) -> str:
    """The command that brings a package's own files back."""
    return f"dataloader install --reinstall {_named(package)}=={package.version}"


def instead_of(package: InstalledPackage, spec: str) -> str:
    """The commands that put another distribution in the place of one: their files may have the same names."""
    return _in_turn(f"dataloader remove {_named(package)}", f"dataloader install --reinstall {spec}")


def one_of(first: InstalledPackage, second: InstalledPackage, on_disk: str, installed: InstalledPackages) -> list[str]:
    """Without the one, and with the files of the other: the one to keep is what others require, else what is there."""
    others = (package for package in installed.packages if package.name not in (first.name, second.name))
    wanted = {name for package in others for name in required_names(package.requires)}
    keep = sorted(
        (first, second), key=lambda package: (package.name not in wanted, package.label != on_disk, package.name)
    )
    return [_in_turn(f"dataloader remove {_named(gone)}", reinstall(kept)) for kept, gone in (keep, keep[::-1])]


def another_release(package: InstalledPackage | None) -> tuple[str, ...]:
    """An older build asks less of the system. Which one does is found when it is tried."""
    if package is None or package.kind == "conda":
        return ()
    return (f"dataloader install '{package.name}<{package.version.partition('+')[0]}'",)


def for_library(
    soname: str, owner: InstalledPackage | None, cuda_major: str | None, installed: InstalledPackages
) -> list[str]:
    """What brings a library that nothing in the environment has, for the file of a package that needs it."""
    tables, found = load_tables(), []
    if owner is not None and soname in tables.without.get(owner.name, ((), ""))[0]:
        found.append(instead_of(owner, f"{tables.without[owner.name][1]}=={owner.version}"))
    provider = tables.providers.get(soname)
    if provider is not None and not provider.driver:
        found += _of_provider(provider, cuda_major, installed)
    if soname in tables.system_packages:
        found.append(tables.system_packages[soname])
    return found


def _of_provider(provider: Provider, cuda_major: str | None, installed: InstalledPackages) -> Iterator[str]:
    if provider.conda and any(package.kind == "conda" for package in installed.packages):
        channel, package = provider.conda[0]
        yield f"dataloader install conda:{channel}::{package}"
        return
    projects = [project for project, _ in provider.pypi]
    required = [spec for spec in _required(installed) if normalized(re.split(r"[<>=!~(\[]", spec)[0]) in projects]
    major = cuda_major or _labelled_major(installed)
    fitting = [project for project, own_major in provider.pypi if own_major is None or own_major == major]
    for spec in dict.fromkeys(required or reversed(fitting or projects)):
        yield f"dataloader install '{spec}'" if re.search(r"[<>=!~]", spec) else f"dataloader install {spec}"
    if not provider.pypi and provider.conda:
        yield f"dataloader install conda:{provider.conda[0][0]}::{provider.conda[0][1]}"


def _required(installed: InstalledPackages) -> Iterator[str]:
    """Requirements as they are typed, but for extras' ones."""
    for package in installed.packages:
        for text in package.requires if package.kind == "pypi" else ():
            if "extra" not in text:
                yield re.sub(r"[\s()]", "", text.partition(";")[0])


def _labelled_major(installed: InstalledPackages) -> str | None:
    """The CUDA major that names and versions say: ``nvidia-nccl-cu12``, ``torch 2.4.0+cu124``."""
    texts = (f"{package.name}+{package.version.partition('+')[2]}" for package in installed.packages)
    found = {match["major"] for text in texts for match in _LABEL.finditer(text)}
    return found.pop() if len(found) == 1 else None


def for_symbols(
    owner: InstalledPackage | None, frameworks: Sequence[InstalledPackage], companions: Iterable[Companion]
) -> list[str]:
    """The release of a companion that goes with the framework there; else the framework that goes with it."""
    if owner is None or owner.kind == "conda" or not frameworks:
        return []
    from packaging.specifiers import SpecifierSet

    rows = [row for row in companions if row.project == owner.name]
    torch = next((framework for framework in frameworks if framework.name in distributions_of("torch")), None)
    if torch is None or torch.kind == "conda":
        return []
    public = torch.version.partition("+")[0]
    admitting = [row for row in rows if SpecifierSet(row.torch).contains(public, prereleases=True)]
    pinned = [row for row in admitting if row.torch.startswith("==")]  # an open bound says less than a pin
    fitting = [row.version for row in pinned or admitting]
    mine = owner.version.partition("+")[0]
    theirs = [row.torch for row in rows if row.version == mine and row.torch.startswith("==")]
    found = [f"dataloader install '{owner.name}=={fitting[-1]}'"] if fitting and fitting[-1] != mine else []
    return found + [f"dataloader install 'torch{theirs[0]}'" for _ in theirs[:1] if theirs[0] != f"=={public}"]


def is_pythons(symbols: Sequence[str]) -> bool:
    """Whether all are of Python's C interface.

    >>> is_pythons(["PyObject_GetOptionalAttr", "_Py_Dealloc"]), is_pythons(["PyInit", "Pythia"])
    (True, False)
    """
    return bool(symbols) and all(_PYTHON.match(symbol) for symbol in symbols)


def _in_turn(*commands: str) -> str:
    """Each after the one before, if that has worked; ``dataloader.verify.fixes`` takes them apart again."""
    return " && ".join(commands)


def _named(package: InstalledPackage) -> str:
    return f"conda:{package.name}" if package.kind == "conda" else package.name
