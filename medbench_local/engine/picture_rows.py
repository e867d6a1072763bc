"""Pictures that take the place of tokens: rows of numbers that a projector makes of their features (LLaVA), or that
llama.cpp's own code has made of the pictures (Gemma 3).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medbench_local.engine.base import PictureTokens, Tokens
from medbench_local.engine.bindings import llama_cpp
from medbench_local.engine.kept import Kept
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.llama_model import Model
from medbench_local.engine.logits import not_finite
from medbench_local.engine.picture_prompts import Tokenize, tokenizer_around, tokenizer_of
from medbench_local.engine.runs import Runs
from medbench_local.engine.visual import Visual, numpy_numerics
from medbench_local.errors import EngineError
from medbench_local.vision.arithmetic import Floats
from medbench_local.vision.parts import VisionFile
from medbench_local.vision.projector import Projector
from medbench_local.vision.projector_file import ProjectorFile


class PictureRows(Visual):
    """What a model sees pictures with that are rows in place of tokens; see `Visual`.

    Attributes:
        causal: whether a row looks back only, as tokens do, or at all rows of its picture.
    """

    causal = True

    def __init__(
        self, model: Model, path: Path, width: int, shape: tuple[int, int], tokenize: Tokenize
    ) -> None:
        super().__init__(model, path, width, shape, tokenize)
        self.picture_tokens, _ = shape
        self._kept: Kept[Floats] = Kept(self.kept, lambda rows: rows.nbytes)

    def context(self, **settings: Any) -> Context:
        """See `Visual.context`."""
        return _RowsContext(self._model, self, **settings)

    def _accept(self, one: PictureTokens) -> None:
        super()._accept(one)
        if len(one.features) > 1:
            raise EngineError("This model looks at one picture at a place, not at several.")

    def refuse(self, tokens: Tokens) -> None:
        """Refuse a prompt with ids of which nothing is known, or which ends in a picture."""
        super().refuse(tokens)
        if tokens[-1] >= self._model.vocabulary:
            raise EngineError(
                "A prompt ends in a picture; there must be text behind it.",
                advice="Change the prompt's format.",
            )

    def rows(self, tokens: Sequence[int]) -> Floats:
        """What stands in the place of tokens of one picture: [their number, width of the model]."""
        first = self.first_of(tokens[0])
        (path,) = self.features_of(first)
        return self._kept.get(path, lambda: self._made(path))[[token - first for token in tokens]]

    def _made(self, path: str) -> Floats:
        rows = self._of_features(self.read(path))
        if not np.isfinite(rows).all():
            raise not_finite()
        return rows

    @abstractmethod
    def _of_features(self, features: Floats) -> Floats:
        """The rows of a picture: [rows, width]."""


class ProjectedRows(PictureRows):
    """Rows that a projector makes of features.

    Args:
        model: the model.
        file: with the projector.
    """

    def __init__(self, model: Model, file: VisionFile) -> None:
        parts, shape = file.parts, (file.parts.rows, file.sizes["tower"])
        super().__init__(model, file.path, parts.width, shape, tokenizer_of(model, parts, file.path))
        self._projector = Projector.open(file.path)

    def decides(self) -> dict[str, str]:
        """See `Visual.decides`."""
        return numpy_numerics()

    def _of_features(self, features: Floats) -> Floats:
        return self._projector.rows(features)


class EncodedRows(PictureRows):
    """Rows as `medbench_local.engine.picture_encoding` keeps them; nothing is left to be computed.

    Args:
        model: the model.
        projector: that they were made with.
    """

    def __init__(self, model: Model, projector: ProjectorFile) -> None:
        shape = projector.rows, projector.width
        super().__init__(model, projector.path, projector.width, shape, tokenizer_around(model, projector))
        self.causal = projector.look.causal

    def decides(self) -> dict[str, str]:
        """See `Visual.decides`; the names of features, which are part of keys, say how they were made."""
        return {}

    def _of_features(self, features: Floats) -> Floats:
        return features


class _RowsContext(Context):
    """A context in which a decode is of tokens or of rows of one picture."""

    def __init__(self, model: Model, pictures: PictureRows, **settings: Any) -> None:
        runs = Runs(model.vocabulary, pictures.picture_tokens, whole=not pictures.causal)
        super().__init__(model, runs=runs, **settings)
        self._pictures = pictures
        self._numbers = np.zeros((self.batch, model.width), np.float32)
        self._rows_batch = self._batch_of(embd=self._numbers)

    def decode(self, spans: Sequence[Span]) -> None:
        """See `Context.decode`; all ids beyond the vocabulary, or none."""
        if not spans or spans[0].tokens[0] < self._model.vocabulary:
            super().decode(spans)
            return
        self._arrange(spans)
        tokens = [token for span in spans for token in span.tokens]
        self._numbers[: len(tokens)] = self._pictures.rows(tokens)
        if self._pictures.causal:
            self._compute(self._rows_batch, len(tokens))
            return
        if len(tokens) != self._pictures.picture_tokens:
            raise EngineError(
                f"{len(tokens)} rows of a picture cannot be decoded without the others of its "
                f"{self._pictures.picture_tokens}."
            )
        llama_cpp.llama_set_causal_attn(self.handle, False)
        try:
            self._compute(self._rows_batch, len(tokens))
        finally:
            llama_cpp.llama_set_causal_attn(self.handle, True)
