"""Every environment variable and every default path, read in one place.

========================  =====================================================================
MEDBENCH_HOME             converted and quantised models (default: the user's cache folder)
MEDBENCH_DATA             folder with the data sets' official files (default: from the hub)
MEDBENCH_DEBUG            1: show tracebacks
HF_HUB_OFFLINE            1: never touch the network (read by huggingface_hub as well)
HF_TOKEN, HF_HOME,
HF_ENDPOINT               read by huggingface_hub only
========================  =====================================================================
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
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
