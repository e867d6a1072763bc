"""Tensors of a checkpoint folder by torch's own readers, one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json_object
from medbench_local.reference.transformers_model import libraries

_KINDS = (("model.safetensors", "safetensors"), ("pytorch_model.bin", "torch"))


def weights_in(folder: Path) -> Mapping[str, Callable[[], Any]]:
    """What reads each tensor of a folder; files that no index names are ignored.

    Raises:
        InputError: there are no weights, or a file is missing or damaged.
    """
    for name, kind in _KINDS:
        index = folder / f"{name}.index.json"
        if index.is_file():
            named = read_json_object(index).get("weight_map")
            if not isinstance(named, Mapping) or not all(isinstance(one, str) for one in named.values()):
                raise InputError(index, "key 'weight_map'", "expected an object with names of files")
            files = sorted({Path(one).name for one in named.values()})
        elif (folder / name).is_file():
            files = [name]
        else:
            continue
        found: dict[str, Callable[[], Any]] = {}
        for file in files:
            found |= _readers(folder / file, kind)
        return found
    raise InputError(
        folder, "", "no weights: neither model.safetensors nor pytorch_model.bin", advice="Download them."
    )


def _readers(path: Path, kind: str) -> dict[str, Callable[[], Any]]:
    torch, _ = libraries()
    try:
        if kind == "safetensors":
            from safetensors import safe_open

            opened: Any = safe_open(path, framework="pt")
            return {name: partial(opened.get_tensor, name) for name in list(opened.keys())}
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # both libraries raise whatever their parts raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(path, "", f"cannot be read: {reason}", advice="Download it again.") from error
    return {name: partial(state.__getitem__, name) for name in state}


def added_tokens(folder: Path) -> dict[int, str]:
    """The tokens that were added to a tokenizer, by their ids, as its files say.

    Raises:
        InputError: a file is damaged.
    """
    path = folder / "added_tokens.json"
    if path.is_file():
        return {_id(path, i): text for text, i in read_json_object(path).items()}
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return {}
    entries = read_json_object(path).get("added_tokens_decoder") or {}
    if not isinstance(entries, Mapping):
        raise InputError(path, "key 'added_tokens_decoder'", "expected an object")
    return {
        _id(path, i): str(entry["content"])
        for i, entry in entries.items()
        if isinstance(entry, Mapping) and "content" in entry
    }


def _id(path: Path, value: object) -> int:
    try:
        return int(json.dumps(value).strip('"'))
    except ValueError as error:
        raise InputError(path, "", f"expected a token's id, not {value!r:.40}") from error
