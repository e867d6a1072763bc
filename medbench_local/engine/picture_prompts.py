"""Token ids of prompts with pictures.

A prompt is tokenised as a whole, because a tokenizer's treatment of a text depends on what stands before it. Only what
this program puts at a picture's place becomes control tokens there; the same text in a question is refused, as it would
be another picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medbench_local.engine.base import Bos, Tokens
from medbench_local.engine.llama_model import Model
from medbench_local.errors import EngineError, InputError
from medbench_local.vision.parts import VisionParts

Parts = Sequence[str | int | None]
"""Texts; the first id of a picture; None for a place where nothing is shown."""


def texts_and_places(parts: Parts) -> list[str | int | None]:
    """Parts with one text, empty or not, before, between and behind places."""
    found: list[str | int | None] = [""]
    for part in parts:
        if not isinstance(part, str):
            found += [part, ""]
        else:
            before = found[-1]
            assert isinstance(before, str)
            found[-1] = before + part
    return found


@dataclass(frozen=True)
class Marked:
    """Tokenises prompts of a model whose vocabulary has tokens for a picture's place.

    Attributes:
        model: the model.
        mark: what is written at a place.
        own: the texts of the control tokens in it.
        token: the one that stands for the picture.
        ids: of a picture.
    """

    model: Model
    mark: str
    own: tuple[str, ...]
    token: int
    ids: int

    def __call__(self, parts: Parts, *, special: bool, bos: Bos) -> Tokens:
        """See `Engine.tokenize_parts`."""
        pieces = texts_and_places(parts)
        refused = self.own if special else (*self.own, *self.model.control_texts)
        for text in pieces[::2]:
            assert isinstance(text, str)
            for control in refused:
                if control in text:
                    raise _control_text(control)
        whole = "".join(self.mark if number % 2 else str(text) for number, text in enumerate(pieces))
        places = iter(pieces[1::2])
        tokens: list[int] = []
        for token in self.model.tokenize(whole, special=True):
            if token != self.token:
                tokens.append(token)
                continue
            first = next(places, None)
            tokens += [token] * self.ids if first is None else range(int(first), int(first) + self.ids)
        if next(places, self) is not self:
            raise EngineError("The tokenizer lost the place of a picture in a prompt.")
        return self.model.with_bos(tokens, bos)


@dataclass(frozen=True)
class CutAtPictures:
    """Tokenises prompts of a model without such tokens: the text is cut, and each piece tokenised by itself.

    Attributes:
        model: the model.
        ids: of a picture.
    """

    model: Model
    ids: int

    def __call__(self, parts: Parts, *, special: bool, bos: Bos) -> Tokens:
        """See `Engine.tokenize_parts`."""
        tokens: list[int] = []
        for number, part in enumerate(texts_and_places(parts)):
            if number % 2 == 0:
                tokens += self.model.tokenize(str(part), special=special) if part else ()
            elif part is None:
                raise EngineError("This model has no tokens for a place where no picture is shown.")
            else:
                tokens += range(int(part), int(part) + self.ids)
            if number == 0:
                tokens = list(self.model.with_bos(tokens, bos))
        return tuple(tokens)


def tokenizer_of(model: Model, parts: VisionParts, path: object) -> Callable[..., Tokens]:
    """How prompts with pictures are tokenised for a model.

    Args:
        model: the model.
        parts: how it is shown pictures.
        path: of their file, for messages.

    Raises:
        InputError: the vocabulary does not have the tokens that are asked for.
    """
    if parts.kind == "llava" and not parts.patch:
        return CutAtPictures(model, parts.rows)
    stands, ids = (parts.patch, parts.rows) if parts.kind == "llava" else (parts.tag, 1)
    own = tuple(filter(None, (parts.begin, stands, parts.end)))
    control = set(model.control_texts)
    for text in own:
        if text not in control:
            raise InputError(
                str(path),
                "header",
                f"the model's vocabulary has no control token {text!r}",
                advice="It belongs to another model; convert the model again.",
            )
    token = model.token_of(stands)
    assert token is not None
    return Marked(model, "".join(own), own, token, ids)


def _control_text(text: str) -> EngineError:
    return EngineError(
        f"A text holds {text!r}, which is a control token of this model and must not be one there.",
        advice="Leave that question out, or write it in another way.",
    )
