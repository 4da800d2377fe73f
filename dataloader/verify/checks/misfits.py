"""Files that the loader cannot take for what their names say: damaged, or of another kind or machine. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dataloader.elf.scan import ScannedFile
from dataloader.prefix.python import extension_tag
from dataloader.prefix.records import InstalledPackage
from dataloader.verify.findings import Finding
from dataloader.verify.libraries import BareLoads
from dataloader.verify.remedies import reinstall


def check_malformed(files: Sequence[ScannedFile], owners: Mapping[str, InstalledPackage]) -> Iterator[Finding]:
    """Files that are named like libraries and cannot be read as ELF."""
    for file in files:
        problem = file.problem or ("a segment reaches past its end" if file.facts and file.facts.truncated else None)
        if problem is None:
            continue
        owner = owners.get(file.path)
        yield Finding(
            severity="error" if owner else "warning",
            kind="malformed-elf",
            path=file.path,
            message=f"not a library that could be loaded: {problem}",
            evidence=(f"{file.size} bytes",),
            fix=reinstall(owner) if owner else None,
        )


def check_kind(
    files: Sequence[ScannedFile], bare: BareLoads, owners: Mapping[str, InstalledPackage]
) -> Iterator[Finding]:
    """ELF files named like extension modules of this Python that are something else: an object file, a program."""
    for file in files:
        name = file.path.rsplit("/", 1)[-1]
        ours = extension_tag(name) is not None and bare.interpreter.takes_extension(name)
        if ours and file.facts is not None and not file.facts.is_library and not file.facts.truncated:
            yield Finding(
                severity="error",
                kind="not-a-library",
                path=file.path,
                message="is named like an extension module, and the loader opens shared objects only",
                fix=reinstall(owners[file.path]) if file.path in owners else None,
            )


def check_machine(
    files: Sequence[ScannedFile], bare: BareLoads, owners: Mapping[str, InstalledPackage]
) -> Iterator[Finding]:
    """Extension modules named for this Python that were built for another machine."""
    environment = bare.process.environment
    for file in files:
        name = file.path.rsplit("/", 1)[-1]
        if file.facts is None or extension_tag(name) is None or not bare.interpreter.takes_extension(name):
            continue
        if (file.facts.machine, file.facts.bits) != (environment.machine, environment.bits):
            yield Finding(
                severity="error",
                kind="wrong-machine",
                path=file.path,
                message=f"is built for {file.facts.machine}, {file.facts.bits} bits; the target: {environment.machine}",
                fix=reinstall(owners[file.path]) if file.path in owners else None,
            )
