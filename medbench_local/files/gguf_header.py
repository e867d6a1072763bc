"""The header of a GGUF file: what a model is, read without loading it.

The format is defined at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The gguf library's
reader builds arrays for every string of the vocabulary and trusts every length, so the header of files from
outside is read here.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from medbench_local.errors import InputError

Value = bool | int | float | str

LOSSLESS = ("f32", "f16", "bf16")
"""File types that count as full precision."""


@dataclass(frozen=True)
class GgufTensor:
    """One tensor as the header lists it.

    Attributes:
        name: "blk.0.attn_q.weight".
        shape: as llama.cpp prints it: the length of a row first.
        type: lower case, "q4_k".
        offset: of its first byte in ``path``.
        path: the file, which for split models is not always the one that was asked for.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    path: Path

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return stored_bytes(self.shape, self.type)


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of the model in it; numbers it does not give are 0, texts are empty.

    Attributes:
        path: the file; of a split model the first part.
        architecture: "llama".
        file_type: the mixture of types, lower case, "q4_k_m", as in the names of quantisation configs.
        parameters: number of weights.
        size: bytes of all parts.
        context: tokens the model was trained on.
        layers, heads, kv_heads, embedding, feed_forward, head_dim: the architecture's sizes.
        vocabulary: number of tokens.
        tokenizer: "llama" (SentencePiece) or "gpt2" (byte-level BPE).
        pre: the rule that splits text before merging.
        add_bos: whether a begin token is put before a text; None if the file leaves it to llama.cpp.
        sliding_window: tokens a position attends to, or 0 for all.
        chat_template: the default one, or None.
        metadata: every key whose value is not a list.
        tensors: of all parts.
        warnings: what a person should know.
    """

    path: Path
    architecture: str
    file_type: str
    parameters: int
    size: int
    context: int
    layers: int
    heads: int
    kv_heads: int
    embedding: int
    feed_forward: int
    head_dim: int
    vocabulary: int
    tokenizer: str
    pre: str
    add_bos: bool | None
    sliding_window: int
    chat_template: str | None
    metadata: Mapping[str, Value]
    tensors: tuple[GgufTensor, ...]
    warnings: tuple[str, ...]

    @property
    def bits_per_weight(self) -> float:
        """Mean over all weights."""
        return 8 * sum(tensor.nbytes for tensor in self.tensors) / max(1, self.parameters)


def stored_bytes(shape: tuple[int, ...], type_: str) -> int:
    """Bytes of a tensor of this shape (row length first) and type (lower case)."""
    block, nbytes = GGML_QUANT_SIZES[GGMLQuantizationType[type_.upper()]]
    return int(math.prod(shape) // block * nbytes)


def read_gguf_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file, of a split model those of all parts.

    Raises:
        InputError: not a GGUF file, damaged or truncated, or a part is missing.
    """
    parts = [_read_part(path)]
    count = parts[0].scalars.get("split.count", 1)
    if type(count) is int and count > 1:
        parts += [_read_part(part) for part in _other_parts(path, count)]
    return _describe(path, parts)


def read_gguf_tensors(path: Path) -> tuple[Mapping[str, Value], tuple[GgufTensor, ...]]:
    """The metadata and tensors of one GGUF file that need not be a model.

    Raises:
        InputError: not a GGUF file, damaged or truncated.
    """
    part = _read_part(path)
    return part.scalars, tuple(part.tensors)


@dataclass(frozen=True)
class _Part:
    scalars: dict[str, Value]
    lengths: dict[str, int]
    tensors: list[GgufTensor]
    size: int


