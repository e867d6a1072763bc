"""What a run found: the contents of ``results.json``, typed and validated when read back.

Accuracies, differences and rates are fractions. The field names are part of the file format: a change that a
reader of an older file would notice raises ``SCHEMA``.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import (
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from medbench_local.catalog.protocol import Scoring
from medbench_local.engine.base import Mode
from medbench_local.results.checks import AtPrecision, Check, ComparisonEquivalence
from medbench_local.results.choices import PromptChoices
from medbench_local.results.clusters import Clusters
from medbench_local.results.identification import HashedFile, Identification
from medbench_local.results.record import (
    THINKERS,
    VERDICTS,
    Accuracies,
    Count,
    Difference,
    Discordant,
    Positive,
    Record,
    Share,
    Some,
    Thinkers,
    Verdict,
    VerdictOfInterval,
)
from medbench_local.text import interval, points

SCHEMA = 2
"""Schema 2 adds `Comparison.check` and `Comparison.quantised`; files of schema 1 are still read."""


class ModelRecord(Record):
    """One model as it was used.

    Attributes:
        name: catalog name, or what the user typed.
        source: "owner/name@commit" on the hub, "embedded" or "local"; of an adapter also what it was merged into.
        sha256: hash of the GGUF that was scored.
        file_type: its quantisation ("q4_k_m", "f16").
        size: its bytes.
        full_sha256: hash of the lossless GGUF that it was made of; null if there is none, or if nobody wrote it down.
        vision_sha256: hash of the file with what it sees pictures with; null for a model that was shown none.
        files: of the checkpoint or GGUF that was given; null in files of releases that did not write it.
    """

    name: str
    source: str
    sha256: str
    file_type: str
    size: Count
    full_sha256: str | None = None
    vision_sha256: str | None = None
    files: tuple[HashedFile, ...] | None = None


class PairOf(Record):
    """One record for each side."""

    medical: ModelRecord
    base: ModelRecord


class Counts(Record):
    """Things that happened to prompts of one side on the test split.

    Attributes:
        dropped_demonstrations: prompts that lost demonstrations because they were longer than the context.
        overlong: prompts that did not fit at all and count as wrong.
        exact_ties: questions whose two best options had equal scores; the first one was taken.
        near_ties: questions whose two best options are no further apart than the noise of the engine's mode.
        smallest_mass: least summed probability of the options over all questions; null if not computed.
        median_mass: its median.
    """

    dropped_demonstrations: Count = 0
    overlong: Count = 0
    exact_ties: Count = 0
    near_ties: Count = 0
    smallest_mass: Positive | None = None
    median_mass: Positive | None = None


class CountsOfBoth(Record):
    """Counts for each side."""

    medical: Counts
    base: Counts


class Ablation(Record):
    """The study's two ablations from the same scores.

    Attributes:
        shared_prompt_accuracy: of the base model with the prompt chosen for the medical model; null if it was
            not scored.
        raw: verdict by the sign of the difference, own prompts.
        shared_prompt: verdict with the medical model's prompt for both.
        shared_prompt_raw: both ablations at once.
    """

    shared_prompt_accuracy: Share | None
    raw: Verdict
    shared_prompt: Verdict | None
    shared_prompt_raw: Verdict | None


class Thinking(Record):
    """What one side thought before it answered the test questions.

    Attributes:
        questions: about which it thought.
        truncated: whose thinking used up the budget and was closed for the model; ended: whose text ended without a
            marker that closes the thinking, loops: whose thinking ends in a loop.
        median_tokens: of thinking.
    """

    questions: Count
    truncated: Count
    ended: Count
    loops: Count
    median_tokens: Positive | None


class ThinkingOfBoth(Record):
    """Of each side; null for one that answers at once."""

    medical: Thinking | None
    base: Thinking | None


class Comparison(Record):
    """Two cells that differ in the model only.

    Where every question was checked at full precision the numbers are those of full precision; else those of the
    precision that was scored. `quantised` has the latter in either case.

    Attributes:
        n: test questions.
        difference: accuracy of the medical model minus that of the base model; ci: its bootstrap interval.
        verdict: win, tie or loss of the medical model.
        mcnemar_p: exact, two-sided; holm_p: adjusted over the comparisons of the run.
        minimum_detectable_difference: at 80 % power and the observed discordance; null if none was observed.
        check: is this the full-precision verdict?
        quantised: the comparison at the scored precision; null where that is full precision, and in schema 1.
        equivalence: null unless every question was answered at both precisions (schema 1: unless checked).
        ablation: from the scores at the scored precision.
        thinkers: who thinks before it answers, where the run is of models that do; null elsewhere.
        thinking: what they thought, at the reported precision; null where nobody does.
        clusters: the interval over pictures, from the reported answers; absent where no picture has several questions.
    """

    task: str
    shots: Count
    scoring: Scoring
    n: Some
    accuracy: Accuracies
    difference: Difference
    ci: tuple[float, float]
    verdict: VerdictOfInterval
    discordant: Discordant
    mcnemar_p: Share
    holm_p: Share
    minimum_detectable_difference: Positive | None
    prompt: PromptChoices
    counts: CountsOfBoth
    equivalence: ComparisonEquivalence | None
    ablation: Ablation | None
    check: Check
    quantised: AtPrecision | None = None
    thinkers: Thinkers | None = None
    thinking: ThinkingOfBoth | None = None
    clusters: Clusters | None = None
    _provisional: bool = PrivateAttr(default=False)

    @model_serializer(mode="wrap")
    def _absent_without_clusters(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Files of tasks without pictures are what they were before there were any."""
        data: dict[str, Any] = handler(self)
        if self.clusters is None:
            data.pop("clusters", None)
        return data

    @field_validator("check")
    @classmethod
    def _what_is_settled_is_reported(cls, check: Check, info: ValidationInfo) -> Check:
        possible, reported = check.possible_verdicts, info.data.get("verdict")
        if check.settled and len(possible) != 1:
            raise ValueError(f"the state '{check.state}' leaves one possible verdict, not {len(possible)}")
        if check.verified and reported is not None and possible != (reported,):
            raise ValueError(
                f"full precision gives '{possible[0]}' by its possible verdicts, but the verdict is '{reported}'"
            )
        return check

    @property
    def provisional(self) -> bool:
        """Whether the check is still to come; never in results of a finished run."""
        return self._provisional

    def as_provisional(self, provisional: bool = True) -> Comparison:
        """The same comparison, whose check is still to come, or is not."""
        same = self.model_copy()
        same._provisional = provisional
        return same

    @property
    def verified(self) -> bool:
        """Whether the verdict is known to be that of full precision."""
        return self.check.verified

    @property
    def reported(self) -> Verdict | Literal["not verified"]:
        """The verdict, if it is verified."""
        return self.verdict if self.verified else "not verified"

    @property
    def possible(self) -> tuple[Verdict, ...]:
        """The verdicts that full precision may give, as far as is known."""
        if self.verified:
            return (self.verdict,)
        several = self.check.against == "full" and len(self.check.possible_verdicts) > 1
        return self.check.possible_verdicts if several else VERDICTS

    @property
    def precision(self) -> str:
        """The precision of the numbers: that which was scored, or "full" where that is reported in its place."""
        full = self.check.state == "full" and self.check.against == "full"
        return "full" if full or self.quantised is None else self.quantised.precision

    @property
    def _unsaid(self) -> str:
        if self.verified:
            return ""
        if self.provisional:
            return " (provisional)"
        return " (not checked)" if self.check.state == "none" else " (not verified)"

    def __repr__(self) -> str:
        return f"<Comparison: {self}>"

    def __str__(self) -> str:
        who = "" if self.thinkers is None else f", {THINKERS[self.thinkers]}"
        beside = "" if self.clusters is None else f"; {self.clusters}"
        return (
            f"{self.task}, {self.shots}-shot{who}: {self.verdict}{self._unsaid}; "
            f"{self.accuracy.medical:.1%} against "
            f"{self.accuracy.base:.1%} of {self.n:,} questions, {points(self.difference)} points {interval(self.ci)}"
            f"{beside}"
        )


