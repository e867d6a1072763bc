"""Gemma 3: alone, or as the language model of a multimodal checkpoint, whose pictures are left out."""

from __future__ import annotations

from typing import Any

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal
from medbench_local.acquire.conversion.architectures.gemma2 import (
    GemmaConfig,
    common_refusals,
    layer_tensors,
    norm,
)
from medbench_local.acquire.conversion.layer_windows import usual, windowed
from medbench_local.acquire.conversion.layers import ATTENTION, EMBEDDING
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, Positive, Size
from medbench_local.acquire.conversion.tensor_shapes import head, tied, vocabulary


class Gemma3Config(GemmaConfig):
    """The configuration of a Gemma 3 model.

    Attributes:
        sliding_window_pattern: one layer in how many sees everything, if "layer_types" does not say.
        vision_config: of the whole model, where this is a part of one.
        rope_local_base_freq: what rope_theta is in the layers with a window, which are never stretched.
    """

    sliding_window_pattern: Size = 6
    rope_local_base_freq: Positive = 10000.0
    vision_config: dict[str, Any] | None = None


def _windows(config: Gemma3Config) -> list[bool]:
    return windowed(config, config.sliding_window_pattern)


def _write_keys(writer: GGUFWriter, config: Gemma3Config) -> None:
    writer.add_rope_freq_base_swa(config.rope_local_base_freq)
    if config.final_logit_softcapping is not None:
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    # without the key llama.cpp gives no layer a window
    if config.sliding_window is not None and any(_windows(config)):
        writer.add_sliding_window(config.sliding_window)


ARCHITECTURE: Architecture[Gemma3Config] = Architecture(
    classes=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    gguf=MODEL_ARCH.GEMMA3,
    config=Gemma3Config,
    assumed={
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "rope_theta": 1000000.0,
    },
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, vocabulary),
        *layer_tensors(
            ExpectedTensor(f"{ATTENTION}.q_norm.weight", head, shift=1.0),
            ExpectedTensor(f"{ATTENTION}.k_norm.weight", head, shift=1.0),
        ),
        norm("model.norm.weight"),
        ExpectedTensor("lm_head.weight", vocabulary, optional=tied),
    ),
    skipped=(
        r".*\.rotary_emb\.inv_freq",
        r"(model\.)?(vision_tower|multi_modal_projector)\..*",
    ),
    refusals=(
        *common_refusals(62),
        Refusal(
            "attn_logit_softcapping",
            lambda config: config.attn_logit_softcapping is not None,
            "llama.cpp does not bound the scores of attention here",
            OTHER_ENGINE,
        ),
        Refusal(
            "final_logit_softcapping",
            lambda config: config.final_logit_softcapping is not None and config.vision_config is not None,
            "transformers leaves the logits of the whole model as they are, llama.cpp would bound them",
            OTHER_ENGINE,
        ),
        Refusal(
            "sliding_window",
            lambda config: config.sliding_window is None and any(_windows(config)),
            "layers with a window need its size",
            OTHER_ENGINE,
        ),
        Refusal(
            "layer_types",
            lambda config: any(_windows(config)) and _windows(config) != usual(config, 6),
            "llama.cpp gives a window to all layers but every sixth, or to none",
            OTHER_ENGINE,
        ),
    ),
    write_keys=_write_keys,
    rope=("linear",),
    # transformers before 4.52, and what is on the hub; since then, in memory and where that was saved; alone
    prefixes={"language_model.": "", "model.language_model.": "model.", "": ""},
    cut=(EMBEDDING, "lm_head.weight"),
)
