"""What a person may write for MODEL, and what is meant by it."""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import replace
from pathlib import Path

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG, NO_BASE
from medbench_local.acquire.conversion.no_weights import in_its_place, listing
from medbench_local.acquire.hub_address import HubAddress, read_hub_address
from medbench_local.acquire.other_files import what_it_is
from medbench_local.acquire.picture_folders import (
    LANGUAGE,
    has_pictures,
    model_and_projector,
    projector_named,
    reads_pictures,
    tower_of_checkpoint,
)
from medbench_local.acquire.source_types import ALL, OWN, TOWER, Part
from medbench_local.acquire.source_types import HubCheckpoint as HubCheckpoint
from medbench_local.acquire.source_types import HubGguf as HubGguf
from medbench_local.acquire.source_types import LocalCheckpoint as LocalCheckpoint
from medbench_local.acquire.source_types import LocalGguf as LocalGguf
from medbench_local.acquire.source_types import ModelSource as ModelSource
from medbench_local.acquire.source_types import PictureModel as PictureModel
from medbench_local.catalog.model import ModelEntry, PartEntry, VisionKind, VisionSource, models
from medbench_local.errors import UsageError
from medbench_local.files.gguf_header import SPLIT_GGUF, gguf_parts
from medbench_local.files.streams import refuse_special
from medbench_local.paths import user_path

DEMO = Path(__file__).resolve().parents[1] / "demo" / "checkpoints"
"""The embedded checkpoints, one folder a model."""

FORMS = (
    "a name of the catalog, a .gguf file, a folder of a checkpoint or an adapter, one that `convert()` made of a model "
    "with pictures, one with a .gguf file and its projector, hf:owner/name, "
    "gguf:owner/name/file.gguf or their addresses on the hub"
)

LONGEST_NAME = 80
"""Characters of a model's name; a longer one is cut: run folders and cached files are named after it."""

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def resolve_model(
    text: str,
    adapter_base: str | None = None,
    tower: str | None = None,
    projector: str | Path | None = None,
) -> ModelSource:
    """Say what ``text`` means; touches the disk, never the network.

    A name of the catalog wins over a file or folder of the same name; ``./name`` means the folder.

    Args:
        text: as a person wrote it.
        adapter_base: what it is merged into if it is an adapter or a difference, and what stands between gated blocks;
            None for what the adapter or the catalog says.
        tower: what looks at pictures for a checkpoint of one's own; None for what its configuration names.
        projector: the file with which llama.cpp looks at pictures for it; "own" for one that is made of the checkpoint;
            None for the one in its folder, if there is.

    Raises:
        UsageError: nothing known is meant, or a file or folder is not there; or a projector that cannot be used.
        InputError: the configuration of a model with pictures is malformed, or a projector is damaged.
    """
    source = _with_parts(_resolve(text), adapter_base, tower)
    if projector is None:
        return source
    if projector == OWN:
        return _with_own_projector(source, text)
    path = projector_named(projector)
    if isinstance(source, PictureModel) or (isinstance(source, LocalGguf) and source.vision is not None):
        raise UsageError(
            f"{text} has what it needs to read pictures, and `mmproj=` names {path} for it.",
            advice="Leave `mmproj=` out.",
        )
    return replace(source, projector=path)


def _with_own_projector(source: ModelSource, text: str) -> LocalCheckpoint | HubCheckpoint:
    """A checkpoint that sees pictures with its own half for them.

    Raises:
        UsageError: it has none, as far as that is known before its files are read.
    """
    if not isinstance(source, LocalCheckpoint | HubCheckpoint):
        raise UsageError(
            f"{text} is no checkpoint from whose own files a projector could be made.",
            advice="Name the projector file with `mmproj=`.",
        )
    if source.entry is not None and not source.entry.takes_projector:
        raise UsageError(f"{text} reads text only.", advice='Leave `mmproj="own"` out.')
    return replace(source, projector=OWN)


def _with_parts(source: ModelSource, adapter_base: str | None, tower: str | None) -> ModelSource:
    if isinstance(source, LocalGguf | HubGguf):
        return source
    base = None if adapter_base == NO_BASE else adapter_base
    if isinstance(source, LocalCheckpoint) and source.entry is None and reads_pictures(source.folder):
        return picture_model(source, base=base, tower=tower)
    if isinstance(source, PictureModel):
        return (
            source
            if base is None or source.base is None
            else replace(source, base=part_of_model(base, "base"))
        )
    return source if adapter_base is None else replace(source, adapter_base=adapter_base)


