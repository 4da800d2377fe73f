from __future__ import annotations

import base64
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.index.web.credentials import Credentials, redact


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def credentials(*urls: str, **environ: str) -> Credentials:
    return Credentials(urls, environ, Reporter())


def test_the_password_of_an_index_url_serves_its_host_and_no_other() -> None:
    found = credentials("https://me:p%40ss@h.org/simple")

    assert found.header("https://h.org/simple/foo/") == basic("me:p@ss")
    assert found.header("https://h.org/files/foo.whl") == basic("me:p@ss")
    assert found.header("https://h.org.evil.com/simple/") is None
    assert found.header("http://h.org/simple/") is None


def test_two_indexes_of_one_host_keep_their_own_credentials() -> None:
    found = credentials("https://a:1@h.org/one/", "https://b:2@h.org/two/")

    assert found.header("https://h.org/one/foo/") == basic("a:1")
    assert found.header("https://h.org/two/foo/") == basic("b:2")


def test_netrc_answers_for_hosts_it_names(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine h.org login me password secret\n")
    netrc.chmod(0o600)

    for found in (credentials(NETRC=str(netrc)), credentials("https://h.org/simple", NETRC=str(netrc))):
        assert found.header("https://h.org/simple/") == basic("me:secret")
        assert found.header("https://other.org/") is None


def test_netrc_lies_in_the_home(tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine h.org login me password secret\n")
    netrc.chmod(0o600)

    assert credentials(HOME=str(tmp_path)).header("https://h.org/") == basic("me:secret")


def test_a_broken_netrc_is_a_warning_without_its_content(tmp_path: Path) -> None:
    lines: list[str] = []

    class Listening(Reporter):
        def warn(self, message: str) -> None:
            lines.append(message)

    (tmp_path / ".netrc").write_text("machine h.org lgin me password secret\n")

    assert Credentials((), {"HOME": str(tmp_path)}, Listening()).header("https://h.org/") is None
    assert len(lines) == 1
    assert "secret" not in lines[0]


def test_variables_serve_the_main_index_alone() -> None:
    found = credentials(
        "https://h.org/simple",
        "https://other.org/simple",
        DATALOADER_INDEX_USERNAME="me",
        DATALOADER_INDEX_PASSWORD="secret",
    )

    assert found.header("https://h.org/simple/foo/") == basic("me:secret")
    assert found.header("https://other.org/simple/foo/") is None


@pytest.mark.parametrize(
    "url",
    ["https://me:secret@h.org/x", "https://secret@h.org/x", "https://h.org/x?token=secret", "https://h.org/x#secret?"],
)
def test_a_redacted_url_shows_no_secret(url: str) -> None:
    assert "secret" not in redact(url)
    assert "h.org/x" in redact(url)
