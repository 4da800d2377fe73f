"""An image becomes an environment: what the cache lacks is fetched, checked by hash, unpacked once and linked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from dataloader.base.errors import IntegrityError
from dataloader.base.files import make_folders
from dataloader.base.links import NO_SYMBOLIC_LINKS, copy_where_links_lead
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import together
from dataloader.install.bounds import Refused, check_links, with_parents
from dataloader.install.model import SyncOptions
from dataloader.install.store.entries import VanishedEntry
from dataloader.install.store.layers import LayerFile, LayerStore, StoredLayer
from dataloader.install.store.leftovers import remove
from dataloader.install.switch.lease import Lease
from dataloader.install.sync import plan_prefix
from dataloader.install.tree.build import made_from, write_pin
from dataloader.install.tree.linking import Folders, Linker
from dataloader.install.tree.tree import Tree
from dataloader.lockfile.model import Lockfile
from dataloader.lockfile.yaml import parse_lock
from dataloader.oci.content import LOCK, PIN
from dataloader.oci.image import Image
from dataloader.oci.model import Descriptor, digest_of, malformed
from dataloader.oci.registry import Registry
from dataloader.oci.unpack import ArrivingLayer
from dataloader.prefix.layout import Layout
from dataloader.prefix.locate import STATE
from dataloader.prefix.state import read_state
from dataloader.prefix.unchanged import fingerprint

_ATTEMPTS = 4
"""Trees begun in one pull: each damaged layer in the cache costs one, and is fetched again."""
_THREADS, _CHUNK = 2, 500
"""Linking is waiting for the kernel, which serves two callers at once."""


class ImageFilling:
    """Fills trees from one image (``install.model.Filling``)."""

    def __init__(self, registry: Registry, image: Image, store: LayerStore, lock: Lockfile) -> None:
        self._registry, self._image, self._store, self._lock = registry, image, store, lock

    @property
    def names(self) -> frozenset[str]:
        """What the cache calls the layers."""
        return frozenset(layer.hexadecimal for layer in self._image.layers)

    async def fill(self, tree: Path, options: SyncOptions, reporter: Reporter, *, pinned: bool) -> int:
        """Make an empty folder the environment; bytes that were fetched.

        Raises:
            IntegrityError: the image is not what its lock says, or what its digests say.
            IndexUnavailable, DiskFull, UsageError: as ``Registry.fetch`` has it.
        """
        fetched = 0
        for _ in range(_ATTEMPTS):
            layers, size = await fetch_layers(self._registry, self._image, self._store, options, reporter)
            fetched += size
            check_together(layers, self._image)
            damaged = await asyncio.to_thread(place, layers, tree, reporter)
            if damaged is None:
                break
            reporter.warn(f"a cache entry is damaged ({damaged.files}); fetching it again")
            self._store.forget(damaged)
            for path in list(tree.iterdir()):
                remove(path)
        else:
            raise IntegrityError(
                f"the cache under {self._store.cache} keeps changing while it is used",
                code="cache-damaged",
                suggestions=("check the volume; then remove the cache and run the command again",),
            )
        self._finish(tree, options, pinned=pinned)
        return fetched

    def _finish(self, tree: Path, options: SyncOptions, *, pinned: bool) -> None:
        """Add what is true of this copy alone, and compare the whole with the lock."""
        state = read_state(tree)
        if state is None or state.target_prefix != self._image.prefix:
            raise malformed(self._image.name, "its environment has no note of its own, or was made for elsewhere")
        generated = state.generated
        if pinned and state.site_packages:
            layout = Layout(python="", site_packages=state.site_packages, headers="")
            write_pin(Tree(os.fspath(tree), self._image.prefix, layout), None)
            generated = tuple(sorted({*generated, *(f"{state.site_packages}/{name}" for name in PIN)}))
        noted = replace(
            state,
            generated=generated,
            lock_digest=options.lock_digest,
            fingerprint=fingerprint(os.fspath(tree), state.site_packages),
            **made_from(self._lock, options),
        )
        path = tree / STATE
        path.unlink()  # a name of the cache's own file
        path.write_bytes(noted.to_bytes())
        plan = plan_prefix(self._lock, tree, replace(options, interpreter=None))
        if not plan.is_empty:
            steps = [f"{step.name}: {step.reason}" for step in (*plan.install, *plan.replace, *plan.remove)]
            raise malformed(self._image.name, "; ".join([*plan.rebuild, *steps][:5]))


async def fetch_lock(
    registry: Registry, image: Image, store: LayerStore, options: SyncOptions, reporter: Reporter
) -> tuple[Lockfile, bytes]:
    """The lock that an image was made from, and its bytes; brings its last layer into the store.

    Raises:
        IntegrityError: it has none, or another than it says.
        IndexUnavailable, DiskFull, UsageError: as ``Registry.fetch`` has it.
    """
    own = replace(image, layers=image.layers[-1:])
    layers, _ = await fetch_layers(registry, own, store, options, reporter)
    path = layers[0].files / LOCK
    try:
        data = path.read_bytes()
    except OSError as error:
        raise malformed(image.name, "it has no lock") from error
    if digest_of(data) != f"sha256:{image.lock_sha256}":
        raise malformed(image.name, "it has another lock than it says")
    return parse_lock(data, path, image.manifest.note("platform"), image.manifest.note("environment")), data


async def fetch_layers(
    registry: Registry, image: Image, store: LayerStore, options: SyncOptions, reporter: Reporter
) -> tuple[list[StoredLayer], int]:
    """All layers of an image's environment, unpacked in the store; and how many bytes were fetched for that."""
    fetched: list[int] = []

    async def fetch(layer: Descriptor) -> StoredLayer:
        if stored := store.find(layer.hexadecimal):
            return stored
        downloads = store.cache / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        name = f"{layer.hexadecimal}.lease"
        async with Lease(downloads / name, f"layer {layer.hexadecimal[:12]}", reporter, options.wait_seconds):
            if stored := store.find(layer.hexadecimal):
                return stored  # another process has fetched it meanwhile
            archive = downloads / f"{layer.hexadecimal}.layer"

            async def bring(files: Path) -> list[LayerFile]:
                arriving = ArrivingLayer(files, image.prefix, layer.media_type, image.name)
                try:
                    await registry.fetch(image.reference, layer, archive, arriving)
                    return arriving.finished()
                finally:
                    arriving.close()
                    archive.unlink(missing_ok=True)

            stored = await store.add(layer.hexadecimal, bring, reporter)
            fetched.append(layer.size)
            return stored

    layers = await together([fetch(layer) for layer in image.layers])
    return layers, sum(fetched)


