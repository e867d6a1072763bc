"""What a person may write for MODEL, and what is meant by it."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG
from medbench_local.acquire.conversion.no_weights import in_its_place, listing
from medbench_local.acquire.hub_address import HubAddress, read_hub_address
from medbench_local.acquire.other_files import what_it_is
from medbench_local.catalog.model import ModelEntry, models, vision_pairs
from medbench_local.errors import UsageError
from medbench_local.files.gguf_header import SPLIT_GGUF, gguf_parts
from medbench_local.paths import user_path

DEMO = Path(__file__).resolve().parents[1] / "demo" / "checkpoints"
"""The embedded checkpoints, one folder a model."""

FORMS = (
    "a name of the catalog, a .gguf file, a folder of a checkpoint or an adapter, hf:owner/name, "
    "gguf:owner/name/file.gguf or their addresses on the hub"
)

LONGEST_NAME = 80
"""Characters of a model's name; a longer one is cut: run folders and cached files are named after it."""

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


@dataclass(frozen=True)
class LocalCheckpoint:
    """A folder in Hugging Face layout: a whole model, or an adapter.

    Attributes:
        name: for people, run folders and the model cache; safe as a file name.
        folder: where the checkpoint lies.
        entry: what the catalog knows of it, or None.
        adapter_base: what an adapter is merged into, as a person wrote it; None for what the adapter says itself.
    """

    name: str
    folder: Path
    entry: ModelEntry | None = None
    adapter_base: str | None = None


@dataclass(frozen=True)
class LocalGguf:
    """A GGUF file of the user's own; of a split file the first part."""

    name: str
    path: Path
    entry: ModelEntry | None = None


@dataclass(frozen=True)
class HubCheckpoint:
    """A repository of the hub that holds a model or an adapter, at a branch, tag or commit; see `LocalCheckpoint`."""

    name: str
    repository: str
    revision: str = "main"
    entry: ModelEntry | None = None
    adapter_base: str | None = None


@dataclass(frozen=True)
class HubGguf:
    """A GGUF file of a repository of the hub; of a split file the first part."""

    name: str
    repository: str
    file: str
    revision: str = "main"
    entry: ModelEntry | None = None


ModelSource = LocalCheckpoint | LocalGguf | HubCheckpoint | HubGguf


def resolve_model(text: str, adapter_base: str | None = None) -> ModelSource:
    """Say what ``text`` means; touches the disk, never the network.

    A name of the catalog wins over a file or folder of the same name; ``./name`` means the folder.

    Args:
        text: as a person wrote it.
        adapter_base: what it is merged into if it is an adapter; None for what the adapter says itself.

    Raises:
        UsageError: nothing known is meant, or a file or folder is not there.
    """
    source = _resolve(text)
    if adapter_base is None or isinstance(source, LocalGguf | HubGguf):
        return source
    return replace(source, adapter_base=adapter_base)


def _resolve(text: str) -> ModelSource:
    known = models()
    if text in known:
        return _catalog_source(known[text])
    for pair in vision_pairs():
        if text in (pair.medical, pair.base):
            raise UsageError(
                f"{text} is a vision-language model: known, but not yet runnable ({pair.reason}).",
                advice="`model_names()` has those that can be run.",
            )
    address = _address_in(text)
    if address is not None:
        return _at_address(address, text)
    if text.startswith("hf:"):
        return _hub_checkpoint(text)
    if text.startswith("gguf:"):
        return _hub_gguf(text)
    path = user_path(text)
    if path.suffix.lower() == ".gguf":
        return _local_gguf(path)
    if text and path.is_dir():
        return _local_checkpoint(path)
    raise _unknown(text, path, known)


def _catalog_source(entry: ModelEntry) -> ModelSource:
    if entry.repository is None:
        return LocalCheckpoint(entry.name, DEMO / entry.name, entry)
    return HubCheckpoint(entry.name, entry.repository, entry.revision or "main", entry)


def _address_in(text: str) -> HubAddress | None:
    """The address of the hub that ``text`` is, with or without "hf:" or "gguf:" before it; folders win over it."""
    form = next((form for form in ("hf:", "gguf:") if text.startswith(form)), "")
    inner = text if text.startswith("hf://") else text.removeprefix(form)
    if not form and "://" not in inner and user_path(inner).exists():
        return None
    return read_hub_address(inner)


