"""``dataloader init``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import DataloaderError, UsageError
from dataloader.cli.line.command import command
from dataloader.cli.line.first_steps import TAKEN_OVER
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.console import Style, write_result
from dataloader.cli.telling.reporters import make_reporter
from dataloader.prefix.locate import OWN_FOLDER, locate_manifest

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.request.input_file import InputFile
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.specs.requirements import Requirement

DEFAULT_CHANNELS = ("conda-forge",)


@command(example="dataloader init --from environment.yml", takes=("channels", "platform", "skip_unbuildable", "Output"))
def init(
    options: CommonOptions,
    directory: Annotated[Path, Operand("DIR", "Where to write it; else here.")] = Path(),
    pixi: Annotated[bool, own_option("--pixi", about="Write a pixi.toml, ours under tool.dataloader.")] = False,
    sources: Annotated[
        list[Path] | None,
        own_option(
            "--from",
            metavar="FILE",
            about="Take over a requirements.txt, environment.yml, pyproject.toml, pixi.toml or lock. May be repeated.",
        ),
    ] = None,
) -> int:
    """Write a manifest: dataloader.toml, or pixi.toml with --pixi."""
    from dataloader.base.platforms import detect_platform
    from dataloader.formats.content import LOCKS, read_content
    from dataloader.request.manifests.manifest import Manifest, parse_manifest
    from dataloader.request.manifests.new import new_manifest
    from dataloader.request.readers import read_file

    style = Style.of(options)
    reporter = make_reporter(style)
    path = directory / ("pixi.toml" if pixi else "dataloader.toml")
    _check_there(sources or ())
    if path.exists():
        raise _is_there(path, sources or ())
    if used := _used_already(directory, pixi=pixi) if not sources else None:
        raise _is_used(used, path)
    offered = [] if sources else _offered(directory)
    if offered and _is_wanted(offered, style):
        sources, offered = offered, []
    forms = {source: read_content(source).form for source in sources or ()}
    of_locks = [source for source, form in forms.items() if form in LOCKS]
    # Beside a file that says what is wanted a lock says which versions; alone it says both.
    wanted = [source for source in forms if source not in of_locks] or of_locks
    read = [read_file(source, platform=options.platform, exact=False) for source in wanted]
    manifests = [manifest for manifest in read if isinstance(manifest, Manifest)]
    inputs = [input_file for input_file in read if not isinstance(input_file, Manifest)]
    _say_read(read, reporter)
    text = new_manifest(
        name=directory.resolve().name.encode("utf-8", "replace").decode() or "environment",
        channels=options.channels or DEFAULT_CHANNELS,
        platform=options.platform or detect_platform(),
        pixi=pixi,
        inputs=inputs,
        manifests=manifests,
        skip_unbuildable=options.skip_unbuildable,
        prefer=[os.path.relpath(source, directory) for source in of_locks],
        folder=directory.absolute(),
    )
    made = parse_manifest(text, path)
    for asked in _sources(made):
        reporter.info(
            f"{asked.origin}: {asked.name} comes from {asked.source}: --build {asked.name} allows to build it"
        )
    directory.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    reporter.info(f"{path} is written")
    if ignore_environments(directory):
        reporter.info(f"{directory / '.gitignore'} has {OWN_FOLDER}/ now")
    _say_next(directory, sources or (), offered, reporter)
    write_result(style, {"status": "ok", "manifest": str(path.resolve())}, f"{path}\n")
    return 0


def _check_there(sources: Iterable[Path]) -> None:
    if missing := [source for source in sources if not source.exists()]:
        raise UsageError(
            f"there is no file {', '.join(map(str, missing))}",
            code="path-unusable",
            suggestions=("look at the path that was named",),
        )


def _say_next(directory: Path, sources: Collection[Path], offered: Iterable[Path], reporter: Reporter) -> None:
    """Say what was left where it is, and what to do now."""
    for source in offered:
        reporter.info(f"{source} was not taken over: `{_there(directory)}{TAKEN_OVER[source.name]}` does it")
    if sources:
        reporter.info(f"next: `{_there(directory)}dataloader sync` makes the environment")
    else:
        line = f"{_there(directory)}dataloader add NAME"
        reporter.info(f"next: `{line}` adds a package and installs it; --cuda and --torch, say, do too")


def _say_read(read: Sequence[Manifest | InputFile], reporter: Reporter) -> None:
    """Say what of the files taken over is not written, or not used here."""
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.manifests.new import not_written
    from dataloader.request.public import for_this_run, kept_back

    manifests = [manifest for manifest in read if isinstance(manifest, Manifest)]
    inputs = [file for file in read if not isinstance(file, Manifest)]
    for note in (*(n for file in inputs for n in file.notes), *(n for m in manifests for n in not_written(m))):
        reporter.warn(note)
    hosts = tuple(host for file in inputs for host in file.trusted_hosts)
    for note in (*kept_back((*inputs, *manifests)), *for_this_run(hosts)):
        reporter.warn(note)
    for manifest in manifests:
        if manifest.unused:
            reporter.info(f"not used here: {', '.join(manifest.unused)}")


def _there(directory: Path) -> str:
    """What a command begins with that is to be carried out in a directory."""
    return "" if directory.resolve() == Path.cwd() else f"cd {shlex.quote(str(directory))} && "


def _is_there(path: Path, sources: Sequence[Path]) -> UsageError:
    there = _there(path.parent)
    files = " ".join(f"-r {shlex.quote(os.path.relpath(source, path.parent))}" for source in sources)
    return UsageError(
        f"{path} is there already",
        code="manifest-exists",
        suggestions=(
            f"`{there}dataloader install {files}` adds what they ask for"
            if files
            else f"`{there}dataloader add NAME` adds to it",
            "`dataloader init DIR` writes one elsewhere",
        ),
    )


def _is_used(used: Path, path: Path) -> UsageError:
    """What is said of a manifest of another kind; a dataloader.toml goes before any other, and has to give way."""
    there, form = _there(path.parent), " --pixi" if path.name == "pixi.toml" else ""
    is_ours = used.name == "dataloader.toml"
    first, source = ("mv dataloader.toml was.toml && ", "was.toml") if is_ours else ("", used.name)
    return UsageError(
        f"{used} is there, and is used as it is",
        code="manifest-exists",
        suggestions=(
            f"`{there}dataloader sync` makes its environment",
            f"`{there}{first}dataloader init{form} --from {source}` writes a {path.name} in its place",
        ),
    )


def _used_already(directory: Path, *, pixi: bool) -> Path | None:
    """The manifest of another kind that commands here would be about."""
    other = directory / ("dataloader.toml" if pixi else "pixi.toml")
    if other.is_file():
        return other
    nearest = locate_manifest(str(directory.absolute()))
    return directory / "pyproject.toml" if nearest == str((directory / "pyproject.toml").absolute()) else None


def _offered(directory: Path) -> list[Path]:
    """The files here that say what a project is made of."""
    return [directory / name for name in TAKEN_OVER if (directory / name).is_file() and _asks(directory / name)]


def _asks(path: Path) -> bool:
    """Whether a file asks for anything; of one with mistakes whoever takes it over is told."""
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.readers import read_file

    try:
        read = read_file(path)
        return bool(read.environment().requirements if isinstance(read, Manifest) else read.requirements)
    except DataloaderError:
        return True


def _is_wanted(offered: list[Path], style: Style) -> bool:
    """Ask somebody at a terminal whether what lies there is to be taken over; nobody else is asked."""
    if style.json or os.environ.get("CI") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"Take over {' and '.join(map(str, offered))}? [Y/n] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    return bool(answer) and answer.strip().lower() in ("", "y", "yes")


def ignore_environments(directory: Path) -> bool:
    """Have git pass over the environments of a project; say whether that was new."""
    path = directory / ".gitignore"
    text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
    if any(line.strip().strip("/") == OWN_FOLDER for line in text.splitlines()):
        return False
    newline = "" if not text or text.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{newline}{OWN_FOLDER}/\n")
    return True


def _sources(made: Manifest) -> Iterator[Requirement]:
    """Yield what would have to be built."""
    if made.resolution.skip_unbuildable:
        return
    for feature in made.features.values():
        for listed in (feature.requirements, *feature.by_platform.values()):
            yield from (requirement for requirement in listed if requirement.source is not None)
