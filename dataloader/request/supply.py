"""Where packages come from, and which may be used: flags, files and manifest joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import UsageError
from dataloader.base.names import is_name, normalized

if TYPE_CHECKING:
    from dataloader.index.settings import IndexSettings
    from dataloader.index.system import System
    from dataloader.request.asked import Asked, PrereleaseMode
    from dataloader.request.input_file import InputFile
    from dataloader.request.manifests.manifest import Manifest, ManifestEnvironment
    from dataloader.request.manifests.resolution import ResolutionTable
    from dataloader.request.specs.requirements import CondaRequirement

ALL_PROJECTS = ":all:"
DEFAULT_CHANNELS = ("conda-forge",)
CHANNEL_ALIAS = "https://conda.anaconda.org"
ANACONDA = "https://repo.anaconda.com"
"""Where conda has its own channels, those whose names begin with ``pkgs/``."""
_CHANNEL_NAMES: Mapping[str, tuple[str, ...]] = {"defaults": ("pkgs/main", "pkgs/r"), "nodefaults": ()}
"""Names that stand for other channels (conda's ``default_channels``)."""


# -- channels


def named_channels(
    options: Asked,
    files: list[InputFile],
    environment: ManifestEnvironment | None,
    remembered: Mapping[str, object] | None,
    here: Path,
    root: Path,
) -> tuple[str, ...] | None:
    """Return the channels that are named: typed ones first, then those of files, then the manifest's."""
    said: list[tuple[Sequence[str] | None, Path]] = [(options.channels or None, here)]
    said += [(f.channels, Path(f.path).parent) for f in files]
    said.append((environment.channels if environment else None, root))
    named = [channel_urls(urls, base) for urls, base in said if urls is not None]
    if named:
        return tuple(dict.fromkeys(url for urls in named for url in urls))
    earlier: Sequence[str] | None = (remembered or {}).get("channels")  # type: ignore[assignment]
    return None if earlier is None else tuple(earlier)


def channel_urls(channels: Iterable[str], here: Path) -> tuple[str, ...]:
    """Return the base URLs of channels, each once. ``defaults`` is several; ``nodefaults`` is none.

    >>> channel_urls(["nodefaults", "defaults", "pkgs/main"], Path("/"))
    ('https://repo.anaconda.com/pkgs/main/', 'https://repo.anaconda.com/pkgs/r/')
    """
    names = [name for channel in channels for name in _CHANNEL_NAMES.get(channel, (channel,))]
    return tuple(dict.fromkeys(channel_url(name, here) for name in names))


def with_their_own(channels: tuple[str, ...] | None, asked: Iterable[CondaRequirement], here: Path) -> tuple[str, ...]:
    """The channels, else the default ones; last those that requirements name (``nvidia::x``), as in conda."""
    more = (channel_url(wanted.channel, here) for wanted in asked if wanted.channel)
    return tuple(dict.fromkeys((*(channel_urls(DEFAULT_CHANNELS, here) if channels is None else channels), *more)))


def channel_url(channel: str, here: Path) -> str:
    """Return the base URL of a channel given as a URL, a path or a name.

    >>> channel_url("nvidia/label/cuda-11.8.0", Path("/"))
    'https://conda.anaconda.org/nvidia/label/cuda-11.8.0/'
    """
    if "://" in channel:
        return channel.rstrip("/") + "/"
    if channel.startswith((".", "/", "~")):
        return (here / Path(channel).expanduser()).absolute().as_uri() + "/"
    alias = ANACONDA if channel.startswith("pkgs/") else CHANNEL_ALIAS
    return f"{alias}/{channel.strip('/')}/"


# -- indexes


def settings_of(options: Asked, held: Mapping[str, object], environ: Mapping[str, str], here: Path) -> IndexSettings:
    """Return how indexes are asked, where ``held`` is what files and manifest say (:func:`index_manifest`).

    Raises:
        UsageError: ``setting-invalid``.
    """
    from dataloader.index.settings import index_settings

    _check_places(options, here)
    return replace(index_settings(_index_flags(options, held), held, environ), system=_system(options))


def check_addresses(options: Asked, files: Iterable[InputFile], channels: Iterable[str]) -> None:
    """Refuse addresses that could never be asked, before anything is done with them.

    Raises:
        UsageError: code ``index-bad-url``.
    """
    from dataloader.index.web.credentials import check_asked, check_url

    said = [(options.index_url, *options.extra_index_url, *options.find_links)]
    said += [(f.index_url, *f.extra_index_urls, *f.find_links) for f in files]
    for location in (place for places in said for place in places if place):
        check_url(location)
    for channel in channels:
        check_asked(channel)


def _check_places(options: Asked, here: Path) -> None:
    """Refuse places that are typed and not there: nothing can be found in them.

    Raises:
        UsageError: ``setting-invalid``.
    """
    from dataloader.index.web.credentials import redact

    said: dict[str, Sequence[str | None]] = {
        "index_url": (options.index_url,),
        "extra_index_url": options.extra_index_url,
        "find_links": options.find_links,
        "trusted_root": (options.trusted_root,),
    }
    for name, values in said.items():
        for value in values if name in options.typed else ():
            path = None if value is None or "://" in value else here / Path(value).expanduser()
            if path is not None and not (path.exists() if name in ("find_links", "trusted_root") else path.is_dir()):
                what = (
                    "directory" if name.endswith("url") else "file" if name == "trusted_root" else "file or directory"
                )
                raise UsageError(
                    f"--{name.replace('_', '-')} {redact(str(value))}: there is no such {what}",
                    code="setting-invalid",
                    suggestions=("write a URL with its scheme: https://HOST/simple",) if name != "trusted_root" else (),
                )


def _held(held: Mapping[str, object], name: str) -> Iterable[str]:
    return held.get(name) or ()  # type: ignore[return-value]


def _index_flags(options: Asked, held: Mapping[str, object]) -> dict[str, object]:
    return {
        "index_url": options.index_url,
        # further ones come before those of files and manifest
        "extra_index_urls": options.extra_index_url and (*options.extra_index_url, *_held(held, "extra_index_urls")),
        "find_links": options.find_links and (*options.find_links, *_held(held, "find_links")),
        "offline": options.offline,
        "refresh": options.refresh,
        "mirrors": options.mirror,
        "limit_rate": options.limit_rate,
        "attestations": options.require_attestation,
        "trusted_root": options.trusted_root,
    }


def said_sources(
    options: Asked, files: Iterable[InputFile], earlier: Mapping[str, Any], here: Path
) -> dict[str, str | list[str]]:
    """Return where an environment without a manifest has its distributions from, as its lock keeps it.

    Args:
        options: What is typed counts; what a variable says belongs to the machine.
        files: Those that the command names.
        earlier: The same of its last command.
        here: What typed places are relative to.
    """
    from dataloader.index.web.credentials import without_credentials

    def place(text: str) -> str:
        return without_credentials(text) if "://" in text else str((here / Path(text).expanduser()).absolute())

    def typed(name: str) -> Sequence[str]:
        return getattr(options, name) if name in options.typed else ()

    index = options.index_url if "index_url" in options.typed else None
    index = index or next((f.index_url for f in files if f.index_url), None)
    further = [*typed("extra_index_url"), *(u for f in files for u in f.extra_index_urls)]
    links = [*typed("find_links"), *(u for f in files for u in f.find_links)]
    found: dict[str, str | list[str] | None] = {
        "index-url": place(index) if index else earlier.get("index-url"),
        "extra-index-urls": list(dict.fromkeys([*map(place, further), *earlier.get("extra-index-urls", ())])),
        "find-links": list(dict.fromkeys([*map(place, links), *earlier.get("find-links", ())])),
    }
    return {key: value for key, value in found.items() if value}


def index_manifest(
    environment: ManifestEnvironment | None,
    files: list[InputFile],
    manifest: Manifest | None,
    earlier: Mapping[str, Any],
) -> dict[str, object]:
    """Return what files and manifest say of indexes; where there is one value, that of the files.

    Args:
        environment: Of the manifest.
        files: Those that the command names.
        manifest: The project's.
        earlier: What :func:`said_sources` kept, where there is no manifest.
    """
    pypi = environment.pypi if environment else None
    return {
        "index_url": next((f.index_url for f in files if f.index_url), None)
        or (pypi.index_url if pypi else earlier.get("index-url")),
        "extra_index_urls": (
            *(u for f in files for u in f.extra_index_urls),
            *(pypi.extra_index_urls if pypi else earlier.get("extra-index-urls", ())),
        ),
        "find_links": (
            *(u for f in files for u in f.find_links),
            *(pypi.find_links if pypi else earlier.get("find-links", ())),
        ),
        "trusted_hosts": tuple(h for f in files for h in f.trusted_hosts),
        "no_index": any(f.no_index for f in files) or (manifest is not None and manifest.resolution.no_index),
        "attestations": manifest.attestations if manifest else None,
        "strict_records": pypi.strict_records if pypi else False,
        "trusted_root": manifest.trusted_root if manifest else None,
    }


def _system(options: Asked) -> System | None:
    """Return the kind of machine that wheels are wanted for, where it is one that we know of."""
    from dataloader.base.platforms import PLATFORMS, detect_platform, machine_of
    from dataloader.index.system import System
    from dataloader.machine.detect import detect_glibc

    platform = options.platform or detect_platform()
    known = platform in PLATFORMS and platform.startswith("linux-")
    if options.target is not None or not known or detect_glibc() is None:
        return None
    return System(machine_of(platform), "glibc")


# -- wheels


def binaries(
    options: Asked, files: list[InputFile], environment: ManifestEnvironment | None
) -> dict[str, tuple[str, ...]]:
    """Return whose wheels are not used, and whose are though no other's are; the most immediate source decides.

    As pip reads them: names parted by commas, ``:all:``, and ``:none:`` for nobody.
    """
    none: list[str] = []
    only: list[str] = []
    for source in (*([environment.pypi] if environment else ()), *files, options):
        not_these, wheels_only = _projects(source.no_binary), _projects(source.only_binary)
        if clash := sorted({*not_these} & {*wheels_only}):
            raise UsageError(
                f"no wheels and only wheels are asked for of {', '.join(clash)}",
                suggestions=("leave --no-binary or --only-binary out for it",),
            )
        none = [*(name for name in none if name not in wheels_only), *not_these]
        only = [*(name for name in only if name not in not_these), *wheels_only]
    return {"no_binary": _each_once(none), "only_binary": _each_once(only)}


def built_projects(
    options: Asked, resolution: ResolutionTable | None, remembered: Mapping[str, object] | None
) -> tuple[str, ...]:
    """Return the projects that may be built: each is named, for a build runs what the project brings.

    Raises:
        UsageError: ``build-by-name``; all are meant.
    """
    typed = [name.strip() for text in options.build for name in text.split(",") if name.strip()]
    for name in typed:
        if not is_name(name):
            raise UsageError(
                f"--build {name}: what is built is allowed project by project, by its name",
                code="build-by-name",
                suggestions=("name each: --build NAME, once for each project",),
            )
    earlier: Mapping[str, object] = (remembered or {}).get("options", {})  # type: ignore[assignment]
    held = (*(resolution.built if resolution else ()), *filter(None, str(earlier.get("build", "")).split(",")))
    return tuple(sorted({*map(normalized, typed), *held}))


def _each_once(names: list[str]) -> tuple[str, ...]:
    """Return names, each once; beside ``:all:`` none says more."""
    return (ALL_PROJECTS,) if ALL_PROJECTS in names else tuple(dict.fromkeys(names))


def _projects(texts: Iterable[str]) -> list[str]:
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    names = names[names.index(":none:") + 1 :] if ":none:" in names else names
    return [name if name == ALL_PROJECTS else normalized(name) for name in names]


def prerelease_of(
    options: Asked, files: list[InputFile], manifest: str | None, environment: ManifestEnvironment | None
) -> PrereleaseMode:
    """Return which pre-releases are taken: what the options say, else files, manifest and environment."""
    if options.prerelease:
        return options.prerelease
    of_pypi = environment is not None and environment.pypi.prerelease and manifest is None
    return "allow" if any(f.prerelease for f in files) or manifest == "allow" or of_pypi else "if-necessary"
