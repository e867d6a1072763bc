"""The header of a model in GGUF files: what it is, read without loading it."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.gguf_file import (
    GgufFile,
    GgufList,
    GgufTensor,
    Value,
    read_gguf_file,
    read_text_of_list,
)

LOSSLESS = ("f32", "f16", "bf16")
"""File types that count as full precision."""

_CLOCK_STEP = 2.0
"""Seconds within which some file systems give two changes one time."""


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
        vocabulary: number of tokens.
        chat_template: the default one, or None.
        metadata: every key whose value is not a list.
        lists: the other keys.
        tensors: of all parts.
        warnings: what a person should know.
    """

    path: Path
    architecture: str
    file_type: str
    parameters: int
    size: int
    context: int
    vocabulary: int
    chat_template: str | None
    metadata: Mapping[str, Value]
    lists: Mapping[str, GgufList]
    tensors: tuple[GgufTensor, ...]
    warnings: tuple[str, ...]

    @property
    def bits_per_weight(self) -> float:
        """Mean over all weights."""
        return 8 * sum(tensor.nbytes for tensor in self.tensors) / max(1, self.parameters)

    @property
    def asked(self) -> int:
        """Weights that a token is multiplied with: of those in experts the share that it asks."""
        count = self.metadata.get(f"{self.architecture}.expert_count")
        used = self.metadata.get(f"{self.architecture}.expert_used_count")
        if type(count) is not int or type(used) is not int or not 0 <= used < count:
            return self.parameters
        in_experts = sum(math.prod(tensor.shape) for tensor in self.tensors if "_exps." in tensor.name)
        return self.parameters - in_experts + in_experts * used // count


def read_gguf_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file, of a split model those of all parts.

    A file that has not changed is not read again by this process: planning, loading and scoring a model all ask.

    Raises:
        InputError: not a GGUF file, damaged or truncated, a part is missing, or a whole model has the name of a part.
    """
    others = [path.with_name(name) for name in gguf_parts(path.name) if name != path.name]
    states = tuple(_state(part) for part in (path, *others))
    if None in states:
        return _read_header(path)
    return _remembered(path, states)


@lru_cache(maxsize=16)
def _remembered(path: Path, states: tuple[tuple[int, ...] | None, ...]) -> GgufHeader:  # noqa: ARG001
    return _read_header(path)


def _state(path: Path) -> tuple[int, ...] | None:
    """What tells one content of the file from another; None while a second change might leave no trace."""
    try:
        status = path.stat()
    except OSError:
        return None
    if time.time() - status.st_mtime < _CLOCK_STEP:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read_header(path: Path) -> GgufHeader:
    parts = [read_gguf_file(path)]
    count = parts[0].scalars.get("split.count", 1)
    if type(count) is int and count > 1:
        parts += [read_gguf_file(part) for part in _other_parts(path, count)]
    else:
        _refuse_name_of_part(path)
    return _describe(path, parts)


def token_text(header: GgufHeader, name: str) -> str:
    """The text of a special token ("bos", "eos") as the file's vocabulary writes it; "" if there is none.

    Raises:
        InputError: the file was damaged or truncated since its header was read.
    """
    number = header.metadata.get(f"tokenizer.ggml.{name}_token_id")
    tokens = header.lists.get("tokenizer.ggml.tokens")
    if type(number) is not int or tokens is None or tokens.begin is None or not 0 <= number < tokens.length:
        return ""
    return read_text_of_list(header.path, tokens, number)


def _describe(path: Path, parts: list[GgufFile]) -> GgufHeader:
    scalars, lists = parts[0].scalars, parts[0].lists
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    architecture = scalars.get("general.architecture")
    if not isinstance(architecture, str):
        held = "an importance matrix" if scalars.get("general.type") == "imatrix" else "no language model"
        raise InputError(path, "key 'general.architecture'", f"missing; the file holds {held}")

    def number(key: str) -> int:
        value = scalars.get(f"{architecture}.{key}", 0)
        return value if type(value) is int else 0

    template = scalars.get("tokenizer.chat_template")
    tokens = lists.get("tokenizer.ggml.tokens")
    warnings = []
    if scalars.get("tokenizer.ggml.model") == "gpt2" and not scalars.get("tokenizer.ggml.pre"):
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
        vocabulary=tokens.length if tokens else number("vocab_size"),
        chat_template=template if isinstance(template, str) and template else None,
        metadata=scalars,
        lists=lists,
        tensors=tensors,
        warnings=tuple(warnings),
    )


def _file_type(declared: Value | None, tensors: tuple[GgufTensor, ...]) -> str:
    from gguf import LlamaFileType  # slow to import

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


def _other_parts(path: Path, count: int) -> list[Path]:
    match = SPLIT_GGUF.search(path.name)
    if not match or int(match[1]) != 1 or int(match[2]) != count:
        problem = f"one of {count} parts, but not named ...-00001-of-{count:05d}.gguf"
        raise InputError(path, "key 'split.count'", problem, advice="Give the first part; keep the names.")
    parts = [path.with_name(name) for name in gguf_parts(path.name)[1:]]
    for part in parts:
        if not part.is_file():
            raise InputError(
                part, "", "is missing", advice="Download all parts of the model into one folder."
            )
    return parts


def _refuse_name_of_part(path: Path) -> None:
    """Refuse a whole model with a part's name: files beside it would be fetched, hashed and believed to be of it."""
    match = SPLIT_GGUF.search(path.name)
    if match and int(match[2]) != 1:
        problem = f"the name says one of {int(match[2])} parts, but the file knows of no others"
        whole = SPLIT_GGUF.sub(".gguf", path.name)
        advice = f"If it is a whole model, name it {whole}; else get all parts again."
        raise InputError(path, "key 'split.count'", problem, advice=advice)


SPLIT_GGUF = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
"""The end of the name of one file of a split model: its number, and how many there are."""


def gguf_parts(first: str) -> tuple[str, ...]:
    """The names of all files of a GGUF whose first (or only) one is ``first``."""
    match = SPLIT_GGUF.search(first)
    if match is None:
        return (first,)
    stem, count = first[: match.start()], int(match[2])
    return tuple(f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1))
