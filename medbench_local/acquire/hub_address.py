"""Addresses of the hub, as they are copied from a browser: which repository, revision and file they mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from medbench_local.errors import UsageError

_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co")
_VIEWS = ("tree", "blob", "resolve", "raw", "blame", "commits", "commit", "edit")
"""What comes before a revision in an address."""

_OTHER_KINDS = {
    "datasets": "a data set",
    "spaces": "a space",
    "collections": "a collection",
    "papers": "a paper",
}


@dataclass(frozen=True)
class HubAddress:
    """What an address means.

    Attributes:
        repository: "owner/name", as it stands there; not checked.
        revision: branch, tag or commit; "" if it names none.
        file: path in the repository; "" for the repository itself.
    """

    repository: str
    revision: str
    file: str


def read_hub_address(text: str) -> HubAddress | None:
    """Read an address of the hub; None if ``text`` is none.

    Hosts are huggingface.co, hf.co and the one that HF_ENDPOINT names, with or without https:// before them.

    Raises:
        UsageError: it is the address of another server, or of something that is no model.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() == "hf":
        return _read_path(text, rest, at_revision=True)
    if separator and scheme.lower() not in ("http", "https"):
        return None
    try:
        parts = urlsplit(text if separator else f"https://{text}")
        host = parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        return None
    if host in _HOSTS:
        return _read_path(text, parts.path)
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", ""))
    if host and host == endpoint.netloc.rpartition("@")[2].lower():
        return _read_path(text, parts.path.removeprefix(endpoint.path.rstrip("/")))
    if not separator:
        return None
    raise UsageError(
        f"'{_without_password(text)}' is no address of the hub.",
        advice="Download the file or folder and give its path; for a mirror of the hub, name it in HF_ENDPOINT.",
    )


def _read_path(text: str, path: str, *, at_revision: bool = False) -> HubAddress:
    parts = [unquote(part) for part in path.split("/") if part]
    if parts and parts[0] == "models":
        del parts[0]
    if parts and parts[0] in _OTHER_KINDS:
        raise UsageError(
            f"'{_without_password(text)}' is {_OTHER_KINDS[parts[0]]}, not a model.", advice=_ADVICE
        )
    if len(parts) < 2:
        raise UsageError(f"'{_without_password(text)}' names no owner and model.", advice=_ADVICE)
    repository, rest = "/".join(parts[:2]), parts[2:]
    if at_revision:
        repository, _, revision = repository.partition("@")
        return HubAddress(repository, revision, "/".join(rest))
    if not rest or rest[0] not in _VIEWS:
        return HubAddress(repository, "", "")
    # branches of pull requests are the only revisions with slashes in addresses
    length = 3 if rest[1:3] == ["refs", "pr"] else 1
    return HubAddress(repository, "/".join(rest[1 : 1 + length]), "/".join(rest[1 + length :]))


_ADVICE = "Give the address of a model's page, or hf:owner/name."


def _without_password(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}" if separator else text
