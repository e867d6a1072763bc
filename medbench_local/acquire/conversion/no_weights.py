"""What a folder or repository holds in place of weights that can be converted, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

_MOST = 200
"""Subfolders that are looked into."""

Fits = Callable[[str], object]


def _any(pattern: str) -> Fits:
    return re.compile(pattern).fullmatch


_KINDS: tuple[tuple[Fits, str], ...] = (
    (
        _any(r"(.*/)?(__\d+_\d+\.distcp|pytorch_model_fsdp\.bin)"),
        "Its weights are the shards of a training with FSDP: run `accelerate merge-weights` on them and give the "
        "folder that results, with config.json and the tokenizer.",
    ),
    (
        _any(r"(.*/)?(zero_to_fp32\.py|.*_model_states\.pt|global_step\d+)"),
        "Its weights are the shards of a training with DeepSpeed: run its `zero_to_fp32.py` on them and give the "
        "folder that results, with config.json and the tokenizer.",
    ),
    (
        _any(r"(original/)?consolidated.*\.(pth|safetensors)"),
        "Its weights are in the publisher's own format (consolidated…): give the repository in the format of "
        "transformers (often the same name with -hf), or convert them with the script of transformers.",
    ),
    (
        _any(r".*\.(h5|msgpack|onnx|npz|nemo)|saved_model\.pb"),
        "Its weights are in a format of another framework: save them with transformers in PyTorch, and give that "
        "folder.",
    ),
    (
        _any(r"(optimizer|scheduler|trainer_state|training_args|rng_state).*\.(pt|bin|pth|json)"),
        "It holds the state of a training without the weights: give the folder that the trained model was saved in.",
    ),
)


def in_its_place(names: Collection[str], *, local: bool) -> str:
    """Advice for who gave something without weights, by the names of what is there; "" if nothing can be said.

    Args:
        names: of all files, relative, with forward slashes.
        local: whether they lie in a folder on this machine.
    """
    ggufs = sorted(name for name in names if name.lower().endswith(".gguf"))
    if ggufs:
        form = "" if local else " as gguf:owner/name/FILE"
        return f"It holds GGUF files; pass one of them{form}: {_some(ggufs)}."
    folders = {
        folder for name in names for folder, _, file in [name.rpartition("/")] if _begins_a_model(file)
    }
    if folders - {""}:
        found = _some(sorted(folders - {""}, key=_by_number, reverse=True))
        return f"Models lie in folders of it ({found}): " + (
            "give one of these." if local else "download the one that is meant and give its folder."
        )
    return next((advice for fits, advice in _KINDS if any(map(fits, names))), "")


def listing(folder: Path) -> list[str]:
    """The files of a folder and of its immediate subfolders, relative, with forward slashes.

    Raises:
        OSError: the folder cannot be read.
    """
    names, subfolders = [], []
    for path in folder.iterdir():
        if path.is_dir():
            subfolders.append(path)
        else:
            names.append(path.name)
    for subfolder in sorted(subfolders)[:_MOST]:
        try:
            names += [f"{subfolder.name}/{path.name}" for path in subfolder.iterdir()]
        except OSError:
            continue
    return names


def _begins_a_model(file: str) -> bool:
    return file in ("config.json", "adapter_config.json")


def _by_number(name: str) -> tuple[int, str]:
    match = re.search(r"\d+$", name)
    return (int(match[0]) if match else 0, name)


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
