"""A LoRA adapter merged into the model that it was trained on (Hu et al., "LoRA", ICLR 2022)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG
from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.float_types import narrowed, widened
from medbench_local.acquire.conversion.model_config import as_input_error
from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.json_objects import read_json_object

Rank = Annotated[int, Field(gt=0, lt=1 << 20)]
Alpha = Annotated[float, Field(allow_inf_nan=False)]

_FACTOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_NAME = re.compile(r"\^?[\w.]+")


class _LoraConfig(BaseModel):
    """The keys of adapter_config.json that decide what the merged weights are."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    peft_type: str
    r: Rank
    lora_alpha: Alpha
    use_rslora: bool = False
    rank_pattern: dict[str, Rank] = {}
    alpha_pattern: dict[str, Alpha] = {}
    use_dora: bool = False
    fan_in_fan_out: bool = False
    lora_bias: bool = False
    init_lora_weights: bool | str = True
    layer_replication: list[Any] | None = None
    alora_invocation_tokens: list[int] | None = None


_REFUSALS: tuple[tuple[str, Callable[[_LoraConfig], bool], str], ...] = (
    ("peft_type", lambda config: config.peft_type != "LORA", "only LORA is a sum of matrices"),
    ("use_dora", lambda config: config.use_dora, "DoRA scales the merged weights as well"),
    ("fan_in_fan_out", lambda config: config.fan_in_fan_out, "its matrices are transposed"),
    ("lora_bias", lambda config: config.lora_bias, "biases of the adapter are not merged"),
    (
        "init_lora_weights",
        lambda config: config.init_lora_weights not in (True, False, "gaussian"),
        "training may have begun from a changed base model",
    ),
    ("layer_replication", lambda config: bool(config.layer_replication), "it repeats layers of the base"),
    (
        "alora_invocation_tokens",
        lambda config: bool(config.alora_invocation_tokens),
        "it works from certain tokens on only, merged it would work everywhere",
    ),
)


@dataclass(frozen=True)
class _Merged(Tensor):
    base: Tensor
    a: Tensor
    b: Tensor
    scale: float

    def rows(self, begin: int, end: int) -> NDArray[Any]:
        """W + scale * B·A in double precision, so that the order of summation cannot be seen; rounded at the end."""
        a, b = (
            widened(factor.rows(*which), factor.dtype).astype(np.float64)
            for factor, which in ((self.a, (0, self.a.shape[0])), (self.b, (begin, end)))
        )
        total = b @ a
        total *= self.scale
        total += widened(self.base.rows(begin, end), self.base.dtype)
        return narrowed(total.astype(np.float32), self.dtype, name=self.name)


def merge_adapter(base: Checkpoint, folder: Path) -> CheckpointView:
    """The model that a LoRA adapter makes of ``base``.

    What peft's ``merge_and_unload`` gives: every matrix W with factors A and B becomes W + scale * B·A in the type of
    W, scale being alpha / r, or alpha / sqrt(r) for rank-stabilised adapters. Tensors that the adapter holds whole
    (embeddings that were trained or made longer, biases) replace the base's.

    Args:
        base: the model that the adapter was trained on; nothing but shapes and names shows whether it is.
        folder: adapter_config.json and adapter_model.safetensors or .bin; a tokenizer there counts.

    Raises:
        InputError: a file is missing or damaged, or the adapter does not fit the base.
        AcquireError: an adapter that is more than a sum, or of a type that cannot be converted.
    """
    config_file = folder / ADAPTER_CONFIG
    config = _read_config(config_file)
    factors: dict[str, dict[str, Tensor]] = {}
    tensors = dict(base.tensors)
    changed = set()
    for tensor in _stored(folder):
        inner = tensor.name.removeprefix("base_model.model.")
        if match := _FACTOR.fullmatch(tensor.name):
            factors.setdefault(match[1], {})[match[2]] = tensor
        elif inner in base.tensors:
            tensors[inner] = tensor
            changed.add(inner)
        else:
            raise InputError(tensor.path, f"tensor {tensor.name!r:.120}", f"not part of {base.origin}")
    for module, pair in factors.items():
        name = f"{module}.weight"
        if name in changed or name not in base.tensors:
            where = next(iter(pair.values()))
            problem = "given whole as well" if name in changed else f"nothing to add it to in {base.origin}"
            raise InputError(where.path, f"tensor {where.name!r:.120}", problem)
        tensors[name] = _merge(base.tensors[name], module, pair, config, folder)
        changed.add(name)
    _refuse_tied(base, changed, folder)
    own_tokenizer = any((folder / name).is_file() for name in ("tokenizer.model", "tokenizer.json"))
    return CheckpointView(
        origin=folder,
        config=base.config,
        config_file=base.config_file,
        tokenizer=folder if own_tokenizer else base.tokenizer,
        tensors=tensors,
    )


