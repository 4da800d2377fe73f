"""What systems offer, and folders for levels of processors."""

from __future__ import annotations

from dataloader.loader.model import hwcaps_of
from dataloader.loader.system import DescribedSystem, version_tuple
from dataloader.machine.target import Target


def test_described_target_offers_versions_up_to_its_own() -> None:
    system = DescribedSystem(target=Target(glibc="2.28", libstdcxx="3.4.25"), core=frozenset({"libc.so.6"}))

    assert system.has_version("libc.so.6", "GLIBC_2.28") is True
    assert system.has_version("libc.so.6", "GLIBC_2.34") is False
    assert system.has_version("libstdc++.so.6", "GLIBCXX_3.4.9") is True
    assert system.has_version("libstdc++.so.6", "GLIBCXX_3.4.30") is False
    assert system.has_version("libgcc_s.so.1", "GCC_3.0") is None
    assert system.has_version("libc.so.6", "GLIBC_PRIVATE") is None


def test_version_tuple_takes_numbers_only() -> None:
    assert version_tuple("2.34") == (2, 34)
    assert version_tuple("PRIVATE") is None
    assert version_tuple("²") is None


def test_capability_folders_follow_the_level() -> None:
    assert hwcaps_of("x86_64_v2", "x86_64") == ("glibc-hwcaps/x86-64-v2",)
    assert hwcaps_of("zen4", "x86_64") == ()
    assert hwcaps_of(None, "aarch64") == ()
