"""Qwen1.5-MoE and Qwen2-MoE: Qwen2 whose feed-forward part is a choice of experts beside one that all tokens ask."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter
from pydantic import Field

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, linear
from medbench_local.acquire.conversion.architectures import qwen2
from medbench_local.acquire.conversion.architectures.qwen2 import (
    HEAD_SIZE,
    NO_WINDOW,
    ROPE,
    SILU,
    WHOLE_HEADS,
    QwenConfig,
    shorter_than_context,
)
from medbench_local.acquire.conversion.experts import expert_tensors, experts_key, write_experts
from medbench_local.acquire.conversion.layers import LAYER
from medbench_local.acquire.conversion.model_config import Size


class ExpertsConfig(QwenConfig):
    """The configuration of a Qwen model of experts.

    Attributes:
        num_experts: experts of a layer.
        num_experts_per_tok: how many of them a token asks.
        moe_intermediate_size: numbers inside an expert.
        norm_topk_prob: whether the shares of the experts that are asked add up to one.
        decoder_sparse_step: every how many layers there are experts.
        mlp_only_layers: layers without.
    """

    num_experts: Size = experts_key(60)
    num_experts_per_tok: Size = 4
    moe_intermediate_size: Size = 1408
    norm_topk_prob: bool = False
    decoder_sparse_step: int = 1
    mlp_only_layers: list[int] = Field(default_factory=list)


class Qwen2MoeConfig(ExpertsConfig):
    """The configuration of a Qwen2 model of experts.

    Attributes:
        shared_expert_intermediate_size: numbers inside the expert that all tokens ask.
        qkv_bias: whether queries, keys and values have biases.
    """

    shared_expert_intermediate_size: Size = 5632
    qkv_bias: bool = True


EXPERTS_EVERYWHERE: tuple[Refusal[ExpertsConfig], ...] = (
    Refusal(
        "decoder_sparse_step",
        lambda config: config.decoder_sparse_step != 1,
        "llama.cpp asks for experts in every layer",
    ),
    Refusal(
        "mlp_only_layers",
        lambda config: bool(config.mlp_only_layers),
        "llama.cpp asks for experts in every layer",
    ),
)


def _shared_in(config: Qwen2MoeConfig) -> tuple[int, int]:
    return (config.shared_expert_intermediate_size, config.hidden_size)


def _shared_out(config: Qwen2MoeConfig) -> tuple[int, int]:
    return (config.hidden_size, config.shared_expert_intermediate_size)


def _count(config: ExpertsConfig) -> int:
    return config.num_experts


def _inner(config: ExpertsConfig) -> int:
    return config.moe_intermediate_size


def _router(config: ExpertsConfig) -> tuple[int, int]:
    return (config.num_experts, config.hidden_size)


EXPERTS: tuple[ExpectedTensor[ExpertsConfig], ...] = (
    ExpectedTensor(f"{LAYER}.mlp.gate.weight", _router),
    *expert_tensors(f"{LAYER}.mlp", ("gate_proj", "up_proj", "down_proj"), _count, _inner),
)

_WHOLE = [tensor for tensor in qwen2.ARCHITECTURE.tensors if ".mlp." not in tensor.name]


def _write_keys(writer: GGUFWriter, config: Qwen2MoeConfig) -> None:
    write_experts(writer, config.num_experts, config.num_experts_per_tok, config.moe_intermediate_size)
    writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)


ARCHITECTURE: Architecture[Qwen2MoeConfig] = Architecture(
    classes=("Qwen2MoeForCausalLM",),
    gguf=MODEL_ARCH.QWEN2MOE,
    config=Qwen2MoeConfig,
    assumed={"max_position_embeddings": 32768, "num_key_value_heads": 16, "sliding_window": 4096},
    embedding=qwen2.ARCHITECTURE.embedding,
    tensors=(
        *_WHOLE[:-2],
        *EXPERTS,
        *linear(f"{LAYER}.mlp.shared_expert.gate_proj", _shared_in),
        *linear(f"{LAYER}.mlp.shared_expert.up_proj", _shared_in),
        *linear(f"{LAYER}.mlp.shared_expert.down_proj", _shared_out),
        ExpectedTensor(f"{LAYER}.mlp.shared_expert_gate.weight", lambda config: (1, config.hidden_size)),
        *_WHOLE[-2:],
    ),
    skipped=qwen2.ARCHITECTURE.skipped,
    refusals=(
        SILU,
        WHOLE_HEADS,
        HEAD_SIZE,
        Refusal("use_sliding_window", shorter_than_context, *NO_WINDOW),
        *EXPERTS_EVERYWHERE,
        Refusal(
            "norm_topk_prob",
            lambda config: config.norm_topk_prob,
            "llama.cpp leaves the shares of the experts as they are in this architecture",
        ),
        Refusal(
            "qkv_bias", lambda config: not config.qkv_bias, "the architecture has biases in the attention"
        ),
    ),
    write_keys=_write_keys,
    rope=ROPE,
    states_head_size=False,
)
