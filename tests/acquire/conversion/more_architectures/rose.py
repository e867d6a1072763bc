"""A made-up architecture with everything that Llama and Mistral do not have; the tests put it beside them."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import (
    Architecture,
    ExpectedTensor,
    Part,
    Refusal,
    linear,
)
from medbench_local.acquire.conversion.model_config import ModelConfig

LAYER = "model.layers.{layer}"
ATTENTION = f"{LAYER}.self_attn"


class RoseConfig(ModelConfig):
    """With experts, and a window that nobody can compute."""

    num_experts: int
    use_sliding_window: bool = False


def _width(config: ModelConfig) -> tuple[int]:
    return (config.hidden_size,)


def _vocabulary(config: ModelConfig) -> tuple[int, int]:
    return (config.vocab_size, config.hidden_size)


def _square(config: ModelConfig) -> tuple[int, int]:
    return (config.hidden_size, config.hidden_size)


def _queries(config: ModelConfig) -> int:
    return config.num_attention_heads * config.head_dim


def _keys(config: ModelConfig) -> int:
    return config.num_key_value_heads * config.head_dim


def _fused(config: ModelConfig) -> int:
    return _queries(config) + 2 * _keys(config)


def _attention_parts(kind: str) -> tuple[Part[ModelConfig], ...]:
    return (
        Part(f"{ATTENTION}.q_proj.{kind}", _queries, heads=lambda config: config.num_attention_heads),
        Part(f"{ATTENTION}.k_proj.{kind}", _keys, heads=lambda config: config.num_key_value_heads),
        Part(f"{ATTENTION}.v_proj.{kind}", _keys),
    )


def _experts(config: RoseConfig) -> int:
    return config.num_experts


def _write_keys(writer: GGUFWriter, config: RoseConfig) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_expert_count(config.num_experts)
    writer.add_expert_used_count(1)


ARCHITECTURE: Architecture[RoseConfig] = Architecture(
    classes=("RoseForCausalLM",),
    gguf=MODEL_ARCH.QWEN2MOE,
    config=RoseConfig,
    assumed={"num_experts": 2},
    embedding="model.embed_tokens.weight",
    tensors=(
        ExpectedTensor("model.embed_tokens.weight", _vocabulary),
        ExpectedTensor(f"{LAYER}.input_layernorm.weight", _width, shift=1.0),
        ExpectedTensor(
            f"{ATTENTION}.qkv_proj.weight",
            lambda config: (_fused(config), config.hidden_size),
            parts=_attention_parts("weight"),
        ),
        ExpectedTensor(
            f"{ATTENTION}.qkv_proj.bias", lambda config: (_fused(config),), parts=_attention_parts("bias")
        ),
        *linear(f"{ATTENTION}.o_proj", _square, bias="required"),
        ExpectedTensor(f"{LAYER}.post_attention_layernorm.weight", _width, shift=1.0),
        ExpectedTensor(f"{LAYER}.mlp.gate.weight", lambda config: (config.num_experts, config.hidden_size)),
        ExpectedTensor(
            f"{LAYER}.mlp.experts.{{expert}}.gate_up_proj.weight",
            lambda config: (2 * config.intermediate_size, config.hidden_size),
            experts=_experts,
            parts=(
                Part(f"{LAYER}.mlp.experts.gate_proj.weight", lambda config: config.intermediate_size),
                Part(f"{LAYER}.mlp.experts.up_proj.weight", lambda config: config.intermediate_size),
            ),
        ),
        ExpectedTensor(
            f"{LAYER}.mlp.experts.{{expert}}.down_proj.weight",
            lambda config: (config.hidden_size, config.intermediate_size),
            experts=_experts,
        ),
        ExpectedTensor("model.norm.weight", _width, shift=1.0),
        ExpectedTensor("lm_head.weight", _vocabulary),
    ),
    skipped=(r"visual\..*",),
    refusals=(
        Refusal(
            "use_sliding_window", lambda config: config.use_sliding_window, "llama.cpp has no window here"
        ),
    ),
    write_keys=_write_keys,
    warnings=lambda config: [f"It has {config.num_experts} experts."],
)
