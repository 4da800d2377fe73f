"""What install, lock and sync say of their results: as JSON documents and as text. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.cli.telling.render import table
from dataloader.lockfile.model import DEFAULT, CondaPackage, Lockfile, Package, PypiPackage
from dataloader.prefix.locate import as_seen

if TYPE_CHECKING:
    from dataloader.install.model import SyncResult
    from dataloader.stack.model import Stack


def package_document(package: Package) -> dict[str, object]:
    """Return what ``--json`` says of one locked package."""
    if isinstance(package, CondaPackage):
        more: dict[str, object] = {
            "kind": "conda",
            "build": package.build,
            "channel": package.channel,
            "subdir": package.subdir,
        }
    else:
        more = {"kind": "pypi", "build": None, "index": package.index, "extras": list(package.extras)}
    return {
        "name": package.name,
        "version": package.version,
        "url": package.url,
        "sha256": package.sha256,
        "size": package.size,
        **more,
    }


def lock_document(lock: Lockfile, stack: Stack) -> dict[str, object]:
    """Return the document of ``lock --json``: the lock, and what is not known of the stack that it came to."""
    from dataloader.stack.document import doubts_document

    return {"status": "ok", **part_document(lock), "doubts": doubts_document(stack)}


def part_document(lock: Lockfile) -> dict[str, object]:
    """Return what ``--json`` says of what is locked for one platform."""
    packages = sorted((package_document(p) for p in lock.packages), key=lambda d: (str(d["name"]), str(d["kind"])))
    return {
        "packages": packages,
        "stack": dict(lock.stack),
        "python": {"source": lock.python.source, "version": lock.python.version},
        "platform": lock.platform,
        **({"environment": lock.environment} if lock.environment != DEFAULT else {}),
    }


def sync_document(result: SyncResult, prefix: Path) -> dict[str, object]:
    """Return what ``install --json`` and ``sync --json`` say of the prefix."""
    plan = result.plan
    return {
        "prefix": str(prefix),
        "changed": result.changed,
        "held": result.held,
        "installed": [{"name": s.name, "kind": s.kind, "version": s.new, "reason": s.reason} for s in plan.install],
        "replaced": [
            {"name": s.name, "kind": s.kind, "version": s.new, "old": s.old, "reason": s.reason} for s in plan.replace
        ],
        "removed": [{"name": s.name, "kind": s.kind, "old": s.old, "reason": s.reason} for s in plan.remove],
        "kept": len(plan.keep),
        "python_changed": {"old": plan.python[0], "new": plan.python[1]} if plan.python else None,
        "downloaded_bytes": result.downloaded_bytes,
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
    }


def lock_text(lock: Lockfile, old: Lockfile | None) -> str:
    """Return the packages of a lock as people read them; beside an older one only what differs."""
    before = {(type(p), p.name): p for p in old.packages} if old else {}
    rows = []
    if lock.python.source == "host" and (lock.packages or old) and (mark := _python_mark(lock, old)) is not None:
        rows.append(("python", lock.python.version or "", "this machine", mark))
    for package in lock.packages:
        earlier = before.pop((type(package), package.name), None)
        if old is None or earlier != package:
            mark = "" if old is None else _was(package, earlier) if earlier else "new"
            rows.append((package.name, package.version, _origin(package), mark))
    rows += [(package.name, package.version, _origin(package), "gone") for package in before.values()]
    return table(rows, ("package", "version", "from", "")) if rows else ""


def _was(package: Package, earlier: Package) -> str:
    if earlier.version != package.version:
        return f"was {earlier.version}"
    builds = [p.build for p in (earlier, package) if isinstance(p, CondaPackage)]
    return f"was build {builds[0]}" if len(set(builds)) == 2 else "another file"


def _python_mark(lock: Lockfile, old: Lockfile | None) -> str | None:
    """What is said of a Python of this machine; ``None``: nothing, it is as it was."""
    if old is None:
        return ""
    if old.python == lock.python:
        return None
    before = next((p.version for p in old.conda() if p.name == "python"), old.python.version)
    return f"was {before}" if before else "new"


def _origin(package: Package) -> str:
    if isinstance(package, PypiPackage):
        return "pypi"
    return f"conda {package.channel.rstrip('/').rsplit('/', 1)[-1]} {package.build}"


def sync_text(result: SyncResult, prefix: Path, *, dry_run: bool) -> str:
    """Return what changed in the prefix as people read it."""
    plan = result.plan
    rows = [("+", s.name, s.new or "", "") for s in plan.install]
    rows += [("~", s.name, s.new or "", f"was {s.old}" if s.old != s.new else s.reason) for s in plan.replace]
    rows += [("-", s.name, s.old or "", s.reason) for s in plan.remove]
    rows += [("~", "python", plan.python[1], f"was {plan.python[0]} (this machine's)")] if plan.python else []
    text, where = table(rows) if rows else "", as_seen(prefix)
    if result.held:
        return f"{where} stays as it is: {result.held}\n"
    if not result.changed and not dry_run:
        return f"{text}{where} matches the lock already\n"
    if plan.rebuild and plan.keep and not rows:
        verb = "would be made anew" if dry_run else "was made anew"
    else:
        verb = "would be changed" if dry_run else "is ready"
    return f"{text}{where} {verb}: {plan.summary(done=not dry_run)} ({result.seconds:.1f} s)\n"


def count_text(lock: Lockfile) -> str:
    parts = [(len(lock.conda()), "conda package"), (len(lock.pypi()), "wheel")]
    return ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in parts if count) or "no packages"
