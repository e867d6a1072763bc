"""Pictures in token lists: which ids stand for which pictures in one loaded model, and what names them in keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medbench_local.engine.base import EngineInfo, PictureTokens, Tokens
from medbench_local.errors import EngineError
from medbench_local.prompts.prompt import Parts, Shown
from medbench_local.tasks.picture import Picture


class PictureBook:
    """Gives out ids beyond the vocabulary, in the order in which pictures are first shown.

    Args:
        info: of the loaded model.
        features: the file of each picture's features. Pictures without may stand in prompts that are tokenised only to
            see what prompts have in common.
    """

    def __init__(self, info: EngineInfo, features: Mapping[Picture, Path]) -> None:
        self._vocabulary = info.vocabulary
        self._each = info.picture_tokens
        self._features = features
        self._first: dict[tuple[Picture, ...], int] = {}
        self._shown: list[tuple[Picture, ...]] = []
        self._names: dict[int, str] = {}

    def parts(self, parts: Parts) -> tuple[str | int | None, ...]:
        """The parts of a prompt as `medbench_local.engine.base.Engine.tokenize_parts` takes them."""
        return tuple(part if isinstance(part, str) else self._id(part) for part in parts)

    def shown_in(self, token_lists: Iterable[Tokens]) -> tuple[PictureTokens, ...]:
        """What the ids beyond the vocabulary in some token lists stand for, each once."""
        found = sorted({self._number(token) for tokens in token_lists for token in self._beyond(tokens)})
        return tuple(
            PictureTokens(
                self._vocabulary + number * self._each,
                tuple(map(str, self._files(number))),
            )
            for number in found
        )

    def named(self, tokens: Tokens) -> Tokens | str:
        """Token ids as a part of a key: those given out here, which another run gives to others, by what they show."""
        if not self._beyond(tokens):
            return tokens
        return json.dumps([token if token < self._vocabulary else self._name(token) for token in tokens])

    def _beyond(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token >= self._vocabulary] if self._shown else []

    def _number(self, token: int) -> int:
        return (token - self._vocabulary) // self._each

    def _name(self, token: int) -> str:
        """What a file of features is called says all that decides them: the tower, the rule, the picture."""
        number = self._number(token)
        if number not in self._names:  # asked for each of hundreds of ids
            self._names[number] = " ".join("/".join(file.parts[-3:]) for file in self._files(number))
        return f"{self._names[number]} {token - self._vocabulary - number * self._each}"

    def _files(self, number: int) -> list[Path]:
        shown = self._shown[number]
        if missing := [picture for picture in shown if picture not in self._features]:
            raise EngineError(f"The picture {missing[0].name or missing[0].sha256} was not encoded.")
        return [self._features[picture] for picture in shown]

    def _id(self, place: Shown) -> int | None:
        if not place.pictures:
            return None
        shown = place.pictures
        if shown not in self._first:
            self._first[shown] = self._vocabulary + len(self._shown) * self._each
            self._shown.append(shown)
        return self._first[shown]
