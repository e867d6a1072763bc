"""How a model whose files are here is prompted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.catalog.names import ShotImages
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.files.gguf_header import GgufHeader, read_gguf_header, token_text
from medbench_local.files.gguf_special_tokens import named_tokens
from medbench_local.prompts.prompt_style import PromptStyle, prompt_style_for, template_in_force
from medbench_local.prompts.prompting import Prompting


def prompt_style_of(
    model: PreparedModel,
    asked: Prompting,
    *,
    overrides: PromptOverrides,
    shot_images: ShotImages,
    file: Path | None = None,
    ends: Mapping[str, str] | None = None,
) -> PromptStyle:
    """How a model is prompted, or another one that is prompted like it.

    Args:
        model: whose way it is.
        asked: what the user wants otherwise.
        overrides: system prompts of a protocol.
        shot_images: which pictures of demonstrations are shown, as a protocol says.
        file: the GGUF that reads the prompts, whose special tokens are written; None for the model's own.
        ends: texts of "bos_token" and "eos_token" for the built-in ways of writing conversations, as the engine has
            them; None reads them from the file.

    Raises:
        InputError: the chat template is not valid, does what a template may not, or cannot write a conversation.
        UsageError: the model reads pictures, and its chat template has no place for them.
    """
    own = model.chat_template
    template = template_in_force(model.entry, own, asked)
    if template is None and ends is not None:
        tokens = dict(ends)
    else:
        tokens = tokens_for(read_gguf_header(file or model.quantised.path), template)
        if (
            template is not None and file is not None
        ):  # names that only the model itself knows are its own tokens
            tokens = tokens_for(read_gguf_header(model.quantised.path), template) | tokens
    return prompt_style_for(
        model.entry,
        chat_template=own,
        tokens=tokens,
        asked=asked,
        overrides=overrides,
        name=model.name,
        shot_images=shot_images,
        sees=model.vision is not None,
        pictures_as=None if model.vision is None else model.vision.family,
    )


def tokens_for(header: GgufHeader, template: str | None) -> dict[str, str]:
    """The special tokens of a file that a chat template mentions; without one those that begin and end a text."""
    if template is not None:
        return named_tokens(header, template)
    return {f"{end}_token": token_text(header, end) for end in ("bos", "eos")}
