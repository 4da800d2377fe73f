"""What ``push`` and ``pull`` do, stage by stage."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import ChangesNeeded, PrefixError, UsageError
from dataloader.base.platforms import detect_platform
from dataloader.base.values import dataclass
from dataloader.cli.clusters.attachments import attachments_of
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.stages.flow import Destination, built_aside, sync_options
from dataloader.cli.stages.proof import Proof
from dataloader.cli.stages.saving import put
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.telling.documents import sync_document, sync_text
from dataloader.cli.telling.render import human_size
from dataloader.lockfile.yaml import parse_lock, read_lock
from dataloader.oci.reference import Reference, parse_reference
from dataloader.oci.registry import Registry
from dataloader.process.running import to_the_end
from dataloader.request.request import make_request

if TYPE_CHECKING:
    from dataloader.install.model import SyncResult
    from dataloader.lockfile.model import Lockfile
    from dataloader.oci.image import Image
    from dataloader.oci.model import Compression
    from dataloader.oci.push import Pushed
    from dataloader.prefix.state import State
    from dataloader.request.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAsked:
    """What is to be pushed, and how."""

    reference: str
    place: Destination
    target_prefix: Path | None
    base: str | None
    entrypoint: tuple[str, ...]
    compression: Compression
    multi_platform: bool
    plain_http: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PullAsked:
    """What is to be pulled, and where to."""

    reference: str
    place: Destination
    plain_http: bool


def push(options: CommonOptions, asked: PushAsked) -> int:
    """Push an environment; the exit code."""
    with open_session(options, "push", asked.place.name) as session:
        reference = parse_reference(asked.reference, plain_http=asked.plain_http)
        if reference.digest:
            raise UsageError(
                f"{reference} is an image that is there by its bytes: what is pushed gets a digest of its own",
                code="image-name-invalid",
                suggestions=(f"dataloader push {replace(reference, digest=None)}",),
            )
        request = make_request(options, (), None, environ=session.environ, here=session.here)
        pushed, document = to_the_end(_push(session, request, reference, asked))
        size = sum(layer.size for layer in pushed.layers)
        text = f"{reference} is {pushed.digest}: {len(pushed.layers)} layers, {human_size(size)}"
        text += f", of which {human_size(pushed.sent)} travelled\n"
        text += f"it is one of the images of {pushed.index}\n" if pushed.index else ""
        text += f"pull it with `dataloader pull {reference}`\n"
        session.write({"status": "ok", **document}, text, fold=True)
    return 0


async def _push(
    session: Session, request: Request, reference: Reference, asked: PushAsked
) -> tuple[Pushed, dict[str, object]]:
    from dataloader.oci.base_image import find_base
    from dataloader.oci.content import read_content
    from dataloader.oci.push import Pushing
    from dataloader.oci.push import push as push_image
    from dataloader.prefix.activate import activation
    from dataloader.prefix.state import read_state

    place = asked.place.prefix(request.prefix)
    request = replace(request, lockfile=_lock_of(session, request, place))
    data = request.lockfile.read_bytes() if request.lockfile.is_file() else b""
    made = (state.platform, state.environment) if (state := read_state(place)) is not None else (None, None)
    lock = parse_lock(data, request.lockfile, *made) if data else read_lock(request.lockfile, *made)
    _refuse_trees(lock)
    base = parse_reference(asked.base, plain_http=False) if asked.base else None
    wanted = [(reference, "pull,push"), *([(base, "pull")] if base and base.base != reference.base else [])]
    async with Registry(request.settings, session.reporter, wanted) as registry:
        below = await find_base(registry, base, lock.platform) if base else None
        async with _tree(session, request, lock, data, place, asked) as (tree, prefix):
            state = _state(tree)
            content = await asyncio.to_thread(read_content, tree, state, data)
            _say_left_out(session, content.left_out)
            _say_host_python(session, state.interpreter)
            pushing = Pushing(
                reference=reference,
                tree=tree,
                prefix=prefix,
                content=content,
                lock=lock,
                lock_bytes=data,
                activation=activation(tree),
                base=below,
                compression=asked.compression,
                multi_platform=asked.multi_platform,
                entrypoint=asked.entrypoint,
                attachments=attachments_of(session, request, lock, data, tree, prefix),
            )
            pushed = await push_image(registry, pushing, session.cache, session.reporter)
    document: dict[str, object] = {
        "image": str(reference),
        "digest": pushed.digest,
        "index": pushed.index,
        "prefix": prefix,
        "layers": [layer.document() for layer in pushed.layers],
        "size": sum(layer.size for layer in pushed.layers),
        "sent_bytes": pushed.sent,
        "sent_layers": pushed.sent_layers,
        "left_out": list(content.left_out),
    }
    return pushed, document


def _refuse_trees(lock: Lockfile) -> None:
    """Refuse a lock with local trees: who pulls an image has them not, and could not tell whether it is as locked."""
    if names := [package.name for package in lock.pypi() if package.build and package.origin.kind == "tree"]:
        raise UsageError(
            f"{', '.join(names)}: built from a folder of this machine, which no other has",
            code="not-bundled",
            suggestions=("build a wheel of it (`pip wheel`), or name its repository, and lock again",),
        )


def _lock_of(session: Session, request: Request, place: Path) -> Path:
    """The lock that the environment was made from by its own note, unless one is named, or it is there no more."""
    from dataloader.prefix.state import read_state

    state = read_state(place)
    noted = Path(state.lockfile) if state is not None and state.lockfile else None
    return request.lockfile if "lockfile" in session.options.typed or noted is None or not noted.is_file() else noted


@asynccontextmanager
async def _tree(
    session: Session, request: Request, lock: Lockfile, data: bytes, place: Path, asked: PushAsked
) -> AsyncIterator[tuple[Path, str]]:
    """The environment on disk, and where it belongs; made anew where its files name another place.

    Raises:
        ChangesNeeded: the environment is not what the lock says.
    """
    from dataloader.cli.stages.use import hold
    from dataloader.install.sync import plan_prefix
    from dataloader.prefix.pin import generation_of
    from dataloader.prefix.state import installed

    installed(place)  # or there is none
    generation = generation_of(os.path.abspath(place))  # noqa: PTH100 -- the link is what is asked about
    tree = Path(generation) if generation else place.absolute()
    hold(tree)
    state = _state(tree)
    options = sync_options(session, None, data, check=False, place=Destination(target_prefix=Path(state.target_prefix)))
    plan = plan_prefix(lock, tree, options)
    if not plan.is_empty:
        steps = [f"{step.name}: {step.reason}" for step in (*plan.install, *plan.replace, *plan.remove)]
        raise ChangesNeeded(
            f"{place} is not what {request.lockfile} says: {plan.summary()}",
            causes=(*plan.rebuild, *steps[:10]),
            suggestions=("`dataloader sync` puts it right", "--lockfile names the lock that it was made from"),
        )
    # A generation's own path is another one each time: by its link it is always the same.
    home = str(place.absolute()) if state.target_prefix == str(tree) and generation else state.target_prefix
    target = str(asked.target_prefix or home)
    if target == state.target_prefix:
        yield tree, target
        return
    session.reporter.info(f"its files name {state.target_prefix}: making it once more for {target}")
    async with built_aside(session, request, lock, Destination(target_prefix=Path(target))) as (made, _):
        yield made, target


def _state(tree: Path) -> State:
    from dataloader.prefix.state import read_state

    state = read_state(tree)
    if state is None:
        raise PrefixError(
            f"{tree} is no environment that `dataloader sync` made",
            code="prefix-foreign",
            suggestions=("`dataloader sync` makes one of the same lock",),
        )
    return state


def _say_left_out(session: Session, paths: tuple[str, ...]) -> None:
    if paths:
        shown = ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")
        session.reporter.warn(f"{len(paths)} files that no package brought are left out: {shown}")


def _say_host_python(session: Session, interpreter: str | None) -> None:
    if interpreter is not None:
        session.reporter.warn(
            f"the environment stands on {interpreter}, which is not in the image: a container needs that Python there, "
            "from a base image say; with a conda channel the lock brings its own"
        )


# -- pull


def pull(options: CommonOptions, asked: PullAsked) -> int:
    """Pull an image; the exit code."""
    with open_session(options, "pull", asked.place.name) as session:
        reference = parse_reference(asked.reference, plain_http=asked.plain_http)
        request = make_request(options, (), None, environ=session.environ, here=session.here)
        request = replace(request, prefix=asked.place.prefix(request.prefix))
        result, image = to_the_end(_pull(session, request, reference, asked))
        document = {"image": str(reference), "digest": image.reference.digest, "target_prefix": image.prefix}
        session.write(
            {"status": "ok", **document, **sync_document(result, request.prefix)},
            sync_text(result, request.prefix, dry_run=options.dry_run),
        )
    return 0


async def _pull(session: Session, request: Request, reference: Reference, asked: PullAsked) -> tuple[SyncResult, Image]:
    from dataloader.install.store.layers import LayerStore
    from dataloader.oci.image import fetch_image
    from dataloader.oci.pull import ImageFilling, fetch_lock
    from dataloader.prefix.unchanged import lock_digest

    store, prefix = LayerStore(session.cache, asked.place.layers), request.prefix
    wanted_at = (request.lockfile,) if "lockfile" in session.options.typed else ()
    options = sync_options(session, None, None, check=False, place=asked.place)
    proof = None if session.options.no_verify else Proof(session)
    async with Registry(request.settings, session.reporter, [(reference, "pull")]) as registry:
        image = await fetch_image(registry, reference, detect_platform())
        _say_foreign(session, image, detect_platform())
        lock, data = await fetch_lock(registry, image, store, options, session.reporter)
        options = replace(
            options,
            target_prefix=Path(image.prefix),
            lock_digest=lock_digest(data),
            filling=ImageFilling(registry, image, store, lock),
        )
        if not options.dry_run:
            files = dict.fromkeys(wanted_at, data)
            prover = proof.prover(request, lock, None) if proof else None
            lockfile = wanted_at[0].absolute() if wanted_at else None
            options = replace(options, prover=prover, along=partial(put, files, {}), lockfile=lockfile)
        result = await asked.place.build(lock, prefix, options, session.reporter, _nothing_else)
    _say_elsewhere(session, prefix, image)
    return result, image


async def _nothing_else(*_: object, **__: object) -> None:
    raise AssertionError("an image brings all that its environment has")


def _say_foreign(session: Session, image: Image, platform: str) -> None:
    made_for = image.manifest.note("platform")
    if made_for is not None and made_for != platform:
        session.reporter.warn(f"{image.name} is for {made_for}, and this machine is {platform}")


def _say_elsewhere(session: Session, prefix: Path, image: Image) -> None:
    if str(prefix.absolute()) != image.prefix:
        session.reporter.warn(f"its files name {image.prefix}: it runs where it is mounted there")
