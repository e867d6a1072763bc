"""Which files of a repository or folder make a checkpoint: the weights once, the tokenizer, the configs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG, adapter_alone
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.json_objects import read_json_object

SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""Everything but the weights that conversion or prompts may need; none but the first must exist."""

CHAT_TEMPLATES = "additional_chat_templates"
"""The folder of chat templates beside the default one, each in a file NAME.jinja."""

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights, best first; each may instead be sharded, with NAME.index.json telling the shards."""

_LARGEST_INDEX = 64 * 2**20


def choose_files(names: Collection[str], local: Callable[[str], Path], *, place: str) -> tuple[str, ...]:
    """The files of ``names`` that make the checkpoint, small ones first.

    Args:
        names: every file there is, relative, with forward slashes.
        local: gives the path of a file of ``names`` on this machine; asked for at most one index of shards, or
            for the description of an adapter.
        place: what errors call the repository or folder.

    Raises:
        AcquireError: there is no config.json, no complete set of weights, or an adapter only.
        InputError: the index of the shards is malformed or names files that are not there.
    """
    present = set(names)
    whole = {index for name in WEIGHT_FILES for index in (name, f"{name}.index.json")}
    if ADAPTER_CONFIG in present and not ("config.json" in present and whole & present):
        raise adapter_alone(local(ADAPTER_CONFIG), place)
    if "config.json" not in present:
        raise AcquireError(
            f"{place} holds no config.json, so it is not a checkpoint.", advice=_about_gguf(present)
        )
    small = tuple(name for name in SMALL_FILES if name in present)
    small += chat_template_files(present)
    for single in WEIGHT_FILES:
        index = f"{single}.index.json"
        if index in present:
            return (*small, index, *_shards(local(index), present))
        if single in present:
            return (*small, single)
    wanted = " or ".join(WEIGHT_FILES)
    raise AcquireError(
        f"{place} holds no weights ({wanted}, whole or with an index).", advice=_about_gguf(present)
    )


def chat_template_files(names: Iterable[str]) -> tuple[str, ...]:
    """Which of ``names`` are chat templates beside the default one."""
    kept = re.compile(re.escape(CHAT_TEMPLATES) + r"/[^/]+\.jinja")
    return tuple(sorted(name for name in names if kept.fullmatch(name)))


def is_weights(name: str) -> bool:
    """Whether ``name`` (one of `choose_files`) holds weights."""
    return name.endswith((".safetensors", ".bin"))


def _shards(index: Path, present: Collection[str]) -> list[str]:
    if index.stat().st_size > _LARGEST_INDEX:
        raise InputError(index, "", f"an index of shards over {_LARGEST_INDEX >> 20} MiB is not believable")
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(index, "key 'weight_map'", "expected a mapping of tensor names to files")
    suffix = Path(index.name.removesuffix(".index.json")).suffix
    shards: set[str] = set()
    for tensor, shard in weight_map.items():
        where = f"key 'weight_map.{tensor}'"
        if not isinstance(shard, str) or not shard.endswith(suffix):
            raise InputError(index, where, f"expected the name of a {suffix} file, not {shard!r}")
        if shard not in present:
            raise InputError(index, where, f"there is no file {shard!r} beside the index")
        shards.add(shard)
    return sorted(shards)


def _about_gguf(present: Collection[str]) -> str:
    files = sorted(name for name in present if name.endswith(".gguf"))
    if not files:
        return ""
    shown = ", ".join(files[:6]) + (", …" if len(files) > 6 else "")
    return f"It holds GGUF files; pass one of them as gguf:owner/name/FILE: {shown}."
