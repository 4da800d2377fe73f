"""``--target FILE``: one or several node pools described in TOML or JSON -> Targets.

The file holds the keys of one machine at its top level, or a list of them under ``pool``::

    [[pool]]
    name = "training"
    platform = "linux-64"
    glibc = "2.31"
    driver = "535.104.05"
    cuda = "12.2"          # highest CUDA version of the driver; not said, that of its branch
    gpus = ["A100", "8.6"] # models, or compute capabilities
    environment = { LD_LIBRARY_PATH = "/opt/lib" }
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dataloader.base.errors import ManifestError
from dataloader.base.platforms import PLATFORMS, machine_of
from dataloader.machine.target import Gpu, Target
from dataloader.request.toml import Document, Table

_VERSIONS = ("glibc", "musl", "macos", "libstdcxx", "kernel", "driver", "cuda", "gcc")
_KEYS = ("name", "platform", "archspec", "gpus", "environment", "libraries", *_VERSIONS)
_USUAL = "linux-64"
"""The platform of a machine of which none is said."""
_NOISE = re.compile(r"\b(nvidia|geforce|tesla|quadro|gpu)\b|[\s_\-]+")


def load_target(
    path: Path, capabilities: Mapping[str, str], cuda_of_driver: Callable[[str], str | None]
) -> tuple[Target, ...]:
    """Read the machines that a target file describes, in its order.

    Args:
        path: A ``.toml`` or ``.json`` file.
        capabilities: GPU model -> compute capability (``{"A100": "8.0"}``), from the compatibility matrix.
        cuda_of_driver: Gives the highest CUDA of a driver, where the file does not.

    Raises ManifestError ``target-invalid`` with every mistake.
    """
    document, machines = _machines(path)
    targets = tuple(_target(table, capabilities, cuda_of_driver) for table in machines)
    document.check()
    return targets


def platforms_in(path: Path) -> tuple[str, ...]:
    """Return the platforms of the machines that a target file describes; mistakes are told by :func:`load_target`."""
    said = (table.peek("platform") for table in _machines(path)[1])
    return tuple(dict.fromkeys(name if isinstance(name, str) else _USUAL for name in said))


def _machines(path: Path) -> tuple[Document, Sequence[Table]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", code="target-invalid") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}", code="target-invalid") from error
    document = Document(text, path.absolute(), code="target-invalid", kind="target file")
    root = document.root()
    pools = root.tables("pool")
    if pools:
        root.only({"pool"})
        for pool in pools:
            pool.only(_KEYS)
    else:
        root.only({*_KEYS, "pool"})
    return document, pools or (root,)


def find_gpu(name: str, capabilities: Mapping[str, str]) -> Gpu | None:
    """The GPU that people or the driver call ``name``; the longest known model that it starts with.

    >>> find_gpu("NVIDIA A100-SXM4-80GB", {"A100": "8.0", "A10": "8.6"})
    Gpu(name='NVIDIA A100-SXM4-80GB', capability='8.0')
    """
    if re.fullmatch(r"\d{1,2}\.\d", name):
        return Gpu(name=name, capability=name)
    wanted = _plain(name)
    known = {_plain(model): capability for model, capability in capabilities.items()}
    # "a100sxm480gb" is an A100 and no A10: what follows the model's name is no digit. "rtx30series" is each rtx30xx.
    patterns = {model: re.sub("series$", r"\\d\\d", re.escape(model)) + r"(?!\d)" for model in known}
    models = [model for model in known if re.match(patterns[model], wanted)]
    return Gpu(name=name, capability=known[max(models, key=len)]) if models else None


def _plain(name: str) -> str:
    return _NOISE.sub("", name.lower())


def _target(table: Table, capabilities: Mapping[str, str], cuda_of_driver: Callable[[str], str | None]) -> Target:
    platform = table.choice("platform", PLATFORMS) or _USUAL
    versions = {key: table.string(key) for key in _VERSIONS}
    for key, version in versions.items():
        if version is not None and not re.fullmatch(r"\d+(\.\d+)*", version):
            table.mistake(key, f"{version!r} is not a version")
            versions[key] = None
    if versions["driver"] and not versions["cuda"]:
        versions["cuda"] = cuda_of_driver(versions["driver"])
    variables = None
    if "environment" in table:
        block = table.table("environment")
        variables = tuple((name, block.string(name) or "") for name in sorted(block))
    gpus = []
    for name in table.strings("gpus"):
        if gpu := find_gpu(name, capabilities):
            gpus.append(gpu)
        else:
            table.mistake("gpus", f"{name!r} is not a known GPU; give its compute capability, such as 8.0")
    return Target(
        platform=platform,
        arch=machine_of(platform),
        glibc=versions["glibc"],
        musl=versions["musl"],
        macos=versions["macos"],
        libstdcxx=versions["libstdcxx"],
        kernel=versions["kernel"],
        archspec=table.string("archspec"),
        driver=versions["driver"],
        driver_cuda=versions["cuda"],
        gpus=tuple(gpus),
        gcc=versions["gcc"],
        variables=variables,
        libraries=table.strings("libraries") if "libraries" in table else None,
        name=table.string("name"),
    )
