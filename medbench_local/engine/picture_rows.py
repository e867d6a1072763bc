"""Pictures that take the place of tokens (LLaVA): rows of numbers that a projector makes of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medbench_local.engine.base import PictureTokens, Tokens
from medbench_local.engine.kept import Kept
from medbench_local.engine.llama_context import Context, Row
from medbench_local.engine.llama_model import Model
from medbench_local.engine.logits import not_finite
from medbench_local.engine.runs import Runs
from medbench_local.engine.visual import Visual
from medbench_local.errors import EngineError
from medbench_local.vision.arithmetic import Floats
from medbench_local.vision.parts import VisionFile
from medbench_local.vision.projector import Projector


class PictureRows(Visual):
    """What a model sees pictures with that are rows in place of tokens; see `Visual`."""

    def __init__(self, model: Model, file: VisionFile) -> None:
        super().__init__(model, file)
        self.picture_tokens = file.parts.rows
        self._projector = Projector.open(file.path)
        self._kept: Kept[Floats] = Kept(self.kept, lambda rows: rows.nbytes)

    def context(self, **settings: Any) -> Context:
        """See `Visual.context`."""
        return _RowsContext(self._model, self, **settings)

    def decides(self) -> dict[str, str]:
        """See `Visual.decides`."""
        return {}

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
        return self._kept.get(path, lambda: self._project(path))[[token - first for token in tokens]]

    def _project(self, path: str) -> Floats:
        rows = self._projector.rows(self.read(path))
        if not np.isfinite(rows).all():
            raise not_finite()
        return rows


class _RowsContext(Context):
    """A context in which a decode is of tokens or of rows of one picture."""

    def __init__(self, model: Model, pictures: PictureRows, **settings: Any) -> None:
        super().__init__(model, runs=Runs(model.vocabulary, pictures.picture_tokens), **settings)
        self._pictures = pictures
        self._numbers = np.zeros((self.batch, model.width), np.float32)
        self._rows_batch = self._batch_of(embd=self._numbers)

    def decode(self, rows: Sequence[Row]) -> None:
        """See `Context.decode`; all ids beyond the vocabulary, or none."""
        if not rows or rows[0].token < self._model.vocabulary:
            super().decode(rows)
            return
        tokens = self._arrange(rows)
        self._numbers[: len(tokens)] = self._pictures.rows(tokens)
        self._compute(self._rows_batch, len(tokens))
