"""Mixtral: Mistral whose feed-forward part is a choice of experts."""

from __future__ import annotations

from gguf import GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, always
from medbench_local.acquire.conversion.architectures import llama
from medbench_local.acquire.conversion.architectures.qwen2 import NO_WINDOW
from medbench_local.acquire.conversion.experts import expert_tensors, write_experts
from medbench_local.acquire.conversion.layers import LAYER
from medbench_local.acquire.conversion.model_config import ModelConfig, Size

_ROUTER = f"{LAYER}.mlp.gate.weight"


class MixtralConfig(ModelConfig):
    """The configuration of a Mixtral.

    Attributes:
        sliding_window: tokens a position attends to, or None for all.
        num_local_experts: experts of a layer.
        num_experts_per_tok: how many of them a token asks.
    """

    sliding_window: Size | None = None
    num_local_experts: Size = 8
    num_experts_per_tok: Size = 2


def _count(config: MixtralConfig) -> int:
    return config.num_local_experts


def _inner(config: MixtralConfig) -> int:
    return config.intermediate_size


def _router(config: MixtralConfig) -> tuple[int, int]:
    return (config.num_local_experts, config.hidden_size)


def _tensors() -> tuple[ExpectedTensor[MixtralConfig], ...]:
    """Llama's, with experts in the place of the one feed-forward part."""
    whole = [tensor for tensor in llama.ARCHITECTURE.tensors if ".mlp." not in tensor.name]
    last = max(i for i, tensor in enumerate(whole) if "{layer}" in tensor.name) + 1
    return (
        *whole[:last],
        ExpectedTensor(f"{LAYER}.block_sparse_moe.gate.weight", _router, unless=_ROUTER),
        ExpectedTensor(_ROUTER, _router, optional=always),
        *expert_tensors(f"{LAYER}.block_sparse_moe", ("w1", "w3", "w2"), _count, _inner),
        *whole[last:],
    )


def _write_keys(writer: GGUFWriter, config: MixtralConfig) -> None:
    llama.write_keys(writer, config)
    write_experts(writer, config.num_local_experts, config.num_experts_per_tok)


def _windowed(config: MixtralConfig) -> bool:
    return config.sliding_window is not None and config.sliding_window < config.max_position_embeddings


ARCHITECTURE: Architecture[MixtralConfig] = Architecture(
    classes=("MixtralForCausalLM",),
    gguf=llama.ARCHITECTURE.gguf,
    config=MixtralConfig,
    assumed={
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
    },
    embedding=llama.ARCHITECTURE.embedding,
    tensors=_tensors(),
    skipped=llama.ARCHITECTURE.skipped,
    refusals=(*llama.ARCHITECTURE.refusals, Refusal("sliding_window", _windowed, *NO_WINDOW)),
    write_keys=_write_keys,
    states_head_size=False,
)
