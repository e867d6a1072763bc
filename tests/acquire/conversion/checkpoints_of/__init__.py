"""Random checkpoints as transformers makes them: one module an architecture, one entry of its ``MADE`` a variant.

Whoever adds an architecture adds a module; the tests of the official conversion and of log-probabilities take it from
here.
"""

from __future__ import annotations

import io
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.acquire.checkpoints import (
    BPE_CONFIG,
    SPM_CONFIG,
    small_bpe,
    small_sentencepiece,
    write_json,
)

SMALL: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 400,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
"""What the architectures' config.json have in common; rows of 256 take K-quants."""


@dataclass(frozen=True)
class Made:
    """A random checkpoint, and how exact what is made of it has to be.

    Attributes:
        config: config.json, with the names of the class and of the model type.
        tolerance: of log-probabilities in the exact mode, from transformers in float32.
        noise: of the other modes, which round keys and values to float16.
        norm_mean: around which the weights of norms lie; 0 where the model adds one itself.
        fused: as transformers 5 has it in memory: experts in one tensor, parts of a whole by other names.
        same_as: the name of a checkpoint that holds the same in another way, and becomes the same file; "" for none.
        exceptions: keys of the metadata that differ from the official converter's, with the reason.
        official: what the official converter makes of it, where that is another architecture than ours; its keys are
            compared with ours.
        prepare: changes the random model before it is written.
        tokenizer: "spm", or "bpe" with the rules of Llama 3.
        pieces: settings of the SentencePiece tokenizer.
        emulate: changes transformers' model to round as llama.cpp does; None where there is nothing to change.
        emulated: of log-probabilities in the exact mode, from transformers in float32 changed in that way.
        again: another configuration of what is there already; it is scored in the exact mode only, and not quantised.
        precise: transformers computes in float64, because it is far off in float32 itself.
    """

    config: dict[str, Any]
    tolerance: float = 3e-4
    noise: float = 0.05
    norm_mean: float = 1.0
    fused: bool = False
    same_as: str = ""
    exceptions: Mapping[str, str] = field(default_factory=dict)
    official: str = ""
    prepare: Callable[[Any], None] = lambda model: None
    tokenizer: str = "spm"
    pieces: Mapping[str, Any] = field(default_factory=dict)
    emulate: Callable[[Any], None] | None = None
    emulated: float = 5e-4
    again: bool = False
    precise: bool = False


@cache
def made() -> dict[str, Made]:
    """Every variant of every architecture by its name, "qwen2 tied"."""
    found: dict[str, Made] = {}
    for module in pkgutil.iter_modules(__path__):
        variants: dict[str, Made] = import_module(f"{__name__}.{module.name}").MADE
        found |= {f"{module.name} {variant}".strip(): one for variant, one in variants.items()}
    return found


def distinct() -> dict[str, Made]:
    """Those of which no other holds the same."""
    return {name: one for name, one in made().items() if not one.same_as}


def fill(model: torch.nn.Module, norm_mean: float) -> None:
    """Random values everywhere: no norm that is one and no bias that is zero hides a mistake."""
    generator = torch.Generator().manual_seed(0)
    for name, values in model.named_parameters():
        random = torch.randn(values.shape, generator=generator)
        if values.ndim >= 2:
            values.data = random / values.shape[-1] ** 0.5
        elif "norm" in name:
            values.data = norm_mean + 0.3 * random
        elif name.endswith("bias"):
            values.data = 0.3 * random


def write(folder: Path, made: Made) -> Path:
    """The checkpoint in bfloat16, its config.json word for word as ``made`` has it, and a small tokenizer."""
    folder.mkdir()
    write_json(folder / "config.json", made.config)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, made.config["architectures"][0])(config)
    fill(model, made.norm_mean)
    made.prepare(model)
    with redirect_stderr(io.StringIO()):
        model.to(torch.bfloat16).save_pretrained(folder, save_original_format=not made.fused)
    write_json(folder / "config.json", made.config)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if made.tokenizer == "bpe":
        (folder / "tokenizer.json").write_text(small_bpe(), encoding="utf-8")
        write_json(folder / "tokenizer_config.json", BPE_CONFIG)
    else:
        (folder / "tokenizer.model").write_bytes(small_sentencepiece(**made.pieces))
        write_json(folder / "tokenizer_config.json", SPM_CONFIG)
    return folder