class RatesOfSome(Record):
    """Shares of comparisons by their verdict at full precision.

    The rates count what is verified and add up to 1 with `not_verified_rate`: they are lower bounds. The upper bounds
    count every comparison that may still turn out so.

    Attributes:
        comparisons: how many the rates are over.
        not_verified_rate: share of comparisons whose verdict is not verified.
        win_rate_high, tie_rate_high, loss_rate_high: upper bounds; null in files of schema 1.
    """

    comparisons: Count
    win_rate: Share
    tie_rate: Share
    loss_rate: Share
    not_verified_rate: Share = 0.0
    win_rate_high: Share | None = None
    tie_rate_high: Share | None = None
    loss_rate_high: Share | None = None


class Rates(RatesOfSome):
    """Those with one number of demonstrations, ``shots``."""

    shots: int


class Summary(RatesOfSome):
    """Win, tie and loss rates over all comparisons of the run, and for each number of shots.

    The study keeps zero-shot and few-shot in separate tables, hence ``by_shots``.
    """

    by_shots: tuple[Rates, ...]


class LadderStep(Record):
    """One precision that was tried on the way up ("auto").

    Attributes:
        precision: its name.
        verified: comparisons that were settled there; comparisons: of how many.
        checked: questions answered at both precisions, over all comparisons; questions: of how many; null where full
            precision itself was scored.
        reasons: files of schema 1 only.
    """

    precision: str
    verified: Count
    comparisons: Count
    checked: Count | None = None
    questions: Count | None = None
    reasons: tuple[str, ...] = ()