def picture_model(
    own: LocalCheckpoint | HubCheckpoint,
    *,
    base: str | None,
    tower: str | None,
    kind: VisionKind | None = None,
) -> PictureModel:
    """A model with pictures of one's own.

    Args:
        own: the difference, the whole, or a torch file that holds gated blocks.
        base: what the difference is added to, or what stands between the blocks; None for a whole.
        tower: what looks at pictures; None for what the model's configuration names, or its own files hold.
        kind: how it is published; None for what ``own`` and ``base`` say.

    Raises:
        UsageError: one of them is no folder and no repository; or gated blocks without base or tower.
        InputError: the configuration is malformed, or names no tower that is known.
    """
    gated = own.part.holds == "torch file"
    found = kind or ("flamingo" if gated else "llava" if base is None else "llava-delta")
    if gated and (base is None or tower is None):
        raise UsageError(
            f"{own.name} holds blocks between the layers of a language model and a resampler; both that language model "
            "and a tower are needed.",
            advice="Name them with `base=` (LLaMA-1 7B for the Flamingos of the catalog) and `vision_tower=`.",
        )
    if tower is None and isinstance(own, LocalCheckpoint):
        tower = tower_of_checkpoint(own.folder)
    if tower is None:
        own = replace(own, part=ALL)
    below = None if base is None else part_of_model(base, "base")
    seen = None if tower is None else part_of_model(tower, "vision_tower")
    return PictureModel(own.name, found, own, below, None if seen is None else replace(seen, part=TOWER))


def part_of_model(text: str, argument: str) -> LocalCheckpoint | HubCheckpoint:
    """The checkpoint that a part of a model is taken from.

    Raises:
        UsageError: nothing known, or no checkpoint.
    """
    given = _resolve(text, part=True)
    if isinstance(given, LocalCheckpoint | HubCheckpoint):
        return given
    raise UsageError(
        f"`{argument}=` names {text}, which is no checkpoint of its own.",
        advice="Name a checkpoint's folder, a name of the catalog, or hf:owner/name.",
    )


def _resolve(text: str, *, part: bool = False) -> ModelSource:
    known = models()
    if text in known:
        return _catalog_source(known[text])
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
        return _local_checkpoint(path) if part else _local_folder(path)
    raise _unknown(text, path, known)


def _catalog_source(entry: ModelEntry) -> ModelSource:
    if entry.repository is None:
        return LocalCheckpoint(entry.name, DEMO / entry.name, entry)
    own = HubCheckpoint(entry.name, entry.repository, entry.revision or "main", entry)
    return own if entry.vision is None else _picture_source(entry, own, entry.vision)


def _picture_source(entry: ModelEntry, own: HubCheckpoint, vision: VisionSource) -> PictureModel:
    if vision.checkpoint:
        own = replace(own, part=Part("torch file", vision.checkpoint))
    base = None if vision.base is None else _part(vision.base)
    tower = replace(_part(vision.tower), part=TOWER)
    return PictureModel(entry.name, vision.kind, own, base, tower, vision.every, entry)


def _part(part: PartEntry) -> HubCheckpoint:
    return HubCheckpoint(_short(part.repository.partition("/")[2]), part.repository, part.revision or "main")


def _address_in(text: str) -> HubAddress | None:
    """The address of the hub that ``text`` is, with or without "hf:" or "gguf:" before it; folders win over it."""
    form = next((form for form in ("hf:", "gguf:") if text.startswith(form)), "")
    inner = text if text.startswith("hf://") else text.removeprefix(form)
    address = read_hub_address(inner)
    if address is not None and not form and "://" not in inner and user_path(inner).exists():
        return None
    return address


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
        refuse_special(path.parent / part)
        if not (path.parent / part).is_file():
            raise UsageError(f"There is no file {path.parent / part}.", advice="Check the path.")
    return LocalGguf(_stem(path.name), path)


def _local_folder(folder: Path) -> LocalCheckpoint | LocalGguf:
    """A checkpoint, or what `convert()` made of a model with pictures."""
    if has_pictures(folder):
        return replace(_local_gguf(folder / LANGUAGE), name=safe_name(folder.resolve().name), vision=folder)
    if (beside := model_and_projector(folder)) is not None:
        language, projector = beside
        found = replace(_local_gguf(language), name=safe_name(folder.resolve().name))
        return replace(found, projector=projector_named(projector))
    return _local_checkpoint(folder)


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
    return LocalCheckpoint(safe_name(folder.resolve().name), folder)


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
    return safe_name(SPLIT_GGUF.sub("", name).removesuffix(".gguf"))


def safe_name(name: str) -> str:
    """``name`` with everything replaced that some file system refuses."""
    return _short(re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model")


def _short(name: str) -> str:
    """``name``, cut if it is too long; a hash then keeps names apart that differ at their end."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
