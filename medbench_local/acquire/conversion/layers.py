"""What most decoders' checkpoints call their tensors, and the parts whose tensors they share."""

from __future__ import annotations

from medbench_local.acquire.conversion.architecture import ExpectedTensor, linear
from medbench_local.acquire.conversion.model_config import ModelConfig
from medbench_local.acquire.conversion.tensor_shapes import attended, down, keys, queries, up

EMBEDDING = "model.embed_tokens.weight"
LAYER = "model.layers.{layer}"
ATTENTION = f"{LAYER}.self_attn"

PROJECTIONS: tuple[ExpectedTensor[ModelConfig], ...] = (
    *linear(f"{ATTENTION}.q_proj", queries),
    *linear(f"{ATTENTION}.k_proj", keys),
    *linear(f"{ATTENTION}.v_proj", keys),
)
"""Queries, keys and values without biases, their rows as they are."""

OUTPUT: tuple[ExpectedTensor[ModelConfig], ...] = linear(f"{ATTENTION}.o_proj", attended)
"""The matrix behind the attention, without a bias."""

FEED_FORWARD: tuple[ExpectedTensor[ModelConfig], ...] = (
    *linear(f"{LAYER}.mlp.gate_proj", up),
    *linear(f"{LAYER}.mlp.up_proj", up),
    *linear(f"{LAYER}.mlp.down_proj", down),
)
"""A gated feed-forward part without biases."""
