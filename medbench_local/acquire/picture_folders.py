"""Folders of models that read pictures: what they hold, and what must not be taken for such a model."""

from __future__ import annotations

import re
from pathlib import Path

from medbench_local.errors import InputError, UsageError
from medbench_local.files.gguf_header import gguf_parts, read_gguf_header
from medbench_local.files.json_objects import read_json_object
from medbench_local.files.streams import refuse_special
from medbench_local.paths import user_path
from medbench_local.vision.projector_file import is_projector, read_projector

LANGUAGE = "model.gguf"
"""The language model of a model with pictures, in a folder that `convert()` makes."""
VISION = "vision.safetensors"
"""What belongs to one language model: projector, or resampler and gated blocks."""
TOWER = "tower.safetensors"
"""What looks at pictures; models may have it in common."""

DIFFERENCE_OR_WHOLE = ("LlavaLlamaForCausalLM", "LlavaMistralForCausalLM")
"""The classes of LLaVA's own code; whether a folder holds a whole model or a difference, its weights say."""
EXPORTED = "LlavaForConditionalGeneration"
"""The class of transformers for the same models, whose files hold the tower."""

_CLIPS = {
    name: f"openai/{name}"
    for name in ("clip-vit-large-patch14", "clip-vit-large-patch14-336", "clip-vit-base-patch32")
}
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_OTHER_TOWERS = ("biomed", "siglip", "eva", "dino", "convnext")


def has_pictures(folder: Path) -> bool:
    """Whether a folder is one that `convert()` made of a model with pictures."""
    return (folder / VISION).is_file() and not (folder / "config.json").is_file()


def reads_pictures(folder: Path) -> bool:
    """Whether the checkpoint in a folder is one of LLaVA's, by its config.json."""
    try:
        names = read_json_object(folder / "config.json").get("architectures")
    except InputError:
        return False  # said when it is converted
    return isinstance(names, list) and len(names) == 1 and names[0] in (*DIFFERENCE_OR_WHOLE, EXPORTED)


def tower_of_checkpoint(folder: Path) -> str | None:
    """What looks at pictures for a checkpoint of LLaVA's in a folder, as a model is named; None if it is within.

    Raises:
        InputError: config.json is malformed, or names no tower.
        UsageError: a tower that cannot be used, or that is not to be found.
    """
    path = folder / "config.json"
    config = read_json_object(path)
    if config.get("architectures") == [EXPORTED]:
        return None
    named = config.get("mm_vision_tower")
    if not isinstance(named, str) or not named.strip("/ "):
        raise InputError(
            path, "key 'mm_vision_tower'", "missing: it names what looks at pictures", advice=_SAY_IT
        )
    refuse_other_tower(path, named)
    if (folder / named).is_dir():
        return str(folder / named)
    last = named.rstrip("/").rsplit("/", 1)[-1]
    if last in _CLIPS:
        return f"hf:{_CLIPS[last]}"
    if _REPOSITORY.fullmatch(named):
        return f"hf:{named}"
    raise UsageError(f"{path} names the tower {named!r:.120}, a path of another machine.", advice=_SAY_IT)


_SAY_IT = (
    'Name the tower with `vision_tower=`, for example `vision_tower="hf:openai/clip-vit-large-patch14"`.'
)


def refuse_other_tower(path: Path, named: str) -> None:
    """Refuse a model that was trained with a tower that is none of OpenAI's CLIP.

    Args:
        path: where the name stands.
        named: the name of a repository, or a path.

    Raises:
        UsageError: it is one.
    """
    last = named.rstrip("/").rsplit("/", 1)[-1].lower()
    if any(other in last for other in _OTHER_TOWERS) or "open_clip" in named.lower():
        raise UsageError(
            f"{path} names the tower {named!r:.120}, which is another one than OpenAI's CLIP: such a model "
            "cannot be run.",
            advice="Take a release of the model that was trained with openai/clip-vit-large-patch14.",
        )


def model_and_projector(folder: Path) -> tuple[Path, Path] | None:
    """The language model and the projector file in a folder that holds GGUF files and nothing else of a model.

    Raises:
        UsageError: there are several of a kind, so that nobody knows which are meant.
        InputError: a file is damaged.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".gguf")
    except OSError:
        return None  # said where the folder is listed
    firsts = [path for path in files if path.name == gguf_parts(path.name)[0]]
    if len(firsts) < 2 or (folder / "config.json").is_file():
        return None
    projectors = [path for path in firsts if is_projector(read_gguf_header(path))]
    languages = [path for path in firsts if path not in projectors]
    if not projectors:
        return None
    if len(projectors) > 1 or len(languages) != 1:
        listed = ", ".join(path.name for path in firsts)
        raise UsageError(
            f"{folder} holds {len(languages)} language models and {len(projectors)} projectors of pictures: {listed}.",
            advice="Give the model's own file as MODEL and the projector as `mmproj=`, or leave one of each there.",
        )
    return languages[0], projectors[0]


def projector_named(given: str | Path) -> Path:
    """The projector file that a person names.

    Raises:
        UsageError: there is no such file, it is no projector, or one of a kind that cannot be used.
        InputError: it is damaged.
    """
    path = user_path(given)
    refuse_special(path)
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", advice="`mmproj=` is the GGUF file of a projector.")
    return read_projector(path).path