def _describe(path: Path, parts: list[_Part]) -> GgufHeader:
    scalars, lengths = parts[0].scalars, parts[0].lengths
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    architecture = scalars.get("general.architecture")
    if not isinstance(architecture, str):
        raise InputError(path, "key 'general.architecture'", "missing; the file holds no language model")

    def number(key: str) -> int:
        value = scalars.get(f"{architecture}.{key}", 0)
        return value if type(value) is int else 0

    def text(key: str) -> str:
        value = scalars.get(key, "")
        return value if isinstance(value, str) else ""

    add_bos = scalars.get("tokenizer.ggml.add_bos_token")
    heads, embedding = number("attention.head_count"), number("embedding_length")
    tokenizer, pre = text("tokenizer.ggml.model"), text("tokenizer.ggml.pre")
    warnings = []
    if tokenizer == "gpt2" and not pre:
        warnings.append(
            f"{path.name} does not say how text is split before merging (tokenizer.ggml.pre): it was made before "
            "May 2024 and numbers and punctuation are tokenised wrongly. Use a newer file, or convert the checkpoint."
        )
    return GgufHeader(
        path=path,
        architecture=architecture,
        file_type=_file_type(scalars.get("general.file_type"), tensors),
        parameters=sum(tensor.size for tensor in tensors if tensor.name != "rope_freqs.weight"),
        size=sum(part.size for part in parts),
        context=number("context_length"),
        layers=number("block_count"),
        heads=heads,
        kv_heads=number("attention.head_count_kv") or heads,
        embedding=embedding,
        feed_forward=number("feed_forward_length"),
        head_dim=number("attention.key_length") or (embedding // heads if heads else 0),
        vocabulary=lengths.get("tokenizer.ggml.tokens", number("vocab_size")),
        tokenizer=tokenizer,
        pre=pre,
        add_bos=add_bos if isinstance(add_bos, bool) else None,
        sliding_window=number("attention.sliding_window"),
        chat_template=text("tokenizer.chat_template") or None,
        metadata=scalars,
        tensors=tensors,
        warnings=tuple(warnings),
    )


def _file_type(declared: Value | None, tensors: tuple[GgufTensor, ...]) -> str:
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        if len(tensor.shape) > 1:
            sizes[tensor.type] += tensor.size
    main = sizes.most_common(1)[0][0] if sizes else "f32"
    try:
        name = str(LlamaFileType(declared).name).partition("_")[2].lower()
    except ValueError:
        return main
    # a file that calls itself lossless is believed only if its matrices are
    if not name or (name in LOSSLESS and any(kind not in LOSSLESS for kind in sizes)):
        return main
    return name


_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


def _other_parts(path: Path, count: int) -> list[Path]:
    match = _NUMBERED.fullmatch(path.name)
    if not match or int(match[2]) != 1 or int(match[3]) != count:
        problem = f"one of {count} parts, but not named ...-00001-of-{count:05d}.gguf"
        raise InputError(path, "key 'split.count'", problem, advice="Give the first part; keep the names.")
    parts = []
    for i in range(2, count + 1):
        part = path.with_name(f"{match[1]}-{i:05d}-of-{match[3]}.gguf")
        if not part.is_file():
            raise InputError(part, "", "missing", advice="Download all parts of the model into one folder.")
        parts.append(part)
    return parts


def _read_part(path: Path) -> _Part:
    try:
        size = path.stat().st_size
        if size < 24:
            raise InputError(path, "", f"only {size} bytes long, not a GGUF file")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Cursor(path, data, size).part()
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error


_FORMATS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRUCTS = {kind: struct.Struct(code) for kind, code in _FORMATS.items()}
_STRING, _ARRAY = 8, 9
_LENGTH, _COUNT = struct.Struct("<Q"), struct.Struct("<I")
_MOST = 1 << 24
"""Keys, tensors or array elements; ten times more than any model has."""


class _Cursor:
    """A place in the header; never moves beyond the file."""

    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.size, self.at = path, data, size, 0

    def fail(self, problem: str) -> InputError:
        advice = "The file is damaged or truncated; download or convert it again."
        return InputError(self.path, f"byte {self.at}", problem, advice=advice)

    def skip(self, nbytes: int) -> int:
        begin = self.at
        if nbytes > self.size - begin:
            raise self.fail("the header reaches beyond the end of the file")
        self.at = begin + nbytes
        return begin

    def take(self, form: struct.Struct) -> Value:
        value: Value = form.unpack_from(self.data, self.skip(form.size))[0]
        return value

    def length(self, form: struct.Struct = _LENGTH, most: int = _MOST) -> int:
        value = int(self.take(form))
        if value > most:
            raise self.fail(f"a count of {value} is implausible")
        return value

    def text(self) -> str:
        nbytes = self.length()
        begin = self.skip(nbytes)
        try:
            return self.data[begin : begin + nbytes].decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail("a text is not UTF-8") from None

    def part(self) -> _Part:
        if self.data[:4] != b"GGUF":
            raise self.fail("does not begin with GGUF: not a model in GGUF format")
        self.at = 4
        version = int(self.take(_COUNT))
        if version not in (2, 3):
            kind = "big-endian or damaged" if version > 0xFFFF else "not supported"
            raise self.fail(f"GGUF version {version} is {kind}; 2 and 3 are read")
        tensors, keys = self.length(), self.length()
        scalars: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in range(keys):
            self.key(scalars, lengths)
        infos = [self.tensor() for _ in range(tensors)]
        alignment = scalars.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 1 << 20:
            raise self.fail(f"the alignment {alignment!r} makes no sense")
        begin = -(-self.at // alignment) * alignment
        return _Part(scalars, lengths, self.placed(infos, begin), self.size)

    def key(self, scalars: dict[str, Value], lengths: dict[str, int]) -> None:
        name = self.text()
        if name in scalars or name in lengths:
            raise self.fail(f"the key {name!r:.80} is given twice")
        kind = self.length(_COUNT)
        if kind == _ARRAY:
            lengths[name] = self.array()
        elif kind == _STRING:
            scalars[name] = self.text()
        elif kind in _STRUCTS:
            scalars[name] = self.take(_STRUCTS[kind])
        else:
            raise self.fail(f"the key {name!r:.80} has the unknown type {kind}")

    def array(self) -> int:
        kind, count = self.length(_COUNT), self.length()
        if kind == _STRING:
            for _ in range(count):
                self.skip(self.length())
        elif kind in _STRUCTS:
            self.skip(count * _STRUCTS[kind].size)
        else:
            raise self.fail(f"a list of the unknown type {kind}")
        return count

    def tensor(self) -> tuple[str, tuple[int, ...], str, int]:
        name = self.text()
        dimensions = self.length(_COUNT)
        if not 0 < dimensions <= 4:
            raise self.fail(f"the tensor {name!r:.80} has {dimensions} dimensions")
        shape = tuple(self.length(most=1 << 40) for _ in range(dimensions))
        kind = self.length(_COUNT)
        try:
            type_ = GGMLQuantizationType(kind)
        except ValueError:
            raise self.fail(f"the tensor {name!r:.80} has the unknown type {kind}") from None
        if shape[0] % GGML_QUANT_SIZES[type_][0]:
            raise self.fail(
                f"the tensor {name!r:.80} has rows of {shape[0]}, which {type_.name} cannot store"
            )
        return name, shape, type_.name.lower(), self.length(most=1 << 62)

    def placed(self, infos: list[tuple[str, tuple[int, ...], str, int]], begin: int) -> list[GgufTensor]:
        tensors = [GgufTensor(name, shape, kind, begin + at, self.path) for name, shape, kind, at in infos]
        if len({tensor.name for tensor in tensors}) < len(tensors):
            raise self.fail("two tensors have the same name")
        for tensor in tensors:
            if tensor.offset + tensor.nbytes > self.size:
                advice = "The file is truncated; download or convert it again."
                problem = "its data reach beyond the end of the file"
                raise InputError(self.path, f"tensor {tensor.name!r:.80}", problem, advice=advice)
        return tensors


_SPLIT_GGUF = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def gguf_parts(first: str) -> tuple[str, ...]:
    """The names of all files of a GGUF whose first (or only) one is ``first``."""
    match = _SPLIT_GGUF.search(first)
    if match is None:
        return (first,)
    stem, count = first[: match.start()], int(match[2])
    return tuple(f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1))
