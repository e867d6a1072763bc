"""From names and options to a plan: reads the questions once, makes the models ready at any precision."""

from __future__ import annotations

from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.source import LocalGguf, ModelSource, resolve_model
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant
from medbench_local.files.gguf_header import LOSSLESS, read_gguf_header
from medbench_local.files.hashes import data_sha256
from medbench_local.progress import Progress
from medbench_local.study.ladder import ladder, stand_in
from medbench_local.study.manifest import HashedCell
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, Outline, Plan, asked_shots, load_cells, located_tasks


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
        self._sources = resolve_model(medical), resolve_model(base)
        self._cells: tuple[Cell, ...] | None = None
        self.quants = ladder(options)

    @property
    def names(self) -> tuple[str, str]:
        """The names of both models."""
        medical, base = self._sources
        return medical.name, base.name

    def plan(self, quant: QuantConfig) -> Plan:
        """The plan at one precision; reads the questions, and converts and quantises what is not there yet.

        Raises:
            MedbenchError: of `load_cells` and `prepare_model`.
        """
        if self._cells is None:  # before any model is fetched
            self._cells = load_cells(self._options, self._sources, self._progress)
        return Plan(**vars(self.outline(quant)), cells=self._cells)

    def hashed_cells(self) -> list[HashedCell]:
        """What `plan` would read, by the hashes of its files; those of large files are remembered.

        Raises:
            MedbenchError: of `load_cells`, as far as it concerns the places of files.
            OSError: a file cannot be read.
        """
        options = self._options
        tasks = [
            (task.id, [[data_sha256(path, options.home) for path in split] for split in task.paths()])
            for task in located_tasks(options, self._sources, self._progress)
        ]
        return [HashedCell(id, files, number) for number in asked_shots(options) for id, files in tasks]

    def outline(self, quant: QuantConfig) -> Outline:
        """The plan at one precision, but for its questions; converts and quantises what is not there yet."""
        medical, base = (self._prepare(source, self._precision_of(source, quant)) for source in self._sources)
        scoring = self._options.scoring or self._options.protocol.scoring
        stand_ins = {}
        higher = stand_in(self._options)
        if higher is not None and quant.name != FULL:
            for source, model in zip(self._sources, (medical, base), strict=True):
                if model.full is not None:
                    stand_ins[model.quantised.sha256] = self._prepare(source, higher).quantised
        return Outline(
            medical=medical,
            base=base,
            scoring=scoring,
            quant=quant,
            options=self._options,
            stand_ins=stand_ins,
        )

    def _prepare(self, source: ModelSource, quant: QuantConfig) -> PreparedModel:
        options = self._options
        return prepare_model(
            source, quant=quant, home=options.home, offline=options.offline, progress=self._progress
        )

    def _precision_of(self, source: ModelSource, quant: QuantConfig) -> QuantConfig:
        """A GGUF that is quantised already is used as it is, unless a precision was asked for."""
        as_it_is = self._options.quant is None and given_quantised(source) is not None
        return load_quant(FULL) if as_it_is else quant


def given_quantised(source: ModelSource) -> str | None:
    """The file type of a GGUF file that is quantised already; None for everything else."""
    if not isinstance(source, LocalGguf):
        return None
    file_type = read_gguf_header(source.path).file_type.lower()
    return None if file_type in LOSSLESS else file_type
