"""What a checkpoint's config.json says of the architecture, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medbench_local.errors import AcquireError, InputError, UnsupportedArchitectureError

if TYPE_CHECKING:
    from medbench_local.acquire.conversion.architecture import Architecture
    from medbench_local.acquire.conversion.checkpoint import Checkpoint


Size = Annotated[int, Field(gt=0, lt=1 << 31)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RopeScaling(BaseModel):
    """How the positions are stretched beyond the context of the first training.

    Attributes:
        rope_type: "default" (not at all), "linear" (all frequencies), "llama3" (the low ones).
        factor: by how much.
        low_freq_factor, high_freq_factor: llama3 only; the band in between is interpolated.
        original_max_position_embeddings: llama3 only; the context before stretching, in tokens.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    rope_type: Literal["default", "linear", "llama3"] = "default"
    factor: Positive = 1.0
    low_freq_factor: Positive = 1.0
    high_freq_factor: Positive = 4.0
    original_max_position_embeddings: Size = 8192


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

OTHER_ENGINE = (
    "No GGUF file of it would give right answers, whatever made it. Export the prompts with `export_prompts()`, answer "
    "them with `run_reference()`, and compare the results with `verdict()`."
)
"""What to do with a model that llama.cpp does not compute as it was trained."""


def read_model_config(checkpoint: Checkpoint, architecture: Architecture[C]) -> C:
    """Read the checkpoint's config.json.

    Raises:
        AcquireError: a property of the architecture cannot be converted.
        InputError: the file is missing or damaged, or a value makes no sense.
    """
    path, data = checkpoint.config_file, checkpoint.config
    if data.get("quantization_config") or data.get("compression_config"):
        raise AcquireError(
            f"{path}: the checkpoint is already quantised, which cannot be converted without loss.",
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
    _read_rope(path, values)
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
    kind = config.rope_scaling.rope_type
    if kind != "default" and kind not in architecture.rope:
        raise UnsupportedArchitectureError(
            f"{path}: rope scaling {kind!r} cannot be converted: llama.cpp does not follow it in a "
            f"{config.architecture}.",
            advice=OTHER_ENGINE,
        )
    return config


def _read_rope(path: Path, values: dict[str, Any]) -> None:
    """Bring both ways of writing rope settings (before and since transformers 5) into one."""
    rope = values.pop("rope_parameters", None) or values.pop("rope_scaling", None) or {}
    if not isinstance(rope, dict):
        raise InputError(path, "key 'rope_scaling'", f"expected an object, not {rope!r:.80}")
    rope = _of_whole_attention(path, rope, values)
    rope = {key: value for key, value in rope.items() if value is not None}
    if "rope_theta" in rope:
        values["rope_theta"] = rope["rope_theta"]
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "linear", "llama3"):
        raise UnsupportedArchitectureError(
            f"{path}: rope scaling {kind!r:.40} cannot be converted; supported are linear and llama3.",
            advice="Convert it with llama.cpp's own converter and give the GGUF file instead.",
        )
    if kind != "default" and "factor" not in rope:
        raise InputError(path, "key 'rope_scaling.factor'", f"required for rope scaling {kind!r}")
    if "partial_rotary_factor" in rope:
        values.setdefault("partial_rotary_factor", rope["partial_rotary_factor"])
    values["rope_scaling"] = {**rope, "rope_type": kind}


def _of_whole_attention(path: Path, rope: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The settings of layers without a window, where those with one have settings of their own."""
    if not {"full_attention", "sliding_attention"} & rope.keys():
        return rope
    whole, local = (rope.get(kind) or {} for kind in ("full_attention", "sliding_attention"))
    for kind, settings in (("full_attention", whole), ("sliding_attention", local)):
        if not isinstance(settings, dict):
            where = f"key 'rope_parameters.{kind}'"
            raise InputError(path, where, f"expected an object, not {settings!r:.80}")
    if local.get("rope_type") not in (None, "default"):
        raise UnsupportedArchitectureError(
            f"{path}: rope scaling {local['rope_type']!r:.40} of layers with a window cannot be converted: llama.cpp "
            "stretches the positions of the others only.",
            advice=OTHER_ENGINE,
        )
    if "rope_theta" in local:
        values["rope_local_base_freq"] = local["rope_theta"]
    return whole


def as_input_error(path: Path, error: ValidationError) -> InputError:
    """The first thing that does not fit in a JSON file, with its key."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    given = "" if first["type"] == "missing" or not place else f", not {first['input']!r:.80}"
    problem = first["msg"].removeprefix("Value error, ")
    return InputError(path, f"key '{place}'" if place else "", problem[:1].lower() + problem[1:] + given)
