"""Shapes of the tensors that decoders have in common, from the configuration, as PyTorch prints them."""

from __future__ import annotations

from medbench_local.acquire.conversion.model_config import ModelConfig


def width(config: ModelConfig) -> tuple[int]:
    """A number for each of a token's: norms."""
    return (config.hidden_size,)


def head(config: ModelConfig) -> tuple[int]:
    """A number for each of a head's: norms of queries and keys."""
    return (config.head_dim,)


def vocabulary(config: ModelConfig) -> tuple[int, int]:
    """The embedding, and the output matrix."""
    return (config.vocab_size, config.hidden_size)


def queries(config: ModelConfig) -> tuple[int, int]:
    """The matrix that makes the queries."""
    return (config.num_attention_heads * config.head_dim, config.hidden_size)


def keys(config: ModelConfig) -> tuple[int, int]:
    """The matrix that makes the keys, or the values."""
    return (config.num_key_value_heads * config.head_dim, config.hidden_size)


def attended(config: ModelConfig) -> tuple[int, int]:
    """The matrix behind the attention."""
    return (config.hidden_size, config.num_attention_heads * config.head_dim)


def up(config: ModelConfig) -> tuple[int, int]:
    """The matrices into the feed-forward part."""
    return (config.intermediate_size, config.hidden_size)


def down(config: ModelConfig) -> tuple[int, int]:
    """The matrix out of the feed-forward part."""
    return (config.hidden_size, config.intermediate_size)


def tied(config: ModelConfig) -> bool:
    """Whether there may be no output matrix: llama.cpp then takes the embedding, as the model does."""
    return config.tie_word_embeddings
