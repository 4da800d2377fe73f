"""What is in a prefix, whatever the target: packages, files, and the facts of the libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from dataloader.verify.cache import FactsCache, PrefixState
from dataloader.verify.files import Tree, states_of
from dataloader.verify.hashes import cache_keys, hash_recorded, recall_keys, written_digests
from dataloader.verify.installed import Installed, read_installed
from dataloader.verify.options import VerifyOptions
from dataloader.verify.scan import Reading, ScannedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was read of a prefix, whatever the target."""

    prefix: Path
    installed: Installed
    tree: Tree
    digests: Mapping[str, str]
    scanned: Sequence[ScannedFile]
    state: PrefixState

    @property
    def counts(self) -> dict[str, int]:
        """How many packages, files and libraries there are."""
        return {
            "packages": len(self.installed.packages),
            "files": len(self.tree.states),
            "libraries": sum(1 for file in self.scanned if file.facts),
        }


def read_contents(
    prefix: Path, walked: Callable[[], Tree], state: PrefixState, options: VerifyOptions, cache: FactsCache
) -> Contents:
    """Read a prefix: its packages, its files, and the facts of its libraries.

    Args:
        walked: Gives what a walk over the prefix sees.
        state: What the last run learnt; added to.
    """
    if options.rehash:
        state.forget_hashes()
    with Reading(prefix, cache, options.jobs) as reading:
        if options.hashes:
            known = states_of(prefix, state.libraries)
            reading.begin(recall_keys(known, state), known)
        # Other processes are starting, and reading: what judges is imported meanwhile.
        import_module("dataloader.verify.judgement")
        tree = walked()
        installed = read_installed(prefix)
        digests = hash_recorded(prefix, installed, tree, state) if options.hashes else {}
        if options.fresh:
            digests = {**written_digests(installed, tree), **digests}
        scanned = reading.finish(cache_keys(cache, installed, tree, digests), tree)
    return Contents(
        prefix=prefix,
        installed=installed,
        tree=tree,
        digests=digests,
        scanned=scanned,
        state=state,
    )
