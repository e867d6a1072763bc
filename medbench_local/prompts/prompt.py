"""What the rest of the package knows of a rendered prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """What prompt selection chooses from: a format and a demonstration set.

    Attributes:
        format: None for the model's default template, else the seed of a sampled format.
        demonstrations: seed of the demonstration set, or None for zero-shot.
    """

    format: int | None
    demonstrations: int | None

    @property
    def format_name(self) -> str:
        """The word "default", or the seed as a decimal number."""
        return "default" if self.format is None else str(self.format)


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        text: exactly what the model sees; trailing blanks count.
        special: whether control-token text in it stands for control tokens (chat templates).
        labels: the label of each option as this prompt's format writes it in an answer ("(A)", "A.").
        stop: strings that end a generated answer (the format's headers), without the model's own.
        gap: blanks between the prompt and its answer that the format writes and a chat template stripped from the
            end; what continues the prompt as demonstrations show it begins with them.
    """

    text: str
    special: bool
    labels: tuple[str, ...]
    stop: tuple[str, ...]
    gap: str = ""
