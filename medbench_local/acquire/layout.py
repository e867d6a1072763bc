"""Which files of a repository or folder make a model: the weights once, the tokenizer, the configs; or an adapter."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, NO_BASE
from medbench_local.acquire.conversion.no_weights import in_its_place
from medbench_local.acquire.conversion.weight_files import WHOLE, find_weights
from medbench_local.acquire.source_types import MODEL, Part
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.json_objects import read_json_object

TOKENIZER_FILES = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""Everything about text that conversion or prompts may need; none must exist."""

SMALL_FILES = ("config.json", "generation_config.json", *TOKENIZER_FILES)
"""Everything but the weights and further chat templates; none but the first must exist."""

PREPROCESSOR = "preprocessor_config.json"
"""How pictures are prepared for a tower."""

CHAT_TEMPLATES = "additional_chat_templates"
"""The folder of chat templates beside the default one, each in a file NAME.jinja."""

TORCH_ENDINGS = (".pt", ".pth")
"""How files are called that hold named tensors of a training."""

_LARGEST_INDEX = 64 * 2**20


@dataclass(frozen=True)
class Layout:
    """What makes the model.

    Attributes:
        files: small ones first.
        warnings: what a person should know of other files.
        adapter: whether it is an adapter, which is nothing without its base.
        either: whether there are whole weights and an adapter, so that somebody said which is meant.
    """

    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    adapter: bool = False
    either: bool = False


def layout_of(
    names: Collection[str],
    local: Callable[[str], Path],
    *,
    place: str,
    part: Part = MODEL,
    adapter_base: str | None = None,
    here: bool = False,
) -> Layout:
    """The files of ``names`` that are read of a repository or folder.

    Args:
        names, local, place, adapter_base, here: as for `choose_files`.
        part: what is read of it.

    Raises:
        AcquireError, InputError: as `choose_files`; or what is wanted is not there.
    """
    if part.holds == "torch file":
        return Layout((_torch_file(names, part.file, place),))
    if part.holds == "tower":
        return _tower_files(names, local, place)
    layout = choose_files(names, local, place=place, adapter_base=adapter_base, here=here)
    if part.holds == "all" and PREPROCESSOR in names:
        return replace(layout, files=(PREPROCESSOR, *layout.files))
    return layout


def _torch_file(names: Collection[str], file: str, place: str) -> str:
    found = sorted(name for name in names if "/" not in name and name.endswith(TORCH_ENDINGS))
    if file in found:
        return file
    if not file and len(found) == 1:
        return found[0]
    wanted = file or f"one file in torch's format ({', '.join(TORCH_ENDINGS)})"
    raise AcquireError(
        f"{place} does not hold {wanted}; it has {', '.join(found) if found else 'no such file'}.",
        advice="Give the file itself." if found else "",
    )


def _tower_files(names: Collection[str], local: Callable[[str], Path], place: str) -> Layout:
    """What is read of a CLIP model: its weights once, its configuration, and how pictures are prepared."""
    present = set(names)
    for name in ("config.json", PREPROCESSOR):
        if name not in present:
            raise AcquireError(
                f"{place} holds no {name}, so it is no tower.",
                advice="A CLIP model in the format of transformers is needed, as in openai/clip-vit-large-patch14.",
            )
    found = find_weights(present, place=place)
    if found is None:
        raise AcquireError(f"{place} holds no weights ({' or '.join(WHOLE.values())}).")
    files = (found.index, *_shards(local(found.index), present)) if found.index else found.files
    return Layout(("config.json", PREPROCESSOR, *files), found.warnings)


def choose_files(
    names: Collection[str],
    local: Callable[[str], Path],
    *,
    place: str,
    adapter_base: str | None = None,
    here: bool = False,
) -> Layout:
    """The files of ``names`` that make the model.

    Args:
        names: every file there is, relative, with forward slashes.
        local: gives the path of a file of ``names`` on this machine; asked for at most one index of shards.
        place: what errors call the repository or folder.
        adapter_base: what an adapter is to be merged into, ``NO_BASE`` for weights as they are, None if nobody said.
        here: whether it is a folder on this machine.

    Raises:
        AcquireError: there is no config.json, no complete set of weights, or an adapter beside whole weights and
            nothing says which is meant.
        InputError: the index of the shards is malformed or names files that are not there; several sets of weights.
    """
    present = set(names)
    found = find_weights(present, place=place)
    stored = next((name for name in ADAPTER_WEIGHTS if name in present), None)
    if ADAPTER_CONFIG in present and _is_adapter(found is not None, stored, adapter_base, place):
        if stored is None:
            wanted = " nor ".join(ADAPTER_WEIGHTS)
            raise AcquireError(f"{place} describes an adapter, but holds neither {wanted}.")
        small = (*(name for name in TOKENIZER_FILES if name in present), *chat_template_files(present))
        return Layout((ADAPTER_CONFIG, *small, stored), adapter=True, either=found is not None)
    if "config.json" not in present:
        raise AcquireError(
            f"{place} holds no config.json, so it is not a checkpoint.",
            advice=in_its_place(present, local=here),
        )
    small = tuple(name for name in SMALL_FILES if name in present)
    small += chat_template_files(present)
    if found is None:
        wanted = " or ".join(WHOLE.values())
        raise AcquireError(
            f"{place} holds no weights ({wanted}, whole or with an index).",
            advice=in_its_place(present, local=here),
        )
    files = (found.index, *_shards(local(found.index), present)) if found.index else found.files
    either = ADAPTER_CONFIG in present and stored is not None
    return Layout((*small, *files), found.warnings, either=either)


def chat_template_files(names: Iterable[str]) -> tuple[str, ...]:
    """Which of ``names`` are chat templates beside the default one."""
    kept = re.compile(re.escape(CHAT_TEMPLATES) + r"/[^/]+\.jinja")
    return tuple(sorted(name for name in names if kept.fullmatch(name)))


def is_weights(name: str) -> bool:
    """Whether ``name`` (one of `choose_files`) holds weights."""
    return name.endswith((".safetensors", ".bin", *TORCH_ENDINGS))


def _is_adapter(whole: bool, stored: str | None, adapter_base: str | None, place: str) -> bool:
    """Whether the adapter is meant where there is a description of one."""
    if not whole:
        return True
    if stored is None or adapter_base == NO_BASE:
        return False
    if adapter_base is None:
        raise AcquireError(
            f"{place} holds whole weights and the adapter {stored}; nothing tells whether the adapter is merged into "
            "these weights already.",
            advice=f'Say so with `adapter_base="{NO_BASE}"` (the weights are taken as they are), or name the model '
            "that the adapter is to be merged into with `adapter_base=`.",
        )
    return True


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
