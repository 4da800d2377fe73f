"""``dataloader abi``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import DataloaderError, ExitCode, IndexUnavailable, ResolutionFailure, UsageError
from dataloader.cli.line.command import LOOK, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.render import table

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from dataloader.abi.model import ReleaseVerdict
    from dataloader.abi.wheel import Compiled
    from dataloader.cli.stages.session import Session

_SYMBOLS = 3
"""Shown of those that a release lacks; --json has all."""


@command(
    example="dataloader abi torchvision-0.20.1-cp311-cp311-manylinux1_x86_64.whl --with 'torch>=2.4'",
    takes=("manifest", *(option for option in LOOK if option not in ("channels", "conda"))),
)
def abi(
    options: CommonOptions,
    wheel: Annotated[Path, Operand("WHEEL", "A compiled wheel on this machine.")],
    framework: Annotated[
        str | None,
        own_option("--with", metavar="FRAMEWORK", about="Its releases are looked at: torch, or 'torch>=2.4,<2.9'."),
    ] = None,
) -> int:
    """Say with which releases of a framework a compiled wheel loads, by the symbols that it needs and they define."""
    import asyncio

    from dataloader.abi.model import said, windows
    from dataloader.cli.stages.session import open_session

    asked = _framework(framework)
    with open_session(options) as session:
        filename = _wheel_name(wheel)
        compiled, verdicts = asyncio.run(_ask(session, wheel, asked))
        answer = said(verdicts, asked.name)
        rows = [
            {
                "version": verdict.version,
                "loads": verdict.loads,
                "why": list(verdict.why),
                "missing": {file: list(names) for file, names in verdict.missing.items()},
            }
            for verdict in verdicts
        ]
        document = {
            "status": "ok" if any(verdict.loads for verdict in verdicts) else "error",
            "wheel": filename,
            "with": str(asked),
            "files": [need.file for need in compiled.needs],
            "windows": [list(run) for run in windows(verdicts)],
            "answer": answer,
            "releases": rows,
        }
        session.write(document, _text(filename, answer, verdicts), fold=True)
    return ExitCode.OK if any(verdict.loads for verdict in verdicts) else ExitCode.NO


def _framework(text: str | None) -> Requirement:
    from packaging.requirements import InvalidRequirement, Requirement

    if text is None:
        raise UsageError("abi needs --with FRAMEWORK", suggestions=("say for instance --with torch",))
    try:
        asked = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(
            f"--with={text} is not understood", code="requirement-invalid", causes=(str(error),)
        ) from error
    if asked.url or asked.marker or asked.extras:
        raise UsageError(
            f"--with={text} says more than a name and versions",
            code="requirement-unsupported",
            suggestions=(f"say '{asked.name}{asked.specifier}'",),
        )
    return asked


def _wheel_name(wheel: Path) -> str:
    from dataloader.index.filenames import parse_filename

    if not wheel.is_file():
        raise UsageError(f"there is no wheel at {wheel}", code="wheel-missing")
    if not wheel.name.endswith(".whl") or parse_filename(wheel.name) is None:
        raise UsageError(f"{wheel.name} is not the name of a wheel", code="wheel-missing")
    return wheel.name


async def _ask(session: Session, wheel: Path, asked: Requirement) -> tuple[Compiled, list[ReleaseVerdict]]:
    from dataloader.abi.model import judge
    from dataloader.abi.releases import read_release, releases_of
    from dataloader.abi.wheel import beside_system, own_symbols, read_needs
    from dataloader.index.client import IndexClient
    from dataloader.index.wheels.members import LocalMembers
    from dataloader.loader.system import host_system
    from dataloader.request.request import make_request

    request = make_request(session.options, (), None, environ=session.environ, here=session.here)
    session.cache.mkdir(parents=True, exist_ok=True)
    async with IndexClient(
        request.settings, session.reporter, cache_dir=session.cache, known=request.channels
    ) as client:
        compiled = await read_needs(LocalMembers(wheel), session.cache)
        if not compiled.needs:
            raise UsageError(f"{wheel.name} has no compiled library", code="nothing-compiled")
        files = await client.project(asked.name)
        python, machine = _wanted(wheel.name), min(compiled.machines)
        needs = beside_system(compiled.needs, host_system(machine))
        wanted = releases_of(files, asked.specifier, python, machine)
        if not wanted:
            raise ResolutionFailure(f"no index that answered has a release of {asked}", code="unknown-package")
        found = []
        for version, file in wanted.items():
            found.append(await read_release(client, version, file, needs, session.cache))
            if found[-1].unknown:
                session.reporter.debug(f"{asked.name} {version}: {found[-1].unknown}")
    verdicts = judge(needs, found, own_symbols(needs, asked.name))
    if all(verdict.unknown for verdict in found):
        raise _nothing_known(verdicts, asked)
    return compiled, verdicts


def _nothing_known(verdicts: Sequence[ReleaseVerdict], asked: Requirement) -> DataloaderError:
    reasons = tuple(dict.fromkeys(f"{verdict.version}: {verdict.why[0]}" for verdict in verdicts))
    return IndexUnavailable(f"no release of {asked} could be read", code="index-unreachable", causes=reasons[-5:])


def _wanted(filename: str) -> str:
    """The Python tag that the framework's wheel must have too; empty where the wheel is for several Pythons."""
    python, abi, _ = filename.removesuffix(".whl").rsplit("-", 3)[1:]
    return python if python.startswith("cp") and "abi3" not in abi and "." not in python else ""


def _text(filename: str, answer: str, verdicts: Sequence[ReleaseVerdict]) -> str:
    words = {True: "loads", False: "no", None: "unknown"}
    rows = [(verdict.version, words[verdict.loads], "; ".join(verdict.why)) for verdict in verdicts]
    return f"{filename} {answer}\n" + table(rows) + "".join(_examples(verdicts))


def _examples(verdicts: Sequence[ReleaseVerdict]) -> Iterator[str]:
    """Some of the symbols that are lacked by the releases beside those that load, or else by the last one."""
    from dataloader.elf.demangle import demangle

    edges = [
        verdict
        for at, verdict in enumerate(verdicts)
        if verdict.loads is False and any(other.loads for other in verdicts[max(at - 1, 0) : at + 2])
    ]
    for edge in edges or [verdict for verdict in verdicts if verdict.missing][-1:]:
        names = sorted({name for names in edge.missing.values() for name in names})
        for name in names[:_SYMBOLS]:
            yield f"{edge.version} does not define {demangle(name)}\n"
        if len(names) > _SYMBOLS:
            yield f"{edge.version} and {len(names) - _SYMBOLS} more: --json has all\n"
