"""One model at one precision, loaded while it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from medbench_local.acquire.prepare import GgufFile, PreparedModel
from medbench_local.engine.base import Engine, EngineInfo
from medbench_local.engine.bindings import ROWS
from medbench_local.engine.remote import start_engine
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Advance
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompting import Prompting, prompting_for
from medbench_local.scoring.answers import CellScorer, Meter, fingerprint
from medbench_local.scoring.requests import Preparation, ScoringRules
from medbench_local.store.scores import ScoreStore
from medbench_local.study.choosing import selection_rows
from medbench_local.study.plan import Cell, Plan, asked_questions
from medbench_local.tasks.question import SplitName


class ModelSession:
    """A model's engine with everything needed to answer questions with it; use as a context manager.

    Args:
        plan: what is being compared.
        model: the model.
        file: which of its files is loaded.
        store: where scores are kept.
        meter: counts the work.
    """

    def __init__(
        self, plan: Plan, model: PreparedModel, file: GgufFile, *, store: ScoreStore, meter: Meter
    ) -> None:
        self._plan = plan
        self._model = model
        self._file = file
        self._store = store
        self._meter = meter
        self._engine: Engine | None = None

    def __enter__(self) -> ModelSession:
        scored = self._file.sha256 == self._model.quantised.sha256
        cache = self._plan.quant.kv_cache if scored else "f32"
        # Cells, not positions: the options of a prompt that fills the context lie side by side behind it.
        options = replace(self._plan.options.engine, n_ctx=self._context() + ROWS, cache=cache)
        self._engine = start_engine(self._file.path, options)
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

    def prompting(self, model: PreparedModel | None = None) -> Prompting:
        """How this model is prompted, or, given another ``model``, how that one would be."""
        way = model or self._model
        options = self._plan.options
        return prompting_for(
            way.entry,
            chat_template=way.chat_template,
            bos_text=self.info.bos_text,
            eos_text=self.info.eos_text,
            system_prompt=options.system_prompt,
            overrides=options.protocol.prompts,
            name=way.name,
        )

    def preparation(self, cell: Cell, prompting: Prompting) -> Preparation:
        """Makes the prompts of ``cell`` the way ``prompting`` says."""
        protocol = self._plan.protocol
        asked: dict[SplitName, Sequence[int]] = {
            "validation": selection_rows(cell.task, protocol.selection),
            "test": range(len(asked_questions(protocol, cell))),
        }
        return Preparation(self.engine, prompting, cell.task, cell.shots, self.rules(), asked)

    def scorer(self, cell: Cell, prompting: Prompting, advance: Advance) -> CellScorer:
        """A scorer for ``cell`` that speaks to this model the way ``prompting`` says."""
        return CellScorer(
            self.engine,
            fingerprint=fingerprint(self._file.sha256, self.info),
            store=self._store,
            preparation=self.preparation(cell, prompting),
            task=cell.task,
            rules=self.rules(),
            meter=self._meter,
            advance=advance,
        )

    def first_prompt(self, cell: Cell) -> dict[str, list[int]]:
        """First and last token ids of a real prompt: shows at a glance whether BOS and template are right."""
        candidate = Candidate(None, self._plan.protocol.demonstration_seed if cell.shots else None)
        tokens = self.preparation(cell, self.prompting()).first_prompt(candidate, "test")
        return {"first_tokens": list(tokens[:8]), "last_tokens": list(tokens[-8:])}

    def rules(self) -> ScoringRules:
        """What the protocol fixes, with this model's context."""
        protocol = self._plan.protocol
        return ScoringRules(
            scoring=self._plan.scoring,
            context=self._context(),
            overlong=protocol.overlong,
            bos=protocol.chat_bos,
            several=protocol.letters,
            max_tokens=protocol.greedy.max_tokens,
        )

    def _context(self) -> int:
        """The longest prompt: the context the model was trained with, or less if the protocol says so."""
        limits = [read_gguf_header(self._file.path).context, self._plan.protocol.context]
        if self._model.entry is not None:
            limits.append(self._model.entry.context)
        return min(limit for limit in limits if limit)
