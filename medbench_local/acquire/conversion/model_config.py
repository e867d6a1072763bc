"""What a checkpoint's config.json says of the architecture, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medbench_local.errors import AcquireError, InputError, UnsupportedArchitectureError
from medbench_local.files.json_objects import read_json_object

SUPPORTED = ("LlamaForCausalLM", "MistralForCausalLM")
"""The architectures that can be converted."""

Size = Annotated[int, Field(gt=0, lt=1 << 31)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# what transformers assumes when config.json says nothing
_SILENT: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {"max_position_embeddings": 2048},
    "MistralForCausalLM": {
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
    },
}


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
    """The architecture of a Llama or Mistral model; names as in config.json.

    Attributes:
        architecture: one of ``SUPPORTED``.
        num_key_value_heads: equal to num_attention_heads unless heads share keys and values.
        head_dim: rows of the query projection per head.
        max_position_embeddings: trained context, tokens.
        sliding_window: tokens a position attends to, or None for all.
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
    rope_theta: Positive = 10000.0
    rope_scaling: RopeScaling = RopeScaling()
    sliding_window: Size | None = None
    tie_word_embeddings: bool = False
    hidden_act: Literal["silu"] = "silu"

    @model_validator(mode="after")
    def _heads_fit(self) -> ModelConfig:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is no multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        return self


def read_model_config(folder: Path) -> ModelConfig:
    """Read ``folder``/config.json.

    Raises:
        AcquireError: the architecture, or a property of it, is none that can be converted.
        InputError: the file is missing or damaged, or a value makes no sense.
    """
    path = folder / "config.json"
    data = read_json_object(path)
    architecture = _architecture(path, data)
    if data.get("quantization_config") or data.get("compression_config"):
        raise AcquireError(
            f"{path}: the checkpoint is already quantised, which cannot be converted without loss.",
            advice="Use the original 16-bit checkpoint, or a ready-made GGUF file.",
        )
    values = {**_SILENT[architecture], **data, "architecture": architecture}
    values = {key: value for key, value in values.items() if value is not None}
    if architecture == "LlamaForCausalLM":
        values.pop("sliding_window", None)  # transformers has none for Llama, whatever the file says
    heads, hidden = values.get("num_attention_heads"), values.get("hidden_size")
    values.setdefault("num_key_value_heads", heads)
    if "head_dim" not in values and type(heads) is int and type(hidden) is int and heads > 0:
        if hidden % heads:
            raise InputError(
                path, "key 'hidden_size'", f"{hidden} is no multiple of num_attention_heads {heads}"
            )
        values["head_dim"] = hidden // heads
    values.setdefault("head_dim", 2)
    _read_rope(path, values)
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        raise _as_input_error(path, error) from error


def _architecture(path: Path, data: dict[str, Any]) -> str:
    names = data.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise InputError(path, "key 'architectures'", f"expected a list of one name, not {names!r:.80}")
    if names[0] not in SUPPORTED:
        raise UnsupportedArchitectureError(
            f"{path}: {names[0]!r:.80} cannot be converted; supported are {' and '.join(SUPPORTED)}.",
            advice="Convert it with llama.cpp's own converter (python convert_hf_to_gguf.py FOLDER --outfile "
            "MODEL.gguf --outtype auto, from https://github.com/ggml-org/llama.cpp) and give MODEL.gguf "
            "instead of the checkpoint.",
        )
    return names[0]


def _read_rope(path: Path, values: dict[str, Any]) -> None:
    """Bring both ways of writing rope settings (before and since transformers 5) into one."""
    rope = values.pop("rope_parameters", None) or values.pop("rope_scaling", None) or {}
    if not isinstance(rope, dict):
        raise InputError(path, "key 'rope_scaling'", f"expected an object, not {rope!r:.80}")
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
    if values.get("partial_rotary_factor", rope.get("partial_rotary_factor", 1)) != 1:
        raise UnsupportedArchitectureError(
            f"{path}: rotating only a part of each head (partial_rotary_factor) is not supported."
        )
    values["rope_scaling"] = {**rope, "rope_type": kind}


def _as_input_error(path: Path, error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    given = "" if first["type"] == "missing" or not place else f", not {first['input']!r:.80}"
    problem = first["msg"].removeprefix("Value error, ")
    return InputError(path, f"key '{place}'" if place else "", problem[:1].lower() + problem[1:] + given)
