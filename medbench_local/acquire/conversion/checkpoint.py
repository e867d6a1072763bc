"""A checkpoint as the converter sees it, and the ordinary one: a folder in the layout of the hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG, adapter_alone
from medbench_local.acquire.conversion.no_weights import in_its_place, listing
from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.acquire.conversion.tensor import StoredTensor, Tensor
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.acquire.conversion.weight_files import Format, FoundWeights, find_weights
from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json_object


@dataclass(frozen=True)
class GrownTokenizer:
    """A tokenizer to which another checkpoint adds control tokens.

    Attributes:
        folder: with the tokenizer's files.
        rows: the tokens of its own that count: those below this id.
        added: further tokens by their ids.
    """

    folder: Path
    rows: int
    added: Mapping[int, str]


class Checkpoint(Protocol):
    """What a model consists of, whether it lies in one folder or is put together from several."""

    @property
    def origin(self) -> Path:
        """The folder that people and errors call the checkpoint."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The content of config.json."""

    @property
    def config_file(self) -> Path:
        """Where that stands, for errors."""

    @property
    def tokenizer(self) -> Path | GrownTokenizer:
        """The folder that holds the tokenizer's files, perhaps with tokens that were added elsewhere."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors by name; their numbers are read when they are asked for."""


@dataclass(frozen=True)
class CheckpointView:
    """A checkpoint put together from others; attributes as in `Checkpoint`."""

    origin: Path
    config: Mapping[str, Any]
    config_file: Path
    tokenizer: Path | GrownTokenizer
    tensors: Mapping[str, Tensor]


_READERS: dict[Format, Callable[[Path], list[StoredTensor]]] = {
    "safetensors": read_safetensors,
    "bin": read_torch,
}


@dataclass(frozen=True)
class _Weights:
    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder with config.json, a tokenizer and weights; each is read and checked when it is asked for.

    Attributes:
        origin: the folder.
    """

    origin: Path

    @property
    def tokenizer(self) -> Path:
        """The folder itself."""
        return self.origin

    @property
    def config_file(self) -> Path:
        """config.json in the folder."""
        return self.origin / "config.json"

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The content of config.json.

        Raises:
            InputError: there is none, or it is not a JSON object.
        """
        return read_json_object(self.config_file)

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """The tensors of all weight files, in the order of the files; safetensors rather than PyTorch's format.

        Raises:
            InputError: no weights; an index that is damaged, names a file outside the folder, or does not
                agree with the files; a missing or damaged file; the same tensor twice.
            AcquireError: there is an adapter instead.
        """
        return self._weights.tensors

    @property
    def files(self) -> tuple[Path, ...]:
        """The weight files, in order.

        Raises:
            InputError: as for ``tensors``.
        """
        return self._weights.files

    def named_weights(self, names: Collection[str]) -> Mapping[str, StoredTensor]:
        """The tensors of the weights among ``names``, which are other files of the folder than those that are read.

        Raises:
            InputError: as for ``tensors``.
        """
        found = find_weights(names, place=str(self.origin))
        return _read(self.origin, found).tensors if found is not None else {}

    @cached_property
    def _weights(self) -> _Weights:
        return _find_weights(self.origin)


def _find_weights(folder: Path) -> _Weights:
    if not folder.is_dir():
        raise InputError(folder, "", "no such folder")
    names = listing(folder)
    found = find_weights(names, place=str(folder))
    if found is None:
        if ADAPTER_CONFIG in names:
            raise adapter_alone(folder / ADAPTER_CONFIG, str(folder))
        raise InputError(
            folder,
            "",
            "no weights: neither model*.safetensors nor pytorch_model*.bin",
            advice=in_its_place(names, local=True)
            or "Give the folder that holds config.json and the weights.",
        )
    _refuse_named_weights(folder, found)
    return _read(folder, found)


def _read(folder: Path, found: FoundWeights) -> _Weights:
    if found.index:
        return _by_index(folder, found)
    return _collect(folder, found.files, _READERS[found.format])


def _refuse_named_weights(folder: Path, found: FoundWeights) -> None:
    """config.json may name a file of weights that transformers loads instead of the usual ones."""
    config = folder / "config.json"
    if not config.is_file():
        return
    named = read_json_object(config).get("transformers_weights")
    if named is not None and named not in (found.index, *found.files):
        read = found.index or found.files[0]
        raise InputError(
            config,
            "key 'transformers_weights'",
            f"names {named!r:.80}, but {read} would be read",
            advice="Leave only the weights that are meant in the folder, under their usual name, and remove the key.",
        )


def _by_index(folder: Path, kind: FoundWeights) -> _Weights:
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
    weights = _collect(folder, names, _READERS[kind.format])
    for tensor, name in weight_map.items():
        found = weights.tensors.get(tensor)
        if found is None or found.path.name != name:
            raise InputError(path, f"tensor {tensor!r}", f"not in {name!r}, where the index places it")
    for tensor, found in weights.tensors.items():
        if tensor not in weight_map:
            raise InputError(path, "", f"{found.path.name!r} holds {tensor!r}, which the index does not know")
    return weights


def _check_name(path: Path, where: str, name: Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[\w][\w.+-]*", name) or ".." in name:
        raise InputError(path, where, f"{name!r} is not the name of a file in the folder")


def _collect(folder: Path, names: Iterable[str], read: Callable[[Path], list[StoredTensor]]) -> _Weights:
    files = tuple(folder / name for name in names)
    tensors: dict[str, StoredTensor] = {}
    for path in files:
        for tensor in read(path):
            if tensor.name in tensors:
                other = tensors[tensor.name].path.name
                raise InputError(path, f"tensor {tensor.name!r}", f"also in {other!r}")
            tensors[tensor.name] = tensor
    return _Weights(files, tensors)
