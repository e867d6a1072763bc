"""What a checkpoint's config.json says of the architecture, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medbench_local.acquire.conversion.numbers import Positive as Positive
from medbench_local.acquire.conversion.numbers import Size as Size
from medbench_local.acquire.conversion.rope_scaling import (
    OTHER_ENGINE as OTHER_ENGINE,
)
from medbench_local.acquire.conversion.rope_scaling import (
    RopeScaling,
    read_rope,
    refuse_rope,
)
from medbench_local.errors import AcquireError, InputError, UnsupportedArchitectureError

if TYPE_CHECKING:
    from medbench_local.acquire.conversion.architecture import Architecture
    from medbench_local.acquire.conversion.checkpoint import Checkpoint


class ModelConfig(BaseModel):
    """What all decoders have; names as in config.json. An architecture with more keys extends it.

    Attributes:
        architecture: the name of its class.
        num_key_value_heads: equal to num_attention_heads unless heads share keys and values.
        head_dim: rows of the query projection per head.
        max_position_embeddings: trained context, tokens.
        partial_rotary_factor: the part of each head that is rotated.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    architecture: str
    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Annotated[int, Field(gt=0, le=1024)]
    num_attention_heads: Size
    num_key_value_heads: Size
    head_dim: Annotated[Size, Field(multiple_of=2)]
    vocab_size: Size
    max_position_embeddings: Size
    rms_norm_eps: Positive = 1e-6
    layer_norm_eps: Positive = 1e-5
    rope_theta: Positive = 10000.0
    rope_scaling: RopeScaling = RopeScaling()
    partial_rotary_factor: Positive = 1.0
    tie_word_embeddings: bool = False
    hidden_act: str = "silu"

    @model_validator(mode="after")
    def _heads_fit(self) -> ModelConfig:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        return self


C = TypeVar("C", bound=ModelConfig)


def read_model_config(checkpoint: Checkpoint, architecture: Architecture[C]) -> C:
    """Read the checkpoint's config.json.

    Raises:
        AcquireError: a property of the architecture cannot be converted.
        InputError: the file is missing or damaged, or a value makes no sense.
    """
    path, data = checkpoint.config_file, checkpoint.config
    if method := _quantised_by(data):
        raise AcquireError(
            f"{path}: the checkpoint is already quantised ({method}), which cannot be converted without loss.",
            advice="Use the original 16-bit checkpoint, or a ready-made GGUF file.",
        )
    values = {**architecture.assumed, **data, "architecture": data["architectures"][0]}
    values = {key: value for key, value in values.items() if value is not None}
    heads, hidden = values.get("num_attention_heads"), values.get("hidden_size")
    values.setdefault("num_key_value_heads", heads)
    if "head_dim" not in values and type(heads) is int and type(hidden) is int and heads > 0:
        if hidden % heads:
            raise InputError(
                path, "key 'hidden_size'", f"{hidden} is not a multiple of num_attention_heads {heads}"
            )
        values["head_dim"] = hidden // heads
    values.setdefault("head_dim", 2)
    read_rope(path, values)
    try:
        config = architecture.config.model_validate(values)
    except ValidationError as error:
        raise as_input_error(path, error) from error
    for refusal in architecture.refusals:
        if refusal.applies(config):
            raise UnsupportedArchitectureError(
                f"{path}: {refusal.key} {getattr(config, refusal.key)!r:.80} cannot be converted: "
                f"{refusal.reason}.",
                advice=refusal.advice,
            )
    refuse_rope(path, config.rope_scaling, architecture.rope, config.architecture)
    return config


def _quantised_by(config: Mapping[str, Any]) -> str:
    """The method that config.json names, "gptq" or "fp8"; "" for weights that are not quantised."""
    for key in ("quantization_config", "compression_config"):
        if found := config.get(key):
            method = found.get("quant_method") if isinstance(found, dict) else None
            return f"{method or key:.40}"
    return ""


def as_input_error(path: Path, error: ValidationError) -> InputError:
    """The first thing that does not fit in a JSON file, with its key."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    given = "" if first["type"] == "missing" or not place else f", not {first['input']!r:.80}"
    problem = first["msg"].removeprefix("Value error, ")
    return InputError(path, f"key '{place}'" if place else "", problem[:1].lower() + problem[1:] + given)
