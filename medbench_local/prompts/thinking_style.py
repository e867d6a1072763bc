"""Between which marks the families of today think before they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medbench_local.catalog.model import ModelEntry, ThinkingName
from medbench_local.prompts.prompt import ThinkingMarks
from medbench_local.prompts.prompting import OWN_WAY, Prompting


@dataclass(frozen=True)
class ThinkingStyle:
    """How a family of models thinks.

    Attributes:
        opening: what the model writes first; a prompt that does not end with it gets it. "" for nothing.
        close: what the model writes when it has thought. "" where it just ends.
    """

    opening: str
    close: str

    @property
    def marks(self) -> ThinkingMarks:
        """What ends the thinking, and what ends it where the model has not."""
        return ThinkingMarks((self.close,), f"\n{self.close}") if self.close else ThinkingMarks()

    def opened(self, prompt: str) -> str:
        """``prompt`` with the thinking begun, as some chat templates write it and others leave it to the model."""
        begun = bool(self.opening.strip()) and prompt.rstrip().endswith(self.opening.strip())
        return prompt if begun else prompt + self.opening


STYLES: Mapping[ThinkingName, ThinkingStyle] = {
    "think-tags": ThinkingStyle("<think>\n", "</think>"),
    "headings": ThinkingStyle("## Thinking\n\n", "## Final Response"),
    "unused-tokens": ThinkingStyle("<unused94>thought\n", "<unused95>"),
}
"""Qwen3 and most models of today; HuatuoGPT-o1; MedGemma."""


def style_of(
    entry: ModelEntry | None, chat_template: str | None, asked: Prompting = OWN_WAY
) -> ThinkingStyle | None:
    """How a model thinks: as asked for, as the catalog says, or as its chat template or a given one speaks of it.

    None if it does not.

    Args:
        entry: the catalog's entry, or None for a model outside the catalog.
        chat_template: stored with the model.
        asked: what the user wants otherwise.
    """
    known = _known(entry, f"{chat_template or ''}{asked.chat_template or ''}")
    if asked.think_open is None and asked.think_close is None:
        return known
    known = known or ThinkingStyle("", "")
    return ThinkingStyle(
        known.opening if asked.think_open is None else asked.think_open,
        known.close if asked.think_close is None else asked.think_close,
    )


def _known(entry: ModelEntry | None, chat_template: str | None) -> ThinkingStyle | None:
    if entry is not None and not entry.own_template:
        return None
    if entry is not None and entry.thinking is not None:
        return STYLES[entry.thinking]
    return STYLES["think-tags"] if chat_template and "</think>" in chat_template else None
