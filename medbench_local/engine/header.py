"""What a GGUF file says of itself, checked before llama.cpp, which may abort on a damaged file, sees it.

The gguf package's own reader walks wherever a damaged length sends it; here no length is believed that
reaches beyond the file. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import gguf

from medbench_local.errors import InputError

_DAMAGED = "The file is damaged or cut short: download or convert it again."
_NUMBERS = ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", None, None, "<Q", "<q", "<d")
_STRING, _ARRAY = 8, 9
_LONGEST_TEXT = 2**24
_LONGEST_KEPT = 1024
_NO_TOKEN = 2**32 - 1
_SPLIT = re.compile(r"(?P<stem>.*)-00001-of-(?P<count>\d{5})\.gguf")


@dataclass(frozen=True)
class Header:
    """The shape of a model.

    Attributes:
        architecture: "llama" …
        layers: number of transformer layers.
        heads: query heads of the layer that has most.
        kv_width: key plus value numbers that one token adds to the cache, all layers together.
        width: numbers in a token's embedding.
        hidden: numbers in the feed-forward part of the layer that has most.
        vocabulary: number of tokens.
        weights: bytes of all tensors, those of a split model's other files included.
    """

    architecture: str
    layers: int
    heads: int
    kv_width: int
    width: int
    hidden: int
    vocabulary: int
    weights: int


@dataclass(frozen=True)
class _Array:
    """An array of which only short ones are kept."""

    length: int
    items: tuple[Any, ...]


class _Reader:
    """Reads a header front to back."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = path.stat().st_size

    def problem(self, problem: str) -> InputError:
        return InputError(self.path, f"byte {self.file.tell()}", problem, advice=_DAMAGED)

    def number(self, form: str) -> Any:
        data = self.file.read(struct.calcsize(form))
        if len(data) < struct.calcsize(form):
            raise self.problem("the file ends in the middle of its header.")
        return struct.unpack(form, data)[0]

    def room_for(self, count: int, size: int) -> int:
        """``count`` if that many things of ``size`` bytes may follow."""
        if count * size > self.size - self.file.tell():
            raise self.problem(f"{count} items are announced, more than the file holds.")
        return count

    def text(self, *, keep: bool = True) -> str:
        length = self.room_for(self.number("<Q"), 1)
        if not keep:
            self.file.seek(length, 1)
            return ""
        if length > _LONGEST_TEXT:
            raise self.problem(f"a text of {length} bytes is announced.")
        return self.file.read(length).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array(self.number("<I"), self.number("<Q"))
        form = _NUMBERS[kind] if kind < len(_NUMBERS) else None
        if form is None:
            raise self.problem(f"found the value type {kind}, expected 0 to {len(_NUMBERS) - 1}.")
        return self.number(form)

    def array(self, kind: int, length: int) -> _Array:
        form = _NUMBERS[kind] if kind < len(_NUMBERS) else None
        if kind == _STRING:
            for _ in range(self.room_for(length, 8)):
                self.text(keep=False)
            return _Array(length, ())
        if form is None:
            raise self.problem(f"found an array of type {kind}, expected numbers or texts.")
        size = struct.calcsize(form)
        if self.room_for(length, size) > _LONGEST_KEPT:
            self.file.seek(length * size, 1)
            return _Array(length, ())
        return _Array(length, tuple(self.number(form) for _ in range(length)))

    def tensor(self) -> tuple[str, int, int]:
        """Name, offset in the data and bytes of the next tensor."""
        name = self.text()
        dimensions = self.number("<I")
        if not 1 <= dimensions <= 4:
            raise self.problem(f"tensor {name[:64]!r} has {dimensions} dimensions, expected 1 to 4.")
        shape = [self.number("<Q") for _ in range(dimensions)]
        kind, offset = self.number("<I"), self.number("<Q")
        try:
            block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        except (ValueError, KeyError) as error:
            raise self.problem(f"tensor {name[:64]!r} has the unknown type {kind}.") from error
        return name, offset, math.prod(shape) // block * size


