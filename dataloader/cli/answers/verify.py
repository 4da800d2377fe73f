"""``dataloader verify``: prefixes, package files, trees and fleets; the engine is dataloader.verify."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from dataloader.base.errors import ExitCode, PrefixError, UsageError
from dataloader.cli.line.advice import exclusive
from dataloader.cli.line.command import VERIFY, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.folding import columns_of, folded

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.machine.target import Target
    from dataloader.prefix.records import InstalledPackage
    from dataloader.verify import Severity, VerifyOptions, VerifyReport
    from dataloader.verify.options import Windows


@command(example="dataloader verify -p /opt/env", takes=VERIFY)
def verify(
    options: CommonOptions,
    path: Annotated[
        Path | None,
        Operand("PREFIX", "Environment to check, ours or not; or a wheel or conda package before it is installed."),
    ] = None,
    tree: Annotated[
        str | None,
        own_option("--tree", metavar="FILE", about="Show where every library of this file comes from, and why."),
    ] = None,
    form: Annotated[
        Literal["text", "json", "sarif", "junit", "github", "markdown"] | None,
        own_option("--format", metavar="FORMAT", about="text, json, sarif, junit, github or markdown; else text."),
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning", "note"] | None,
        own_option("--fail-on", metavar="SEVERITY", about="Exit with 1 on findings at least this bad; else error."),
    ] = None,
    env: Annotated[
        list[str] | None,
        own_option("--env", metavar="NAME=VALUE", about="Judge a process that has this variable; may be repeated."),
    ] = None,
    no_env: Annotated[
        bool, own_option("--no-env", about="Judge a process without the variables of this shell and of activation.")
    ] = False,
    image: Annotated[
        Path | None,
        own_option(
            "--env-from",
            metavar="IMAGE",
            about="Judge a container's process, with the variables of this image: its config, `docker inspect`'s "
            "output, or an OCI layout.",
        ),
    ] = None,
    contract: Annotated[
        Literal["nfd", "dra", "affinity", "nvidia-require"] | None,
        own_option(
            "--contract",
            metavar="FORMAT",
            about="Write what it needs of a node's GPU and driver: nfd, dra, affinity or nvidia-require.",
        ),
    ] = None,
    fix_number: Annotated[
        int | None,
        own_option(
            "--fix",
            metavar="N",
            about="Carry out the fix of this number, verify again, and undo it if that is no better.",
        ),
    ] = None,
    rehash: Annotated[
        bool, own_option("--rehash", about="Read every file again, also those whose size and times are as they were.")
    ] = False,
) -> int:
    """Check that what is installed can load, without running it."""
    from dataloader.cli.quick import ARCHIVES
    from dataloader.cli.stages.session import open_session

    if options.json and form not in (None, "json"):
        raise exclusive("--json", f"--format={form}")
    if image is not None and no_env:
        raise exclusive("--env-from", "--no-env")
    if path is not None and "prefix" in options.typed:
        raise exclusive("PREFIX", "--prefix")
    form = form or ("json" if options.json else None)
    said = _Said(tree, form, fail_on, env or [], no_env, image, contract, fix_number, rehash)
    is_archive = path is not None and path.name.endswith(ARCHIVES) and not path.is_dir()
    options = replace(options, json=form == "json", prefix=options.prefix if path is None else path)
    with open_session(options) as session:
        if path is not None and is_archive:
            return _archive(session, path, said)
        return _environment(session, path, said)


class _Said(NamedTuple):
    """What the line says beside the shared options."""

    tree: str | None
    form: Literal["text", "json", "sarif", "junit", "github", "markdown"] | None
    fail_on: Severity | None
    env: list[str]
    no_env: bool
    image: Path | None
    contract: str | None
    fix: int | None
    rehash: bool

    def check_read(self, what: str, of_rules: Mapping[str, object] = MappingProxyType({})) -> None:
        """Refuse what has no effect with an answer that is no report."""
        form = None if self.form in ("text", "json") else self.form
        _check_unsaid({**of_rules, "--format": form, "--fail-on": self.fail_on, "--fix": self.fix}, what)


def _archive(session: Session, path: Path, said: _Said) -> int:
    from dataloader.locking.targets import named_targets
    from dataloader.machine.detect import FOR_VERDICTS

    _check_unsaid(
        {
            "--tree": said.tree,
            "--contract": said.contract,
            "--fix": said.fix,
            "--env": said.env or None,
            "--no-env": said.no_env or None,
            "--env-from": said.image,
            **dict.fromkeys(session.options.spelled(["lockfile", *_of_rules(session.options)]), path),
        },
        "a package file",
    )
    targets = named_targets(session.options, session.environ, FOR_VERDICTS)
    _check_one(targets, "a package file")
    return _report(_of_archive(session, path, targets[0]), said)


def _environment(opened: Session, path: Path | None, said: _Said) -> int:
    from dataloader.cli.stages.use import prefix_of
    from dataloader.cli.stages.variables import process_of
    from dataloader.install.store.originals import originals_of
    from dataloader.locking.targets import named_targets
    from dataloader.machine.detect import FOR_VERDICTS
    from dataloader.prefix.locate import lock_held
    from dataloader.request.places import lock_path
    from dataloader.verify.options import VerifyOptions

    prefix = path or prefix_of(opened)
    if not prefix.is_dir():
        ways = ("name the directory of an environment, or a wheel or conda package",) if path else ()
        raise PrefixError(f"there is no environment at {prefix}", code="prefix-missing", suggestions=ways)
    session = replace(opened, options=replace(opened.options, matrix=_rows(opened.options, prefix)))
    options = session.options
    targets = named_targets(options, session.environ, FOR_VERDICTS)
    lock = lock_held(prefix, lock_path(options, session.here))
    how = VerifyOptions(
        cache=session.cache / "facts",
        **process_of(session, prefix, said.env, no_env=said.no_env, image=said.image),
        reuse=not said.rehash,
        asked=_digest_of(lock),
        rehash=said.rehash,
        original_of=originals_of(prefix, session.cache),
        matrix=options.matrix,
        progress=session.reporter,
        windows=_windows(session.cache),
    )
    of_rules = dict.fromkeys(opened.options.spelled(_of_rules(options)), prefix)
    if said.contract is not None:
        said.check_read("--contract", {**of_rules, "--tree": said.tree})
        _check_one(targets, "--contract")
        return _contract(session, prefix, targets[0], how, said.contract)
    if said.tree is not None:
        said.check_read("--tree", of_rules)
        _check_one(targets, "--tree")
        return _tree(session, prefix, said.tree, targets[0], how)
    if len(targets) > 1:
        said.check_read("a file of several targets")
        return _fleet(session, prefix, targets, _read_held(lock, prefix, options.platform), how)

    def look() -> VerifyReport:
        held = how._replace(asked=_digest_of(lock))  # a fix may change the lock
        return _of_prefix(session, prefix, targets[0], lock, held, plain=not (said.env or said.no_env or said.image))

    return _report(look() if said.fix is None else _mended(session, prefix, said.fix, look), said)


def _windows(cache: Path) -> Windows:
    """What ``dataloader abi`` kept of the releases of frameworks; imported where a package was built for another."""
    from dataloader.base.cache import EXPORTS
    from dataloader.verify.options import Windows

    def find(prefix: Path, package: InstalledPackage, project: str) -> tuple[str, tuple[str, ...]]:
        from dataloader.abi.kept import window_of

        return window_of(cache, prefix, package, project)

    return Windows(find, str(cache / EXPORTS))


def _mended(session: Session, prefix: Path, fix: int, look: Callable[[], VerifyReport]) -> VerifyReport:
    from dataloader.cli.running.mend import mend

    return mend(prefix, fix, look, session.environ, session.reporter)


def _rows(options: CommonOptions, prefix: Path) -> Path | None:
    """The user's rows of the matrix, checked: those that are said, else of the manifest that it was made from.

    Raises:
        ManifestError: ``matrix-invalid``.
    """
    from dataloader.prefix.locate import manifest_noted
    from dataloader.request.places import matrix_in

    noted = manifest_noted(prefix)
    rows = options.matrix or matrix_in(Path(noted) if noted else None)
    if rows is not None:
        from dataloader.compat.matrix import matrix_with

        matrix_with(rows)
    return rows


def _of_rules(options: CommonOptions) -> list[str]:
    """What has no effect where no rule is asked; rows of the matrix also say what the GPUs of a target are."""
    return ["matrix"] if options.target is None else []


def _check_unsaid(values: Mapping[str, object], what: str) -> None:
    for name, value in values.items():
        if value is not None:
            raise UsageError(f"{name} can have no effect with {what}", suggestions=("leave it out",))


def _check_one(targets: Sequence[Target], what: str) -> None:
    if len(targets) > 1:
        raise UsageError(
            f"{what} is looked at for one machine, and --target names {len(targets)}",
            suggestions=("name a file with one of them",),
        )


def _of_prefix(
    session: Session, prefix: Path, target: Target, lock: str, how: VerifyOptions, *, plain: bool
) -> VerifyReport:
    """Verify; keep the report with what it depends on, so that it is given again while nothing changes."""
    from dataloader.base.state import states_at
    from dataloader.cli.stages.variables import pixi_manifests, told
    from dataloader.prefix.walk import walk
    from dataloader.process.beside import BEHIND, Beside
    from dataloader.verify.fixes import maker_of, with_commands
    from dataloader.verify.memory.answer import keep_answer, plain_question
    from dataloader.verify.run import verify_targets

    where = str(prefix.absolute())
    options = session.options
    is_plain = plain and options.target is None and options.platform is None and options.matrix is None
    with Beside(lambda: walk(where), niceness=BEHIND) as walked:
        question = plain_question(where, lock, session.environ) if is_plain else ""
        said = verify_targets(
            prefix,
            targets=[target],
            read_lock=lambda: _read_held(lock, prefix, options.platform),
            options=how,
            walked=walked.result,
        )
    variables = dict(how.variables if target.variables is None else target.variables)
    report = said.reports[0]._replace(process=told(variables, how.variables_of))
    report = with_commands(report, maker_of(prefix, lock))
    if question:
        outside = {**said.outside, **states_at(map(str, pixi_manifests(prefix)))}
        keep_answer(str(how.cache), where, question, outside, said.tree, report)
    return report


def _report(report: VerifyReport, said: _Said) -> int:
    from dataloader.verify.output import FORMATS, fails

    form = said.form or "text"
    text = FORMATS[form](report)
    sys.stdout.write(folded(text, columns_of(sys.stdout)) if form == "text" else text)
    return ExitCode.NO if fails(report, said.fail_on or "error") else ExitCode.OK


def _of_archive(session: Session, path: Path, target: Target) -> VerifyReport:
    from dataloader.elf.cache import FactsCache
    from dataloader.verify.archive import check_archive, facts_of_archive
    from dataloader.verify.report import VerifyReport

    facts = facts_of_archive(path, cache=FactsCache(session.cache / "facts"))
    return VerifyReport(findings=check_archive(facts, target=target), counts={"packages": 1})


def _fleet(
    session: Session, prefix: Path, targets: tuple[Target, ...], lock: Lockfile | None, how: VerifyOptions
) -> int:
    """Say for each node pool whether the environment runs there, and how its nodes are chosen."""
    from dataloader.verify.fleet import fleet_to_dict, fleet_to_text, verify_fleet

    verdicts = verify_fleet(prefix, targets=targets, lock=lock, options=how)
    session.write(fleet_to_dict(verdicts), fleet_to_text(verdicts))
    return ExitCode.NO if any(verdict.runs == "cannot" for verdict in verdicts) else ExitCode.OK


def _tree(session: Session, prefix: Path, file: str, target: Target, how: VerifyOptions) -> int:
    from dataloader.loader.trace import format_tree
    from dataloader.verify.run import trace_file

    node, failures = trace_file(prefix, file, target=target, options=how)
    lines = list(format_tree(node, str(prefix)))
    told = [f"{f.kind}: {f.name} ({f.path})" for f in failures]
    session.write(
        {"status": "error" if told else "ok", "tree": lines, "failures": told}, "\n".join([*lines, *told]) + "\n"
    )
    return ExitCode.NO if told else ExitCode.OK


def _contract(session: Session, prefix: Path, target: Target, how: VerifyOptions, form: str) -> int:
    """What the environment needs of a node, in somebody's words."""
    from dataloader.prefix.walk import walk
    from dataloader.verify.contract import FORMATS, contract_of
    from dataloader.verify.run import inspect_prefix

    (inspection,) = inspect_prefix(prefix, lambda: walk(prefix), targets=[target], options=how)
    needs = contract_of(inspection)
    if needs.is_empty:
        session.reporter.warn(f"{prefix} has neither GPU code nor a CUDA runtime: any node will do")
    text = "" if needs.is_empty else FORMATS[form](needs)
    serves = [
        {"least": list(span.least), "below": list(span.below) if span.below else None, "driver": list(span.driver)}
        for span in needs.serves
    ]
    session.write(
        {"status": "ok", "format": form, "contract": text, "driver": list(needs.driver), "capabilities": serves}, text
    )
    return ExitCode.OK


def _read_held(lock: str, prefix: Path, platform: str | None) -> Lockfile | None:
    """What the prefix is held against: the lock for the platform that is named, else that which it was made from.

    Raises:
        LockfileError: it is not a lock.
    """
    if not lock:
        return None
    from dataloader.lockfile.yaml import read_lock
    from dataloader.prefix.state import read_state

    state = read_state(prefix)
    if platform is None and state is not None:
        platform = state.platform
    return read_lock(Path(lock), platform, state.environment if state is not None else None)


def _digest_of(lock: str) -> str:
    """What stands for a lock file; ``none`` for no file."""
    if not lock:
        return "none"
    from dataloader.prefix.unchanged import lock_digest

    return lock_digest(Path(lock).read_bytes())
