"""rattler behind one adapter: what channels have, and one solve. Everything else in resolve/ holds plain values.

Names that we answer for ourselves ("owned": wheels, records with rules written into them, this machine's Python) come
from a source of ours that stands first; under strict channel priority that hides the channels' own records of
those names, so each candidate exists once. All other names go from channel to solver without touching Python.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import rattler
from rattler.exceptions import GatewayError, InvalidMatchSpecError

from dataloader.base.errors import IndexUnavailable, ManifestError
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.formats.rattler_record import package_of
from dataloader.index.web.credentials import public_channel
from dataloader.lockfile.model import CondaPackage
from dataloader.resolve.channels.gateways import Gateways
from dataloader.resolve.words.records import RecordSpec, match_spec

if TYPE_CHECKING:
    from dataloader.index.settings import IndexSettings
    from dataloader.machine.target import Target
    from dataloader.resolve.model import ChannelPriority

OURS = "https://dataloader.invalid/"
"""Channel of the records that we answer for."""

ASKED, CAN, CANNOT, NEVER = "dataloader.request.asked", "1", "0", "9"
"""A package with two versions, which every solve must choose from: requirements bind only beside ``CAN``.

So every problem has a solution, and rattler never writes an explanation of its own: that can be a string without end,
or a panic (py-rattler 0.28), and it is made whenever a solve fails, wanted or not. ``CANNOT`` is chosen only where
``CAN`` is refuted.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the solver is asked, besides what channels have."""

    specs: tuple[str, ...]
    """What must be present."""
    constraints: tuple[str, ...]
    """What is limited, if something brings it in."""
    owned: Mapping[str, Sequence[rattler.RepoDataRecord]]
    """The records that we answer for, by name."""
    exclude_newer: dt.datetime | None
    """Records of channels with a later timestamp do not exist."""


class Unsolvable(Exception):
    """The solver found no solution."""

    def __init__(self, question: Question, reached: frozenset[str]) -> None:
        super().__init__("no solution")
        self.question = question
        self.reached = reached
        """Every name that the closure of the problem came to."""


class OwnSource:
    """The records that we answer for, by name, in the shape rattler asks for them (RepoDataSource)."""

    def __init__(self, records: Mapping[str, Sequence[rattler.RepoDataRecord]]) -> None:
        self._records = records
        self.reached: set[str] = set()
        """Every name that the closure of the problem came to."""

    async def fetch_package_records(
        self, platform: rattler.Subdir, name: rattler.PackageName
    ) -> list[rattler.RepoDataRecord]:
        """Answer for ``noarch`` only: one answer for each name is enough."""
        self.reached.add(name.normalized)
        return list(self._records.get(name.normalized, ())) if str(platform) == "noarch" else []

    def package_names(self, platform: rattler.Subdir) -> list[str]:
        """Return the names that have records."""
        return list(self._records) if str(platform) == "noarch" else []


class Channels:
    """The conda channels of a problem: what they have, and solves over them."""

    def __init__(
        self,
        urls: Sequence[str],
        target: Target,
        *,
        priority: ChannelPriority,
        cache: Path | None,
        conda_specs: Iterable[str] = (),
        settings: IndexSettings | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.urls = tuple(public_channel(url) for url in urls)
        self.platforms: list[rattler.Subdir] = [rattler.Subdir(target.platform), rattler.Subdir("noarch")]
        self._strict = priority == "strict"
        self._channels = [rattler.Channel(url) for url in self.urls]
        self._sources: list[rattler.Channel | rattler.MultiSource] = list(self._channels)
        if not self._strict and len(self._channels) > 1:
            self._sources = [rattler.MultiSource("channels", self._channels)]
        self._gateways = Gateways(urls, settings, cache, reporter or Reporter())
        self._virtual = [
            rattler.GenericVirtualPackage(
                rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build)
            )
            for name, version, build in target.virtual_packages()
        ]
        self.watching = False
        """Note which names a solve comes to, though nothing of ours is among them."""
        self._known: dict[str, list[rattler.RepoDataRecord]] = {}
        asked = [(str(spec.name.normalized), spec.channel) for spec in map(parse_match_spec, conda_specs)]
        self.asked = frozenset(name for name, _ in asked if not name.startswith("__"))
        """Names that are asked of the channels."""
        self._pins = {name: channel for name, channel in asked if channel is not None}

    async def records(self, name: str) -> list[rattler.RepoDataRecord]:
        """Return every record of ``name`` that channel priority leaves, asked for once.

        Raises:
            IndexUnavailable: a channel did not answer.
        """
        await self.look_up((name,))
        return self._known[name]

    async def names(self) -> frozenset[str]:
        """Return every name that the channels have.

        Raises:
            IndexUnavailable: a channel did not answer.
        """
        try:
            found = await self._gateways.ask(lambda gateway: gateway.names(self._channels, self.platforms))
        except GatewayError as error:
            raise unavailable(error, ", ".join(self.urls)) from error
        return frozenset(str(name.normalized) for name in found)

    async def look_up(self, names: Iterable[str]) -> None:
        """Ask for the records of many names at once, for :meth:`records`.

        Raises:
            IndexUnavailable: a channel did not answer.
        """
        new = [name for name in sorted(set(names)) if name not in self._known]
        self._known.update({name: [] for name in new})
        specs = {name: spec for name in new if (spec := _of_name(name)) is not None}
        for channel in self._channels:
            open_names = [name for name in specs if not (self._known[name] and self._strict)]
            asked = [name for name in open_names if self._may_serve(channel, name)]
            if not asked:
                continue
            try:
                answer = await self._gateways.ask(partial(self._ask, channel, [specs[name] for name in asked]))
            except GatewayError as error:
                raise unavailable(error, channel.base_url) from error
            found: dict[str, list[rattler.RepoDataRecord]] = {}
            for part in answer:
                for record in part:
                    found.setdefault(record.name.normalized, []).append(record)
            for name in asked:
                self._known[name] += found.get(name, [])

    def _may_serve(self, channel: rattler.Channel, name: str) -> bool:
        pin = self._pins.get(name)
        return pin is None or channel.base_url == pin.base_url

    async def _ask(
        self, channel: rattler.Channel, specs: Sequence[rattler.MatchSpec], gateway: rattler.Gateway
    ) -> Sequence[list[rattler.RepoDataRecord]]:
        return await gateway.query([channel], self.platforms, specs, recursive=False)

    def virtual_records(self) -> list[rattler.RepoDataRecord]:
        """Return the target's virtual packages in the shape of records."""
        return [
            own_record(
                RecordSpec(
                    name=package.name.normalized,
                    version=str(package.version),
                    build=str(package.build_string),
                    build_number=0,
                    depends=(),
                    extra_depends={},
                )
            )
            for package in self._virtual
        ]

    async def solve(
        self,
        specs: Iterable[str],
        owned: Mapping[str, Sequence[rattler.RepoDataRecord]],
        *,
        constraints: Iterable[str] = (),
        preferred: Sequence[rattler.RepoDataRecord] = (),
        strategy: str = "highest",
        exclude_newer: str | None = None,
    ) -> list[rattler.RepoDataRecord]:
        """Solve, and return the chosen records.

        Raises:
            Unsolvable: there is no solution.
            IndexUnavailable: a channel did not answer.
        """
        source = OwnSource(owned)
        cutoff = dt.datetime.fromisoformat(exclude_newer.replace("Z", "+00:00")) if exclude_newer else None
        question = Question(
            specs=tuple(specs), constraints=tuple(constraints), owned=owned, exclude_newer=_in_utc(cutoff)
        )
        wishes = [parse_match_spec(spec) for spec in question.specs]
        apart = [bool(wish.condition) or _is_met_by_none(wish, owned) for wish in wishes]
        answers = _answers([str(wish) for wish, is_apart in zip(wishes, apart, strict=True) if is_apart])
        try:
            chosen = await self._gateways.ask(
                lambda gateway: rattler.solve(
                    # asked for each name of the closure in each subdir: with nothing to answer it is better not asked
                    sources=[source, *self._sources] if owned or self.watching else self._sources,
                    specs=[rattler.MatchSpec(ASKED), *map(_if_met, wishes, apart)],
                    constraints=[parse_match_spec(spec) for spec in question.constraints],
                    gateway=gateway,
                    platforms=self.platforms,
                    virtual_packages=self._virtual,
                    locked_packages=[*preferred, *answers],
                    channel_priority=rattler.ChannelPriority.Strict,
                    strategy=strategy,  # type: ignore[arg-type]
                    exclude_newer=question.exclude_newer,
                    timestamp_policy="allow-missing",
                )
            )
        except GatewayError as error:
            raise unavailable(error, ", ".join(self.urls)) from error
        if not any(record.url == answers[-1].url for record in chosen):
            raise Unsolvable(question, frozenset(source.reached))
        return [record for record in chosen if record.name.normalized != ASKED]