def _read_config(path: Path) -> _LoraConfig:
    data = {key: value for key, value in read_json_object(path).items() if value is not None}
    try:
        config = _LoraConfig.model_validate(data)
    except ValidationError as error:
        raise as_input_error(path, error) from error
    for key, applies, reason in _REFUSALS:
        if applies(config):
            raise AcquireError(
                f"{path}: {key} {getattr(config, key)!r:.80} cannot be merged: {reason}.",
                advice="Merge it with the library it was trained with, and give the folder that results.",
            )
    for key in ("rank_pattern", "alpha_pattern"):
        for name in getattr(config, key):
            if not _NAME.fullmatch(name):
                raise AcquireError(f"{path}: {key} {name!r:.80} is not the name of a layer.")
    return config


def _stored(folder: Path) -> list[Tensor]:
    if (folder / "adapter_model.safetensors").is_file():
        found = read_safetensors(folder / "adapter_model.safetensors")
    elif (folder / "adapter_model.bin").is_file():
        found = read_torch(folder / "adapter_model.bin")
    else:
        raise InputError(folder, "", "neither adapter_model.safetensors nor adapter_model.bin")
    return list(found)


def _merge(
    base: Tensor, module: str, pair: Mapping[str, Tensor], config: _LoraConfig, folder: Path
) -> Tensor:
    for which in "AB":
        if which not in pair:
            raise InputError(folder, f"tensor 'base_model.model.{module}.lora_{which}.weight'", "missing")
    rank = config.rank_pattern.get(_pattern(config.rank_pattern, module), config.r)
    alpha = config.alpha_pattern.get(_pattern(config.alpha_pattern, module), config.lora_alpha)
    outputs, inputs = base.shape if len(base.shape) == 2 else (0, 0)
    for tensor, shape in ((pair["A"], (rank, inputs)), (pair["B"], (outputs, rank))):
        where = f"tensor '{tensor.name}'"
        if tensor.shape != shape:
            problem = f"shape {list(tensor.shape)}; with rank {rank} and a base of {list(base.shape)}"
            raise InputError(tensor.path, where, f"{problem} it must be {list(shape)}")
        if tensor.dtype not in MAPPED:
            raise AcquireError(f"{tensor.path}, {where}: elements of type {tensor.dtype} cannot be merged.")
    scale = alpha / (math.sqrt(rank) if config.use_rslora else rank)
    return _Merged(base.name, base.shape, base.dtype, base.path, base, pair["A"], pair["B"], scale)


def _pattern(patterns: Mapping[str, Any], module: str) -> str:
    """The first of the names that means the layer: its whole name, or its end from a dot on."""
    for name in patterns:
        if module == name.removeprefix("^") or (name[0] != "^" and module.endswith(f".{name}")):
            return name
    return ""


def _refuse_tied(base: Checkpoint, changed: set[str], folder: Path) -> None:
    """An adapter may give a model that shares one matrix between input and output two different ones."""
    shared = sorted(name for name in changed if name.endswith(("embed_tokens.weight", "lm_head.weight")))
    if shared and base.config.get("tie_word_embeddings"):
        raise AcquireError(
            f"{folder} changes {' and '.join(shared)}, which are one matrix in {base.origin} "
            "(tie_word_embeddings).",
            advice="Merge it with the library it was trained with, and give the folder that results.",
        )
