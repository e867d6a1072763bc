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
from dataclasses import dataclass
from pathlib import Path

import platformdirs

_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        home: folder of converted and quantised models; created when first written to.
        data_dir: folder with the data sets' official files, or None to read them from the hub.
        offline: never touch the network.
        debug: show tracebacks.
    """

    home: Path
    data_dir: Path | None
    offline: bool
    debug: bool


def read_settings() -> Settings:
    """Read the environment as it is now."""
    home = os.environ.get("MEDBENCH_HOME")
    data = os.environ.get("MEDBENCH_DATA")
    return Settings(
        home=Path(home).expanduser() if home else Path(platformdirs.user_cache_dir("medbench-local")),
        data_dir=Path(data).expanduser() if data else None,
        offline=os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE,
        debug=os.environ.get("MEDBENCH_DEBUG", "").lower() in _TRUE,
    )
