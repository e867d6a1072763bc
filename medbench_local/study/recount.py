"""A comparison once more from its samples, and where ``results.json`` says something else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medbench_local._version import __version__
from medbench_local.catalog.protocol import BootstrapSettings
from medbench_local.engine.base import NEAR_TIE
from medbench_local.results.checks import Check, ComparisonEquivalence, EquivalenceRecord
from medbench_local.results.record import ROLES, VERDICTS, Role
from medbench_local.results.schema import Comparison, Results
from medbench_local.scoring.answers import Answer
from medbench_local.statistics.verification import CONFIDENCE
from medbench_local.study.cell_verification import CellVerification
from medbench_local.study.equivalence import CheckSettings, compare_precisions, precision_changes, record
from medbench_local.study.run_checks import label_of
from medbench_local.study.sampled_answers import SampledSide, answer_of, questions_of
from medbench_local.study.verdicts import AtFullPrecision, Side, comparison
from medbench_local.tasks.question import Question

_CLOSE = 1e-9
"""How far apart the same number may be that two machines computed; as a share of it, or as it is below 1."""

_FIELDS = (
    *("n", "accuracy", "difference", "ci", "verdict", "discordant", "mcnemar_p"),
    *("minimum_detectable_difference", "counts", "quantised", "thinking", "clusters"),
)
"""What follows from samples alone."""

_DRAWN = ("ci", "verdict", "mcnemar_p", "minimum_detectable_difference", "quantised")
"""What version 0.1.0, which did not write its version, computed otherwise: its intervals were drawn."""


@dataclass(frozen=True)
class CheckPlan:
    """How far a run's verdicts were to be checked; from its manifest.

    Attributes:
        identity: of the run.
        quant: name of the quantisation config.
        share, precisions: as of `CellVerification` and `medbench_local.study.verification.verify_verdicts`.
        everything: all questions were to be checked.
    """

    identity: str
    quant: str
    share: float
    precisions: int
    everything: bool


class Recount:
    """One comparison from its samples.

    Args:
        results: of the run.
        claimed: the comparison as results.json has it.
        sides: its samples, sound and in one order.
    """

    def __init__(self, results: Results, claimed: Comparison, sides: Mapping[Role, SampledSide]) -> None:
        self._results = results
        self._claimed = claimed
        self._sides = sides
        self._mode = results.mode
        self._fuller_mode = results.check_mode or results.mode
        self._replaced = claimed.quantised is not None and claimed.precision == "full"
        self.questions: Sequence[Question] = questions_of(sides["medical"].reported)
        self._reported = {role: tuple(map(answer_of, sides[role].reported)) for role in ROLES}
        self._scored = {role: self._scored_of(sides[role]) for role in ROLES}

    def _scored_of(self, side: SampledSide) -> tuple[Answer, ...]:
        """The answers at the scored precision, which full precision may have replaced."""
        if not self._replaced or side.inner is None:
            return tuple(map(answer_of, side.reported))
        again = {sample.id: answer_of(sample) for sample in side.other}
        return tuple(again[sample.id] for sample in side.reported)

    def complete(self) -> str:
        """Why it cannot be counted again; "" if it can."""
        for role in ROLES:
            side = self._sides[role]
            if self._replaced and side.inner is not None and len(side.other) != len(side.reported):
                return (
                    f"samples/{side.inner}.jsonl has {len(side.other):,} of {len(side.reported):,} questions"
                )
        return ""

    def computed(self) -> Comparison:
        """The comparison, but for what samples do not say: the search for prompts, the check, shared prompts."""
        claimed, settings = self._claimed, self._results
        replaced = self._replaced
        return comparison(
            task=claimed.task,
            shots=claimed.shots,
            scoring=claimed.scoring,
            thinkers=claimed.thinkers,
            precision=claimed.quantised.precision if claimed.quantised else settings.precision,
            questions=self.questions,
            medical=Side(claimed.prompt.medical, self._scored["medical"]),
            base=Side(claimed.prompt.base, self._scored["base"]),
            shared_prompt=None,
            settings=BootstrapSettings(confidence=settings.confidence),
            near_tie=NEAR_TIE[self._mode],
            reference_near_tie=NEAR_TIE[self._fuller_mode],
            found=AtFullPrecision(
                _unknown(claimed),
                self._reported["medical"] if replaced else None,
                self._reported["base"] if replaced else None,
                scored_in_full=claimed.quantised is None,
            ),
        )

    def differences(self, computed: Comparison) -> Iterator[str]:
        """Where results.json says something else than ``computed``."""
        drawn = self._results.version is None
        names = [name for name in _FIELDS if not (drawn and name in _DRAWN)]
        found = computed.model_dump(mode="json", include=set(names))
        said = self._claimed.model_dump(mode="json", include=set(names))
        if self._results.version != __version__:  # thresholds of near-ties are each release's own
            for dump in (found, said):
                for role in ROLES:
                    dump["counts"][role].pop("near_ties")
        yield from unequal(said, found)
        if self._claimed.ablation is not None and computed.ablation is not None:
            yield from unequal(self._claimed.ablation.raw, computed.ablation.raw, "ablation.raw")

    def of_check(self, plan: CheckPlan | None) -> Iterator[str]:
        """Where the check of the claimed comparison does not follow from the answers at both precisions."""
        claimed = self._claimed
        if all(side.inner is None for side in self._sides.values()):
            if claimed.quantised is not None and claimed.check.checked:
                yield f"key 'check.checked': {claimed.check.checked} by results.json, and no samples of it are there"
            return
        full = {role: self._full(role) for role in ROLES}
        yield from self._changes(full)
        if claimed.equivalence is not None:
            yield from self._equivalence(claimed.equivalence, full)
        if plan is not None:
            yield from self._states(plan, full)

    def _full(self, role: Role) -> dict[int, Answer]:
        """The answers at the fuller precision, by row; all of a model that was scored at it."""
        side = self._sides[role]
        if self._replaced or side.inner is None:
            return dict(enumerate(self._reported[role]))
        rows = {sample.id: row for row, sample in enumerate(side.reported)}
        return {rows[sample.id]: answer_of(sample) for sample in side.other}

    def _changes(self, full: Mapping[Role, Mapping[int, Answer]]) -> Iterator[str]:
        claimed = self._claimed.check.changes
        for role in ROLES:
            said = None if claimed is None else getattr(claimed, role)
            if said is None:
                continue
            rows = sorted(full[role])
            found = precision_changes(
                [self.questions[row] for row in rows],
                [full[role][row] for row in rows],
                [self._scored[role][row] for row in rows],
            )
            yield from unequal(
                said.model_dump(mode="json"), found.model_dump(mode="json"), f"check.changes.{role}"
            )

    def _equivalence(
        self, claimed: ComparisonEquivalence, full: Mapping[Role, Mapping[int, Answer]]
    ) -> Iterator[str]:
        for role in ROLES:
            said: EquivalenceRecord | None = getattr(claimed, role)
            if said is None:
                continue
            rows = sorted(full[role])
            settings = CheckSettings(
                questions=None,
                margin=said.margin,
                confidence=said.confidence,
                seed=0,
                reference_precision=said.reference_precision,
                near_tie=NEAR_TIE[self._fuller_mode],
            )
            found = record(
                compare_precisions(
                    [self.questions[row] for row in rows],
                    [full[role][row] for row in rows],
                    [self._scored[role][row] for row in rows],
                    settings,
                ),
                settings,
            )
            left_out = set() if self._results.version == __version__ else {"near_ties"}
            yield from unequal(
                said.model_dump(mode="json", exclude=left_out),
                found.model_dump(mode="json", exclude=left_out),
                f"equivalence.{role}",
            )

    def _states(self, plan: CheckPlan, full: Mapping[Role, Mapping[int, Answer]]) -> Iterator[str]:
        """The check once more: the order of its questions is known, and where it ends follows from their answers."""
        claimed = self._claimed
        check = CellVerification(
            self.questions,
            self._scored,
            key=f"{plan.identity} {plan.quant} {label_of(claimed)}",
            settings=BootstrapSettings(confidence=self._results.confidence),
            share=plan.share,
            error=(1 - CONFIDENCE) / plan.precisions,
            everything=plan.everything,
        )
        for role in ROLES:
            check.full[role].update(full[role])
        look = 0
        while check.unfinished:
            if missing := [row for role in ROLES for row in check.missing(role, look)]:
                yield (
                    f"key 'check': it cannot end before question {self.questions[missing[0]].id} was asked at full "
                    "precision, and samples of that are not there"
                )
                return
            check.assess(look)
            look += 1
        state = check.found.state if check.settled and check.found.state != "open" else "unsettled"
        everything = state == "full"
        possible = check.found.possible
        if everything and claimed.check.against == "full":
            possible = (claimed.verdict,)
        said = claimed.check
        yield from unequal(
            {"state": said.state, "checked": said.checked, "possible_verdicts": list(said.possible_verdicts)},
            {
                "state": state,
                "checked": len(self.questions) if everything else len(check.checked),
                "possible_verdicts": list(possible),
            },
            "check",
        )


def _unknown(claimed: Comparison) -> Check:
    """A check that says nothing: what results.json says of it is looked at by itself."""
    return Check(
        state="none",
        against=claimed.check.against,
        confidence=None,
        checked=0,
        of=claimed.n,
        possible_verdicts=VERDICTS,
    )


def unequal(said: Any, found: Any, key: str = "") -> Iterator[str]:
    """Where two JSON values differ, by more than the last digits of numbers.

    Args:
        said: as results.json has it.
        found: as it was computed again.
        key: where they stand.
    """
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        for name in dict.fromkeys((*said, *found)):
            yield from unequal(said.get(name), found.get(name), f"{key}.{name}" if key else name)
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for place, (one, other) in enumerate(zip(said, found, strict=True)):
            yield from unequal(one, other, f"{key}.{place}")
    elif isinstance(said, float | int) and isinstance(found, float | int) and not isinstance(said, bool):
        if not math.isclose(said, found, rel_tol=_CLOSE, abs_tol=_CLOSE):
            yield f"key '{key}': expected {found:.10g}, found {said:.10g}"
    elif said != found:
        yield f"key '{key}': expected {found}, found {said}"
