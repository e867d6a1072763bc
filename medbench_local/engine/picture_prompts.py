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
from medbench_local.vision.projector_file import ProjectorFile

Parts = Sequence[str | int | None]
"""Texts; the first id of a picture; None for a place where nothing is shown."""

Tokenize = Callable[..., Tokens]
"""`Marked`, or another of its kind."""


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
        whole = _written(self.model, pieces, self.mark, self.own, special)
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


@dataclass(frozen=True)
class Around:
    """Tokenises prompts of a model whose control tokens stand around a picture, with nothing that stands for it.

    Attributes:
        model: the model.
        mark: what is written at a place, up to the picture and behind it.
        own: the texts of the control tokens in it.
        begin: the one before the picture.
        ids: of a picture.
    """

    model: Model
    mark: str
    own: tuple[str, ...]
    begin: int
    ids: int

    def __call__(self, parts: Parts, *, special: bool, bos: Bos) -> Tokens:
        """See `Engine.tokenize_parts`."""
        pieces = texts_and_places(parts)
        places = pieces[1::2]
        if None in places:
            raise EngineError("This model has no tokens for a place where no picture is shown.")
        tokens: list[int] = []
        left = iter(places)
        for token in self.model.tokenize(
            _written(self.model, pieces, self.mark, self.own, special), special=True
        ):
            tokens.append(token)
            if token == self.begin:
                first = int(next(left, 0) or 0)
                tokens += range(first, first + self.ids)
        if next(left, None) is not None:
            raise EngineError("The tokenizer lost the place of a picture in a prompt.")
        return self.model.with_bos(tokens, bos)


def _written(
    model: Model, pieces: Sequence[str | int | None], mark: str, own: Sequence[str], special: bool
) -> str:
    """Texts with a mark at each place between them; what is said elsewhere may not be taken for one.

    Raises:
        EngineError: a text holds control tokens that it must not.
    """
    refused = own if special else (*own, *model.control_texts)
    for text in pieces[::2]:
        assert isinstance(text, str)
        for control in refused:
            if control in text:
                raise _control_text(control)
    return "".join(mark if number % 2 else str(text) for number, text in enumerate(pieces))


def tokenizer_around(model: Model, projector: ProjectorFile) -> Tokenize:
    """How prompts with pictures are tokenised for a model with a projector file of llama.cpp's.

    Raises:
        InputError: the vocabulary does not have the tokens that the projector goes with.
    """
    look = projector.look
    begin, _ = (_one_token(model, text, projector.path) for text in (look.begin, look.end))
    return Around(model, look.before + look.after, (look.begin, look.end), begin, projector.rows)


def _one_token(model: Model, text: str, path: object) -> int:
    found = model.tokenize(text, special=True)
    if len(found) != 1 or model.entry(found[0]) != text:
        raise InputError(
            str(path),
            "header",
            f"the model's vocabulary has no token {text!r}",
            advice="The projector belongs to another model; take the one that came with this model.",
        )
    return found[0]


def tokenizer_of(model: Model, parts: VisionParts, path: object) -> Tokenize:
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
