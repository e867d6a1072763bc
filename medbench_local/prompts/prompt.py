"""What the rest of the package knows of a rendered prompt."""

from __future__ import annotations

from dataclasses import dataclass

from medbench_local.errors import UsageError
from medbench_local.files.hashes import parts_sha256
from medbench_local.tasks.picture import Picture


@dataclass(frozen=True)
class Candidate:
    """What prompt selection chooses from: a format and a demonstration set.

    Attributes:
        format: None for the model's default template, else the seed of a sampled format.
        demonstrations: seed of the demonstration set, or None for zero-shot.
    """

    format: int | None
    demonstrations: int | None


@dataclass(frozen=True)
class Shown:
    """A place in a prompt where a model sees pictures.

    Attributes:
        pictures: usually one. None: the place is written and nothing is shown there. Several: text behind it looks at
            all of them alike.
    """

    pictures: tuple[Picture, ...]


Parts = tuple[str | Shown, ...]
"""What a model sees, in order: texts, whose trailing blanks count, and places of pictures."""


def ended(parts: Parts, ending: str) -> Parts:
    """``parts`` with a text behind them."""
    if parts and isinstance(last := parts[-1], str):
        return (*parts[:-1], last + ending)
    return (*parts, ending)


def text_of(parts: Parts) -> str:
    """The whole text of parts, for whatever reads text only.

    Raises:
        UsageError: there is a place for a picture, which would be lost.
    """
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        raise UsageError(
            f"This prompt shows {len(parts) - len(texts)} picture(s), and only text can be asked here.",
            advice="Choose a task without pictures.",
        )
    return "".join(texts)


@dataclass(frozen=True)
class ThinkingMarks:
    """Between which marks a model thinks.

    Attributes:
        close: texts that close the thinking; none for a model that just writes until its text ends.
        forced: what closes it where the model has not; begins with a line break.
    """

    close: tuple[str, ...] = ()
    forced: str = "\n"


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        parts: exactly what the model sees, in order: texts, whose trailing blanks count, and places of pictures.
        special: whether control-token text in it stands for control tokens (chat templates).
        labels: the label of each option as this prompt's format writes it in an answer ("(A)", "A."), or the options'
            texts where none are shown.
        stop: strings that end a generated answer (the format's headers), without the model's and the scoring's own.
        gap: blanks between the prompt and its answer that the format writes and a chat template stripped from the
            end; what continues the prompt as demonstrations show it begins with them.
        marks: between which the model thinks, in a prompt that lets it.
    """

    parts: Parts
    special: bool
    labels: tuple[str, ...]
    stop: tuple[str, ...]
    gap: str = ""
    marks: ThinkingMarks = ThinkingMarks()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Its pictures, each once, in the order in which they are shown."""
        return tuple(dict.fromkeys(picture for part in self.places for picture in part.pictures))

    @property
    def places(self) -> tuple[Shown, ...]:
        """Where pictures stand."""
        return tuple(part for part in self.parts if isinstance(part, Shown))

    @property
    def text(self) -> str:
        """The whole prompt, for whatever reads text only; errors as of `text_of`."""
        return text_of(self.parts)

    def __str__(self) -> str:
        """The prompt for people; each place of a picture is written as "<image>"."""
        return "".join(part if isinstance(part, str) else "<image>" for part in self.parts)

    @property
    def sha256(self) -> str:
        """Hash of what the model sees; see `medbench_local.files.hashes.parts_sha256`."""
        return parts_sha256(
            part if isinstance(part, str) else [picture.sha256 for picture in part.pictures]
            for part in self.parts
        )
