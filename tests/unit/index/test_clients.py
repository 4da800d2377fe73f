"""Which client serves: reqwest where the system's certificates count, whoever names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.index.settings import IndexSettings
from dataloader.index.web import clients

pytest.importorskip("pyreqwest")
VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the system's certificates."""
    path = tmp_path / "ca-certificates.crt"
    path.write_text("the system's")
    monkeypatch.setattr(clients, "_OF_SYSTEMS", (str(tmp_path / "elsewhere.pem"), str(path)))
    for name in (*VARIABLES, "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return path


def is_swift(*, cert: Path | None = None, environ: dict[str, str] | None = None) -> bool:
    settings = IndexSettings(cert=str(cert) if cert else None, environ=environ or {})
    return clients._is_plain(settings)


def test_the_systems_own_file_named_is_the_system(bundle: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.pem"
    link.symlink_to(bundle)

    assert is_swift()
    assert is_swift(cert=bundle)
    assert is_swift(cert=link)
    assert is_swift(environ={"REQUESTS_CA_BUNDLE": str(bundle)})


def test_another_file_is_openssls_to_read(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "own.pem"
    other.write_text("the company's")

    assert not is_swift(cert=other)
    assert not is_swift(cert=tmp_path / "gone.pem")
    assert not is_swift(environ={"REQUESTS_CA_BUNDLE": str(other)})
    # the first of these variables counts
    assert not is_swift(environ={"REQUESTS_CA_BUNDLE": str(other), "CURL_CA_BUNDLE": str(bundle)})


def test_what_rustls_reads_of_the_environment_is_not_what_was_named(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = str(tmp_path / "own.pem")
    monkeypatch.setenv("SSL_CERT_FILE", own)

    assert is_swift(environ={"SSL_CERT_FILE": own})
    assert not is_swift(cert=bundle, environ={"SSL_CERT_FILE": own})
