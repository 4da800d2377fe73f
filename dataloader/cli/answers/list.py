"""``dataloader list``."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import PrefixError, UsageError
from dataloader.cli.line.command import PREFIX, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.render import human_size, table
from dataloader.prefix.locate import as_seen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dataloader.prefix.model import Installed
    from dataloader.prefix.python import PrefixPython


@command(example="dataloader list 'nvidia-*'", takes=PREFIX)
def list_packages(
    options: CommonOptions,
    names: Annotated[list[str] | None, Operand("NAME", "Only these: names, or patterns such as 'nvidia-*'.")] = None,
    explicit: Annotated[
        bool, own_option("--explicit", "-x", about="Only what was asked for by name, not what that needs.")
    ] = False,
) -> int:
    """List the packages of the environment, conda's and Python's, with their sizes on disk."""
    from dataloader.cli.stages.session import open_session
    from dataloader.cli.stages.use import prefix_of
    from dataloader.prefix.details import requested, size_of
    from dataloader.prefix.python import host_python
    from dataloader.prefix.state import installed, nature

    with open_session(options) as session:
        prefix = prefix_of(session)
        packages = installed(prefix).packages
        if not packages and nature(prefix) == "foreign":
            raise PrefixError(
                f"{prefix} is no environment: nothing in it was installed by pip, uv or conda",
                code="prefix-foreign",
                suggestions=("name one with --prefix",),
            )
        asked = requested(prefix, packages)
        python = host_python(prefix)
        _check_names(names or (), [*(p.name for p in packages), *(["python"] if python else [])], prefix)
        shown = [
            (p, size_of(prefix, p), p in asked)
            for p in packages
            if _is_meant(p, names or ()) and (p in asked or not explicit)
        ]
        none = "nothing is installed\n" if not packages else "nothing that is installed is meant by that\n"
        lines: list[tuple[str, ...]] = []
        if packages and python and not explicit and _is_named("python", names or ()):
            lines.append(("python", python.version or "", "this machine", "", ""))
        lines += [
            (p.name, p.version, p.kind, p.build or "", human_size(size) if size is not None else "unknown")
            for p, size, _ in shown
        ]
        text = table(lines, ("package", "version", "kind", "build", "size")) if lines else none
        session.write(_document(prefix, python, shown), text)
        if shown:
            known = sum(size or 0 for _, size, _ in shown)
            session.reporter.info(
                f"{len(shown)} package{'s' if len(shown) > 1 else ''}, {human_size(known)}, in {as_seen(prefix)}"
            )
    return 0


def _document(
    prefix: Path, python: PrefixPython | None, shown: Sequence[tuple[Installed, int | None, bool]]
) -> dict[str, object]:
    """Return what programs read: ``shown`` holds each package with its size and whether it was asked for."""
    program = python and {"version": python.version, "program": str(python.program or prefix / "bin" / "python")}
    packages = [
        {
            "name": p.name,
            "version": p.version,
            "kind": p.kind,
            "build": p.build,
            "sha256": p.sha256,
            "size": size,
            "explicit": is_asked,
        }
        for p, size, is_asked in shown
    ]
    return {"status": "ok", "prefix": str(prefix), "python": program, "packages": packages}


def _check_names(names: Sequence[str], there: Sequence[str], prefix: Path) -> None:
    """Refuse a name, which is no pattern, of what is not installed.

    Raises:
        UsageError: ``package-not-installed``.
    """
    for name in names:
        if any(sign in name for sign in "*?[") or any(_is_named(package, [name]) for package in there):
            continue
        near = difflib.get_close_matches(name, there, n=3)
        raise UsageError(
            f"{prefix} has no {name}",
            code="package-not-installed",
            suggestions=tuple(f"did you mean {package}?" for package in near)
            or ("`dataloader list` shows what it has",),
        )


def _is_meant(package: Installed, names: Sequence[str]) -> bool:
    return _is_named(package.name, names)


def _is_named(package: str, names: Sequence[str]) -> bool:
    from fnmatch import fnmatchcase

    from dataloader.base.names import normalized

    spellings = [spelling for name in names for spelling in (name.lower(), normalized(name))]
    return not names or any(fnmatchcase(package, pattern) for pattern in spellings)
