"""Every environment variable and every default path, read in one place.

========================  =====================================================================
MEDBENCH_HOME             converted and quantised models (default: the user's cache folder)
MEDBENCH_DATA             folder with the data sets' official files (default: from the hub)
MEDBENCH_DEBUG            1: show tracebacks
HF_HUB_OFFLINE            1: never touch the network (read by huggingface_hub as well)
HF_TOKEN, HF_HOME,
HF_ENDPOINT               read by huggingface_hub only
HTTPS_PROXY, HTTP_PROXY,
ALL_PROXY, NO_PROXY       read by the HTTP library beneath it
SSL_CERT_FILE,
SSL_CERT_DIR              certificates that it trusts, instead of the system's
========================  =====================================================================
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from medbench_local.paths import user_path

_TRUE = {"1", "true", "yes", "on"}
ADDRESS_ADVICE = "Write it like https://huggingface.co, or unset HF_ENDPOINT."


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        home: folder of converted and quantised models; created when first written to.
        data_dir: folder with the data sets' official files, or None to read them from the hub.
        offline: never touch the network.
    """

    home: Path
    data_dir: Path | None
    offline: bool


def hub_address_problem(address: str | None = None) -> str:
    """What is wrong with the hub's address, in a sentence that gives no password away; "" if nothing is.

    Args:
        address: of the server; None for HF_ENDPOINT.
    """
    if address is None:
        address = os.environ.get("HF_ENDPOINT", "")
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return ""
    except ValueError:
        pass
    shown = re.sub(r"^(\w+://)?.*@", r"\1", address)
    return f"HF_ENDPOINT, '{shown}', is not the address of a server."


@dataclass(frozen=True)
class Obstacle:
    """What keeps the hub from being asked, and what to do about it."""

    problem: str
    advice: str


def network_obstacle() -> Obstacle | None:
    """What in the environment makes every connection fail, by the name of the variable; None if nothing does."""
    return _proxy_obstacle() or _certificate_obstacle()


def _proxy_obstacle() -> Obstacle | None:
    from urllib.request import getproxies  # slow to import, as ssl is below

    found = getproxies()  # of the environment, or else of the system
    if "*" in [name.strip() for name in found.get("no", "").split(",")]:
        return None
    for scheme in ("http", "https", "all"):
        kind = found.get(scheme, "").partition("://")[0].lower()
        if not kind.startswith("socks"):
            continue
        names = [name for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY") if os.environ.get(name)]
        what = f"The proxy in {names[-1]}" if names else "The proxy in the system's settings"
        if kind not in ("socks5", "socks5h"):
            return Obstacle(f"{what} is a {kind} proxy; SOCKS is spoken in version 5 only.", _OTHER_PROXY)
        if find_spec("socksio") is None:
            return Obstacle(
                f"{what} is a SOCKS proxy, and the package that speaks SOCKS is not installed.",
                f'Run `pip install "httpx[socks]"`. Or: {_OTHER_PROXY}',
            )
    return None


_OTHER_PROXY = "Name an HTTP proxy in HTTPS_PROXY and unset ALL_PROXY."


def _certificate_obstacle() -> Obstacle | None:
    import ssl

    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except (OSError, ValueError) as error:
            reason = (
                "there is no such file" if isinstance(error, FileNotFoundError) else f"not readable: {error}"
            )
            return Obstacle(
                f"SSL_CERT_FILE names {file}: {reason}.",
                "Correct the path to a file of PEM certificates, or unset SSL_CERT_FILE.",
            )
    elif folder and not any(Path(part).is_dir() for part in folder.split(os.pathsep)):
        return Obstacle(
            f"SSL_CERT_DIR names {folder}: there is no such folder.",
            "Correct the path, or unset SSL_CERT_DIR.",
        )
    return None


_NO_TOKEN_CHARACTER = re.compile(r"[^A-Za-z0-9._~+/=-]")  # RFC 6750, section 2.1


def token_obstacle(token: str | None, file: str) -> Obstacle | None:
    """Why no server can have given out this token; None if one can, or if there is none.

    Args:
        token: as it would be sent.
        file: where the hub's client keeps the token of `hf auth login`.
    """
    found = _NO_TOKEN_CHARACTER.search(token or "")
    if found is None:
        return None
    variables = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    source = next((name for name in variables if os.environ.get(name, "").strip()), "")
    character = found[0]
    shown = f"{character} (U+{ord(character):04X})" if character.isprintable() else f"U+{ord(character):04X}"
    return Obstacle(
        f"{source or file} holds {shown}, a character that no token has; the hub was not asked.",
        "Copy the token again from https://huggingface.co/settings/tokens, without quotation marks, "
        + (f"or unset {source}." if source else "and run `hf auth login`."),
    )


def debug_wanted() -> bool:
    """Whether tracebacks are to be shown."""
    return os.environ.get("MEDBENCH_DEBUG", "").lower() in _TRUE


def read_settings() -> Settings:
    """Read the environment as it is now.

    Raises:
        UsageError: a folder is in the home of somebody who is not known here.
    """
    home = os.environ.get("MEDBENCH_HOME")
    data = os.environ.get("MEDBENCH_DATA")
    return Settings(
        home=user_path(home) if home else Path(platformdirs.user_cache_dir("medbench-local")),
        data_dir=user_path(data) if data else None,
        offline=os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE,
    )
