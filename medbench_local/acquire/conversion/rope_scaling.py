"""How positions are stretched beyond the context of the first training: what config.json says, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from gguf import GGUFWriter, RopeScalingType
from pydantic import BaseModel, ConfigDict, Field

from medbench_local.acquire.conversion.numbers import Number, Positive, Size
from medbench_local.errors import InputError, UnsupportedArchitectureError

Kind = Literal["default", "linear", "llama3", "yarn", "longrope"]

OTHER_ENGINE = (
    "No GGUF file of it would give right answers, whatever made it. Export the prompts with `export_prompts()`, answer "
    "them with `run_reference()`, and compare the results with `verdict()`."
)
"""What to do with a model that llama.cpp does not compute as it was trained."""

_SAME_AS_LONGROPE, _SAME_AS_NONE = "su", "mrope"


class RopeScaling(BaseModel):
    """How the positions are stretched.

    Attributes:
        rope_type: "default" (not at all), "linear" (all frequencies), "llama3" (the low ones), "yarn" (the low ones,
            and attention is sharpened), "longrope" (each by a factor of its own, others beyond the original context).
        factor: by how much.
        low_freq_factor, high_freq_factor: llama3 only; the band in between is interpolated.
        original_max_position_embeddings: the context before stretching, in tokens.
        beta_fast, beta_slow: yarn only; rotations within the original context between which it is interpolated.
        attention_factor: yarn and longrope; what queries and keys are multiplied with; None for the usual.
        mscale, mscale_all_dim: yarn only; another rule for the same.
        extrapolation_factor: yarn only; how much of the frequencies is left alone; unknown to transformers.
        truncate: yarn only; whether the band is rounded to whole dimensions.
        short_factor, long_factor: longrope only; what each frequency is divided by, within the original context and
            beyond.
        mrope_section: models of pictures only; pairs of a head that turn with the time, the height and the width.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    rope_type: Kind = "default"
    factor: Positive = 1.0
    low_freq_factor: Positive = 1.0
    high_freq_factor: Positive = 4.0
    original_max_position_embeddings: Size = 8192
    beta_fast: Positive | None = None
    beta_slow: Positive | None = None
    attention_factor: Positive | None = None
    mscale: Number | None = None
    mscale_all_dim: Number | None = None
    extrapolation_factor: Number | None = None
    truncate: bool = True
    short_factor: tuple[Positive, ...] = Field(default=(), strict=False)
    long_factor: tuple[Positive, ...] = Field(default=(), strict=False)
    mrope_section: tuple[Size, ...] = Field(default=(), strict=False)


def read_rope(path: Path, values: dict[str, Any]) -> None:
    """Bring both ways of writing rope settings (before and since transformers 5) into one.

    Args:
        path: config.json.
        values: its content; "rope_scaling" becomes what `RopeScaling` is made of, and "rope_theta" and
            "partial_rotary_factor" stand beside it.

    Raises:
        InputError: settings that make no sense.
        UnsupportedArchitectureError: a kind of stretching that llama.cpp does not have.
    """
    rope = values.pop("rope_parameters", None) or values.pop("rope_scaling", None) or {}
    if not isinstance(rope, dict):
        raise InputError(path, "key 'rope_scaling'", f"expected an object, not {rope!r:.80}")
    rope = _of_whole_attention(path, rope, values)
    rope = {key: value for key, value in rope.items() if value is not None}
    if "rope_theta" in rope:
        values["rope_theta"] = rope["rope_theta"]
    kind = rope.get("rope_type", rope.get("type", "default"))
    kind = {_SAME_AS_LONGROPE: "longrope", _SAME_AS_NONE: "default"}.get(str(kind), kind)
    if kind == "dynamic":
        raise UnsupportedArchitectureError(
            f"{path}: rope scaling 'dynamic' cannot be converted: the frequencies follow the length of the prompt, "
            "which llama.cpp does not do.",
            advice="Prompts of up to max_position_embeddings tokens are not stretched: if those are enough, take "
            "rope_scaling out of config.json in a copy of the checkpoint.",
        )
    if kind not in get_args(Kind):
        raise UnsupportedArchitectureError(
            f"{path}: rope scaling {kind!r:.40} cannot be converted; supported are linear, llama3, yarn and longrope.",
            advice="Convert it with llama.cpp's own converter and give the GGUF file instead.",
        )
    if kind in ("linear", "llama3", "yarn") and "factor" not in rope:
        raise InputError(path, "key 'rope_scaling.factor'", f"required for rope scaling {kind!r}")
    if kind in ("yarn", "longrope"):
        # as transformers: a key of config.json itself goes before one of the settings
        original = values.get("original_max_position_embeddings") or rope.get(
            "original_max_position_embeddings", values.get("max_position_embeddings")
        )
        rope["original_max_position_embeddings"] = original
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


