"""Qwen3-MoE: Qwen3 whose feed-forward part is a choice of experts."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, Refusal
from medbench_local.acquire.conversion.architectures import qwen3
from medbench_local.acquire.conversion.architectures.qwen2 import (
    NO_WINDOW,
    ROPE,
    SILU,
    WHOLE_HEADS,
    shorter_than_context,
)
from medbench_local.acquire.conversion.architectures.qwen2moe import (
    EXPERTS,
    EXPERTS_EVERYWHERE,
    ExpertsConfig,
)
from medbench_local.acquire.conversion.experts import experts_key, write_experts
from medbench_local.acquire.conversion.layers import EMBEDDING
from medbench_local.acquire.conversion.model_config import Size


class Qwen3MoeConfig(ExpertsConfig, qwen3.Qwen3Config):
    """The configuration of a Qwen3 model of experts."""

    num_experts: Size = experts_key(128)
    num_experts_per_tok: Size = 8
    moe_intermediate_size: Size = 768


_WHOLE = [tensor for tensor in qwen3.ARCHITECTURE.tensors if ".mlp." not in tensor.name]


def _write_keys(writer: GGUFWriter, config: Qwen3MoeConfig) -> None:
    write_experts(writer, config.num_experts, config.num_experts_per_tok, config.moe_intermediate_size)


ARCHITECTURE: Architecture[Qwen3MoeConfig] = Architecture(
    classes=("Qwen3MoeForCausalLM",),
    gguf=MODEL_ARCH.QWEN3MOE,
    config=Qwen3MoeConfig,
    assumed={"max_position_embeddings": 32768, "num_key_value_heads": 4, "sliding_window": 4096},
    embedding=EMBEDDING,
    tensors=(*_WHOLE[:-2], *EXPERTS, *_WHOLE[-2:]),
    skipped=qwen3.ARCHITECTURE.skipped,
    refusals=(
        SILU,
        WHOLE_HEADS,
        qwen3.NO_BIAS,
        Refusal("use_sliding_window", shorter_than_context, *NO_WINDOW),
        *EXPERTS_EVERYWHERE,
        Refusal(
            "norm_topk_prob",
            lambda config: not config.norm_topk_prob,
            "llama.cpp makes the shares of the experts add up to one in this architecture",
        ),
    ),
    write_keys=_write_keys,
    rope=ROPE,
)
