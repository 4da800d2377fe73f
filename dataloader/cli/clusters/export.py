"""``dataloader export``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import LOCK, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.export.formats import ExportOptions
    from dataloader.export.vex import Statement
    from dataloader.lockfile.model import Lockfile

_FORMS = (
    "pylock.toml, requirements.txt, environment.yml, explicit, conda-lock.yml, pixi.lock, pixi.lock-6, "
    "pixi.toml, pyproject.toml (for uv), cyclonedx, spdx, spdx-3, markdown, html."
)


@command(example="dataloader export pylock.toml -o pylock.toml", takes=(*LOCK, "prefix", "platform"))
def export(
    options: CommonOptions,
    form: Annotated[
        str,
        Operand("FORMAT", _FORMS),
    ],
    output: Annotated[
        Path | None, own_option("--output", "-o", metavar="FILE", about="Write to this file; else to stdout.")
    ] = None,
    builds: Annotated[
        bool, own_option("--builds/--no-builds", about="Write conda build strings where the format can do without.")
    ] = True,
    partial: Annotated[
        bool, own_option("--partial", about="Leave out what the format has no place for, and name it.")
    ] = False,
    vex: Annotated[
        Path | None,
        own_option("--vex", metavar="FILE", about="A VEX document: what it says goes into the bill of materials."),
    ] = None,
) -> int:
    """Write the lock as a file that another tool reads; with --prefix that of an environment, and what is in it."""
    from dataloader.base.digests import hex_digest
    from dataloader.cli.stages.foreign import foreign_content, read_foreign
    from dataloader.cli.stages.outputs import check_output
    from dataloader.cli.stages.session import open_session
    from dataloader.cli.stages.use import lock_of
    from dataloader.export.formats import FORMATS, ExportOptions, export_lock

    content = foreign_content(options.lockfile)
    with open_session(options) as session:
        path = lock_of(session)
        lock, others = (read_foreign(session, content), ()) if content else _locked(session, path, form)
        made = ExportOptions(
            name=path.resolve().parent.name,
            builds=builds,
            others=others,
            created=_made(path, session.environ),
            lock_sha256=hex_digest(path),
        )
        if vex is not None:
            made = replace(made, statements=_statements(session, lock, form, vex))
        if session.options.prefix is not None and form in _WITH_CONTENTS:
            made = _with_contents(session, session.options.prefix, made)
        text = export_lock(lock, form, made, partial=partial)
        left_out = FORMATS[form].left_out(lock)
        if left_out:
            names = ", ".join(f"{p.name} {p.version}" for p in left_out)
            session.reporter.warn(f"{form} has no place for {len(left_out)} packages: {names}")
        if output is not None:
            check_output("--output", output, session.options, session.here)
            _write(output, text)
            session.reporter.info(f"{output} written")
        document = {
            "status": "ok",
            "format": form,
            "path": str(output.resolve()) if output else None,
            "content": None if output else text,
            "left_out": [{"name": package.name, "version": package.version} for package in left_out],
        }
        session.write(document, f"{output}\n" if output else text)
    return 0


def _locked(session: Session, path: Path, form: str) -> tuple[Lockfile, tuple[Lockfile, ...]]:
    """Return the lock that is meant, and those for other platforms, if none is named and the format holds several."""
    from dataloader.cli.stages.use import environment_meant, one_of, say_left_out
    from dataloader.export.formats import FORMATS
    from dataloader.lockfile.parts import meant_environment
    from dataloader.lockfile.yaml import read_locks

    known = FORMATS.get(form)
    if session.options.platform is None and known is not None and known.of_several:
        parts, named = read_locks(path), environment_meant(session, path)
        own = parts if named is None and known.of_environments else meant_environment(parts, named, path)
        if (
            apart := sorted({part.environment for part in parts} - {part.environment for part in own})
            if not named
            else []
        ):
            session.reporter.warn(
                f"{form} holds one environment, {own[0].environment}; "
                f"left out: {', '.join(apart)} (--environment names one)"
            )
        return own[0], own[1:]
    lock, others = one_of(session, path)
    say_left_out(session, form, lock, others)
    return lock, ()


_WITH_CONTENTS = ("cyclonedx", "spdx", "spdx-3", "markdown", "html")
"""Formats with a place for what is inside packages."""
_WITH_STATEMENTS = ("cyclonedx", "spdx-3")


def _statements(session: Session, lock: Lockfile, form: str, path: Path) -> tuple[Statement, ...]:
    """Return what a VEX document says; what it says of packages that are not there is told."""
    from dataloader.export.sbom import stated
    from dataloader.export.vex import read_statements

    if form not in _WITH_STATEMENTS:
        said = shlex.quote(str(path))
        raise UsageError(
            f"{form} has no place for what is said of vulnerabilities: --vex can have no effect",
            suggestions=tuple(f"`dataloader export {form} --vex {said}`" for form in _WITH_STATEMENTS),
        )
    from dataloader.export.formats import ExportOptions

    statements = read_statements(path)
    of_the_lock = {said for said, _ in stated(lock, ExportOptions(statements=statements))}
    for statement in statements:
        if statement not in of_the_lock:
            version = f" {statement.version}" if statement.version else ""
            session.reporter.warn(
                f"{path}: {statement.vulnerability} is of {statement.package}{version}, which the lock lacks"
            )
    return statements


def _with_contents(session: Session, prefix: Path, made: ExportOptions) -> ExportOptions:
    """Return the options with what the files of an environment hold."""
    from dataloader.cli.stages.use import home_of
    from dataloader.export.formats import Verified
    from dataloader.machine.detect import detect_target
    from dataloader.verify.contents import read_contents
    from dataloader.verify.options import VerifyOptions

    session.reporter.info(f"looking into {prefix}")
    options = VerifyOptions(cache=session.cache / "facts")
    seen = read_contents(home_of(prefix), target=detect_target(environ=session.environ), options=options)
    findings = tuple(
        (finding.severity, finding.kind, finding.path, finding.message) for finding in seen.report.findings
    )
    return replace(
        made,
        libraries=seen.libraries,
        declared=seen.declared,
        licences=seen.licences,
        verdict=Verified(seen.report.counts, findings),
    )


def _write(path: Path, text: str) -> None:
    from dataloader.base.files import replace_named
    from dataloader.cli.stages.outputs import writing

    if path.is_dir():
        raise UsageError(f"{path} is a folder", code="path-unusable", suggestions=(f"-o {path / 'NAME'}",))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_named(path, text.encode())


def _made(lock: Path, environ: Mapping[str, str]) -> datetime:
    """When the lock was written; SOURCE_DATE_EPOCH (reproducible-builds.org) says otherwise."""
    said = environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(said) if said.isdigit() else int(lock.stat().st_mtime), timezone.utc)
