"""The architectures that can be converted, one file each: every module of this package has an ``ARCHITECTURE``."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from medbench_local.acquire.conversion.architecture import Architecture
from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.rope_scaling import OTHER_ENGINE
from medbench_local.acquire.picture_folders import DIFFERENCE_OR_WHOLE, EXPORTED
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


def with_known_class(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the class in its configuration spelled as `architectures` does.

    Where config.json names no class, "model_type" decides, as in transformers. Capitals do not count (the first
    conversions of Llama wrote LLaMAForCausalLM), nor does the FSDP that training with it puts before the name.
    """
    config, known = checkpoint.config, architectures()
    names = config.get("architectures")
    if names in (None, []):
        found = _class_of_type(config.get("model_type"), known)
    elif isinstance(names, list) and len(names) == 1 and isinstance(names[0], str):
        wanted = names[0].removeprefix("FSDP").lower()
        found = (
            names[0] if names[0] in known else next((name for name in known if name.lower() == wanted), None)
        )
    else:
        found = None
    if found is None or names == [found]:
        return checkpoint
    return CheckpointView(
        checkpoint.origin,
        {**config, "architectures": [found]},
        checkpoint.config_file,
        checkpoint.tokenizer,
        checkpoint.tensors,
    )


def contradiction(checkpoint: Checkpoint) -> tuple[str, ...]:
    """A warning if config.json names a class and the "model_type" of another: transformers would take that one."""
    names, model_type = checkpoint.config.get("architectures"), checkpoint.config.get("model_type")
    of_type = _class_of_type(model_type, architectures())
    if of_type is None or not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        return ()
    if _family(of_type) == _family(names[0].removeprefix("FSDP")):
        return ()
    return (
        f"config.json says {names[0]:.80} and model_type {model_type!r:.80}, which contradict each other: it is "
        f"converted as a {names[0]:.80}, transformers would load a {of_type}.",
    )


def _family(name: str) -> str:
    return name.lower().removesuffix("forconditionalgeneration").removesuffix("forcausallm")


def _class_of_type(model_type: Any, known: Iterable[str]) -> str | None:
    """The class that transformers takes for causal language models of a "model_type", "qwen2_moe" for example.

    A wrapper ("gemma3") and the language model in it ("gemma3_text") are two types.
    """
    if not isinstance(model_type, str):
        return None
    stem = model_type.removesuffix("_text").replace("_", "").lower()
    endings = (
        ("ForCausalLM",) if model_type.endswith("_text") else ("ForConditionalGeneration", "ForCausalLM")
    )
    return next(
        (name for ending in endings for name in known if name.lower() == f"{stem}{ending.lower()}"), None
    )


def architecture_of(checkpoint: Checkpoint) -> Architecture[Any]:
    """The architecture that config.json names.

    Raises:
        InputError: it does not name exactly one.
        UnsupportedArchitectureError: it cannot be converted.
    """
    names = checkpoint.config.get("architectures")
    known = architectures()
    model_type = checkpoint.config.get("model_type")
    if names in (None, []) and isinstance(model_type, str):
        raise UnsupportedArchitectureError(
            f"{checkpoint.config_file}: model_type {model_type!r:.80} cannot be converted; "
            f"supported are {', '.join(known)}.",
            advice=OTHER_CONVERTER,
        )
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise InputError(
            checkpoint.config_file,
            "key 'architectures'",
            f"expected a list of one name, not {names!r:.80}",
            advice=f"Write the class that the model is saved from, one of {', '.join(known)}.",
        )
    if names[0] not in known:
        if names[0] in _INEXACT:
            raise UnsupportedArchitectureError(
                f"{checkpoint.config_file}: {names[0]!r} cannot be converted: {_INEXACT[names[0]]}.",
                advice=OTHER_ENGINE,
            )
        if names[0] in (*DIFFERENCE_OR_WHOLE, EXPORTED):
            raise UnsupportedArchitectureError(
                f"{checkpoint.config_file}: {names[0]!r} reads pictures; it is put together from several parts.",
                advice="Download it and give its folder; or give the folder that `convert()` makes of it.",
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