def read_header(path: Path) -> Header:
    """Read and check a GGUF file's header.

    Raises:
        InputError: the file is missing, no GGUF file, cut short, or its header contradicts itself.
    """
    if path.exists() and not path.is_file():
        raise InputError(path, "", "cannot be read: it is not a file.")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != b"GGUF":
                raise InputError(
                    path,
                    "first four bytes",
                    f"found {magic!r}, expected {b'GGUF'!r}: this is not a GGUF file.",
                    advice="Convert the checkpoint with `convert()`.",
                )
            reader = _Reader(path, file)
            values, weights = _contents(reader)
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror}.") from error
    parts = values.get("split.count")
    if isinstance(parts, int) and parts > 1:
        weights += _other_files(path)
    elif weights == 0:
        raise InputError(path, "", "holds no tensors, expected a model's weights.")
    return _shape(path, values, weights)


def _contents(reader: _Reader) -> tuple[dict[str, Any], int]:
    """All values, and the bytes of all tensors, each of which lies within the file."""
    version = reader.number("<I")
    if version not in (2, 3):
        raise reader.problem(f"found GGUF version {version}, expected 2 or 3 (little endian).")
    tensor_count = reader.number("<Q")
    values: dict[str, Any] = {}
    for _ in range(reader.room_for(reader.number("<Q"), 13)):
        key = reader.text()
        values[key] = reader.value(reader.number("<I"))
    tensors = [reader.tensor() for _ in range(reader.room_for(tensor_count, 32))]
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise InputError(reader.path, "key 'general.alignment'", f"found {alignment!r}, expected 1 or more.")
    start = -(-reader.file.tell() // alignment) * alignment
    for name, offset, size in tensors:
        if start + offset + size > reader.size:
            raise InputError(
                reader.path,
                f"tensor '{name[:64]}'",
                f"ends at byte {start + offset + size}, but the file at byte {reader.size}.",
                advice=_DAMAGED,
            )
    return values, sum(size for _, _, size in tensors)


def _other_files(path: Path) -> int:
    """Bytes of the further files of a split model."""
    found = _SPLIT.fullmatch(path.name)
    if not found:
        raise InputError(
            path, "", "is one of several files of a split model; name the first one (…-00001-of-….gguf)."
        )
    total = 0
    for number in range(2, int(found["count"]) + 1):
        other = path.with_name(f"{found['stem']}-{number:05d}-of-{found['count']}.gguf")
        try:
            total += other.stat().st_size
        except OSError as error:
            raise InputError(other, "", "is missing, a part of a split model.") from error
    return total


def _shape(path: Path, values: dict[str, Any], weights: int) -> Header:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str):
        raise InputError(path, "key 'general.architecture'", "is missing, expected the model's kind.")

    def numbers(key: str, default: int | None = None, least: int = 1) -> list[int]:
        """One number, or one for each layer, the largest of them at least ``least``."""
        name = f"{architecture}.{key}"
        found = values.get(name, default)
        if found is None:
            raise InputError(path, f"key '{name}'", "is missing, expected a whole number.")
        items = list(found.items) if isinstance(found, _Array) else [found]
        if not items or not all(isinstance(item, int) and 0 <= item < 2**31 for item in items):
            raise InputError(path, f"key '{name}'", f"found {items!r}, expected whole numbers.")
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
    tokens = values.get("tokenizer.ggml.tokens")
    vocabulary = tokens.length if isinstance(tokens, _Array) else max(numbers("vocab_size", 1))
    bos = values.get("tokenizer.ggml.bos_token_id", _NO_TOKEN)
    # llama.cpp puts another token in place of such a one, with a line in its log.
    if (
        isinstance(tokens, _Array)
        and bos != _NO_TOKEN
        and not (isinstance(bos, int) and 0 <= bos < vocabulary)
    ):
        problem = f"found {bos!r}, expected one of the {vocabulary} tokens."
        raise InputError(path, "key 'tokenizer.ggml.bos_token_id'", problem)
    return Header(
        architecture=architecture,
        layers=layers,
        heads=heads,
        kv_width=of_all_layers * (key_width + value_width),
        width=width,
        hidden=max(numbers("feed_forward_length", 4 * width, least=0)),
        vocabulary=vocabulary,
        weights=weights,
    )
