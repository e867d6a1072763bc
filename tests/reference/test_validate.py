"""Validation of runs made up so that the right answer is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.errors import InputError
from medbench_local.reference.agreement import near_tie, possible_verdicts
from medbench_local.reference.match import Match
from medbench_local.reference.rows import ResultRow
from medbench_local.reference.validate import validate
from medbench_local.reference.validation import Validation
from medbench_local.report.validation import validation_dict
from medbench_local.statistics.paired import paired_bootstrap
from tests.reference.written import result

CLEAR = (-0.5, -1.5, -4.0)
NEAR = (-0.99, -1.0, -4.0)
NEAR_TURNED = (-1.0, -0.99, -4.0)
WRONG = (-1.5, -0.5, -4.0)
"""Option 0 chosen plainly; option 0 or 1 chosen by a hair; option 1 chosen plainly."""

some = st.sampled_from


def run_of(n: int = 200, task: str = "demo-a") -> list[ResultRow]:
    """A run on one task: the medical model clearly better, its answers 0, the base model's mostly 1."""
    rows = []
    for role, wrong in (("medical", n // 10), ("base", n // 2)):
        for i in range(n):
            logprobs = (-1.5, -0.5, -4.0) if i < wrong else CLEAR
            rows.append(
                result(
                    model=f"demo-{role}",
                    role=role,
                    task=task,
                    shots=0,
                    scoring="constrained",
                    id=str(i),
                    prompt_sha256=f"{task}{role}{i}",
                    logprobs=logprobs,
                    prediction=int(np.argmax(logprobs)),
                    answer=0,
                )
            )
    return rows


def check(samples: list[ResultRow], reference: list[ResultRow], **changes: float) -> Validation:
    return validate(
        samples,
        reference,
        thresholds=ReferenceSettings().model_copy(update=changes),
        bootstrap=BootstrapSettings(),
    )


def failed(validation: Validation) -> list[str]:
    return [c.name for c in validation.checks if not c.passed]


def shifted(row: ResultRow, by: float) -> ResultRow:
    assert row.logprobs is not None
    return replace(row, logprobs=tuple(value - by for value in row.logprobs))


def choosing(row: ResultRow, logprobs: tuple[float, ...]) -> ResultRow:
    """The row with other log-probabilities, and the prediction that follows from them."""
    return replace(row, logprobs=logprobs, prediction=int(np.argmax(logprobs)))


def only(row: ResultRow, prediction: int) -> ResultRow:
    """The row as a file without log-probabilities has it."""
    return replace(row, logprobs=None, prediction=prediction)


def test_a_run_agrees_with_itself() -> None:
    got = check(run_of(), run_of())
    assert got.outcome == "agrees"
    assert got.conclusion == "The run agrees with the reference."
    assert got.agreement is not None
    assert (got.agreement.n, got.agreement.same, got.agreement.near_ties) == (400, 400, 0)
    assert got.logprobs is not None
    assert (got.logprobs.n, got.logprobs.largest) == (1200, 0.0)
    assert [(v.n, v.of, v.run, v.reference) for v in got.verdicts] == [(200, 200, "win", ("win",))]
    assert [(c.cell.model, c.compared, c.run, c.reference, c.low, c.high) for c in got.cells] == [
        ("demo-medical", 200, 0.9, 0.9, 0.0, 0.0),
        ("demo-base", 200, 0.5, 0.5, 0.0, 0.0),
    ]
    assert got.statements == (
        "400 of the run's 400 questions have a reference row: 400 by id and prompt hash.",
        "Verdicts were compared in 1 of the run's 1 comparisons.",
    )


# How much must be seen


def test_one_matching_row_of_1800_is_too_little() -> None:
    got = check(run_of(900), run_of(900)[:1])
    assert got.outcome == "too little to judge"
    assert failed(got) == ["smallest share of a cell that was compared"]
    assert (
        "demo-medical demo-a, 0-shot, constrained: 1 of 900 questions compared; at least 90 % are needed."
        in (got.statements)
    )
    assert (got.agreement, got.logprobs, got.verdicts) == (None, None, ())


@pytest.mark.parametrize(("rows", "outcome"), [(180, "agrees"), (179, "too little to judge")])
def test_nine_tenths_of_every_judged_cell(rows: int, outcome: str) -> None:
    samples = run_of(200)
    got = check(samples, [*samples[:200], *samples[200 : 200 + rows]])
    assert got.outcome == outcome
    assert [cell.judged for cell in got.cells] == [True, outcome == "agrees"]
    assert len(got.verdicts) == (outcome == "agrees")


def test_plain_contradiction_needs_no_nine_tenths() -> None:
    samples = run_of(900)
    few = [only(row, 2) for row in samples[:40]]
    assert check(samples, few).outcome == "contradicted"
    one = [only(samples[0], 2), *samples[1:40]]
    assert check(samples, one).outcome == "too little to judge"


@pytest.mark.parametrize("text", [None, "text"])
@pytest.mark.parametrize("prediction", [None, 2])
def test_another_prompt_everywhere_says_nothing(text: str | None, prediction: int | None) -> None:
    """Whether the predictions are the same or all others."""
    samples = [replace(row, text_sha256=text and f"{text} {i % 200}") for i, row in enumerate(run_of())]
    reference = [replace(row, prompt_sha256="other") for row in samples]
    if prediction is not None:
        reference = [only(row, prediction) for row in reference]
    got = check(samples, reference)
    assert got.outcome == "too little to judge"
    assert (
        "The prompts of 400 of these differ: they can neither confirm nor contradict the run and were not "
        "compared."
    ) in got.statements
    assert f"400 by {'the text of the question' if text else 'id only'}." in got.statements[0]
    assert [(c.matched, c.other_prompts, c.compared, c.run) for c in got.cells] == [(200, 200, 0, None)] * 2


def test_a_few_other_prompts_are_left_out() -> None:
    reference = run_of()
    for i in range(10):
        reference[i] = replace(only(reference[i], 2), prompt_sha256="other")
    got = check(run_of(), reference)
    assert got.outcome == "agrees"
    assert (got.cells[0].other_prompts, got.cells[0].compared, got.cells[0].differing) == (10, 190, 0)


def test_ids_alone_are_compared_and_said_to_be_alone() -> None:
    samples = run_of()
    reference = [replace(row, prompt_sha256=None) for row in samples]
    got = check(samples, reference)
    assert got.outcome == "agrees"
    assert got.statements[0].endswith("400 by id only.")
    assert "Whether the prompts of 400 of these are the same is not known" in got.statements[1]
    assert got.logprobs is not None
    assert check(samples, [only(row, 2) for row in reference]).outcome == "contradicted"


def test_nothing_in_common_is_too_little() -> None:
    got = check(run_of(), [result(prompt_sha256="another")])
    assert got.outcome == "too little to judge"
    assert failed(got) == ["questions compared"]
    assert (got.agreement, got.logprobs, got.cells, got.verdicts) == (None, None, (), ())


def test_a_cell_that_the_reference_means_but_does_not_match_is_not_overlooked() -> None:
    samples = [*run_of(), *run_of(task="demo-b")]
    strange = [replace(row, id=f"x{row.id}", prompt_sha256="other") for row in samples[400:600]]
    got = check(samples, [*samples[:400], *strange])
    assert got.outcome == "too little to judge"
    assert [(str(c.cell), c.compared) for c in got.cells][-1] == (
        "demo-medical demo-b, 0-shot, constrained",
        0,
    )


def test_missing_answers_on_both_sides_confirm_nothing() -> None:
    samples = [replace(row, logprobs=None, prediction=None) for row in run_of()]
    got = check(samples, samples)
    assert got.outcome == "too little to judge"
    half = [*samples[:100], *run_of()[100:200]]
    got = check(half, half)
    assert (got.outcome, got.cells[0].compared, got.cells[0].unanswered) == ("agrees", 100, 100)
    assert got.cells[0].run == 0.5, "without an answer is wrong"
    assert "100 of these have no answer on either side and were not compared." in got.statements


def test_a_missing_answer_on_one_side_is_a_difference() -> None:
    reference = [replace(row, logprobs=None, prediction=None) for row in run_of()]
    assert check(run_of(), reference).outcome == "contradicted"
    assert check(reference, run_of()).outcome == "contradicted"


def test_a_reference_for_one_model_compares_no_verdict() -> None:
    got = check(run_of(), run_of()[:200])
    assert got.outcome == "agrees"
    assert got.conclusion == "The run agrees with the reference in 1 of 2 cells; no verdict was compared."
    said = "No verdict was compared: the reference has results of one model only, demo-medical."
    assert got.statements[-1] == said
    assert said in str(got)
    written = json.loads(json.dumps(validation_dict(got)))
    assert written["outcome"] == "agrees"
    assert said in written["statements"]
    assert (written["verdicts"], written["verdicts_compared"]) == ([], 0)
    assert (written["matches"]["cells_judged"], written["matches"]["cells_of_run"]) == (1, 2)
    assert "1 of the run's 2 cells are not in the reference." in got.statements


def test_verdicts_of_some_comparisons() -> None:
    samples = [*run_of(), *run_of(task="demo-b")]
    got = check(samples, samples[:600])
    assert got.outcome == "agrees"
    assert got.statements[-1] == "Verdicts were compared in 1 of the run's 2 comparisons."


def test_a_reference_that_cannot_be_read_one_way_is_too_little() -> None:
    got = check(run_of(), [*run_of(), only(run_of()[0], 2)])
    assert got.outcome == "too little to judge"
    assert failed(got) == ["contradictory or ambiguous reference rows"]
    samples = [replace(row, prompt_sha256=row.id) for row in run_of()]
    got = check(samples, [replace(row, model=None, role=None) for row in samples])
    assert got.outcome == "too little to judge"
    assert "contradictory or ambiguous reference rows" in failed(got)


# Verdicts with gaps in the reference


def discordant(medical_only: int, base_only: int, n: int = 300) -> list[ResultRow]:
    """A run whose first questions only the medical model answers correctly, the next only the base model."""
    rows = run_of(n)
    for i in range(n):
        rows[i] = choosing(rows[i], WRONG if medical_only <= i < medical_only + base_only else CLEAR)
        rows[n + i] = choosing(rows[n + i], WRONG if i < medical_only else CLEAR)
    return rows


def without(rows: list[ResultRow], ids: range, role: str | None = None) -> list[ResultRow]:
    return [row for row in rows if int(row.id or 0) not in ids or role not in (None, row.role)]


@pytest.mark.parametrize("gap", ["both lack", "medical lacks", "other prompt"])
def test_the_runs_verdict_is_that_on_all_questions(gap: str) -> None:
    """20 to 30 is a tie; without nine of the 20, it would be a loss."""
    samples, nine = discordant(20, 30), range(9)
    assert [v.run for v in check(samples, samples).verdicts] == ["tie"]
    reference = without(samples, nine, "medical" if gap == "medical lacks" else None)
    assert [v.run for v in check(without(samples, nine), without(samples, nine)).verdicts] == ["loss"]
    if gap == "other prompt":
        reference = [
            replace(row, prompt_sha256="other") if int(row.id or 0) in nine else row for row in samples
        ]
    got = check(samples, reference)
    (verdict,) = got.verdicts
    assert (verdict.n, verdict.of, verdict.run, verdict.reference) == (291, 300, "tie", ("loss", "tie"))
    assert verdict.same is None
    assert (got.outcome, failed(got)) == (
        "too little to judge",
        ["comparisons whose verdicts may be the same or not"],
    )
    assert got.conclusion == "This is too little to judge: the run is neither confirmed nor contradicted."
    assert got.statements[-2:] == (
        "Verdicts were compared in 0 of the run's 1 comparisons.",
        "In 1 more the verdict of the reference may be the run's or another, depending on questions without "
        "comparable rows of both models.",
    )
    assert (
        "demo-a, 0-shot: tie here, loss or tie by the reference, depending on the answers to 9 of 300 questions "
        "without comparable rows of both models"
    ) in str(got).splitlines()
    written = json.loads(json.dumps(validation_dict(got)))
    assert written["verdicts_compared"] == 0
    assert [(v["run"], v["reference"], v["same"]) for v in written["verdicts"]] == [
        ("tie", ["loss", "tie"], None)
    ]


def test_a_gap_that_cannot_change_the_verdict() -> None:
    samples = discordant(20, 60)
    got = check(samples, without(samples, range(9)))
    assert got.outcome == "agrees"
    assert [(v.run, v.reference, v.same) for v in got.verdicts] == [("loss", ("loss",), True)]
    assert got.conclusion == "The run agrees with the reference."
    assert (
        "demo-a, 0-shot: loss here, loss by the reference, whatever the answers to 9 of 300 questions without "
        "comparable rows of both models"
    ) in str(got).splitlines()


def test_another_verdict_whatever_the_gap_holds() -> None:
    """20 to 33 is a tie, 17 to 33 a loss, also if the question that is lacking were a medical-only one."""
    samples = discordant(20, 33)
    reference = [only(row, 1) if i < 3 else row for i, row in enumerate(samples)]
    got = check(samples, without(reference, range(299, 300)))
    assert [(v.n, v.of, v.run, v.reference) for v in got.verdicts] == [(299, 300, "tie", ("loss",))]
    assert (got.outcome, failed(got)) == ("contradicted", ["comparisons with different verdicts"])
    assert got.statements[-1] == "Verdicts were compared in 1 of the run's 1 comparisons."


def test_neither_of_two_possible_verdicts_is_the_runs() -> None:
    samples, nine = discordant(60, 30), range(60, 69)
    reference = [
        choosing(row, CLEAR if row.role == "base" and int(row.id or 0) < 50 else row.logprobs or CLEAR)
        for row in samples
    ]
    got = check(samples, without(reference, nine))
    (verdict,) = got.verdicts
    assert (verdict.run, verdict.reference, verdict.same) == ("win", ("loss", "tie"), False)
    assert got.outcome == "contradicted"
    assert "comparisons with different verdicts" in failed(got)


def test_a_protocol_that_asks_for_no_verdicts() -> None:
    samples = discordant(20, 33)
    gap = check(samples, without(samples, range(9)), same_verdicts=False)
    assert gap.conclusion == "The run agrees with the reference; no verdict was compared."
    reference = [only(row, 1) if i < 3 else row for i, row in enumerate(samples)]
    other = check(samples, reference, same_verdicts=False)
    assert other.conclusion == "The run agrees with the reference, but for 1 of 1 verdicts."


known = st.sampled_from([True, False, None])


@settings(deadline=None)
@given(st.lists(st.tuples(known, known), min_size=1, max_size=12), some([0.5, 0.8, 0.95]))
def test_possible_verdicts_are_those_of_every_way_to_fill_the_gaps(
    questions: list[tuple[bool | None, bool | None]], confidence: float
) -> None:
    gaps = [i for i, question in enumerate(questions) if None in question]
    questions = [question for i, question in enumerate(questions) if i not in gaps[5:]]
    ways = [product(*((value,) if value is not None else (True, False) for value in q)) for q in questions]
    verdicts = set()
    for filled in product(*ways):
        medical, base = zip(*filled, strict=True)
        verdicts.add(paired_bootstrap(medical, base, confidence=confidence).verdict)
    medical_known, base_known = zip(*questions, strict=True)
    found = possible_verdicts(medical_known, base_known, confidence)
    assert found == tuple(v for v in ("loss", "tie", "win") if v in verdicts)


# Near-ties


def test_differences_at_near_ties_are_excused() -> None:
    samples, reference = run_of(), run_of()
    for i in range(10):
        samples[i], reference[i] = choosing(samples[i], NEAR), choosing(reference[i], NEAR_TURNED)
    got = check(samples, reference)
    assert got.outcome == "agrees"
    assert got.agreement is not None
    assert (got.agreement.near_ties, got.agreement.excused, got.agreement.differing) == (10, 10, 0)
    assert got.agreement.same == 390
    assert got.agreement.low < 390 / 400 < got.agreement.high
    assert [c.share_excused for c in got.cells] == [0.05, 0.0]
    share = next(c for c in got.checks if c.name == "largest share of a cell excused as near-ties")
    assert (share.value, share.limit) == (0.05, 0.05)
    assert validation_dict(got)["cells"][0]["share_excused"] == 0.05


def test_more_than_a_twentieth_of_a_cell_is_not() -> None:
    samples, reference = run_of(), run_of()
    for i in range(11):
        samples[i], reference[i] = choosing(samples[i], NEAR), choosing(reference[i], NEAR_TURNED)
    got = check(samples, reference)
    assert got.outcome == "too little to judge"
    assert failed(got) == ["largest share of a cell excused as near-ties"]


def turned(samples: list[ResultRow], mine: tuple[float, ...], theirs: tuple[float, ...]) -> Validation:
    """484 of 1,800 predictions differ."""
    reference = list(samples)
    for i in range(484):
        samples[i], reference[i] = choosing(samples[i], mine), choosing(reference[i], theirs)
    return check(samples, reference, logprob_median=9.0, logprob_p99=9.0, same_verdicts=False)


@pytest.mark.parametrize(
    ("mine", "theirs", "outcome"),
    [
        (CLEAR, NEAR_TURNED, "contradicted"),
        (NEAR, (-1.5, -0.5, -4.0), "contradicted"),
        (NEAR, NEAR_TURNED, "too little to judge"),
    ],
)
def test_484_of_1800_predictions_that_differ(
    mine: tuple[float, ...], theirs: tuple[float, ...], outcome: str
) -> None:
    """Whatever the log-probabilities: only near-ties on both sides could be excused, and these are too many."""
    got = turned(run_of(900), mine, theirs)
    assert got.outcome == outcome
    assert got.agreement is not None
    assert got.agreement.n - got.agreement.same == 484
    if outcome == "contradicted":
        assert (got.agreement.excused, got.agreement.differing) == (0, 484)
        assert "share of equal predictions outside near-ties" in failed(got)


@pytest.mark.parametrize(
    ("mine", "theirs", "near"),
    [
        ((-1.0, -1.25, -4.0), (-1.25, -1.0, -4.0), True),
        ((-1.0, -1.25, -4.0), (-1.375, -1.0, -4.0), False),
        ((-1.0, -1.25, -4.0), (-1.0, -1.25, -4.0), True),
        ((-1.0, -1.25, -4.0), (-1.0, -1.5, -4.0), False),
        # both have two options at a tie, but the run's third is the reference's first
        ((-1.0, -1.0, -3.0), (-3.0, -1.0625, -1.0), False),
        ((-1.0, -1.0, -1.25), (-1.25, -1.0, -1.0), True),
        ((-1.0, -1.0, -inf), (-1.0, -1.0, -inf), True),
        ((-1.0, None, None), (-1.25, -1.0, -4.0), False),
    ],
)
def test_near_on_both_sides(mine: tuple[float, ...], theirs: tuple[float, ...], near: bool) -> None:
    """At 0.25 nats, which binary numbers hold exactly: at most that far is near."""
    ours = only(result(), 0) if None in mine else choosing(result(), mine)
    other = choosing(result(), theirs)
    if mine == (-1.0, -1.0, -1.25):
        other = replace(other, prediction=2)
    for match in (Match(ours, other, "id"), Match(other, ours, "id")):
        assert near_tie(match, 0.25) is near
    assert not near_tie(Match(ours, replace(other, prediction=None), "id"), 0.25)


def test_without_log_probabilities_on_one_side_nothing_is_excused() -> None:
    samples = [choosing(row, NEAR) for row in run_of()]
    reference = [only(row, 1 if i < 10 else 0) for i, row in enumerate(samples)]
    got = check(samples, reference)
    assert got.outcome == "contradicted"
    assert got.agreement is not None
    assert (got.agreement.near_ties, got.agreement.differing) == (0, 10)
    assert "No log-probability was compared: no question has them on both sides." in got.statements


def test_a_prediction_that_the_run_has_no_option_for_is_a_difference() -> None:
    got = check(run_of(), [only(row, 9) for row in run_of()])
    assert got.outcome == "contradicted"


# What contradicts


def test_differences_of_log_probabilities() -> None:
    reference = [shifted(row, 0.001 if i % 50 else 0.5) for i, row in enumerate(run_of())]
    got = check(run_of(), reference)
    assert got.logprobs is not None
    assert got.logprobs.median == pytest.approx(0.001)
    assert got.logprobs.p99 == pytest.approx(0.5)
    assert (got.outcome, failed(got)) == ("contradicted", ["99th percentile of these differences"])
    assert check(run_of(), reference, logprob_p99=0.6).outcome == "agrees"
    assert "largest of these differences" in failed(check(run_of(), reference, logprob_largest=0.4))


def test_a_cell_with_other_log_probabilities_does_not_hide_among_the_rest() -> None:
    samples = [*run_of(), *run_of(20, task="small")]
    reference = [shifted(row, 0.0 if row.task == "demo-a" else 0.1) for row in samples]
    got = check(samples, reference)
    assert got.logprobs is not None
    assert got.logprobs.median == 0.0
    assert got.logprobs.largest_median == pytest.approx(0.1)
    assert failed(got) == ["largest median log-probability difference of a cell"]


def test_a_small_cell_with_other_predictions_does_not_hide_among_the_rest() -> None:
    samples = [*run_of(2000), *run_of(30, task="small")]
    reference = [
        only(row, 2 if row.task == "small" and row.role == "base" else row.prediction or 0) for row in samples
    ]
    got = check(samples, reference, same_verdicts=False)
    assert got.agreement is not None
    assert (got.agreement.share_elsewhere or 0) > 0.99
    assert (got.outcome, failed(got)) == (
        "contradicted",
        ["cells with fewer equal predictions than chance explains"],
    )


@pytest.mark.parametrize("n", [12, 100, 1000])
def test_chance_is_an_exact_binomial_test(n: int) -> None:
    samples = run_of(n)
    for differing in range(n // 10 + 3):
        reference = [only(row, 2 if i < differing else row.prediction or 0) for i, row in enumerate(samples)]
        too_few = bool(binomtest(differing, n, 0.01, alternative="greater").pvalue < 0.001)
        assert (
            "cells with fewer equal predictions than chance explains" in failed(check(samples, reference))
        ) is too_few


def test_an_impossible_option_is_an_infinite_difference() -> None:
    reference = run_of()
    reference[0] = replace(reference[0], logprobs=(-1.5, -0.5, -inf))
    got = check(run_of(), reference)
    assert got.logprobs is not None
    assert got.logprobs.largest == inf
    both = check(reference, reference)
    assert both.logprobs is not None
    assert both.logprobs.largest == 0.0


def test_other_predictions() -> None:
    reference = [only(row, 2) if i < 30 else row for i, row in enumerate(run_of())]
    got = check(run_of(), reference, same_verdicts=False)
    assert got.agreement is not None
    assert got.agreement.share_elsewhere == pytest.approx(370 / 400)
    assert got.outcome == "contradicted"
    assert "share of equal predictions outside near-ties" in failed(got)
    assert "Log-probabilities were compared on 370 of 400 questions." in got.statements


def test_another_verdict() -> None:
    reference = [only(row, 0) for row in run_of()]
    got = check(run_of(), reference)
    assert [(v.run, v.reference) for v in got.verdicts] == [("win", ("tie",))]
    assert "comparisons with different verdicts" in failed(got)
    assert "comparisons with different verdicts" not in failed(
        check(run_of(), reference, same_verdicts=False)
    )


def test_the_accuracy_difference_has_a_paired_interval() -> None:
    reference = [only(row, 2) if i < 60 else row for i, row in enumerate(run_of())]
    (medical, _) = check(run_of(), reference).cells
    assert None not in (medical.run, medical.reference, medical.low, medical.high)
    assert (medical.run or 0) - (medical.reference or 0) == pytest.approx(40 / 200)
    assert 0.1 < (medical.low or 0) < 0.2 < (medical.high or 0) < 0.3


def test_another_correct_option_contradicts() -> None:
    reference = [replace(run_of()[0], answer=2), *run_of()[1:]]
    got = check(run_of(), reference)
    assert got.answer_conflicts == 1
    assert (got.outcome, failed(got)) == ("contradicted", ["questions with different correct options"])


# Other questions under the same ids


def test_another_question_under_the_same_id_is_an_error() -> None:
    """Ids that are row numbers, and one row more at the beginning of the reference."""
    samples = [replace(row, text_sha256=f"text {row.id}") for row in run_of()]
    reference = [
        replace(row, id=str(int(row.id or 0) + 1), prompt_sha256=None, where=f"line {i}", file="gpu.jsonl")
        for i, row in enumerate(samples, start=1)
    ]
    with pytest.raises(InputError, match="398 questions have another text or other options") as caught:
        check(samples, reference)
    assert (caught.value.path, caught.value.where) == ("gpu.jsonl", "line 1")
    assert "'1', '2', '3', …" in caught.value.problem


def test_the_same_cloze_prompt_with_its_options_in_another_order_is_an_error() -> None:
    """The prompt of a cloze question does not show its options."""
    samples = [replace(row, scoring="cloze", text_sha256=f"text {row.id}") for row in run_of()]
    reference = [replace(samples[0], text_sha256="turned"), *samples[1:]]
    with pytest.raises(InputError, match="1 question has another text or other options"):
        check(samples, reference)


def test_another_correct_option_under_an_id_alone_is_an_error() -> None:
    reference = [
        replace(row, prompt_sha256=None, answer=1 if i == 7 else 0) for i, row in enumerate(run_of())
    ]
    with pytest.raises(InputError, match="1 question has another correct option, and no text"):
        check(run_of(), reference)


def test_another_number_of_options_is_an_error() -> None:
    reference = [replace(row, logprobs=(*(row.logprobs or ()), -9.0)) for row in run_of()]
    with pytest.raises(InputError, match="400 questions have another number of options"):
        check(run_of(), reference)


rows = st.lists(
    st.builds(
        lambda role, task, id, prompt, text, logprobs, answer: choosing(
            result(
                model=role and f"demo-{role}",
                role=role,
                task=task,
                shots=0,
                scoring="constrained",
                id=id,
                prompt_sha256=prompt,
                text_sha256=text,
                answer=answer,
            ),
            logprobs,
        ),
        some(["medical", "base"]),
        some(["t", "u"]),
        some(["1", "2", "3"]),
        some([None, "p", "q"]),
        some([None, "x"]),
        some([CLEAR, NEAR, NEAR_TURNED]),
        some([0, 1]),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(rows, rows)
def test_whatever_is_compared_it_agrees_only_with_what_it_has_seen(
    samples: list[ResultRow], reference: list[ResultRow]
) -> None:
    try:
        got = check(samples, reference)
    except InputError:
        return
    assert got.outcome == (
        "contradicted"
        if any(not c.passed and c.about == "agreement" for c in got.checks)
        else "too little to judge"
        if failed(got)
        else "agrees"
    )
    if got.outcome != "agrees":
        return
    seen = [m for m in got.matches.matches if None in (p := prompts(m)) or p[0] == p[1]]
    assert seen
    assert got.matches.conflicting == got.matches.ambiguous == 0
    for cell in got.matches.addressed:
        asked = [row for row in samples if (row.model, row.task) == (cell.model, cell.task)]
        compared = [m for m in seen if (m.sample.model, m.sample.task) == (cell.model, cell.task)]
        assert len(compared) >= 0.9 * len(asked)
        assert sum(m.sample.prediction != m.reference.prediction for m in compared) <= 0.05 * len(compared)


def prompts(match: Match) -> tuple[str | None, str | None]:
    return match.sample.prompt_sha256, match.reference.prompt_sha256


def test_the_text_form_says_every_check_and_the_conclusion() -> None:
    got = check(run_of(), run_of())
    lines = str(got).splitlines()
    assert len(lines) == len(got.statements) + len(got.checks) + len(got.verdicts) + 1
    assert lines[-2] == "demo-a, 0-shot: win here, win by the reference (200 questions)"
    assert "share of equal predictions outside near-ties: 1 (limit 0.99)" in lines
    assert lines[-1] == got.conclusion
    assert not math.isnan(got.checks[0].value or 0)
