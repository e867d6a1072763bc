"""Prompts of a user's own as what the user says in a conversation with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.prompting import OWN_WAY, Prompting
from medbench_local.prompts.template import write_system
from medbench_local.scoring.own_prompts import UserRequest
from medbench_local.scoring.prompt_styles import prompt_style_of


def as_asked(
    requests: Sequence[UserRequest], model: PreparedModel, asked: Prompting, *, special: bool
) -> tuple[Sequence[UserRequest], bool]:
    """The requests as the model is to see them, and whether control-token text in them stands for control tokens.

    Where nothing is asked for, a prompt is exactly what the model sees. Otherwise it is what the user says, behind the
    system prompt if there is one, and the options are how the assistant goes on; without a chat template the system
    prompt is put before it.

    Args:
        requests: as the file has them.
        model: whose way of writing conversations is used unless another is asked for.
        asked: chat template and system prompt.
        special: whether control-token text stands for control tokens in prompts that are no conversations.

    Raises:
        InputError: the chat template cannot write a conversation.
    """
    if asked == OWN_WAY:
        return requests, special
    style = prompt_style_of(model, asked, overrides=PromptOverrides(), shot_images="all")
    chat, system = style.chat, asked.system_prompt
    if chat is None:
        before = write_system(style.template, system or "")
        return [replace(request, prompt=before + request.prompt) for request in requests], special
    opening: list[Turn] = []
    before = ""
    if chat.system_place == "system turn" and system is not None:
        opening = [Turn("system", system)]
    elif system:
        before = f"{system}\n\n"

    def written(prompt: str) -> str:
        return chat.write([*opening, Turn("user", before + prompt), Turn("assistant", "")])

    return [replace(request, prompt=written(request.prompt)) for request in requests], True