def _at_address(address: HubAddress, text: str) -> ModelSource:
    """What an address means: a GGUF file, or the repository of the page or file that it names."""
    suffix = f"@{address.revision}" if address.revision else ""
    if address.file.lower().endswith(".gguf"):
        found = _hub_gguf(f"gguf:{address.repository}/{address.file}")
        return replace(found, revision=_hub_checkpoint(f"hf:{address.repository}{suffix}").revision)
    if "/" in address.file or (address.file and ("/tree/" in text or "." not in address.file)):
        raise UsageError(
            f"'{address.file}' is a folder or a file within {address.repository}; a model is read from the top of a "
            "repository.",
            advice=f"Give hf:{address.repository}, or download the folder and give its path.",
        )
    return _hub_checkpoint(f"hf:{address.repository}{suffix}")


def _hub_checkpoint(text: str) -> HubCheckpoint:
    repository, _, revision = text.removeprefix("hf:").strip("/").partition("@")
    if repository.lower().endswith(".gguf") and repository.count("/") >= 2:
        raise UsageError(f"'{text}' names a GGUF file.", advice=f"Write gguf:{repository}.")
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            f"'{text}' does not name a repository.", advice="Write hf:owner/name or hf:owner/name@revision."
        )
    if revision and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise UsageError(
            f"'{revision}' is not a branch, tag or commit.", advice="Write hf:owner/name@revision."
        )
    return HubCheckpoint(_short(repository.partition("/")[2]), repository, revision or "main")


def _hub_gguf(text: str) -> HubGguf:
    parts = text.removeprefix("gguf:").split("/", 2)
    advice = "Write gguf:owner/name/file.gguf."
    if len(parts) < 3 or not _REPOSITORY.fullmatch("/".join(parts[:2])):
        raise UsageError(f"'{text}' does not name a file of a repository.", advice=advice)
    file = parts[2]
    if not file.endswith(".gguf") or any(part in ("", ".", "..") for part in file.split("/")) or "\\" in file:
        raise UsageError(
            f"'{file}' is not the name of a GGUF file.", advice=_advice_on_pieces(file) or advice
        )
    _refuse_later_part(file)
    return HubGguf(_stem(file), "/".join(parts[:2]), file)


def _local_gguf(path: Path) -> LocalGguf:
    _refuse_later_part(path.name)
    for part in gguf_parts(path.name):
        if not (path.parent / part).is_file():
            raise UsageError(f"There is no file {path.parent / part}.", advice="Check the path.")
    return LocalGguf(_stem(path.name), path)


def _local_checkpoint(folder: Path) -> LocalCheckpoint:
    if not any((folder / name).is_file() for name in ("config.json", ADAPTER_CONFIG)):
        try:
            inside = in_its_place(listing(folder), local=True)
        except OSError as error:
            raise UsageError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
        raise UsageError(
            f"The folder {folder} holds no config.json, so it is not a checkpoint.",
            advice=inside or "Pass the folder with config.json, the tokenizer and the weights.",
        )
    return LocalCheckpoint(_safe(folder.resolve().name), folder)


def _refuse_later_part(file: str) -> None:
    match = SPLIT_GGUF.search(file)
    if match is None or match[1] == "00001":
        return
    first = f"{file[: match.start()]}-00001-of-{match[2]}.gguf"
    raise UsageError(f"{file} is a later part of a split GGUF.", advice=f"Pass the first one: {first}.")


def _advice_on_pieces(file: str) -> str:
    if re.search(r"\.gguf[-.](split-[a-z]|part\d+of\d+)$", file):
        return "It is a piece of a file cut in two: download the pieces, join them with cat, pass the result."
    return ""


def _unknown(text: str, path: Path, known: dict[str, ModelEntry]) -> UsageError:
    for entry in known.values():
        if entry.repository and entry.repository.lower() == text.lower():
            return UsageError(
                f"'{text}' is a repository of the hub.", advice=f"The catalog calls it {entry.name}."
            )
    if path.is_file():
        found = what_it_is(path)
        if found is not None:
            return UsageError(f"{path} is {found.kind}, not a model.", advice=found.advice)
        return UsageError(
            f"{path} is neither a .gguf file nor a checkpoint folder.", advice=f"MODEL is {FORMS}."
        )
    close = difflib.get_close_matches(text.lower(), known, n=3, cutoff=0.5)
    if _REPOSITORY.fullmatch(text):
        advice = f"For a repository of the hub write hf:{text}."
    elif close:
        advice = f"Did you mean {' or '.join(close)}? `model_names()` has all names."
    else:
        advice = f"MODEL is {FORMS}; `model_names()` has all names."
    return UsageError(f"No model, file or folder is called '{text}'.", advice=advice)


def _stem(file: str) -> str:
    name = file.rsplit("/", 1)[-1]
    return _safe(SPLIT_GGUF.sub("", name).removesuffix(".gguf"))


def _safe(name: str) -> str:
    """``name`` with everything replaced that some file system refuses."""
    return _short(re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model")


def _short(name: str) -> str:
    """``name``, cut if it is too long; a hash then keeps names apart that differ at their end."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
