"""Folders and repositories that hold an adapter to a model instead of a model."""

from __future__ import annotations

from pathlib import Path

from medbench_local.errors import AcquireError
from medbench_local.files.json_objects import read_json_object
from medbench_local.text import plain

ADAPTER_CONFIG = "adapter_config.json"
"""What the peft library describes an adapter in."""


def adapter_alone(config_file: Path, place: str) -> AcquireError:
    """The error for an adapter that was given as if it were a whole model.

    Args:
        config_file: its adapter_config.json.
        place: what the error calls the folder or repository.

    Raises:
        InputError: the file is damaged.
    """
    config = read_json_object(config_file)
    base = config.get("base_model_name_or_path")
    of = f" of {plain(base)[:120]}" if isinstance(base, str) and base else ""
    if config.get("peft_type", "LORA") == "LORA":
        kind, advice = (
            "a LoRA adapter",
            (
                "Merge it into that model first (peft: merge_and_unload, then save_pretrained, and save the tokenizer "
                "beside it) and give the folder that results."
            ),
        )
    else:
        kind, advice = f"an adapter ({plain(str(config['peft_type']))[:40]})", "Give a whole model."
    return AcquireError(f"{place} is {kind}{of}, not a whole model.", advice=advice)
