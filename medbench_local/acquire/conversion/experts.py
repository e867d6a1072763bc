"""The feed-forward part of a model of experts, of which each token asks a few."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gguf import GGUFWriter
from pydantic import AliasChoices, Field

from medbench_local.acquire.conversion.architecture import ExpectedTensor, Part, always
from medbench_local.acquire.conversion.model_config import ModelConfig
from medbench_local.acquire.conversion.numbers import Size

C = TypeVar("C", bound=ModelConfig)
Number = Callable[[C], int]


def experts_key(default: int) -> int:
    """The number of experts, which transformers 5 calls num_local_experts and older ones num_experts."""
    found: int = Field(default, validation_alias=AliasChoices("num_experts", "num_local_experts"))
    return found


def expert_tensors(
    layer: str, names: tuple[str, str, str], count: Number[C], inner: Number[C]
) -> tuple[ExpectedTensor[C], ...]:
    """The matrices of all experts: one tensor an expert, or, as transformers 5 holds them, one for all.

    Args:
        layer: what stands before "experts" in the names, with {layer}.
        names: of an expert's gate, up and down matrices.
        count: experts of a layer.
        inner: numbers inside an expert.
    """
    gate, up, down = names
    fused = "model.layers.{layer}.mlp.experts"

    def into(config: C) -> tuple[int, int]:
        return (inner(config), config.hidden_size)

    def out_of(config: C) -> tuple[int, int]:
        return (config.hidden_size, inner(config))

    def one(name: str, shape: Callable[[C], tuple[int, int]], together: str) -> ExpectedTensor[C]:
        return ExpectedTensor(
            f"{layer}.experts.{{expert}}.{name}.weight", shape, experts=count, unless=f"{fused}.{together}"
        )

    return (
        one(gate, into, "gate_up_proj"),
        one(up, into, "gate_up_proj"),
        one(down, out_of, "down_proj"),
        ExpectedTensor(
            f"{fused}.gate_up_proj",
            lambda config: (count(config), 2 * inner(config), config.hidden_size),
            optional=always,
            parts=(Part(f"{fused}.gate_proj.weight", inner), Part(f"{fused}.up_proj.weight", inner)),
        ),
        ExpectedTensor(
            f"{fused}.down_proj",
            lambda config: (count(config), config.hidden_size, inner(config)),
            optional=always,
            parts=(Part(f"{fused}.down_proj.weight", lambda config: config.hidden_size),),
        ),
    )


def write_experts(writer: GGUFWriter, count: Size, used: Size, inner: Size | None = None) -> None:
    """How many experts there are, how many a token asks, and the numbers inside one where they are written."""
    writer.add_expert_count(count)
    writer.add_expert_used_count(used)
    if inner is not None:
        writer.add_expert_feed_forward_length(inner)
