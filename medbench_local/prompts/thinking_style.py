"""Between which marks the families of today think before they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medbench_local.prompts.prompt import ThinkingMarks


@dataclass(frozen=True)
class ThinkingStyle:
    """How a family of models thinks.

    Attributes:
        opening: what the model writes first; a prompt that does not end with it gets it.
        close: what the model writes when it has thought.
    """

    opening: str
    close: str

    @property
    def marks(self) -> ThinkingMarks:
        """What ends the thinking, and what ends it where the model has not."""
        return ThinkingMarks((self.close,), f"\n{self.close}")

    def opened(self, prompt: str) -> str:
        """``prompt`` with the thinking begun, as some chat templates write it and others leave it to the model."""
        return prompt if prompt.rstrip().endswith(self.opening.rstrip()) else prompt + self.opening


STYLES: Mapping[str, ThinkingStyle] = {
    "think-tags": ThinkingStyle("<think>\n", "</think>"),
    "headings": ThinkingStyle("## Thinking\n\n", "## Final Response"),
    "unused-tokens": ThinkingStyle("<unused94>thought\n", "<unused95>"),
}
"""Qwen3 and most models of today; HuatuoGPT-o1; MedGemma."""


def style_of(chat_template: str | None) -> ThinkingStyle | None:
    """How a model thinks whose family nobody named, by what its chat template speaks of; None if it does not."""
    return STYLES["think-tags"] if chat_template and "</think>" in chat_template else None
