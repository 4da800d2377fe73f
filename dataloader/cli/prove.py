"""verify: prefixes, package files, trees and fleets; the engine is dataloader.verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import ExitCode, PrefixError
from dataloader.cli.again import activated_path, digest_of, lock_held, read_held
from dataloader.cli.options import CommonOptions
from dataloader.cli.session import Session, session
from dataloader.cli.use import prefix_of
from dataloader.lockfile.model import Lockfile
from dataloader.machine.target import Target

if TYPE_CHECKING:
    from dataloader.verify import Severity, VerifyOptions, VerifyReport

ARCHIVES = (".whl", ".conda", ".tar.bz2")


def verify(
    options: CommonOptions, path: Path | None, *, tree: str | None, form: str, fail_on: Severity, rehash: bool
) -> int:
    """Check a prefix or a package file; exit 1 on findings at least as bad as ``fail_on``."""
    from dataloader.machine.detect import FOR_VERDICTS
    from dataloader.machines import named_targets
    from dataloader.request import lock_path
    from dataloader.verify.options import VerifyOptions
    from dataloader.verify.run import verify_prefix

    with session(options) as one:
        targets = named_targets(one.options, one.environ, FOR_VERDICTS)
        if path is not None and path.name.endswith(ARCHIVES):
            return _report(one, _of_archive(one, path, targets[0]), form, fail_on)
        prefix = path or prefix_of(one)
        if not prefix.is_dir():
            raise PrefixError(
                f"there is no environment at {prefix}",
                code="prefix-missing",
                suggestions=("name one with --prefix", "or make it with `dataloader sync`"),
            )
        lock = lock_held(prefix, lock_path(one.options, one.here))
        how = VerifyOptions(
            cache=one.cache / "facts",
            library_path=activated_path(prefix),
            reuse=not rehash,
            asked=digest_of(lock),
            rehash=rehash,
        )
        if tree is not None:
            return _tree(one, prefix, tree, targets[0], how)
        if len(targets) > 1:
            return _fleet(one, prefix, targets, read_held(lock), how)
        return _report(one, verify_prefix(prefix, target=targets[0], lock=read_held(lock), options=how), form, fail_on)


def _report(one: Session, report: VerifyReport, form: str, fail_on: Severity) -> int:
    from dataloader.verify.output import FORMATS, fails

    sys.stdout.write(FORMATS["json" if one.style.json else form](report))
    return ExitCode.NO if fails(report, fail_on) else ExitCode.OK


def _of_archive(one: Session, path: Path, target: Target) -> VerifyReport:
    from dataloader.elf.cache import FactsCache
    from dataloader.verify.archive import check_archive, facts_of_archive
    from dataloader.verify.report import VerifyReport

    facts = facts_of_archive(path, cache=FactsCache(one.cache / "facts"))
    return VerifyReport(findings=check_archive(facts, target=target), counts={"packages": 1})


def _fleet(one: Session, prefix: Path, targets: tuple[Target, ...], lock: Lockfile | None, how: VerifyOptions) -> int:
    """Say for each node pool whether the environment runs there, and how its nodes are chosen."""
    from dataloader.verify.fleet import fleet_to_dict, fleet_to_text, verify_fleet

    verdicts = verify_fleet(prefix, targets=targets, lock=lock, options=how)
    one.write(fleet_to_dict(verdicts), fleet_to_text(verdicts))
    return ExitCode.NO if any(verdict.runs == "cannot" for verdict in verdicts) else ExitCode.OK


def _tree(one: Session, prefix: Path, file: str, target: Target, how: VerifyOptions) -> int:
    from dataloader.loader.trace import format_tree
    from dataloader.verify.run import trace_file

    node, failures = trace_file(prefix, file, target=target, options=how)
    lines = list(format_tree(node, str(prefix)))
    told = [f"{f.kind}: {f.name} ({f.path})" for f in failures]
    one.write({"status": "error" if told else "ok", "tree": lines, "failures": told}, "\n".join([*lines, *told]) + "\n")
    return ExitCode.NO if told else ExitCode.OK
