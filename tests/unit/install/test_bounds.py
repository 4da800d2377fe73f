"""The rules for what packages may bring, alone: whatever is let pass stays inside."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloader.install.bounds import Refused, check_command, check_links, check_member, check_place, follow
from tests.helpers.examples import examples

PARTS = st.sampled_from(["a", "b", "B", "..", ".", "", "up", " ", "...", "a\\b", "..\\", "\u2025"])
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
NAMES = st.sampled_from(["a", "b", "c"])
FOLDERS = st.lists(NAMES, max_size=2)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "..", ".."]), min_size=1, max_size=6).map("/".join)


@given(PATHS)
def test_a_member_that_passes_is_inside_on_every_volume(path: str) -> None:
    try:
        check_member(path)
    except Refused:
        return
    for separated in (path, path.replace("\\", "/")):
        parts = [part.rstrip(". ") for part in separated.split("/")]
        assert all(parts)
        assert not os.path.normpath(f"/root/{separated}").startswith("/root/..")
        assert os.path.normpath(f"/root/{separated}").startswith("/root/")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=examples(40))
@given(
    st.dictionaries(st.tuples(FOLDERS, NAMES).map(lambda pair: "/".join([*pair[0], pair[1]])), TARGETS, max_size=6),
    st.randoms(use_true_random=False),
)
def test_links_that_pass_stay_inside(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str], order: random.Random
) -> None:
    """Against the kernel: made in any order, with a link or a folder where one excludes the other."""
    try:
        check_links(links, [])
    except Refused:
        return
    root = tmp_path_factory.mktemp("links") / "in" / "root"
    root.mkdir(parents=True)
    for path, target in order.sample(sorted(links.items()), len(links)):
        place = Path(root, path)
        above = [Path(root, *place.relative_to(root).parts[:count]) for count in range(1, path.count("/") + 1)]
        if os.path.lexists(place) or any(folder.is_symlink() for folder in above):
            continue  # what rattler does not install
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    for path in links:
        if Path(root, path).is_symlink():
            assert f"{os.path.realpath(root / path)}/".startswith(f"{root}/")


def test_follow_leads_where_the_kernel_would() -> None:
    assert follow("a/l", "x/y", {"a/x": "../b/c", "b/c": "z"}) == "b/z/y"


@pytest.mark.parametrize(
    "place", ["lib/pyvenv.cfg", "share/conda-meta/x", "bin/python", "dataloader/x", "pyvenv.cfg.d/x"]
)
def test_what_only_looks_like_the_environments_own_is_let_pass(place: str) -> None:
    check_place(place)


@pytest.mark.parametrize("name", ["pip3.11", "x86_64-linux-gnu-gcc", "2to3", "[", "d\u00e9j\u00e0-vu", "a b"])
def test_names_of_true_commands_are_let_pass(name: str) -> None:
    check_command(name)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("etc/OpenCL/vendors/ocl-icd-system", "/etc/OpenCL/vendors"),  # conda-forge's ocl-icd-system
        ("x86_64-conda-linux-gnu/sysroot/usr/lib/jvm/java", "/etc/alternatives/java_sdk"),  # sysroots of CentOS
        ("x86_64-conda-linux-gnu/sysroot/etc/mtab", "/proc/mounts"),
        ("x86_64-conda-linux-gnu/sysroot/usr/lib64/libGL.so", "/usr/lib64/libGL.so.1"),
        ("opt/vendor/share/zoneinfo", "/usr/share/zoneinfo"),
        ("opt/vendor/ssl/certs", "/etc/ssl/certs"),
        ("opt/vendor/etc/silence", "/dev/null"),
    ],
)
def test_links_to_the_system_are_told_and_let_pass(path: str, target: str) -> None:
    """As conda and pixi do, which say nothing."""
    links = {path: target, "lib/libx.so": "libx.so.1"}

    assert check_links(links, ["lib", path.rpartition("/")[0]]) == [path]


@pytest.mark.parametrize(
    "target",
    [
        *("/proc/self/root/home", "/proc/self/cwd", "/proc/self/fd/3", "/proc/1/root", "/proc/self/environ"),
        *("/dev/fd/3", "/dev/shm/x", "/dev/stdin", "/run/user/0", "/run/docker.sock", "/sys/fs/cgroup", "/var/tmp/x"),
        *("/", "/etc", "/usr", "/usr/../home/x", "/etc/../root", "/home/x", "/root/.bashrc", "/tmp/x", "/opt/x"),
        *("//etc/x", "/./etc/x"),
    ],
)
@pytest.mark.parametrize("path", ["a/b/c", "etc/OpenCL/vendors/x"])
def test_links_to_what_is_not_the_administrators_are_refused(path: str, target: str) -> None:
    with pytest.raises(Refused):
        check_links({path: target}, [])


@pytest.mark.parametrize(
    "path",
    ["x", "a/b", "lib/x", "bin/tool", "bin/a/b", "lib/python3.11/site-packages/x", "etc/conda/activate.d/x.sh"],
)
def test_links_to_the_system_lie_where_nobody_else_looks(path: str) -> None:
    with pytest.raises(Refused):
        check_links({path: "/etc/OpenCL/vendors"}, [])


@pytest.mark.parametrize("folder", ["etc/OpenCL/vendors/system", "etc/OpenCL/vendors/system/x"])
def test_nothing_goes_through_a_link_to_the_system(folder: str) -> None:
    with pytest.raises(Refused):
        check_links({"etc/OpenCL/vendors/system": "/etc/OpenCL/vendors"}, [folder])
