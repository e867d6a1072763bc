"""Token ids of prompts that show pictures, by the reference's own tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medbench_local.errors import InputError
from medbench_local.reference.picture_files import PictureFolder
from medbench_local.reference.picture_model import Seeing
from medbench_local.reference.requests import PromptRequest
from medbench_local.reference.tokens import Tokenizer


def tokenizer_for(
    request: PromptRequest, model: Seeing, folder: PictureFolder | None, source: object
) -> Tokenizer:
    """The tokenizer of one request: texts that begin with its prompt have pictures at the prompt's places.

    A picture's place is what the model's own code writes there: the tokens before it, one for each row, and those
    behind, tokenised with all of the text; or nothing, and the text before and behind is tokenised by itself.

    Args:
        request: shows pictures.
        model: the model.
        folder: where the pictures lie.
        source: the file of the request, for errors.

    Raises:
        InputError: a picture is not there, or several are shown at a place, which this model's code does not do.
    """
    firsts: list[int | None] = []
    for pictures in request.places:
        if len(pictures) > 1:
            raise InputError(
                str(source),
                f"{request.where}, key 'images'",
                "several pictures at one place: this model's code does not do that",
            )
        if pictures and folder is None:
            raise InputError(str(source), f"{request.where}, key 'images'", "no folder of pictures was named")
        firsts.append(model.network.first_of(folder.find(pictures[0])) if pictures and folder else None)
    each, (begin, patch, end) = model.network.each, model.marks
    if None in firsts and not (patch and model.bare_places):
        raise InputError(
            str(source),
            f"{request.where}, key 'images'",
            "this model has no tokens for a place that shows nothing",
        )

    def bare(text: str, special: bool) -> list[int]:
        pieces = text.split("<image>", len(firsts))
        if not patch:
            tokens = model.tokenizer.bare(pieces[0], special) if pieces[0] else []
            for first, piece in zip(firsts, pieces[1:], strict=True):
                assert first is not None
                tokens = [*tokens, *range(first, first + each)]
                tokens += model.tokenizer.bare(piece, special) if piece else []
            return tokens
        refused = (begin.strip(), patch, end.strip()) if special else model.tokenizer.control
        for control in filter(None, refused):
            if any(control in piece for piece in pieces):
                problem = f"the prompt holds {control!r}, which must not become a token there"
                raise InputError(str(source), f"{request.where}, key 'prompt'", problem)
        return _with_rows(model.tokenizer.bare((begin + patch * each + end).join(pieces), True), firsts)

    def _with_rows(tokens: list[int], firsts: Sequence[int | None]) -> list[int]:
        (mark,) = model.tokenizer.bare(patch, True)
        places = [place for place, token in enumerate(tokens) if token == mark]
        assert len(places) == each * len(firsts)
        for number, first in enumerate(firsts):
            for row in range(each) if first is not None else ():
                tokens[places[number * each + row]] = (first or 0) + row
        return tokens

    return replace(model.tokenizer, bare=bare)