def refuse_rope(path: Path, rope: RopeScaling, followed: Sequence[str], architecture: str) -> None:
    """Refuse what llama.cpp would compute in another way.

    Args:
        path: config.json.
        rope: what it says.
        followed: the kinds that llama.cpp follows in this architecture.
        architecture: its name.

    Raises:
        UnsupportedArchitectureError: it is not one of them, or has a setting that llama.cpp ignores.
    """
    kind = rope.rope_type
    if kind != "default" and kind not in followed:
        raise UnsupportedArchitectureError(
            f"{path}: rope scaling {kind!r} cannot be converted: llama.cpp does not follow it in a {architecture}.",
            advice=OTHER_ENGINE,
        )
    if kind == "yarn":
        for key, ignored in _ignored_of_yarn(rope).items():
            if ignored:
                raise UnsupportedArchitectureError(
                    f"{path}: rope scaling 'yarn' with {key} {getattr(rope, key)!r} cannot be converted: "
                    "llama.cpp ignores it.",
                    advice=OTHER_ENGINE,
                )


def _ignored_of_yarn(rope: RopeScaling) -> dict[str, bool]:
    """Settings that llama.cpp has its own way with, and whether that is another one."""
    usual, asked = yarn_attention(rope.factor), rope.attention_factor
    by_scales = asked is None and rope.mscale and rope.mscale_all_dim
    ratio = (
        yarn_attention(rope.factor, rope.mscale or 0) / yarn_attention(rope.factor, rope.mscale_all_dim or 0)
        if by_scales
        else usual
    )
    return {
        "truncate": not rope.truncate,
        "beta_fast": rope.beta_fast not in (None, 32),
        "beta_slow": rope.beta_slow not in (None, 1),
        "attention_factor": asked is not None and not math.isclose(asked, usual, rel_tol=1e-6),
        "mscale": not math.isclose(ratio, usual, rel_tol=1e-6),
        "extrapolation_factor": rope.extrapolation_factor not in (None, 1),
    }


def yarn_attention(factor: float, scale: float = 1.0) -> float:
    """What queries and keys are multiplied with where positions are stretched by ``factor`` (arXiv 2309.00071)."""
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def write_rope(writer: GGUFWriter, rope: RopeScaling) -> None:
    """The keys by which llama.cpp stretches positions; llama3 and longrope have tensors instead."""
    if rope.rope_type == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope.factor)
    elif rope.rope_type == "yarn":
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope.factor)
        writer.add_rope_scaling_orig_ctx_len(rope.original_max_position_embeddings)
        for value, add in (
            (rope.extrapolation_factor, writer.add_rope_scaling_yarn_ext_factor),
            (rope.attention_factor, writer.add_rope_scaling_yarn_attn_factor),
            (rope.beta_fast, writer.add_rope_scaling_yarn_beta_fast),
            (rope.beta_slow, writer.add_rope_scaling_yarn_beta_slow),
        ):
            if value is not None:
                add(value)
