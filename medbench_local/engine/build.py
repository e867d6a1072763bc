"""What the installed build of llama.cpp can do, as its files say: planning loads none of them."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_DEVICES = ("cuda", "metal", "vulkan", "hip", "musa", "sycl", "opencl", "cann")


@lru_cache
def may_use_gpu() -> bool:
    """Whether this build has code for a GPU; the machine may have none."""
    spec = find_spec("llama_cpp")
    folders = [Path(place) / "lib" for place in (spec and spec.submodule_search_locations) or ()]
    folders += [Path(place) for place in (os.environ.get("LLAMA_CPP_LIB_PATH"),) if place]
    names = [file.name for folder in folders if folder.is_dir() for file in folder.iterdir()]
    return any(f"ggml-{device}." in name for name in names for device in _DEVICES)
