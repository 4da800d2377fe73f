"""Over generated worlds of channels and indexes together: what exists is found and nothing else, options bind all."""

from __future__ import annotations

import random

from hypothesis import given

from dataloader.compat.versions import admits, prefix_of
from dataloader.lockfile.model import CondaPackage
from dataloader.locking.lock import Locked
from tests.helpers.mixed_worlds import Candidate, MixedWorld, Record, identity, mixed_worlds, named, needs
from tests.helpers.solving import solve
from tests.helpers.worlds import File, examples

EXAMPLES = examples(12)


def _packages(locked: Locked | None) -> list[str] | None:
    return None if locked is None else [f"{p.name} {p.version} {p.file_name}" for p in locked.lock.packages]


def _chosen(world: MixedWorld, locked: Locked) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for package in locked.lock.packages:
        if isinstance(package, CondaPackage):
            one: Candidate = next(r for r in world.records if r.filename == package.file_name)
        else:
            place = package.url.rpartition("/")[0]
            one = next(f for f in world.files if (f.filename, f.place) == (package.file_name, place))
        found[identity(one)] = one
    return found


@EXAMPLES
@given(mixed_worlds())
def test_a_solution_is_found_if_and_only_if_there_is_one(world: MixedWorld) -> None:
    found, there = solve(world), world.exists()

    assert (found is None) == (there is None), (world.asked, there)
    if found is None:
        return
    chosen = _chosen(world, found)
    for demand in (*world.asked, *(need for one in chosen.values() for need in needs(one))):
        assert world.meets(chosen[named(demand)], demand), demand
    assert world.is_sound(tuple(chosen.values()))


@EXAMPLES
@given(mixed_worlds())
def test_what_says_nothing_changes_nothing(world: MixedWorld) -> None:
    first = solve(world)
    other = list(world.asked)
    random.Random(1).shuffle(other)
    assert _packages(solve(world.asking(*other))) == _packages(first)
    if first is None:
        return
    there = _chosen(world, first).keys() - {named(text) for text in world.asked}
    for name in sorted(there & {"torch", "torchvision", "numpy", "app-b"}):
        assert _packages(solve(world.asking(*world.asked, name))) == _packages(first), name


@EXAMPLES
@given(mixed_worlds())
def test_options_bind_whatever_is_brought_in(world: MixedWorld) -> None:
    found = solve(world)
    if found is None:
        return
    cuda = found.lock.stack.get("cuda", "none")
    for one in _chosen(world, found).values():
        if world.cudnn and one.name in ("cudnn", "nvidia-cudnn-cu12"):
            assert admits(prefix_of(world.cudnn), one.version)
        if world.cuda == "none":
            assert not one.name.startswith(("nvidia-cuda", "pytorch-cuda", "cuda-version"))
        if world.cuda and one.name in ("pytorch-cuda", "cuda-version"):
            assert admits(prefix_of(world.cuda), one.version)
    if world.driver and cuda not in ("", "none"):
        assert int(cuda.split(".")[0]) <= {"470": 11, "535": 12}[world.driver[:3]]


def test_a_name_is_served_by_its_channel_and_what_wheels_bring_by_the_index() -> None:
    world = MixedWorld(
        files=(File("torch", "2.5.1"), File("app-a", "1.0", ("torch",))),
        records=(Record("python", "3.11.9", "h0_cpython"), Record("pytorch", "2.5.1", "cuda126_0", ("python >=3",))),
        channels=("conda-forge",),
        asked=("torch",),
    )

    named_alone, brought = solve(world), solve(world.asking("app-a", "torch"))

    assert named_alone is not None
    assert brought is not None
    assert [p.name for p in named_alone.lock.packages] == ["python", "pytorch"]
    assert [p.name for p in brought.lock.packages] == ["python", "app-a", "torch"]


def test_where_no_wheel_is_of_the_version_a_channels_record_is_still_bound_by_what_is_asked() -> None:
    """Found by 2000 worlds of `--hypothesis-seed=2`: the channel's own record came, without the rules of ours."""
    world = MixedWorld(
        files=(File("torch", "2.3.1"), File("app-a", "2.0", ("torch>=2.3", "numpy<2"))),
        records=(
            Record("numpy", "1.26.4", "0", ("python >=3",)),
            Record("pytorch", "2.5.1", "cpu_0", ("python >=3",)),
        ),
        channels=("conda-forge",),
        asked=("app-a>=2", "torch==2.5.1"),
        cuda="12",
    )

    assert world.exists() is None
    assert solve(world) is None
