"""Importance matrices: how much each column of a weight matrix matters, as llama.cpp's llama-imatrix wrote it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench_local.errors import InputError
from medbench_local.files.gguf_file import GgufTensor, read_gguf_file
from medbench_local.files.gguf_header import GgufHeader
from medbench_local.files.stand_ins import BEGINNING, refuse_stand_in_at
from medbench_local.files.streams import open_file

Importance = dict[str, NDArray[np.float32]]
"""By tensor name: the mean squared input of every column, shape (row length,)."""


def read_importance(path: Path) -> Importance:
    """Read an importance matrix: a GGUF file, or the format that llama-imatrix wrote before mid-2025.

    Raises:
        InputError: damaged, not an importance matrix, or with values that are not finite.
    """
    try:
        with open_file(path) as file:
            beginning = file.read(BEGINNING)
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error
    refuse_stand_in_at(path)
    matrix = _read_gguf(path) if beginning.startswith(b"GGUF") else _read_dat(path)
    if not matrix:
        raise InputError(path, "", "not an importance matrix: it has no entries")
    for name, values in matrix.items():
        if not np.isfinite(values).all():
            raise InputError(path, f"tensor {name!r:.80}", "has values that are not finite")
    return matrix


def check_importance(path: Path, matrix: Importance, model: GgufHeader) -> int:
    """Check that a matrix belongs to a model.

    Returns:
        How many of the model's matrices it says nothing about.

    Raises:
        InputError: a row length differs, or no matrix of the model is covered.
    """
    covered = missing = 0
    for tensor in model.tensors:
        if len(tensor.shape) < 2 or tensor.name == "token_embd.weight":
            continue
        values = matrix.get(tensor.name)
        if values is None:
            missing += 1
            continue
        covered += 1
        if values.size != tensor.shape[0]:
            problem = f"{values.size} columns, the model has {tensor.shape[0]}"
            raise InputError(path, f"tensor {tensor.name!r}", problem, advice=_OTHER)
    if not covered:
        raise InputError(path, "", f"covers no matrix of {model.path.name}", advice=_OTHER)
    return missing


_OTHER = "It was made for another model; make one with llama-imatrix from the full GGUF of this one."


def _read_gguf(path: Path) -> Importance:
    file = read_gguf_file(path)
    if file.scalars.get("general.type") != "imatrix":
        raise InputError(path, "key 'general.type'", "not 'imatrix': the file holds something else")
    tensors = {tensor.name: tensor for tensor in file.tensors}
    matrix: Importance = {}
    for name, sums in tensors.items():
        if not name.endswith(".in_sum2"):
            continue
        counts = tensors.get(name.removesuffix(".in_sum2") + ".counts")
        if counts is None or counts.size != 1 or {sums.type, counts.type} != {"f32"}:
            raise InputError(path, f"tensor {name!r:.80}", "expected f32 sums and one f32 count")
        (count,) = _floats(counts)
        values = _floats(sums)
        matrix[name.removesuffix(".in_sum2")] = values / count if count > 0 else np.ones_like(values)
    return matrix


def _floats(tensor: GgufTensor) -> NDArray[np.float32]:
    return np.fromfile(tensor.path, "<f4", tensor.size, offset=tensor.offset)


def _read_dat(path: Path) -> Importance:
    with open_file(path) as file:
        data = file.read()
    at = 0

    def take(form: str) -> Any:
        nonlocal at
        at += struct.calcsize(form)
        return struct.unpack_from(form, data, at - struct.calcsize(form))[0]

    matrix: Importance = {}
    try:
        for _ in range(take("<i")):
            name = take(f"{take('<i')}s").decode("utf-8")
            calls, count = take("<i"), take("<i")
            if count < 0 or count * 4 > len(data) - at:
                raise ValueError("a length reaches beyond the end")
            values = np.frombuffer(data, "<f4", count, at)
            at += 4 * count
            matrix[name] = values / np.float32(calls) if calls > 0 else values
    except (struct.error, ValueError) as error:
        raise InputError(path, f"byte {at}", f"not an importance matrix, or damaged ({error})") from error
    return matrix
