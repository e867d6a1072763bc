"""How fast the models of a plan are decoded on this machine: timed with a model's own file, or with one made for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medbench_local.acquire.calibration import Speeds, measured_file, measured_speeds
from medbench_local.catalog.quantisation import FULL
from medbench_local.engine.memory import memory_available, memory_needed
from medbench_local.files.hashes import file_sha256
from medbench_local.results.cost import Timed
from medbench_local.scoring.rules import RULES
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.planned_model import PlannedModel
from medbench_local.study.tools import Tools


@dataclass(frozen=True)
class ModelSpeeds:
    """Tokens a second of one model; None where they are not known.

    Attributes:
        reading, reading_full: of prompts, at the precision that is scored and at the one that is checked against.
        writing, writing_full: of texts that the model writes.
        timed: what was timed.
    """

    reading: float | None = None
    reading_full: float | None = None
    writing: float | None = None
    writing_full: float | None = None
    timed: Timed | None = None


class Clock:
    """Times what is not known yet; of tiny models, which are fast at anything, nothing is.

    Args:
        options: of the comparison.
        tools: the engine that is timed, and who listens.
        large: whether a model is large enough to be timed.

    Attributes:
        reading: weights a second, by precision; empty if nothing is known.
    """

    def __init__(self, options: ResolvedOptions, tools: Tools, *, large: bool) -> None:
        self._options, self._tools, self._large = options, tools, large
        self._rule = RULES[options.scoring or options.protocol.scoring]
        self.reading: Speeds = {}
        self._writing: Speeds = {}
        if large:
            self.reading = self._of_machine(writing=False)
            self._writing = self._of_machine(writing=True) if self._rule.generates else {}

    def _of_machine(self, *, writing: bool) -> Speeds:
        options = self._options
        return measured_speeds(
            options.home,
            options.engine_of_quantised,
            self._tools.start_engine,
            self._tools.progress,
            writing=writing,
        )

    def of(self, model: PlannedModel, *, checked: bool) -> ModelSpeeds:
        """The speeds of one model.

        Args:
            model: of the plan.
            checked: whether it is scored at full precision, too.
        """
        if not self._large:
            return ModelSpeeds()
        file = model.files.file if model.files.quantised_here else None
        full = model.full.file if checked and model.full.quantised_here else None
        own = None if file is None else self._of_file(file, writing=False)
        return ModelSpeeds(
            reading=own or _of(self.reading, model.precision, model.asked),
            reading_full=self._either(full, self.reading, model, writing=False),
            writing=self._at_once(self._either(file, self._writing, model, writing=True, full=False), own),
            writing_full=self._at_once(self._either(full, self._writing, model, writing=True), None),
            timed="model" if own else "machine" if self.reading else None,
        )

    def _either(
        self, file: Path | None, speeds: Speeds, model: PlannedModel, *, writing: bool, full: bool = True
    ) -> float | None:
        if writing and not self._rule.generates:
            return None
        found = None if file is None else self._of_file(file, writing=writing)
        return found or _of(speeds, FULL if full else model.precision, model.asked)

    def _of_file(self, path: Path, *, writing: bool) -> float | None:
        options = self._options.engine_of_quantised
        if memory_needed(path, options).total > memory_available():
            return None
        sha256 = file_sha256(path, self._options.home, self._tools.progress)
        return measured_file(
            path,
            sha256,
            self._options.home,
            options,
            self._tools.start_engine,
            self._tools.progress,
            writing=writing,
        )

    def _at_once(self, alone: float | None, reading: float | None) -> float | None:
        """Of texts that are written together, which read the weights once for all of them."""
        if alone is None or self._rule.thinks:
            return alone
        together = alone * self._options.engine.parallel
        return together if reading is None else max(alone, min(together, reading))


def _of(speeds: Speeds, precision: str, weights: int) -> float | None:
    """Tokens a second of a model with so many weights, about."""
    return speeds[precision] / weights if precision in speeds and weights else None
