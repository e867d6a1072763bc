from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.report import words
from medbench_local.study.results import Counts
from tests.report.examples import CASES, EMOJI, RIGHT_TO_LEFT, choice, comparison, results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.031, "+3.1"),
        (-0.1, "-10.0"),
        (0.0, "0.0"),
        (-0.0004, "0.0"),
        (0.0004, "0.0"),
        (0.00051, "+0.1"),
        (1, "+100.0"),
    ],
)
def test_points(value: float, text: str) -> None:
    assert words.points(value) == text


@given(st.floats(-1, 1))
def test_points_read_back_within_half_a_tenth(value: float) -> None:
    assert abs(float(words.points(value)) - value * 100) <= 0.05 + 1e-9
    assert words.points(value) not in ("+0.0", "-0.0")


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.0321, "0.032"), (0.45, "0.45"), (1.0, "1.00")]
)
def test_p_values(p: float, text: str) -> None:
    assert words.p_value(p) == text


@given(st.text())
def test_plain_text_acts_on_nothing(text: str) -> None:
    shown = words.plain(text)
    assert len(shown) == len(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in shown)
    assert not any(
        unicodedata.bidirectional(c) in ("LRO", "RLO", "LRE", "RLE", "PDF", "LRI", "RLI", "FSI", "PDI")
        for c in shown
    )
    assert words.plain(shown) == shown
    shown.encode()


@pytest.mark.parametrize("text", [EMOJI, RIGHT_TO_LEFT, "llama-2-7b", "é"])
def test_plain_leaves_honest_names_alone(text: str) -> None:
    assert words.plain(text) == text


@given(st.text(max_size=60), st.integers(3, 40))
def test_shortened_text_fits_and_keeps_both_ends(text: str, length: int) -> None:
    short = words.shortened(text, length)
    assert len(short) <= length
    assert short == text or (short[0] == text[0] and short[-1] == text[-1] and "…" in short)


@pytest.mark.parametrize(
    ("bound", "estimate", "text"),
    [(None, None, ""), (0.0, None, "none"), (0.05, None, "≤ 0.05"), (1.0, 0.0123, "≈ 0.012")],
)
def test_selection_error(bound: float | None, estimate: float | None, text: str) -> None:
    made = choice().model_copy(update={"error_bound": bound, "error_estimate": estimate})
    assert words.selection_error(made) == text


@pytest.mark.parametrize(
    ("spread", "estimate", "text"),
    [
        (0.261, 0.0026, "+0.3"),
        (0.03, -0.004, "-0.4"),
        (0.0, 0.0, "0.0"),
        (0.261, None, "+26.1*"),
        (None, None, ""),
    ],
)
def test_a_gain_is_an_estimate_or_says_where_it_is_from(
    spread: float | None, estimate: float | None, text: str
) -> None:
    found = choice(3, 0).model_copy(update={"spread": spread, "estimated_gain": estimate})
    assert words.gain(found) == text


def test_rates_say_what_is_not_verified() -> None:
    assert words.rates(CASES["all not verified"]) == [
        "3-shot: win 0.0 %, tie 0.0 %, loss 0.0 %, not verified 100.0 % of 2 comparisons"
    ]
    assert words.rates(CASES["no comparison"]) == ["no comparison was made"]


def test_unchecked_verdicts_at_a_quantised_precision_are_named_as_such() -> None:
    run = results([comparison(), comparison("pubmedqa", verified=True)])
    assert words.verification(run) == [
        "q8_0: 1 of 2 verdicts verified against full precision",
        "q8_0: 1 of 2 verdicts not checked against full precision",
    ]
    assert (
        words.verification(run.model_copy(update={"precision": "full", "comparisons": (comparison(),)})) == []
    )


def test_a_stand_in_is_never_called_full_precision() -> None:
    checked = comparison(verified=True)
    assert checked.equivalence is not None
    assert checked.equivalence.medical is not None
    medical = checked.equivalence.medical.model_copy(update={"reference_precision": "q6_k"})
    check = checked.equivalence.model_copy(update={"medical": medical})
    (line,) = words.verification(results([checked.model_copy(update={"equivalence": check})]))
    assert line == "q8_0: 1 of 1 verdict verified against q6_k, standing in for full precision"


def test_everything_that_happened_to_prompts_is_said_once() -> None:
    counts = Counts(
        dropped_demonstrations=3, overlong=2, exact_ties=1, near_ties=4, smallest_mass=1e-5, median_mass=0.004
    )
    lines = words.noticed(results([comparison(counts=counts), comparison("pubmedqa", counts=counts)]))
    assert len(lines) == 5
    assert all(line.startswith("meditron-7b") for line in lines)
    assert (
        "4 prompts longer than the context and counted as wrong (medqa, 3-shot: 2; pubmedqa, 3-shot: 2)"
        in lines[0]
    )
    assert lines[4].endswith(
        "in 2 of 2 comparisons the options together get a median probability of only 0.004"
    )
    assert words.noticed(results([comparison()])) == []