def check_together(layers: Iterable[StoredLayer], image: Image) -> None:
    """Refuse layers that would write through one another's links, or over one another's files.

    Raises:
        IntegrityError: ``archive-escapes``, or ``image-malformed``.
    """
    files: set[str] = set()
    links: dict[str, str] = {}
    for layer in layers:
        for entry in layer.entries:
            if entry.path in files or entry.path in links:
                raise malformed(image.name, f"two of its layers hold {entry.path}")
            if entry.target is None:
                files.add(entry.path)
            else:
                links[entry.path] = entry.target
    folders = with_parents({path.rpartition("/")[0] for path in (*files, *links)})
    try:
        if through := folders & (links.keys() | files):
            raise Refused(f"wants to write below {min(through)}, which is no folder", escapes=True)
        # The programs of a virtual environment are links to the Python that it stands on.
        inner = {path: target for path, target in links.items() if not path.startswith("bin/python")}
        check_links(inner, folders)
    except Refused as refusal:
        raise refusal.as_error(image.name, code="image-malformed") from refusal


def place(layers: Sequence[StoredLayer], tree: Path, reporter: Reporter) -> StoredLayer | None:
    """Link the files of all layers into a folder; a layer that is damaged, where there is one.

    Raises:
        VanishedEntry: another process has removed a layer.
    """
    linkers = {cache: Linker(reporter, os.fspath(cache)) for cache in {layer.cache for layer in layers}}
    total = sum(len(layer.entries) for layer in layers)
    reporter.start("link", "Linking the image", total, "files")
    unmade: list[LayerFile] = []
    try:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="link") as pool:
            work = [
                (layer, len(entries), pool.submit(_place, layer, entries, tree, linkers[layer.cache], unmade))
                for layer in layers
                for start in range(0, len(layer.entries), _CHUNK)
                for entries in [layer.entries[start : start + _CHUNK]]
            ]
            for layer, count, future in work:
                if not future.result():
                    for *_, other in work:
                        other.cancel()
                    return layer
                reporter.advance("link", count)
    finally:
        reporter.finish("link")
    if unmade:
        lost = copy_where_links_lead(tree, {entry.path: entry.target for entry in unmade if entry.target})
        left_out = f"; {', '.join(lost)} could not be" if lost else ""
        reporter.warn(f"{tree.parent} has no symbolic links: what those of the image lead to was copied{left_out}")
    return None


def _place(
    layer: StoredLayer, entries: Sequence[LayerFile], tree: Path, linker: Linker, unmade: list[LayerFile]
) -> bool:
    """Link some files; False when one of them is not what was unpacked.

    Args:
        unmade: Takes the symbolic links that the volume does not have.
    """
    root, store = os.fspath(tree), os.fspath(layer.files)
    with Folders() as folders:
        for entry in entries:
            if not layer.is_intact(entry):
                if not layer.files.exists():
                    raise VanishedEntry(layer.files.parent)
                return False
            folder, _, name = entry.path.rpartition("/")
            if entry.target is not None:
                make_folders(f"{root}/{folder}")
                try:
                    os.symlink(entry.target, f"{root}/{entry.path}")  # noqa: PTH211 -- texts, as all here
                except OSError as error:
                    if error.errno not in NO_SYMBOLIC_LINKS:
                        raise
                    unmade.append(entry)
                continue
            there, here = folders.enter(f"{store}/{folder}", root, folder, lambda path: make_folders(f"{root}/{path}"))
            linker.place_in(there, name, here, name, f"{store}/{entry.path}", f"{root}/{entry.path}")
    return True