def _answers(conditional: Sequence[str]) -> list[rattler.RepoDataRecord]:
    """Return the two answers to whether what is asked can be met; of a locked package the last is preferred.

    Requirements that have a condition of their own are dependencies of ``CAN``: as requirements of the root they would
    narrow their package even where the condition does not hold (py-rattler 0.28).
    """
    plain = {"name": ASKED, "build": "0", "build_number": 0, "extra_depends": {}}
    return [
        own_record(RecordSpec(**plain, version=CANNOT, depends=())),  # type: ignore[arg-type]
        own_record(RecordSpec(**plain, version=CAN, depends=tuple(conditional))),  # type: ignore[arg-type]
    ]


def _is_met_by_none(spec: rattler.MatchSpec, owned: Mapping[str, Sequence[rattler.RepoDataRecord]]) -> bool:
    """Whether no record of ours meets a requirement of a package that we answer for.

    A requirement of the root narrows what is read of its package: of ours nothing would be left then, and rattler would
    take the channel's own records, without what rules wrote into ours (py-rattler 0.28).
    """
    records = owned.get(spec.name.normalized)
    return records is not None and spec.channel is None and not any(map(spec.matches, records))


def _if_met(spec: rattler.MatchSpec, is_apart: bool) -> rattler.MatchSpec:
    """Return a requirement that binds only where what is asked can be met.

    Of one that :data:`CAN` depends on (see :func:`_answers`) only what makes rattler read its package: it never binds.
    """
    if is_apart:
        return rattler.MatchSpec(
            match_spec(spec.name.normalized, extras=tuple(spec.extras or ()), when=f"{ASKED} =={NEVER}")
        )
    before, bracket = (str(spec)[:-1], ",") if str(spec).endswith("]") else (str(spec), "[")
    return rattler.MatchSpec(f"{before}{bracket}when='{ASKED} =={CAN}']")


