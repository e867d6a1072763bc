"""What in the environment keeps the hub from being asked, told by the name of the variable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from medbench_local.errors import NotFoundError, OfflineError, UsageError
from medbench_local.hub.errors import TransportError, unreachable
from medbench_local.hub.repository import Repository, hub_from_environment, open_repository
from medbench_local.progress import Silent
from tests.hub_server import HubServer

TOKEN = "hf_SecretSecretSecret"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one repository; no variable of this machine's interferes."""
    for name in (
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy"),
        *("no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "config.json").write_text("{}")
    close_session()  # the client reads the environment when it is made
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        server.add("owner/name", tmp_path / "repository")
        yield server
    close_session()


def opened(*, offline: bool = False) -> Repository:
    return open_repository(
        "owner/name", "main", offline=offline, hub=hub_from_environment(), progress=Silent()
    )


@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "http_proxy"])
def test_a_socks_proxy_without_the_package_that_speaks_socks(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("medbench_local.settings.find_spec", lambda _: None)
    monkeypatch.setenv(name, "socks5://user:secret@127.0.0.1:9")
    with pytest.raises(UsageError, match=rf"The proxy in {name} is a SOCKS proxy") as caught:
        opened()
    assert 'pip install "httpx[socks]"' in caught.value.advice
    assert "secret" not in str(caught.value)
    assert hub.requests == []


def test_an_older_socks_is_refused_whatever_is_installed(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medbench_local.settings.find_spec", lambda _: object())
    monkeypatch.setenv("ALL_PROXY", "socks4://127.0.0.1:9")
    with pytest.raises(UsageError, match="ALL_PROXY is a socks4 proxy"):
        opened()


def test_no_proxy_is_asked_for(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    assert opened().files


@pytest.mark.parametrize("content", [None, b"no certificates"])
def test_a_certificate_file_that_is_none(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "company.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    said = "no such file" if content is None else "not readable"
    with pytest.raises(UsageError, match=rf"SSL_CERT_FILE names .*company\.pem: .*{said}"):
        opened()
    assert hub.requests == []


def test_a_certificate_folder_that_is_none(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", "/no/such/folder")
    with pytest.raises(UsageError, match="SSL_CERT_DIR names /no/such/folder"):
        opened()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_variables_that_the_client_does_not_read_do_no_harm(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/no/such/file")
    assert opened().files


def test_a_certificate_that_is_not_trusted_names_the_variable_that_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/company.pem")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    error = unreachable(
        "https://huggingface.co",
        TransportError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in certificate chain"),
    )
    assert "in SSL_CERT_FILE (REQUESTS_CA_BUNDLE: not read here)" in error.advice


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (f"“{TOKEN}”", r"“ \(U\+201C\)"),
        (f'"{TOKEN}"', r"\" \(U\+0022\)"),
        (f"{TOKEN}\u200b", r"U\+200B"),
        (f"{TOKEN} {TOKEN}", r"\(U\+0020\)"),
    ],
)
def test_a_token_with_a_character_that_no_token_has(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str, token: str, shown: str
) -> None:
    monkeypatch.setenv(name, token)
    with pytest.raises(UsageError, match=rf"^{name} holds .*{shown}.* the hub was not asked") as caught:
        opened()
    assert TOKEN not in str(caught.value)
    assert hub.requests == []


def test_a_token_file_with_such_a_character(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"‘{TOKEN}’", encoding="utf-8")
    with pytest.raises(UsageError, match=r"token holds ‘ \(U\+2018\)") as caught:
        opened()
    assert "hf auth login" in caught.value.advice
    assert hub.requests == []


def test_a_token_file_that_is_no_text(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(UsageError, match=r"The token in .*token cannot be read"):
        opened()


@pytest.mark.parametrize("token", [TOKEN, "hf_oauth_eyJ.a-b_c.d~e+f/g==", f" {TOKEN}\n"])
def test_tokens_as_they_are_pass(hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    hub.tokens[token.strip()] = {"owner/name"}
    monkeypatch.setenv("HF_TOKEN", token)
    assert opened().files


def test_without_a_network_nothing_of_it_matters(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "“")
    with pytest.raises(OfflineError, match="not completely in the cache"):
        opened(offline=True)


def test_a_repository_that_is_not_there(hub: HubServer) -> None:
    with pytest.raises(NotFoundError):
        open_repository("owner/other", "main", offline=False, hub=hub_from_environment(), progress=Silent())
