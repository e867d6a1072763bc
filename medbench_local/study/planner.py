"""From names and options to a plan: reads the questions once, makes the models ready at any precision."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from medbench_local.acquire.checkpoint_files import refuse_unused_base
from medbench_local.acquire.picture_parts import refuse_other_precision
from medbench_local.acquire.prepare import GgufFile, PreparedModel, prepare_model
from medbench_local.acquire.source import LocalGguf, ModelSource, resolve_model
from medbench_local.acquire.source_types import same_source
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant
from medbench_local.engine.base import Mode
from medbench_local.engine.support import refuse_unsupported
from medbench_local.files.gguf_header import LOSSLESS, read_gguf_header
from medbench_local.files.hashes import file_sha256
from medbench_local.progress import Progress
from medbench_local.prompts.prompt_style import may_think
from medbench_local.scoring.rules import RULES
from medbench_local.study.ladder import ladder, stand_in
from medbench_local.study.manifest import HashedCell, hashed
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import (
    Cell,
    Outline,
    Plan,
    asked_shots,
    in_fair_cells,
    load_cells,
    located_tasks,
)


class Planner:
    """Reads the questions once, when they are needed, and prepares the models at any precision.

    Args:
        medical: the medical model, as `resolve_model` reads it.
        base: the model it was built from.
        options: everything else.
        progress: listens.
    """

    def __init__(self, medical: str, base: str, options: ResolvedOptions, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._sources = sources_of(medical, base, options)
        self._cells: tuple[Cell, ...] | None = None
        self.quants = ladder(options)

    @property
    def names(self) -> tuple[str, str]:
        """The names of both models."""
        medical, base = self._sources
        return medical.name, base.name

    @property
    def same_model(self) -> bool:
        """Whether both names mean the same model, as far as that is known before its files are read."""
        medical, base = self._sources
        return same_source(medical, base)

    def plan(self, quant: QuantConfig) -> Plan:
        """The plan at one precision; reads the questions, and converts and quantises what is not there yet.

        Raises:
            MedbenchError: of `load_cells` and `prepare_model`.
        """
        cells = self.read_questions()  # before any model is fetched
        outline = self.outline(quant)
        if RULES[outline.scoring].thinks:
            base, asked = outline.base, self._options.prompting("base")
            cells = in_fair_cells(cells, base_thinks=may_think(base.entry, base.chat_template, asked))
        return Plan(**vars(outline), cells=cells)

    def read_questions(self) -> tuple[Cell, ...]:
        """The cells with their questions, which are read once.

        Raises:
            MedbenchError: of `load_cells`.
        """
        if self._cells is None:
            self._cells = load_cells(self._options, self._sources, self._progress)
        return self._cells

    def hashed_cells(self) -> list[HashedCell]:
        """What decides the result of the cells; without reading the questions, where hashes of their files are at hand.

        Raises:
            MedbenchError: of `load_cells`.
        """
        if self._cells is not None:
            return hashed(self._cells)
        options = self._options
        try:
            tasks = []
            for task in located_tasks(options, self._sources, self._progress):
                if (paths := task.paths()) is None:
                    return hashed(self.read_questions())
                tasks.append(
                    (task.id, [[file_sha256(path, options.home) for path in split] for split in paths])
                )
        except OSError:  # a file is missing or cannot be read: to be said as reading says it
            return hashed(self.read_questions())
        return [HashedCell(id, files, number) for number in asked_shots(options) for id, files in tasks]

    def outline(self, quant: QuantConfig) -> Outline:
        """The plan at one precision, but for its questions; converts and quantises what is not there yet."""
        medical, base = (self._prepare(source, self._precision_of(source, quant)) for source in self._sources)
        refuse_unused_base(self._options.adapter_base, medical.base, base.base)
        refuse_other_precision(medical.vision, base.vision)
        scoring = self._options.scoring or self._options.protocol.scoring
        return Outline(
            medical=medical,
            base=base,
            scoring=scoring,
            quant=quant,
            options=self._options,
            stand_ins={} if quant.name == FULL else self._stand_ins(medical, base),
        )

    def at_full_precision(self) -> Outline:
        """The outline before a precision is known: what it is checked against, and so its identity, is the same."""
        plan = self.outline(load_quant(FULL))
        return replace(plan, stand_ins=self._stand_ins(plan.medical, plan.base))

    def _stand_ins(self, medical: PreparedModel, base: PreparedModel) -> dict[str, GgufFile]:
        """What is checked against in place of full precision, by the hash of the scored file."""
        higher = stand_in(self._options)
        if higher is None:
            return {}
        return {
            model.quantised.sha256: self._prepare(source, higher).quantised
            for source, model in zip(self._sources, (medical, base), strict=True)
            if model.full is not None
        }

    def in_mode(self, mode: Mode) -> Planner:
        """The same with an engine's mode that was asked for."""
        found = copy(self)
        found._options = replace(self._options, mode=mode)
        return found

    def _prepare(self, source: ModelSource, quant: QuantConfig) -> PreparedModel:
        options = self._options
        return prepare_model(
            source, quant=quant, home=options.home, offline=options.offline, progress=self._progress
        )

    def _precision_of(self, source: ModelSource, quant: QuantConfig) -> QuantConfig:
        """A GGUF that is quantised already is used as it is, unless a precision was asked for."""
        as_it_is = self._options.quant is None and given_quantised(source) is not None
        return load_quant(FULL) if as_it_is else quant


def sources_of(medical: str, base: str, options: ResolvedOptions) -> tuple[ModelSource, ModelSource]:
    """What is meant by the names of both models, with what options name for them.

    Raises:
        UsageError, InputError: as `resolve_model`.
    """
    return (
        resolve_model(medical, options.adapter_base, projector=options.projector("medical")),
        resolve_model(base, options.adapter_base, projector=options.projector("base")),
    )


def given_quantised(source: ModelSource) -> str | None:
    """The file type of a GGUF file that is quantised already; None for everything else.

    Raises:
        UnsupportedArchitectureError: the file holds no model that can be scored.
    """
    if not isinstance(source, LocalGguf):
        return None
    header = read_gguf_header(source.path)
    refuse_unsupported(header)
    file_type = header.file_type.lower()
    return None if file_type in LOSSLESS else file_type
