"""A checkpoint folder: its weight files found, their tensors listed, nothing loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.acquire.conversion.stored_tensor import StoredTensor
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json_object


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a model in a folder.

    Attributes:
        folder: where it lies.
        files: the weight files, in order.
        tensors: by name, in the order of the files.
    """

    folder: Path
    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


@dataclass(frozen=True)
class _Kind:
    index: str
    pattern: re.Pattern[str]
    read: Callable[[Path], list[StoredTensor]]


# safetensors first: they need no trust, and a folder that has both has the same weights twice
_KINDS = (
    _Kind("model.safetensors.index.json", re.compile(r"model.*\.safetensors"), read_safetensors),
    _Kind("pytorch_model.bin.index.json", re.compile(r"pytorch_model.*\.bin"), read_torch),
)
_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")


def open_checkpoint(folder: Path) -> Checkpoint:
    """Find and check the weight files of a folder; safetensors are preferred to PyTorch's own format.

    Raises:
        InputError: no weights; an index that is damaged, names a file outside the folder, or does not agree
            with the files; a missing or damaged file; the same tensor twice.
    """
    if not folder.is_dir():
        raise InputError(folder, "", "no such folder")
    for kind in _KINDS:
        if (folder / kind.index).is_file():
            return _by_index(folder, kind)
        names = sorted(path.name for path in folder.iterdir() if kind.pattern.fullmatch(path.name))
        if names:
            _check_numbering(folder, names)
            return _collect(folder, names, kind)
    raise InputError(
        folder,
        "",
        "no weights: neither model*.safetensors nor pytorch_model*.bin",
        advice="Give the folder that holds config.json and the weights.",
    )


def _by_index(folder: Path, kind: _Kind) -> Checkpoint:
    path = folder / kind.index
    weight_map = read_json_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(path, "key 'weight_map'", "expected tensor names and the files they are in")
    for tensor, name in weight_map.items():
        _check_name(path, f"tensor {tensor!r}", name)
    names = sorted(set(weight_map.values()))
    for name in names:
        if not (folder / name).is_file():
            raise InputError(path, f"file {name!r}", "missing", advice="Download the missing part.")
    checkpoint = _collect(folder, names, kind)
    for tensor, name in weight_map.items():
        found = checkpoint.tensors.get(tensor)
        if found is None or found.path.name != name:
            raise InputError(path, f"tensor {tensor!r}", f"not in {name!r}, where the index places it")
    for tensor, found in checkpoint.tensors.items():
        if tensor not in weight_map:
            raise InputError(path, "", f"{found.path.name!r} holds {tensor!r}, which the index does not know")
    return checkpoint


def _check_name(path: Path, where: str, name: Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[\w][\w.+-]*", name) or ".." in name:
        raise InputError(path, where, f"{name!r} is not the name of a file in the folder")


def _check_numbering(folder: Path, names: Iterable[str]) -> None:
    present = set(names)
    for name in sorted(present):
        if match := _NUMBERED.fullmatch(name):
            stem, _, count, suffix = match.groups()
            for i in range(1, int(count) + 1):
                part = f"{stem}-{i:05d}-of-{count}{suffix}"
                if part not in present:
                    raise InputError(folder, f"file {part!r}", "missing", advice="Download the missing part.")


def _collect(folder: Path, names: Iterable[str], kind: _Kind) -> Checkpoint:
    files = tuple(folder / name for name in names)
    tensors: dict[str, StoredTensor] = {}
    for path in files:
        for tensor in kind.read(path):
            if tensor.name in tensors:
                other = tensors[tensor.name].path.name
                raise InputError(path, f"tensor {tensor.name!r}", f"also in {other!r}")
            tensors[tensor.name] = tensor
    return Checkpoint(folder, files, tensors)
