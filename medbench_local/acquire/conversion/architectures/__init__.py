"""The architectures that can be converted, one file each: every module of this package has an ``ARCHITECTURE``."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from medbench_local.acquire.conversion.architecture import Architecture
from medbench_local.acquire.conversion.checkpoint import Checkpoint
from medbench_local.acquire.conversion.rope_scaling import OTHER_ENGINE
from medbench_local.errors import InputError, UnsupportedArchitectureError

OTHER_CONVERTER = (
    "Convert it with llama.cpp's own converter (python convert_hf_to_gguf.py FOLDER --outfile "
    "MODEL.gguf --outtype auto, from https://github.com/ggml-org/llama.cpp) and give MODEL.gguf "
    "instead of the checkpoint."
)

_INEXACT = {
    "GptOssForCausalLM": "llama.cpp ignores the setting truncate of its rope scaling, so that long prompts would be "
    "scored another way"
}
"""Classes that llama.cpp computes, but not as they were trained."""


def architectures() -> dict[str, Architecture[Any]]:
    """Every architecture by the names of its classes."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {name: module.ARCHITECTURE for module in modules for name in module.ARCHITECTURE.classes}


def architecture_of(checkpoint: Checkpoint) -> Architecture[Any]:
    """The architecture that config.json names.

    Raises:
        InputError: it does not name exactly one.
        UnsupportedArchitectureError: it cannot be converted.
    """
    names = checkpoint.config.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise InputError(
            checkpoint.config_file, "key 'architectures'", f"expected a list of one name, not {names!r:.80}"
        )
    known = architectures()
    if names[0] not in known:
        if names[0] in _INEXACT:
            raise UnsupportedArchitectureError(
                f"{checkpoint.config_file}: {names[0]!r} cannot be converted: {_INEXACT[names[0]]}.",
                advice=OTHER_ENGINE,
            )
        if code := checkpoint.config.get("auto_map"):
            raise UnsupportedArchitectureError(
                f"{checkpoint.config_file}: {names[0]!r:.80} cannot be converted: it is code that lies beside the "
                f"weights ({code!r:.120}), and nothing from a model's repository is executed.",
                advice=OTHER_CONVERTER,
            )
        raise UnsupportedArchitectureError(
            f"{checkpoint.config_file}: {names[0]!r:.80} cannot be converted; "
            f"supported are {', '.join(known)}.",
            advice=OTHER_CONVERTER,
        )
    return known[names[0]]
