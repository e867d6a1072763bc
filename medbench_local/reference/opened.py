"""The model that a reference is computed with, loaded as its checkpoint's layout asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench_local.errors import InputError, UnsupportedArchitectureError, UsageError
from medbench_local.reference.gemma3 import is_gemma3, load_gemma3
from medbench_local.reference.llava import is_llava, load_llava
from medbench_local.reference.picture_files import PictureFolder
from medbench_local.reference.picture_model import Seeing
from medbench_local.reference.picture_prompts import tokenizer_for
from medbench_local.reference.requests import PromptRequest
from medbench_local.reference.tokens import Tokenizer, read_tokenizer
from medbench_local.reference.transformers_model import DType, TransformersModel

_TORCH = (".pt", ".pth", ".bin")


@dataclass(frozen=True)
class OpenedReference:
    """A loaded model.

    Attributes:
        network: computes.
        tokenizer: of texts.
        seeing: the same with what pictures need; None for a model that reads text only.
        pictures: where they lie; None if no folder was named.
    """

    network: TransformersModel
    tokenizer: Tokenizer
    seeing: Seeing | None = None
    pictures: PictureFolder | None = None

    def tokenizer_for(self, request: PromptRequest, source: Path) -> Tokenizer:
        """The tokenizer of one request, which knows its pictures.

        Raises:
            InputError: a picture is not there, or not the one that the prompt shows.
        """
        if not request.places or self.seeing is None:
            return self.tokenizer
        return tokenizer_for(request, self.seeing, self.pictures, source)


def refuse_other_models(checkpoint: Path) -> None:
    """Refuse what transformers has no model for, and what is no checkpoint, by what lies there.

    Raises:
        UnsupportedArchitectureError: it is a Flamingo.
        InputError: it was made for llama.cpp.
    """
    if (checkpoint / "vision.safetensors").is_file() and not (checkpoint / "config.json").is_file():
        raise InputError(
            checkpoint,
            "",
            "made for llama.cpp, which the reference must not depend on",
            advice="Give the folders that it was converted from.",
        )
    alone = checkpoint.is_dir() and not (checkpoint / "config.json").is_file()
    inside = [path.suffix for path in checkpoint.iterdir()] if alone else []
    if checkpoint.suffix in _TORCH or any(suffix in _TORCH for suffix in inside):
        raise UnsupportedArchitectureError(
            f"{checkpoint}: transformers has no Flamingo to compute a reference with; this package's tests hold its "
            "arithmetic to torch.",
        )


def open_reference(
    checkpoint: Path,
    requests: Sequence[PromptRequest],
    images: Path | None,
    base: Path | None,
    vision_tower: Path | None,
    *,
    dtype: DType,
    device: str,
) -> OpenedReference:
    """Load a checkpoint for requests; what they need is looked for first.

    Args:
        checkpoint: the folder.
        requests: what will be asked.
        images: the folder of their pictures.
        base, vision_tower: folders of what a LLaVA is put together from.
        dtype: of weights and arithmetic.
        device: where it is computed.

    Raises:
        UsageError: something is missing, or named for a model that has no use for it.
        MedbenchError: as `load_llava`.
    """
    shown = sum(bool(request.places) for request in requests)
    put_together = is_llava(checkpoint)
    sees = put_together or (bool(shown) and is_gemma3(checkpoint))
    if not put_together:
        if shown and not sees:
            raise UsageError(
                f"{checkpoint} is no model that is shown pictures here, and {shown:,} prompts show some.",
                advice="LLaVA, LLaVA 1.5 and Gemma 3 can be.",
            )
        for name, given in (("base", base), ("vision_tower", vision_tower)):
            if given is not None:
                raise UsageError(
                    f"`{name}=` is for LLaVA checkpoints that do not hold it.", advice="Leave it out."
                )
    if not sees:
        network = TransformersModel(checkpoint, dtype=dtype, device=device)
        return OpenedReference(network, read_tokenizer(checkpoint, network.rows))
    seen = {picture: None for request in requests for place in request.places for picture in place}
    if seen and images is None:
        raise UsageError(
            f"{shown:,} prompts show pictures.", advice="Name the folder with these pictures: `images=`."
        )
    pictures = None if images is None else PictureFolder(images)
    if pictures is not None:
        for picture in seen:
            pictures.find(picture)
    if put_together:
        seeing = load_llava(checkpoint, base=base, tower=vision_tower, dtype=dtype, device=device)
    else:
        seeing = load_gemma3(checkpoint, dtype=dtype, device=device)
    return OpenedReference(seeing.network, seeing.tokenizer, seeing, pictures)
