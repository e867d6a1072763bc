"""What describes an adapter: which model it changes, and how; adapters that are more than a sum are refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medbench_local.acquire.conversion.numbers import Number
from medbench_local.errors import AcquireError
from medbench_local.files.json_objects import read_json_object
from medbench_local.text import plain

ADAPTER_CONFIG = "adapter_config.json"
"""What the peft library describes an adapter in."""

ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
"""What it is stored in, best first."""

NO_BASE = "none"
"""Said in place of a base: an adapter that lies beside whole weights is left aside."""

Rank = Annotated[int, Field(gt=0, lt=1 << 20)]

_PATTERN = re.compile(r"\^?[\w.\\-]*(\((\?:)?[\w.\\|-]+\)[\w.\\-]*)?\$?")
"""Regular expressions that cannot take long: names with one list of alternatives."""


class LoraConfig(BaseModel):
    """The keys of adapter_config.json that decide what the merged weights are.

    Attributes:
        base_model_name_or_path: as whoever trained it wrote it.
        revision: of the base on the hub; None if it does not say.
        lora_alpha: alpha; what is added is scaled by alpha / r.
        use_rslora: scaled by alpha / sqrt(r) instead.
        rank_pattern, alpha_pattern: other values for layers whose name an expression fits, the first one that does.
        modules_to_save: layers that the adapter holds whole.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    peft_type: str = "LORA"
    base_model_name_or_path: str = ""
    revision: str | None = None
    r: Rank
    lora_alpha: Number
    use_rslora: bool = False
    rank_pattern: dict[str, Rank] = {}
    alpha_pattern: dict[str, Number] = {}
    modules_to_save: list[str] = []
    use_dora: bool = False
    lora_bias: bool = False
    init_lora_weights: bool | str | None = True


_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping", "base_model_class", "bias", "enable_lora", "ensure_weight_tying", "eva_config",
        "exclude_modules", "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform", "lora_dropout",
        "loftq_config", "megatron_core", "merge_weights", "parent_library", "peft_version", "qalora_group_size",
        "runtime_config", "target_modules", "task_type", "unsloth_fixed",
    }
)  # fmt: skip
"""Keys that say nothing of the sum that the stored tensors do not.

peft takes fan_in_fan_out back for every layer of the architectures that can be converted (it is meant for GPT-2's).
"""

_REASONS: dict[str, str] = {
    "alora_invocation_tokens": "it works from certain tokens on only, merged it would work everywhere",
    "arrow_config": "it is mixed from several adapters anew for every text",
    "corda_config": "training began from a changed base model",
    "kasa_config": "the adapter is more than a sum of matrices",
    "layer_replication": "it repeats layers of the base",
    "lora_ga_config": "training began from a changed base model",
    "target_parameters": "it changes parts of layers that have no name of their own",
    "trainable_token_indices": "single rows of the embedding were trained",
    "use_bdlora": "its matrices are made of blocks",
    "use_qalora": "its inputs are pooled",
}
"""Keys that mean more than a sum of matrices, where they are set."""

_UNCHANGED_BASE = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin a training that leave the base as it is."""

_REFUSALS: tuple[tuple[str, Callable[[LoraConfig], bool], str], ...] = (
    ("use_dora", lambda config: config.use_dora, "DoRA scales the merged weights as well"),
    ("lora_bias", lambda config: config.lora_bias, "biases of the adapter are not merged"),
    (
        "init_lora_weights",
        lambda config: config.init_lora_weights not in _UNCHANGED_BASE,
        "training may have begun from a changed base model",
    ),
)

_ADVICE = (
    "Merge it with the library it was trained with (peft: merge_and_unload, then save_pretrained, and save the "
    "tokenizer beside it) and give the folder that results."
)


def read_lora_config(path: Path) -> LoraConfig:
    """Read the description of an adapter.

    Raises:
        InputError: the file is missing or damaged, or a value makes no sense.
        AcquireError: an adapter that is more than a sum of matrices, or that this program does not know.
    """
    data = {key: value for key, value in read_json_object(path).items() if value is not None}
    kind = data.get("peft_type", "LORA")
    if kind != "LORA":
        raise _refusal(path, "peft_type", kind, "only LORA is a sum of matrices")
    try:
        config = LoraConfig.model_validate(data)
    except ValidationError as error:
        from medbench_local.acquire.conversion.model_config import as_input_error

        raise as_input_error(path, error) from error
    for key, applies, reason in _REFUSALS:
        if applies(config):
            raise _refusal(path, key, getattr(config, key), reason)
    for key, value in (config.model_extra or {}).items():
        if value and key not in _WITHOUT_EFFECT:
            raise _refusal(path, key, value, _REASONS.get(key, "this program does not know what it means"))
    for key in ("rank_pattern", "alpha_pattern"):
        for name in getattr(config, key):
            if not _is_plain_pattern(name):
                raise AcquireError(f"{path}: {key} {name!r:.80} is not the name of a layer.", advice=_ADVICE)
    return config


def fitting(patterns: dict[str, Any], layer: str) -> str:
    """The first of the expressions that means the layer: its whole name, or its end from a dot on; "" if none does."""
    for name in patterns:
        if re.match(rf"(.*\.)?({name})$", layer):
            return name
    return ""


def _is_plain_pattern(name: str) -> bool:
    if len(name) > 1000 or not _PATTERN.fullmatch(name):
        return False
    try:
        re.compile(name)
    except re.error:
        return False
    return True


def _refusal(path: Path, key: str, value: Any, reason: str) -> AcquireError:
    return AcquireError(
        f"{path}: {key} {plain(repr(value))[:80]} cannot be merged: {reason}.", advice=_ADVICE
    )


def adapter_alone(config_file: Path, place: str) -> AcquireError:
    """The error for an adapter where only a whole model can be used.

    Args:
        config_file: its adapter_config.json.
        place: what the error calls the folder or repository.

    Raises:
        InputError: the file is damaged.
    """
    config = read_json_object(config_file)
    base = config.get("base_model_name_or_path")
    of = f" of {plain(base)[:120]}" if isinstance(base, str) and base else ""
    lora = config.get("peft_type", "LORA") == "LORA"
    kind = "a LoRA adapter" if lora else f"an adapter ({plain(str(config['peft_type']))[:40]})"
    return AcquireError(
        f"{place} is {kind}{of}, not a whole model.", advice=_ADVICE if lora else "Give a whole model."
    )
