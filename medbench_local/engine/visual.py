"""Showing pictures to a loaded model: what ids beyond the vocabulary stand for, and contexts that can decode them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench_local.engine.base import Bos, EngineOptions, PictureTokens, Tokens
from medbench_local.engine.llama_context import Context
from medbench_local.engine.llama_model import Model
from medbench_local.engine.picture_prompts import Parts, Tokenize
from medbench_local.engine.visual_memory import PICTURES_KEPT
from medbench_local.errors import EngineError, InputError, UnsupportedArchitectureError
from medbench_local.files.hashes import file_sha256
from medbench_local.settings import read_settings
from medbench_local.vision.arithmetic import Floats
from medbench_local.vision.features import read_features
from medbench_local.vision.parts import VisionFile
from medbench_local.vision.projector_file import is_projector_name, read_projector


class Visual(ABC):
    """What a model sees pictures with.

    Args:
        model: the loaded model.
        path: of what it needs beside its weights.
        width: of the model that this was made for.
        shape: of a picture's features.
        tokenize: how its prompts are tokenised.

    Attributes:
        picture_tokens: ids that a picture takes in a token list.
        kept: bytes of what is computed of pictures that are kept in memory.

    Raises:
        InputError: the file belongs to another model.
        UnsupportedArchitectureError: no pictures can be shown to models of this kind.
    """

    picture_tokens: int

    def __init__(
        self, model: Model, path: Path, width: int, shape: tuple[int, int], tokenize: Tokenize
    ) -> None:
        if model.has_state:
            raise UnsupportedArchitectureError(
                "A model with a running state cannot be shown pictures here.",
                advice="Compare models whose layers all have attention.",
            )
        if width != model.width:
            raise InputError(
                path,
                "header",
                f"it is for a model of width {width}; this one has {model.width}",
                advice="It belongs to another model; convert the model again, or take what came with it.",
            )
        self._model, self._path, self._shape, self._tokenize = model, path, shape, tokenize
        self._features: dict[int, tuple[str, ...]] = {}
        self.kept = PICTURES_KEPT

    @abstractmethod
    def context(self, **settings: Any) -> Context:
        """A new context that can decode pictures.

        Args:
            settings: of `Context`.
        """

    @abstractmethod
    def decides(self) -> dict[str, str]:
        """What decides bits beside the file's content."""

    def check(self, settings: Mapping[str, Any]) -> None:  # noqa: B027 (not every kind relies on something)
        """Try whether this build of llama.cpp does what is relied upon.

        Args:
            settings: of `Context`, to try it in.

        Raises:
            EngineError: it does not.
        """

    @property
    def numerics(self) -> dict[str, str]:
        """What decides bits; part of every score's key."""
        return {"vision": file_sha256(self._path, read_settings().home), **self.decides()}

    def tokenize(self, prompts: Sequence[Parts], *, special: bool, bos: Bos) -> list[Tokens]:
        """See `Engine.tokenize_parts`."""
        return [self._tokenize(parts, special=special, bos=bos) for parts in prompts]

    def learn(self, pictures: Sequence[PictureTokens]) -> bool:
        """Note what ids stand for.

        Returns:
            Whether one stood for something else before: what was decoded with it is of no use any more.

        Raises:
            EngineError: they cannot stand for pictures, or for these.
        """
        changed = False
        for one in pictures:
            place = one.first - self._model.vocabulary
            if place < 0 or place % self.picture_tokens:
                raise EngineError(
                    f"Token {one.first} cannot be the first of a picture: pictures take {self.picture_tokens} ids each "
                    f"from {self._model.vocabulary} on."
                )
            self._accept(one)
            changed |= self._features.get(one.first, one.features) != one.features
            self._features[one.first] = one.features
        return changed

    def _accept(self, one: PictureTokens) -> None:
        """Refuse a picture that this kind of model cannot be shown."""
        if not one.features:
            raise EngineError(f"No features are named for the picture of token {one.first}.")

    def refuse(self, tokens: Tokens) -> None:
        """Refuse a prompt with ids of which nothing is known.

        Raises:
            EngineError: it has one.
        """
        vocabulary = self._model.vocabulary
        for token in {self.first_of(token) for token in tokens if token >= vocabulary}:
            if token not in self._features:
                raise EngineError(f"Nothing was said of the picture that token {token} stands for.")

    def first_of(self, token: int) -> int:
        """The first id of the picture that one beyond the vocabulary belongs to."""
        return token - (token - self._model.vocabulary) % self.picture_tokens

    def features_of(self, first: int) -> tuple[str, ...]:
        """The files of a picture, or of several, by the first id."""
        return self._features[first]

    def read(self, path: str) -> Floats:
        """Features of a picture: [rows, width of the tower].

        Raises:
            EngineError: they are not there, or damaged.
        """
        try:
            found = read_features(Path(path))
        except InputError as error:
            raise _not_shown(path, error.problem) from error
        if found.shape != self._shape:
            raise _not_shown(path, f"features of shape {found.shape}, expected {self._shape}")
        return found


def open_visual(path: Path, model: Model, options: EngineOptions, threads: int) -> Visual:
    """What a model sees pictures with.

    Args:
        path: its ``vision.safetensors``, or the projector file with which llama.cpp looks at pictures.
        model: the loaded model.
        options: how it is decoded.
        threads: that compute.

    Raises:
        InputError: the file is damaged, or belongs to another model.
        UsageError: a projector file of a kind that cannot be used.
        UnsupportedArchitectureError: no pictures can be shown to models of this kind.
    """
    if is_projector_name(path):
        from medbench_local.engine.picture_rows import EncodedRows

        return EncodedRows(model, read_projector(path))
    file = VisionFile.open(path)
    if file.parts.kind == "llava":
        from medbench_local.engine.picture_rows import ProjectedRows

        return ProjectedRows(model, file)
    from medbench_local.engine.residual import Residual

    return Residual(model, file, options, threads)


def numpy_numerics() -> dict[str, str]:
    """What decides bits where numpy computes."""
    return {"numpy": f"{np.__version__} {_library()}".strip()}


def _library() -> str:
    """The library that multiplies matrices for numpy; "" if it is none that can be asked."""
    from threadpoolctl import threadpool_info

    found = [
        " ".join(filter(None, [one["internal_api"], one.get("version"), one.get("architecture")]))
        for one in threadpool_info()
        if one["user_api"] == "blas" and "scipy" not in Path(one["filepath"]).parent.name
    ]
    return ", ".join(sorted(found))


def _not_shown(path: str, problem: str) -> EngineError:
    return EngineError(
        f"A picture cannot be shown: {path}: {problem}.",
        advice="Run the same command again: features that are missing or damaged are computed anew.",
    )
