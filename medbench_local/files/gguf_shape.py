"""The shape of a model, as its GGUF header gives it: checked before llama.cpp, which may abort on nonsense, sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from medbench_local.errors import InputError
from medbench_local.files.gguf_header import GgufHeader

_NO_TOKEN = 2**32 - 1


@dataclass(frozen=True)
class ModelShape:
    """The shape of a model.

    Attributes:
        heads: query heads of the layer that has most.
        attended: numbers of all queries of a token, in that layer; may be more than ``width``.
        kv_width: key plus value numbers that one token adds to the cache, all layers together.
        kv_layer: the same of the layer that has most.
        windows: whether some layers may see the last tokens only. That saves no memory: the cache keeps all, because
            a prefix that was cut could not be continued otherwise.
        state: numbers of the running state of one sequence, all layers together; 0 without one. A little too many
            where the header does not say which layers have one.
        width: numbers in a token's embedding.
        hidden: numbers of a token in the feed-forward part of the layer that has most, in all experts that it asks.
        inner: numbers that a token is widened to in a layer with a running state; 0 without one.
        vocabulary: number of tokens.
        weights: bytes of all tensors.
    """

    heads: int
    attended: int
    kv_width: int
    kv_layer: int
    windows: bool
    state: int
    width: int
    hidden: int
    inner: int
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
    running = _layers_with_state(header, layers)
    attending = layers if architecture in _BOTH else layers - running
    of_all_layers = sum(kv_heads) if len(kv_heads) > 1 else kv_heads[0] * attending
    one_head = max(width // max(heads, 1), 1)
    key_width = max(numbers("attention.key_length", one_head))
    value_width = max(numbers("attention.value_length", one_head))
    numbers("context_length", 1)
    asked = max(numbers("expert_used_count", 0, least=0))
    one = max(numbers("expert_feed_forward_length", max(numbers("feed_forward_length", 0, least=0)), least=0))
    # Every expert gives numbers for the whole width before they are added up.
    in_experts = asked * max(one, width) + max(numbers("expert_shared_feed_forward_length", 0, least=0))
    inner = max(numbers("ssm.inner_size", 0, least=0))
    tokens = header.lists.get("tokenizer.ggml.tokens")
    vocabulary = tokens.length if tokens else max(numbers("vocab_size", 1))
    bos = header.metadata.get("tokenizer.ggml.bos_token_id", _NO_TOKEN)
    # llama.cpp puts another token in place of such a one, with a line in its log.
    if tokens and bos != _NO_TOKEN and not (type(bos) is int and 0 <= bos < vocabulary):
        problem = f"found {bos!r}, expected one of the {vocabulary} tokens."
        raise InputError(path, "key 'tokenizer.ggml.bos_token_id'", problem)
    return ModelShape(
        heads=heads,
        attended=heads * key_width,
        kv_width=of_all_layers * (key_width + value_width),
        kv_layer=max(kv_heads) * (key_width + value_width),
        windows=max(numbers("attention.sliding_window", 0, least=0)) > 0,
        state=running * _state_of_layer(numbers, width) if running else 0,
        width=width,
        hidden=max(*numbers("feed_forward_length", 4 * width, least=0), in_experts),
        inner=inner,
        vocabulary=vocabulary,
        weights=sum(tensor.nbytes for tensor in header.tensors),
    )


_BOTH = ("falcon-h1",)
"""Architectures with attention and a running state in every layer."""


def _layers_with_state(header: GgufHeader, layers: int) -> int:
    """How many layers have a running state, as llama.cpp finds them."""
    about = {
        key.removeprefix(f"{header.architecture}."): value
        for key, value in [*header.metadata.items(), *header.lists.items()]
    }
    if "ssm.conv_kernel" not in about and "shortconv.l_cache" not in about:
        return 0
    listed = header.lists.get(f"{header.architecture}.attention.recurrent_layers")
    if listed is not None and listed.items:
        return sum(map(bool, listed.items))
    heads = header.lists.get(f"{header.architecture}.attention.head_count_kv")
    if heads is not None and heads.items:
        return sum(not count for count in heads.items)
    interval = about.get("full_attention_interval")
    if type(interval) is int and 0 < interval <= layers:
        return layers - layers // interval
    return layers


def _state_of_layer(numbers: Callable[[str, int, int], list[int]], width: int) -> int:
    """Numbers of one layer's state: what a convolution looks back at, and what is carried on."""

    def number(key: str) -> int:
        return max(numbers(key, 0, 0))

    if short := number("shortconv.l_cache"):
        return width * (short - 1)
    inner, state = number("ssm.inner_size"), number("ssm.state_size")
    convolved = inner + 2 * number("ssm.group_count") * state
    return max(0, number("ssm.conv_kernel") - 1) * convolved + state * inner
