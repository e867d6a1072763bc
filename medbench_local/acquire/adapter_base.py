"""The model that an adapter is merged into: as whoever trained it named it, or as the user says."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from medbench_local.acquire.conversion.adapter_folder import NO_BASE, LoraConfig
from medbench_local.acquire.source import (
    HubCheckpoint,
    LocalCheckpoint,
    resolve_model,
)
from medbench_local.catalog.model import models
from medbench_local.errors import AcquireError, InputError, UsageError
from medbench_local.files.json_objects import read_json_object
from medbench_local.text import plain

MOST_ADAPTERS = 4
"""Adapters on top of each other; a longer chain leads back to itself."""

_QUANTISED_NAME = re.compile(r"[-_](bnb-)?(4bit|8bit)|[-_](gptq|awq|gguf|fp8|int4|int8)\b", re.IGNORECASE)


def base_of(
    source: LocalCheckpoint | HubCheckpoint, config: LoraConfig, config_file: Path
) -> LocalCheckpoint | HubCheckpoint:
    """The base of an adapter.

    What the user named holds. Else the adapter's own name for it: that of a repository of the catalog, of a folder on
    this machine, or of a repository of the hub, in this order. What an adapter of the hub calls a folder is one of
    another machine, even if there is one of that name here.

    Args:
        source: the adapter.
        config: what it says of itself.
        config_file: where that stands.

    Raises:
        UsageError: what the user named is no checkpoint, or is the adapter itself.
        AcquireError: the adapter names none, one that by its name is quantised, or one that is not to be found.
    """
    if source.adapter_base is not None and source.adapter_base != NO_BASE:
        given = resolve_model(source.adapter_base)
        if not isinstance(given, LocalCheckpoint | HubCheckpoint):
            raise UsageError(
                f"`adapter_base=` names a GGUF file, {source.adapter_base}; an adapter is merged into a checkpoint.",
                advice="Name the checkpoint's folder, or hf:owner/name.",
            )
        return given
    name = config.base_model_name_or_path.strip()
    shown = plain(name)[:120]
    if not name:
        raise AcquireError(
            f"{config_file} does not say what the adapter {source.name} was trained on.", advice=_SAY_IT
        )
    folder = Path(name) if isinstance(source, LocalCheckpoint) else None
    if _QUANTISED_NAME.search(name) and not (folder and folder.exists()):
        raise _quantised(source.name, shown)
    revision = config.revision or ""
    for entry in models().values():
        if entry.repository is not None and entry.repository.lower() == name.lower():
            return HubCheckpoint(entry.name, entry.repository, revision or entry.revision or "main")
    if folder and folder.is_dir():
        return LocalCheckpoint(folder.resolve().name, folder)
    if _is_path(name):
        raise AcquireError(
            f"The adapter {source.name} was trained on {shown}, a path of another machine.", advice=_SAY_IT
        )
    try:
        found = resolve_model(f"hf:{name}@{revision}" if revision else f"hf:{name}")
    except UsageError as error:
        raise AcquireError(
            f"The adapter {source.name} was trained on {shown}, which is neither a folder here nor a repository.",
            advice=_SAY_IT,
        ) from error
    assert isinstance(found, HubCheckpoint)
    return found


def other_base(
    source: LocalCheckpoint | HubCheckpoint, config: LoraConfig, base: LocalCheckpoint | HubCheckpoint
) -> tuple[str, ...]:
    """A warning if the user named another base than the adapter does; nothing but its tensors' shapes would tell."""
    named = config.base_model_name_or_path.strip()
    if source.adapter_base in (None, NO_BASE) or not named:
        return ()
    taken = base.repository if isinstance(base, HubCheckpoint) else base.folder.resolve().name
    if _last_part(named) == _last_part(taken):
        return ()
    return (
        f"The adapter {source.name} says that it was trained on {plain(named)[:120]}; merged into {taken}.",
    )


def _last_part(name: str) -> str:
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()


def _quantised(adapter: str, base: str) -> AcquireError:
    return AcquireError(
        f"The adapter {adapter} was trained on {base}, which is quantised; it is merged into 16-bit weights.",
        advice='Name the original of that model with `adapter_base=`, for example `adapter_base="hf:owner/name"`.',
    )


def refuse_quantised(config_file: Path | None, base: LocalCheckpoint | HubCheckpoint, adapter: str) -> None:
    """Refuse a base that is quantised before its weights are fetched.

    Args:
        config_file: the base's config.json, if it is at hand.
        base: the base.
        adapter: what the error calls the adapter.

    Raises:
        AcquireError: config.json says so.
    """
    try:
        config = read_json_object(config_file) if config_file is not None and config_file.is_file() else {}
    except InputError:
        return  # said when the base is converted
    if config.get("quantization_config") or config.get("compression_config"):
        raise _quantised(adapter, base.repository if isinstance(base, HubCheckpoint) else base.name)


_SAY_IT = (
    "Name that model with `adapter_base=`: a checkpoint folder, a name of the catalog, or "
    '`adapter_base="hf:owner/name"`.'
)


def _is_path(name: str) -> bool:
    return (
        PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).drive != ""
        or "\\" in name
        or name.startswith((".", "~"))
        or name.rstrip("/").count("/") != 1
    )
