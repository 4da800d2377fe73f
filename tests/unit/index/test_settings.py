from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataloader.base.cache import cache_root
from dataloader.base.errors import UsageError
from dataloader.base.reporter import Reporter
from dataloader.index.settings import DEFAULT_INDEX, IndexSettings, index_settings, parse_rate

NO_FILES = {"PIP_CONFIG_FILE": os.devnull}


def settings(
    flags: dict[str, object] | None = None, manifest: dict[str, object] | None = None, **environ: str
) -> IndexSettings:
    return index_settings(flags or {}, manifest or {}, {**NO_FILES, **environ})


def test_without_anything_said_pypi_is_asked() -> None:
    assert settings().index_url == DEFAULT_INDEX
    assert settings().origins == {}


def test_each_source_yields_to_the_one_before_it(tmp_path: Path) -> None:
    config = tmp_path / "pip" / "pip.conf"
    config.parent.mkdir()
    config.write_text("[global]\nindex-url = https://file.org/simple\n")
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path / "none"),
        "PIP_INDEX_URL": "https://pip.org/simple",
        "DATALOADER_INDEX_URL": "https://env.org/simple",
    }
    flags: dict[str, object] = {"index_url": "https://flag.org/simple"}
    manifest: dict[str, object] = {"index_url": "https://manifest.org/simple"}

    seen = [index_settings(flags, manifest, environ)]
    seen.append(index_settings({}, manifest, environ))
    del environ["DATALOADER_INDEX_URL"]
    seen.append(index_settings({}, manifest, environ))
    seen.append(index_settings({}, {}, environ))
    del environ["PIP_INDEX_URL"]
    seen.append(index_settings({}, {}, environ))

    hosts = [(each.index_url or "").split("/")[2] for each in seen]
    assert hosts == ["flag.org", "env.org", "manifest.org", "pip.org", "file.org"]
    assert [each.origins["index_url"] for each in seen] == [
        "--index-url",
        "DATALOADER_INDEX_URL",
        "index-url in the manifest",
        "PIP_INDEX_URL",
        "index-url in pip's configuration",
    ]


def test_lists_are_parted_by_white_space_as_pip_has_them() -> None:
    found = settings(PIP_EXTRA_INDEX_URL="https://a.org/s\n  https://b.org/s", PIP_FIND_LINKS="/srv/wheels /srv/more")

    assert found.extra_index_urls == ("https://a.org/s", "https://b.org/s")
    assert found.find_links == ("/srv/wheels", "/srv/more")


def test_the_install_section_wins_over_the_global_one(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[install]\nextra-index-url = https://i.org/s\n[global]\nextra-index-url = https://g.org/s\ntimeout = 60\n"
        "[download]\nextra-index-url = https://d.org/s\n"
    )

    found = index_settings({}, {}, {"PIP_CONFIG_FILE": str(config)})

    assert found.extra_index_urls == ("https://i.org/s",)
    assert found.timeout == 60


def test_a_pip_conf_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    lines: list[str] = []

    class Listening(Reporter):
        def warn(self, message: str) -> None:
            lines.append(message)

    config = tmp_path / "pip.conf"
    config.write_text("index-url without a section")

    found = index_settings({}, {}, {"PIP_CONFIG_FILE": str(config)}, Listening())

    assert found.index_url == DEFAULT_INDEX
    assert any(str(config) in line for line in lines)


def test_no_index_leaves_find_links_alone() -> None:
    found = settings(PIP_NO_INDEX="1", PIP_FIND_LINKS="/srv", PIP_EXTRA_INDEX_URL="https://a.org/s")

    assert (found.index_url, found.extra_index_urls, found.find_links) == (None, (), ("/srv",))


def test_the_flags_of_the_command_line_fit() -> None:
    found = settings({"extra_index_url": ("https://a.org/s",), "offline": True, "refresh": False, "index_url": None})

    assert found.extra_index_urls == ("https://a.org/s",)
    assert found.offline
    assert not found.refresh


def test_mirrors_are_written_prefix_and_url() -> None:
    found = settings(DATALOADER_MIRROR="https://pypi.org=https://a.org https://pypi.org=https://b.org")

    assert found.mirrors == {"https://pypi.org": ("https://a.org", "https://b.org")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATALOADER_LIMIT_RATE", "fast"),
        ("DATALOADER_LIMIT_RATE", "0"),
        ("DATALOADER_MIRROR", "https://a.org"),
        ("DATALOADER_OFFLINE", "perhaps"),
        ("PIP_TIMEOUT", "soon"),
        ("PIP_TIMEOUT", "-1"),
        ("PIP_RETRIES", "-1"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_origin(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        index_settings({}, {}, {**NO_FILES, name: value})

    assert caught.value.code == "setting-invalid"


def test_settings_show_no_secret() -> None:
    assert "secret" not in repr(settings(PIP_INDEX_URL="https://me:secret@h.org/s", PIP_PROXY="http://me:secret@p"))


def test_rates_have_units() -> None:
    assert [parse_rate(text) for text in ("1", "1k", "1.5M", "2MiB/s", "1g")] == [1, 1024, 1572864, 2 << 20, 1 << 30]


def test_the_cache_moves_with_its_variable(tmp_path: Path) -> None:
    assert cache_root({"DATALOADER_CACHE_DIR": str(tmp_path / "x"), "HOME": str(tmp_path)}) == tmp_path / "x"
    assert cache_root({"XDG_CACHE_HOME": str(tmp_path / "x"), "HOME": str(tmp_path)}) == tmp_path / "x" / "dataloader"
    assert cache_root({"XDG_CACHE_HOME": "x", "HOME": str(tmp_path)}) == tmp_path / ".cache" / "dataloader"


def test_without_a_home_the_cache_is_a_private_temporary_directory(tmp_path: Path) -> None:
    root = cache_root({"TMPDIR": str(tmp_path)})

    assert root.parent == tmp_path
    assert root.stat().st_mode & 0o777 == 0o700
    assert cache_root({"TMPDIR": str(tmp_path)}) == root


def test_a_temporary_cache_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    cache_root({"TMPDIR": str(tmp_path)}).chmod(0o777)

    root = cache_root({"TMPDIR": str(tmp_path)})

    assert root.stat().st_mode & 0o777 == 0o700


def test_a_machine_that_cannot_be_written_to_still_has_a_name_for_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A read-only root without /tmp: who only reads goes on."""

    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    assert cache_root({}).name.startswith("dataloader-cache-")
    assert cache_root({"TMPDIR": "/dev/null/inside"}).parent == Path("/dev/null/inside")


def test_what_cannot_be_read_is_told_as_it_was_said() -> None:
    with pytest.raises(UsageError, match=r"--mirror cannot be read: 'nonsense'"):
        index_settings({"mirrors": ("nonsense",)}, {}, {})