class Timing(Record):
    """Where the time went; the only part of the file that differs between equal runs.

    Attributes:
        started: ISO 8601, UTC.
        seconds: wall time of all attempts that added to this run.
        tokens_decoded: tokens that went through a model in this run.
        prompts_scored, prompts_reused: scores computed, and scores found in a store.
        tokens_per_second: while decoding, by llama.cpp's own counters; of an engine that does not count, tokens over
            the time that its scores were waited for.
    """

    started: str
    seconds: Positive
    tokens_decoded: Count
    prompts_scored: Count
    prompts_reused: Count
    tokens_per_second: Positive | None


class Results(Identification):
    """All of ``results.json``; what it says of itself is described in `Identification`.

    Attributes:
        protocol: the protocol's name.
        precision: name of the quantisation config that was scored.
        mode: the engine's mode, "exact", "reproducible" or "fast".
        check_mode: that of the precision that is checked against, where it is another one.
        confidence: level of the intervals of the differences.
        summary: rates of win, tie and loss.
        warnings: what a careful reader must know (incomplete data, stand-ins, tokenizer trouble).
        ladder: precisions tried, in order; empty unless they were climbed ("auto").
    """

    schema_version: int = SCHEMA
    models: PairOf
    precision: str
    mode: Mode
    check_mode: Mode | None = None
    protocol: str
    confidence: Share
    comparisons: tuple[Comparison, ...]
    summary: Summary
    warnings: tuple[str, ...]
    ladder: tuple[LadderStep, ...] = ()
    timing: Timing

    def __repr__(self) -> str:
        return f"<Results: {str(self).partition(chr(10))[0]}>"

    def __str__(self) -> str:
        head = f"{self.models.medical.name} against {self.models.base.name}, scored at {self.precision}"
        return "\n".join([head, *map(str, self.comparisons)])

    def to_dict(self) -> dict[str, Any]:
        """The file's content, keys in a fixed order."""
        data = self.model_dump(mode="json")
        return {"schema": data.pop("schema_version"), **data}

    def to_json(self) -> str:
        """The file's text: equal results are equal bytes."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
