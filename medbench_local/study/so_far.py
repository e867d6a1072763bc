"""What is finished of a run that goes on: told as it comes, and kept so that it can be read meanwhile."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.errors import InputError
from medbench_local.results.asked import clear_asked
from medbench_local.results.folder import RunFolder
from medbench_local.results.partial import ComparisonName, PartialResults, named
from medbench_local.results.record import Role
from medbench_local.results.schema import Comparison
from medbench_local.scoring.answers import Meter
from medbench_local.statistics.doubt import doubt
from medbench_local.study.asked_files import write_asked
from medbench_local.study.assembly import assemble, timing_of
from medbench_local.study.cell_answers import CellAnswers
from medbench_local.study.identification import LoadedModel, identification
from medbench_local.study.plan import CellKey, Plan
from medbench_local.study.tools import Tools
from medbench_local.study.verdicts import adjusted

REPORTS_SHARE = 0.01
"""Seconds for reports of a run that is not finished, for a second of the run."""

_REPORTS_AT_FIRST = 0.5
"""Seconds that the first ones are expected to take."""


@dataclass
class SoFar:
    """Keeps ``partial.json``, and the reports made of it, up to date.

    Attributes:
        folder: of the run.
        quants: precisions that may be tried.
        meter: counts the run's work.
        tools: who listens, and who makes reports.
        started: when the run was started or resumed.
        clock: the same in seconds of `time.monotonic`.
    """

    folder: RunFolder
    quants: Sequence[QuantConfig]
    meter: Meter
    tools: Tools
    started: datetime
    clock: float
    _known: set[CellKey] = field(default_factory=set)
    _written: PartialResults | None = None
    _reported: PartialResults | None = None
    _reported_at: float = 0.0
    _reports_took: float = _REPORTS_AT_FIRST

    def resumed(self, plan: Plan) -> Collection[CellKey]:
        """The cells that an interrupted run had finished at the precision of ``plan``; of another all is removed.

        So is a file that cannot be read, as one of another release: all that it holds follows from the scores.

        Raises:
            StoreError: that cannot be removed.
        """
        try:
            found = self.folder.partial()
        except InputError as error:
            self.tools.progress.note(f"{error.message} It is written anew from the scores.")
            found = None
        if found is not None and (found.precision, found.mode) == (plan.precision, plan.mode):
            self._known = {named(comparison).key for comparison in found.comparisons}
            return self._known
        self._known = set()
        self.folder.clear_partial()
        self.folder.clear_samples()
        clear_asked(self.folder)
        return self._known

    def tell(self, comparisons: Sequence[Comparison], *, checked: bool, confidence: float) -> None:
        """Say what came out, a line a comparison.

        Args:
            comparisons: those that have just been judged or checked.
            checked: their check has just ended.
            confidence: of their intervals.
        """
        for c in comparisons:
            why = doubt(c.verdict, c.n, c.mcnemar_p, confidence=confidence)
            said = _after_check(c) if checked else str(c)
            self.tools.progress.note(said if why is None else f"{said}; doubtful ({why})")

    def keep(
        self,
        plan: Plan,
        comparisons: Mapping[CellKey, Comparison],
        sides: Mapping[Role, Mapping[CellKey, CellAnswers]],
        models: Mapping[str, LoadedModel],
    ) -> None:
        """Write what is finished, and now and then the reports of it.

        Nothing is written before all is there again that an interrupted run had found, nor where nothing is open.

        Args:
            plan: of all comparisons at this precision.
            comparisons: those that both models have finished.
            sides: what both models did.
            models: what was noted of them.

        Raises:
            StoreError: the files cannot be written.
        """
        open_ones = len(comparisons) < len(plan.cells) or any(c.provisional for c in comparisons.values())
        if not (open_ones and self._known <= set(comparisons)) or self.folder.results_file.is_file():
            return
        finished = replace(plan, cells=tuple(cell for cell in plan.cells if cell.key in comparisons))
        write_asked(self.folder, finished, sides, thumbnails=False)
        self._written = self._assembled(plan, comparisons, models)
        self.folder.write_partial(self._written)
        now = time.monotonic()
        if now - max(self.clock, self._reported_at) >= self._reports_took / REPORTS_SHARE:
            self.report()
            self._reports_took = max(time.monotonic() - now, _REPORTS_AT_FIRST)

    def report(self) -> None:
        """Make the reports of what is finished, if that is more than they show.

        Raises:
            MedbenchError: they cannot be made.
        """
        if self._written is not None and self._written is not self._reported:
            self.tools.write_reports(self.folder.path, self._written)
            self._reported, self._reported_at = self._written, time.monotonic()

    def _assembled(
        self, plan: Plan, comparisons: Mapping[CellKey, Comparison], models: Mapping[str, LoadedModel]
    ) -> PartialResults:
        found = [comparisons[cell.key] for cell in plan.cells if cell.key in comparisons]
        results = assemble(
            plan,
            adjusted(found),
            said=identification(plan, self.quants, models),
            ladder=(),
            timing=timing_of(self.meter, started=self.started, seconds=time.monotonic() - self.clock),
        )
        return PartialResults(
            **dict(results),
            missing=tuple(
                ComparisonName(task=cell.task.id, shots=cell.shots, thinkers=cell.thinkers)
                for cell in plan.cells
                if cell.key not in comparisons
            ),
            provisional=tuple(named(comparison) for comparison in found if comparison.provisional),
        )


def _after_check(comparison: Comparison) -> str:
    """What a check found: "medqa, 3-shot: win, verified (250 of 1,273 questions asked again at full precision)"."""
    check, scored = comparison.check, comparison.quantised
    fuller = "full precision" if check.against == FULL else check.against
    asked = f"{check.checked:,} of {check.of:,} questions asked again at {fuller}"
    state = "verified" if comparison.verified else "not verified"
    text = f"{named(comparison)}: {comparison.verdict}, {state} ({asked})"
    if scored is not None and scored.verdict != comparison.verdict:
        text += f"; it was {scored.verdict} at {scored.precision}"
    return text
