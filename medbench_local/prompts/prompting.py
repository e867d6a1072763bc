"""What a user asks for about the prompts of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PLAIN_TEXT = "none"
"""In place of a chat template: prompts are plain text."""

MODELS = ("medical", "base")
"""The models of a comparison."""

PerModel = str | Mapping[str, str] | None
"""A text for both models of a comparison, one for each that has one, or none."""


@dataclass(frozen=True)
class Prompting:
    """How one model is to be prompted, where not in its own way.

    Attributes:
        chat_template: the text of a Jinja chat template, or `PLAIN_TEXT`; None for the model's own way: the study's
            for a model of the catalog, else the template that comes with it, else plain text.
        system_prompt: replaces every system prompt; "" for none; None leaves the default ones.
        think_open, think_close: what begins and what ends the model's thinking; None for what is known of the model.
    """

    chat_template: str | None = None
    system_prompt: str | None = None
    think_open: str | None = None
    think_close: str | None = None


OWN_WAY = Prompting()
"""Nothing is asked for."""


def prompting_of(
    model: str,
    chat_template: PerModel,
    system_prompt: PerModel,
    think_open: PerModel = None,
    think_close: PerModel = None,
) -> Prompting:
    """What is asked for of one of the `MODELS`."""
    given = (chat_template, system_prompt, think_open, think_close)
    return Prompting(*(value_for(model, one) for one in given))


def value_for(model: str, given: PerModel) -> str | None:
    """What is given for one of the `MODELS`."""
    return given.get(model) if isinstance(given, Mapping) else given
