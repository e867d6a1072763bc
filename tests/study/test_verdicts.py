"""Comparisons are what the statistics say of the answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from medbench_local.catalog.protocol import BootstrapSettings
from medbench_local.prompts.prompt import Candidate
from medbench_local.results.schema import Comparison
from medbench_local.results.summary import summary
from medbench_local.statistics.paired import paired_bootstrap
from medbench_local.statistics.significance import minimum_detectable_difference
from medbench_local.study.equivalence import CheckSettings, compare_precisions
from medbench_local.study.prompt_search import unsearched
from medbench_local.study.verdicts import (
    Side,
    adjusted,
    comparison,
    correctness,
    doubts,
)
from tests.study.material import answer_of, answers_of, known, questions

UNSEARCHED = unsearched(Candidate(None, None))

ASKED = questions("test", 40)
RIGHT = [q.answer for q in ASKED]
WRONG = [(q.answer + 1) % 4 for q in ASKED]
SETTINGS = BootstrapSettings(confidence=0.9)


def _compare(medical_right: int, base_right: int, **more: object) -> Comparison:
    medical = answers_of(RIGHT[:medical_right] + WRONG[medical_right:])
    base = answers_of(WRONG[: 40 - base_right] + RIGHT[40 - base_right :])
    arguments: dict[str, object] = {
        "task": "made-up",
        "shots": 0,
        "scoring": "constrained",
        "precision": "full",
        "questions": ASKED,
        "medical": Side(UNSEARCHED, medical),
        "base": Side(UNSEARCHED, base),
        "shared_prompt": None,
        "settings": SETTINGS,
        "near_tie": 0.01,
        "reference_near_tie": 0.01,
        "found": known(len(ASKED)),
    }
    return comparison(**(arguments | more))  # type: ignore[arg-type]


def test_no_prediction_is_wrong() -> None:
    assert list(correctness(ASKED[:3], answers_of([0, None, 1]))) == [True, False, False]


@pytest.mark.parametrize(
    ("medical", "base", "expected"), [(40, 10, "win"), (10, 40, "loss"), (20, 20, "tie")]
)
def test_a_comparison_holds_what_the_statistics_say(medical: int, base: int, expected: str) -> None:
    found = _compare(medical, base)
    m = np.array([True] * medical + [False] * (40 - medical))
    b = np.array([False] * (40 - base) + [True] * base)
    direct = paired_bootstrap(m, b, confidence=0.9)
    assert (found.verdict, found.ci) == (expected, (direct.low, direct.high))
    assert found.difference == pytest.approx((medical - base) / 40)
    only_m, only_b = int((m & ~b).sum()), int((b & ~m).sum())
    assert (found.discordant.medical_only, found.discordant.base_only) == (only_m, only_b)
    assert found.mcnemar_p == pytest.approx(binomtest(only_m, only_m + only_b).pvalue)
    assert found.holm_p == found.mcnemar_p
    expected_detectable = minimum_detectable_difference(40, (only_m + only_b) / 40, alpha=1 - 0.9)
    assert found.minimum_detectable_difference == expected_detectable
    assert (found.accuracy.medical, found.accuracy.base) == (medical / 40, base / 40)


def test_models_that_agree_everywhere_tie_and_have_no_detectable_difference() -> None:
    found = _compare(40, 40)
    assert (found.verdict, found.ci, found.mcnemar_p) == ("tie", (0.0, 0.0), 1.0)
    assert found.minimum_detectable_difference is None


def test_what_full_precision_says_of_every_question_is_what_is_reported() -> None:
    full_medical, full_base = answers_of([*RIGHT[:30], *WRONG[30:]]), answers_of(WRONG)
    found = _compare(
        20,
        20,
        precision="q4_0",
        found=replace(known(40), medical=full_medical, base=full_base),
        shared_prompt=answers_of(RIGHT),
    )
    assert (found.verdict, found.accuracy.medical, found.difference) == ("win", 0.75, 0.75)
    assert (found.discordant.medical_only, found.discordant.base_only) == (30, 0)
    assert found.quantised is not None
    assert (found.quantised.precision, found.quantised.verdict) == ("q4_0", "tie")
    assert (found.quantised.accuracy.medical, found.quantised.difference) == (0.5, 0.0)
    assert found.ablation is not None
    assert found.ablation.raw == "tie", "ablations are of the scored precision"
    assert found.ablation.shared_prompt == "loss"


def test_ablations_come_from_the_same_answers() -> None:
    own = _compare(21, 20)
    assert own.ablation is not None
    assert (own.ablation.raw, own.ablation.shared_prompt) == ("win", None)
    shared = answers_of([*RIGHT[:5], *WRONG[5:]])
    found = _compare(21, 20, shared_prompt=shared).ablation
    assert found is not None
    assert found.shared_prompt_accuracy == 5 / 40
    assert (found.shared_prompt, found.shared_prompt_raw) == ("win", "win")


def test_counts_tell_what_happened_to_prompts() -> None:
    answers = (
        *(answer_of(0, gap=0.0) for _ in range(3)),
        *(answer_of(1, gap=0.005, dropped=2) for _ in range(4)),
        *(answer_of(None) for _ in range(5)),
        *(answer_of(2, mass=0.001) for _ in range(28)),
    )
    found = _compare(40, 40, medical=Side(UNSEARCHED, answers)).counts.medical
    assert found.model_dump() == {
        "dropped_demonstrations": 4,
        "overlong": 5,
        "exact_ties": 3,
        "near_ties": 7,
        "smallest_mass": 0.001,
        "median_mass": 0.001,
    }


@pytest.mark.parametrize(("noise", "counted"), [(0.25, 2), (0.2499, 1), (0.5, 3)])
def test_a_gap_as_wide_as_the_noise_is_a_near_tie_in_counts_and_in_checks(noise: float, counted: int) -> None:
    answers = [answer_of(0, gap=gap) for gap in (0.0, 0.25, 0.5, *[1.0] * 37)]  # exact in binary
    counts = _compare(0, 0, medical=Side(UNSEARCHED, answers), near_tie=noise).counts.medical
    settings = CheckSettings(None, 0.02, 0.9, 42, "full", noise)
    checked = compare_precisions(ASKED, answers, answers, settings)
    assert counts.near_ties == checked.near_ties == counted


def test_holm_is_over_all_comparisons_of_a_run() -> None:
    found = adjusted([_compare(40, 10), _compare(25, 20), _compare(20, 20)])
    ps = [c.mcnemar_p for c in found]
    order = sorted(range(3), key=ps.__getitem__)
    expected, highest = [0.0] * 3, 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, ps[i] * (3 - rank)))
        expected[i] = highest
    assert [c.holm_p for c in found] == pytest.approx(expected)


def test_the_summary_counts_what_is_reported() -> None:
    runs = [
        _compare(40, 10),
        _compare(20, 20),
        _compare(10, 40, shots=3),
        _compare(40, 10, shots=3, precision="q8_0", found=known(40, "none")),
    ]
    found = summary(runs)
    assert (found.win_rate, found.tie_rate, found.loss_rate, found.not_verified_rate) == (0.25,) * 4
    assert (found.win_rate_high, found.tie_rate_high, found.loss_rate_high) == (0.5, 0.5, 0.5)
    by_shots = {r.shots: (r.win_rate, r.tie_rate, r.loss_rate, r.not_verified_rate) for r in found.by_shots}
    assert by_shots == {0: (0.5, 0.5, 0, 0), 3: (0, 0, 0.5, 0.5)}
    assert runs[3].reported == "not verified"
    assert runs[3].verdict == "win"


def test_a_win_on_a_handful_of_questions_is_said_to_be_doubtful() -> None:
    one = {"questions": ASKED[:1], "medical": Side(UNSEARCHED, answers_of(RIGHT[:1]))}
    lucky = _compare(0, 0, **one, base=Side(UNSEARCHED, answers_of(WRONG[:1])))
    assert (lucky.verdict, lucky.ci, lucky.mcnemar_p) == ("win", (1.0, 1.0), 1.0)
    (said,) = doubts([lucky, _compare(40, 10), _compare(20, 20)])
    assert "made-up, 0-shot: the win rests on 1 of 1 questions" in said


def test_the_level_of_doubt_is_that_of_the_interval() -> None:
    ahead = {"medical": Side(UNSEARCHED, answers_of(RIGHT[:5] + WRONG[5:]))}
    five = _compare(0, 0, **ahead, base=Side(UNSEARCHED, answers_of(WRONG)))
    assert (five.verdict, five.mcnemar_p) == ("win", 0.0625)
    (said,) = doubts([five], confidence=0.95)
    assert "5 of 40 questions (exact McNemar p = 0.062, above 0.05)" in said
    assert doubts([five], confidence=0.9) == ()
