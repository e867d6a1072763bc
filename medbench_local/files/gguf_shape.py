"""The shape of a model, as its GGUF header gives it: checked before llama.cpp, which may abort on nonsense, sees it."""

from __future__ import annotations

from dataclasses import dataclass

from medbench_local.errors import InputError
from medbench_local.files.gguf_header import GgufHeader

_NO_TOKEN = 2**32 - 1


@dataclass(frozen=True)
class ModelShape:
    """The shape of a model.

    Attributes:
        heads: query heads of the layer that has most.
        kv_width: key plus value numbers that one token adds to the cache, all layers together.
        width: numbers of a token: in its embedding, or in all its queries where those are more.
        hidden: numbers of a token in the feed-forward part of the layer that has most, in all experts that it asks.
        vocabulary: number of tokens.
        weights: bytes of all tensors.
    """

    heads: int
    kv_width: int
    width: int
    hidden: int
    vocabulary: int
    weights: int


def model_shape(header: GgufHeader) -> ModelShape:
    """Take the shape from a header.

    Raises:
        InputError: there are no weights, or a number is missing or makes no sense.
    """
    path, architecture = header.path, header.architecture
    if not header.tensors:
        raise InputError(path, "", "holds no tensors, expected a model's weights.")

    def numbers(key: str, default: int | None = None, least: int = 1) -> list[int]:
        """One number, or one for each layer, the largest of them at least ``least``."""
        name = f"{architecture}.{key}"
        one_each = header.lists.get(name)
        found = header.metadata.get(name, default)
        if one_each is None and found is None:
            raise InputError(path, f"key '{name}'", "is missing, expected a whole number.")
        given = one_each.items if one_each is not None else (found,)
        items = [item for item in given if type(item) is int and 0 <= item < 2**31]
        if not items or len(items) < len(given):
            raise InputError(path, f"key '{name}'", f"found {given!r:.80}, expected whole numbers.")
        if max(items) < least:
            raise InputError(path, f"key '{name}'", f"found {max(items)}, expected {least} or more.")
        return items

    layers = max(numbers("block_count"))
    width = max(numbers("embedding_length"))
    # Models without attention have no heads, or 0; the engine refuses them by name.
    heads = max(numbers("attention.head_count", 0, least=0))
    kv_heads = numbers("attention.head_count_kv", heads, least=0)
    of_all_layers = sum(kv_heads) if len(kv_heads) > 1 else kv_heads[0] * layers
    one_head = max(width // max(heads, 1), 1)
    key_width = max(numbers("attention.key_length", one_head))
    value_width = max(numbers("attention.value_length", one_head))
    numbers("context_length", 1)
    asked = max(numbers("expert_used_count", 0, least=0))
    inner = max(
        numbers("expert_feed_forward_length", max(numbers("feed_forward_length", 0, least=0)), least=0)
    )
    # Every expert gives numbers for the whole width before they are added up.
    in_experts = asked * max(inner, width) + max(numbers("expert_shared_feed_forward_length", 0, least=0))
    tokens = header.lists.get("tokenizer.ggml.tokens")
    vocabulary = tokens.length if tokens else max(numbers("vocab_size", 1))
    bos = header.metadata.get("tokenizer.ggml.bos_token_id", _NO_TOKEN)
    # llama.cpp puts another token in place of such a one, with a line in its log.
    if tokens and bos != _NO_TOKEN and not (type(bos) is int and 0 <= bos < vocabulary):
        problem = f"found {bos!r}, expected one of the {vocabulary} tokens."
        raise InputError(path, "key 'tokenizer.ggml.bos_token_id'", problem)
    return ModelShape(
        heads=heads,
        kv_width=of_all_layers * (key_width + value_width),
        width=max(width, heads * key_width),
        hidden=max(*numbers("feed_forward_length", 4 * width, least=0), in_experts),
        vocabulary=vocabulary,
        weights=sum(tensor.nbytes for tensor in header.tensors),
    )
