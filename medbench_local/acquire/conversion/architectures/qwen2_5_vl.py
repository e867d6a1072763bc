"""The language model of Qwen2.5-VL: Qwen2 whose positions have three parts, which are one and the same in a text.

It becomes a Qwen2: llama.cpp has an architecture for it, but leaves rms_norm_eps out of its norms (its loader does not
read the key), so that scores are off by thousandths.
"""

from __future__ import annotations

from medbench_local.acquire.conversion.architecture import Architecture, Refusal
from medbench_local.acquire.conversion.architectures import qwen2
from medbench_local.acquire.conversion.architectures.qwen2 import QwenConfig
from medbench_local.acquire.conversion.rope_scaling import OTHER_ENGINE


def _misfit(config: QwenConfig) -> bool:
    sections = config.rope_scaling.mrope_section
    return bool(sections) and 2 * sum(sections) != config.head_dim


ARCHITECTURE: Architecture[QwenConfig] = Architecture(
    classes=("Qwen2_5_VLForConditionalGeneration",),
    gguf=qwen2.ARCHITECTURE.gguf,
    config=QwenConfig,
    assumed={
        "max_position_embeddings": 32768,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
        "max_window_layers": 80,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
    },
    embedding=qwen2.ARCHITECTURE.embedding,
    tensors=qwen2.ARCHITECTURE.tensors,
    skipped=(*qwen2.ARCHITECTURE.skipped, r"(model\.)?visual\..*"),
    refusals=(
        *qwen2.ARCHITECTURE.refusals,
        Refusal("rope_scaling", _misfit, "mrope_section does not add up to half a head", OTHER_ENGINE),
    ),
    write_keys=qwen2.write_nothing,
    warnings=lambda _config: [
        "Only the language model is converted; questions with pictures cannot be asked."
    ],
    rope=(),
    states_head_size=False,
    # what is on the hub; as transformers has it in memory since 4.52, and where that was saved
    prefixes={"": "", "model.language_model.": "model."},
)
