"""One model at one precision, loaded while it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from medbench_local.acquire.prepare import GgufFile, PreparedModel
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.engine.base import ROWS, Engine, EngineInfo, EngineOptions
from medbench_local.progress import Advance
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.prompting import Prompting
from medbench_local.scoring.answers import CellScorer, Meter, fingerprint
from medbench_local.scoring.pictures import PictureBook
from medbench_local.scoring.prompt_styles import prompt_style_of
from medbench_local.scoring.request_builder import RequestBuilder
from medbench_local.scoring.rule import ScoringRule, ScoringSettings
from medbench_local.store.scores import ScoreStore
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import SplitName, Task

StartEngine = Callable[[Path, EngineOptions], Engine]
"""Loads a GGUF file; `medbench_local.engine.remote.start_engine`, or whatever else speaks the engine's protocol."""

AskedRows = Mapping[SplitName, Sequence[int]]
"""Rows of each split that may be asked: the prefix that prompts share is taken over all of them."""


class ModelSession:
    """A model's engine with everything needed to answer questions with it; use as a context manager.

    Args:
        model: the model.
        file: which of its files is loaded.
        start: loads it.
        options: how it is decoded; the context is that of ``settings``.
        settings: how prompts become answers.
        asked: how the user wants the model to be prompted.
        overrides: system prompts of a protocol.
        store: where scores are kept.
        meter: counts the work.
        features: files with what the model sees of pictures; none for text only.
    """

    def __init__(
        self,
        model: PreparedModel,
        file: GgufFile,
        *,
        start: StartEngine,
        options: EngineOptions,
        settings: ScoringSettings,
        asked: Prompting,
        overrides: PromptOverrides,
        store: ScoreStore,
        meter: Meter,
        features: Mapping[Picture, Path] | None = None,
    ) -> None:
        self._model = model
        self._file = file
        self._start = start
        self._options = options
        self._settings = settings
        self._asked = asked
        self._overrides = overrides
        self._store = store
        self._meter = meter
        self._features = features or {}
        self._engine: Engine | None = None

    def __enter__(self) -> ModelSession:
        # Cells, not positions: the options of a prompt that fills the context lie side by side behind it.
        options = replace(self._options, n_ctx=self._settings.context + ROWS)
        if self._features and self._model.vision is not None:
            options = replace(
                options,
                vision=str(self._model.vision.vision),
                vision_ln_post=self._settings.protocol.vision_ln_post,
            )
        self._engine = self._start(self._file.path, options)
        if self._features:
            self._settings = replace(self._settings, pictures=PictureBook(self._engine.info, self._features))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    @property
    def engine(self) -> Engine:
        """The loaded engine; only inside the ``with`` block."""
        if self._engine is None:
            raise RuntimeError("the session is not open")
        return self._engine

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def info(self) -> EngineInfo:
        """What is loaded."""
        return self.engine.info

    @property
    def settings(self) -> ScoringSettings:
        """How prompts become answers."""
        return self._settings

    def prompt_style(self, other: tuple[PreparedModel, Prompting] | None = None) -> PromptStyle:
        """How this model is prompted, or, given another one and what is asked for of it, how that one would be."""
        model, asked = other or (self._model, self._asked)
        return prompt_style_of(
            model,
            asked,
            overrides=self._overrides,
            shot_images=self._settings.protocol.shot_images,
            file=self._file.path,
            ends={"bos_token": self.info.bos_text, "eos_token": self.info.eos_text},
        )

    def builder(
        self,
        task: Task,
        shots: int,
        asked: AskedRows,
        prompt_style: PromptStyle,
        rule: ScoringRule[Any] | None = None,
    ) -> RequestBuilder:
        """Makes the prompts of ``task`` the way ``prompt_style`` says, for ``rule`` or that of the settings."""
        return RequestBuilder(self.engine, prompt_style, task, shots, self._by(rule), asked)

    def _by(self, rule: ScoringRule[Any] | None) -> ScoringSettings:
        return self._settings if rule is None else replace(self._settings, rule=rule)

    def scorer(
        self,
        task: Task,
        shots: int,
        asked: AskedRows,
        prompt_style: PromptStyle,
        rule: ScoringRule[Any],
        advance: Advance,
    ) -> CellScorer:
        """A scorer for ``task`` that speaks to this model the way ``prompt_style`` says, and answers by ``rule``."""
        return CellScorer(
            self.engine,
            fingerprint=fingerprint(self._file.sha256, self.info),
            store=self._store,
            builder=self.builder(task, shots, asked, prompt_style, rule),
            task=task,
            settings=self._by(rule),
            meter=self._meter,
            advance=advance,
        )

    def first_prompt(self, task: Task, shots: int, demonstration_seed: int) -> dict[str, list[int]]:
        """First and last token ids of a real prompt: shows at a glance whether BOS and template are right."""
        candidate = Candidate(None, demonstration_seed if shots else None)
        prompt_style = self.prompt_style().to_be_looked_at()
        tokens = self.builder(task, shots, {}, prompt_style).first_prompt(candidate, "test")
        return {"first_tokens": list(tokens[:8]), "last_tokens": list(tokens[-8:])}
