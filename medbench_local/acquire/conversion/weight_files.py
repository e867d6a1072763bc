"""Which files of a folder or repository are the weights: those that transformers would load."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from medbench_local.errors import InputError

Format = Literal["safetensors", "bin"]


@dataclass(frozen=True)
class FoundWeights:
    """One set of weights.

    Attributes:
        format: safetensors, or PyTorch's.
        index: the file that tells the shards; "" if the names are known without it.
        files: the weights, in order; empty where the index has to be read first.
        warnings: what a person should know of other weights beside them.
    """

    format: Format
    index: str
    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()


# safetensors first: they need no trust, and a folder that has both usually has the same weights twice
WHOLE: dict[Format, str] = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}
"""What a single file of weights is called; sharded ones have NAME.index.json."""

_LOOSE: dict[Format, re.Pattern[str]] = {
    "safetensors": re.compile(r"model[^/]*\.safetensors"),
    "bin": re.compile(r"pytorch_model[^/]*\.bin"),
}
_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")


def index_of(name: str) -> str:
    """The index of the shards that a single file of weights might be instead."""
    return f"{name}.index.json"


def find_weights(names: Collection[str], *, place: str) -> FoundWeights | None:
    """The weights among ``names``, or None if there are none.

    The order is that of transformers: model.safetensors, its shards, pytorch_model.bin, its shards. Where none of these
    is there, shards without an index are taken, or else the only file of a similar name (model.fp16.safetensors).

    Args:
        names: of all files, relative, with forward slashes; those of subfolders do not count.
        place: what errors call the folder or repository.

    Raises:
        InputError: a shard is missing, or there are several sets and nothing tells which is meant.
    """
    for format, single in WHOLE.items():
        index = index_of(single)
        if single in names:
            others = sorted(
                name
                for name in names
                if name != single
                and _LOOSE[format].fullmatch(name)
                and (_NUMBERED.fullmatch(name) or index in names)
            )
            return FoundWeights(format, "", (single,), _two_sets(place, single, others))
        if index in names:
            return FoundWeights(format, index, ())
    for format in WHOLE:
        loose = sorted(name for name in names if _LOOSE[format].fullmatch(name))
        if loose:
            return FoundWeights(format, "", _only_set(loose, place))
    return None


def _two_sets(place: str, read: str, others: Sequence[str]) -> tuple[str, ...]:
    if not others:
        return ()
    return (
        f"{place} holds two sets of weights, {read} and {others[0]}; {read} is read, as transformers does. If the "
        "other is meant, remove this one.",
    )


def _only_set(names: Sequence[str], place: str) -> tuple[str, ...]:
    """The one set of weights that files without an index make."""
    sets = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        sets[(match[1], match[3]) if match else (name,)] = name
    if len(sets) > 1:
        shown = ", ".join(list(sets.values())[:4]) + (", …" if len(sets) > 4 else "")
        raise InputError(
            place,
            "",
            f"several sets of weights ({shown}) and nothing that tells which is meant",
            advice="Leave one set in the folder, or add its index.",
        )
    match = _NUMBERED.fullmatch(names[0])
    if match is None:
        return tuple(names)
    stem, count, suffix = match[1], match[3], match[4]
    wanted = tuple(f"{stem}-{number:05d}-of-{count}{suffix}" for number in range(1, int(count) + 1))
    for part in wanted:
        if part not in names:
            raise InputError(place, f"file {part!r}", "missing", advice="Download the missing part.")
    return wanted