def _in_utc(moment: dt.datetime | None) -> dt.datetime | None:
    return moment.astimezone(dt.timezone.utc) if moment else None


def _of_name(name: str) -> rattler.MatchSpec | None:
    """Return the spec of every record of a name; None for what is no name of a conda package."""
    try:
        return rattler.MatchSpec(name)
    except InvalidMatchSpecError:
        return None


def parse_match_spec(text: str) -> rattler.MatchSpec:
    """Parse a conda requirement as people type it.

    Raises:
        ManifestError: it is not a match spec.
    """
    try:
        return rattler.MatchSpec(text)
    except InvalidMatchSpecError as error:
        raise ManifestError(
            f"'{text}' is not a conda match spec: {error}",
            code="match-spec-invalid",
            suggestions=("write NAME, NAME=VERSION or NAME[version='>=1,<2',build='*cuda*']",),
        ) from error


def unavailable(error: Exception, where: str) -> IndexUnavailable:
    """Say that a channel did not answer, in our terms."""
    return IndexUnavailable(
        f"the channel {where} did not answer",
        code="channel-unreachable",
        causes=tuple(line for line in str(error).splitlines() if line.strip())[:4],
        suggestions=("check the URL and the network", "use --conda=never to build from PyPI alone"),
    )


def own_record(spec: RecordSpec) -> rattler.RepoDataRecord:
    """Turn a plain record into rattler's."""
    package = rattler.PackageRecord(
        spec.name,
        spec.version,
        rattler.BuildString(spec.build),
        spec.build_number,
        "noarch",
        depends=list(spec.depends),
        constrains=list(spec.constrains),
        extra_depends={extra: list(specs) for extra, specs in spec.extra_depends.items()} or None,
    )
    return rattler.RepoDataRecord(package, spec.file_name, f"{OURS}noarch/{spec.file_name}", OURS)


def amended(
    record: rattler.RepoDataRecord, depends: Sequence[str], constrains: Sequence[str]
) -> rattler.RepoDataRecord:
    """Return a copy of a channel's record, as one of ours, with more dependencies and constraints."""
    copy = rattler.RepoDataRecord(
        rattler.PackageRecord(
            record.name,
            record.version,
            record.build,
            record.build_number,
            record.subdir,
            noarch=record.noarch,
            depends=[*record.depends, *depends],
            constrains=[*record.constrains, *constrains],
            sha256=record.sha256,
            md5=record.md5,
            size=record.size,
            features=None,
            license=record.license,
            python_site_packages_path=record.python_site_packages_path,
        ),
        record.file_name,
        record.url,
        OURS,
    )
    copy.track_features = record.track_features
    copy.timestamp = record.timestamp
    return copy


def meets(package: CondaPackage, spec: str) -> bool:
    """Say whether a package of a lock is what a match spec, without its channel, means.

    Raises:
        ManifestError: it is not a match spec.
    """
    return parse_match_spec(spec).matches(
        rattler.PackageRecord(
            package.name,
            package.version,
            rattler.BuildString(package.build),
            package.build_number,
            package.subdir,
            sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
            md5=bytes.fromhex(package.md5) if package.md5 else None,
        )
    )


def to_package(record: rattler.RepoDataRecord) -> CondaPackage:
    """Turn a channel's record into a value of the lock."""
    return package_of(record, url=public_channel(record.url), channel=public_channel(str(record.channel)))
