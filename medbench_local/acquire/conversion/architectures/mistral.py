"""Mistral: Llama with a window that llama.cpp does not have."""

from __future__ import annotations

from collections.abc import Iterable

from gguf import GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture
from medbench_local.acquire.conversion.architectures import llama
from medbench_local.acquire.conversion.model_config import ModelConfig, Size


class MistralConfig(ModelConfig):
    """The configuration of a Mistral model.

    Attributes:
        sliding_window: tokens a position attends to, or None for all.
    """

    sliding_window: Size | None = None


def _write_keys(writer: GGUFWriter, config: MistralConfig) -> None:
    llama.write_keys(writer, config)
    if config.sliding_window is not None:
        # llama.cpp does not read it for this architecture; whoever plans prompts can
        writer.add_sliding_window(config.sliding_window)


def _warnings(config: MistralConfig) -> Iterable[str]:
    window = config.sliding_window
    if window is not None and window < config.max_position_embeddings:
        yield (
            f"The model attends to the last {window} tokens only; llama.cpp attends to all of them, "
            f"which is the same for prompts of up to {window} tokens."
        )


ARCHITECTURE: Architecture[MistralConfig] = Architecture(
    classes=("MistralForCausalLM",),
    gguf=llama.ARCHITECTURE.gguf,
    config=MistralConfig,
    assumed={"max_position_embeddings": 131072, "num_key_value_heads": 8, "sliding_window": 4096},
    embedding=llama.ARCHITECTURE.embedding,
    tensors=llama.ARCHITECTURE.tensors,
    skipped=llama.ARCHITECTURE.skipped,
    refusals=llama.ARCHITECTURE.refusals,
    write_keys=_write_keys,
    warnings=_warnings,
)
