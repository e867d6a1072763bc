"""How far a verdict is known to be that of full precision, and what quantisation changed."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from medbench_local.results.record import (
    Accuracies,
    Count,
    Difference,
    Discordant,
    Positive,
    Record,
    Share,
    Some,
    Verdict,
    VerdictOfInterval,
)

CheckState = Literal["full", "certain", "confident", "unsettled", "none", "unavailable"]


CheckObstacle = Literal["no-fuller-file", "does-not-fit"]


class EquivalenceRecord(Record):
    """Is one model's quantised form equivalent to its full precision on this task?

    Attributes:
        outcome: "equivalent", "different" or "inconclusive".
        reference_precision: what the quantised form was compared with; "full" unless something stood in.
        n: questions checked.
        flips: questions whose prediction differs; flip_ci: Wilson interval of their rate.
        correct_to_wrong, wrong_to_correct: flips that changed correctness (full to quantised).
        accuracy_full, accuracy_quantised: on the checked questions.
        difference: accuracy_quantised - accuracy_full; ci: its interval at `confidence`.
        margin: the margin of the test.
        questions_needed: how many would settle an inconclusive outcome; null otherwise or if unknown.
        kl_mean, kl_max: Kullback-Leibler divergence over the options, nats; null for greedy scoring.
        flip_margins: gap between the two best options at full precision for each flipped question, sorted.
        near_ties: checked questions that are near-ties at full precision.
    """

    outcome: Literal["equivalent", "different", "inconclusive"]
    reference_precision: str
    n: Some
    flips: Count
    flip_ci: tuple[float, float]
    correct_to_wrong: Count
    wrong_to_correct: Count
    accuracy_full: Share
    accuracy_quantised: Share
    difference: Difference
    ci: tuple[float, float]
    confidence: Share
    margin: Positive
    questions_needed: Count | None
    kl_mean: float | None
    kl_max: float | None
    flip_margins: tuple[float, ...]
    near_ties: Count


class ComparisonEquivalence(Record):
    """What quantisation did to each model, where every question was answered at both precisions.

    Attributes:
        medical, base: each model's equivalence; null where the model was not quantised.
        verdict_quantised: the verdict at the quantised precision.
        verdict_full_precision: the verdict at full precision, or at what stood in for it.
        verified: whether the reported verdict is the full-precision verdict; says the same as `Check.verified`.
        reason: files of schema 1 only: why it was not verified.
    """

    medical: EquivalenceRecord | None
    base: EquivalenceRecord | None
    verdict_quantised: Verdict | None
    verdict_full_precision: Verdict | None
    verified: bool
    reason: str = ""


class PrecisionChanges(Record):
    """How one model's answers to the checked questions differ between two precisions.

    The questions are no random sample unless all were checked: those with the closest choice come first.

    Attributes:
        n: questions checked whose prompt fits the context.
        flips: those whose prediction differs.
        correct_to_wrong, wrong_to_correct: flips from right (at full precision) to wrong, and the other way round.
        kl_mean, kl_max: Kullback-Leibler divergence over the options, nats; null for greedy scoring.
    """

    n: Count
    flips: Count
    correct_to_wrong: Count
    wrong_to_correct: Count
    kl_mean: float | None
    kl_max: float | None


class ChangesOfBoth(Record):
    """One for each side; null where the model is scored at the precision that it is checked against."""

    medical: PrecisionChanges | None
    base: PrecisionChanges | None


class Check(Record):
    """Is the reported verdict the verdict at full precision, on all test questions, with these prompts?

    Attributes:
        state: "full": every question was answered at full precision, and that is what is reported; "certain": the
            unchecked questions cannot change the verdict; "confident": they change it with a probability of at most
            1 - `confidence`, over the random order of checking; "unsettled": checking ended before that; "none": not
            asked for; "unavailable": see `obstacle`.
        against: "full", or the precision that stood in for it: then nothing is verified.
        confidence: 1 for "full" and "certain"; null where nothing is known.
        checked: questions answered at both precisions; of: test questions.
        possible_verdicts: the verdicts that `against` may give.
        obstacle: why the check is unavailable; else null.
        changes: what the checked questions show of each model; null where none was checked.
    """

    state: CheckState
    against: str
    confidence: Share | None
    checked: Count
    of: Count
    possible_verdicts: tuple[Verdict, ...]
    obstacle: CheckObstacle | None = None
    changes: ChangesOfBoth | None = None

    @field_validator("of")
    @classmethod
    def _no_more_than_all_are_checked(cls, of: int, info: ValidationInfo) -> int:
        checked = info.data.get("checked")
        if checked is not None and checked > of:
            raise ValueError(f"expected no fewer than the {checked} questions of key 'checked'")
        if checked is not None and info.data.get("state") == "full" and checked < of:
            raise ValueError(f"the state 'full' means that all are checked, but {checked} are")
        return of

    @property
    def settled(self) -> bool:
        """Whether it is known which verdict `against` gives."""
        return self.state in ("full", "certain", "confident")

    @property
    def verified(self) -> bool:
        """Whether the reported verdict is that of full precision, not of a stand-in."""
        return self.settled and self.against == "full"


class AtPrecision(Record):
    """The comparison at the precision that was scored.

    Attributes:
        precision: its name, as `Results.precision`.
        accuracy, difference, ci, verdict, discordant: as in `Comparison`.
    """

    precision: str
    accuracy: Accuracies
    difference: Difference
    ci: tuple[float, float]
    verdict: VerdictOfInterval
    discordant: Discordant
