"""What a GGUF file says of itself, checked before llama.cpp, which may abort on a damaged file, sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf

from medbench_local.errors import InputError

_MAGIC = b"GGUF"


@dataclass(frozen=True)
class Header:
    """The shape of a model.

    Attributes:
        architecture: "llama" …
        layers: number of transformer layers.
        heads: query heads of the layer that has most.
        kv_width: key plus value numbers that one token adds to the cache, all layers together.
        width: numbers in a token's embedding.
        hidden: numbers in the feed-forward part.
        vocabulary: number of tokens.
        weights: bytes of all tensors.
    """

    architecture: str
    layers: int
    heads: int
    kv_width: int
    width: int
    hidden: int
    vocabulary: int
    weights: int


def read_header(path: Path) -> Header:
    """Read and check a GGUF file's header.

    Raises:
        InputError: the file is missing, no GGUF file, cut short, or its header contradicts itself.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror}.") from error
    if magic != _MAGIC:
        raise InputError(
            path,
            "first four bytes",
            f"found {magic!r}, expected {_MAGIC!r}: this is not a GGUF file.",
            advice="Convert the checkpoint with `medbench-local convert`.",
        )
    try:
        reader = gguf.GGUFReader(path)
        return _shape(reader, path)
    except InputError:
        raise
    except Exception as error:  # the reader raises whatever a damaged header makes it stumble over
        raise InputError(
            path,
            "header",
            f"cannot be read as GGUF ({type(error).__name__}: {str(error)[:200]}).",
            advice="The file is damaged or cut short: download or convert it again.",
        ) from error


def _shape(reader: gguf.GGUFReader, path: Path) -> Header:
    def value(key: str, default: int | list[int] | None = None) -> int | list[int]:
        field = reader.get_field(f"{architecture}.{key}")
        if field is not None:
            found: int | list[int] = field.contents()
            return found
        if default is None:
            raise InputError(path, f"key '{architecture}.{key}'", "is missing, expected a whole number.")
        return default

    def number(key: str, default: int | None = None) -> int:
        found = value(key, default)
        found = max(found, default=0) if isinstance(found, list) else found
        if not isinstance(found, int) or not 0 < found < 2**31:
            raise InputError(path, f"key '{architecture}.{key}'", f"found {found!r}, expected 1 or more.")
        return found

    field = reader.get_field("general.architecture")
    if field is None:
        raise InputError(path, "key 'general.architecture'", "is missing, expected the model's kind.")
    architecture = str(field.contents())
    layers, width, heads = number("block_count"), number("embedding_length"), number("attention.head_count")
    kv_heads = value("attention.head_count_kv", heads)
    total_kv = sum(kv_heads) if isinstance(kv_heads, list) else kv_heads * layers
    head_width = width // heads
    tokens = reader.get_field("tokenizer.ggml.tokens")
    for tensor in reader.tensors:
        # The reader maps the file: a tensor beyond its end comes out short.
        if tensor.data.nbytes != tensor.n_bytes:
            raise InputError(path, f"tensor '{tensor.name}'", "ends beyond the end of the file.")
    if not reader.tensors:
        raise InputError(path, "", "holds no tensors, expected a model's weights.")
    return Header(
        architecture=architecture,
        layers=layers,
        heads=heads,
        kv_width=total_kv
        * (number("attention.key_length", head_width) + number("attention.value_length", head_width)),
        width=width,
        hidden=number("feed_forward_length", 4 * width),
        vocabulary=len(tokens.data) if tokens is not None else number("vocab_size"),
        weights=sum(int(tensor.n_bytes) for tensor in reader.tensors),
    )
