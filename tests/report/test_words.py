from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.report import sections, words
from medbench_local.results.schema import Counts
from tests.report.examples import CASES, EMOJI, RIGHT_TO_LEFT, checked, choice, comparison, results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.031, "+3.1"),
        (-0.1, "-10.0"),
        (0.0, "0.0"),
        (-0.0004, "-0.04"),
        (1 / 4183, "+0.02"),
        (0.2 + 0.1 - 0.3, "0.0"),
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


def test_rates_are_bounds_where_verdicts_are_not_verified() -> None:
    assert words.rates(CASES["all not verified"]) == [
        "3-shot: win 0.0 to 100.0 %, tie 0.0 to 100.0 %, loss 0.0 to 100.0 % of 2 comparisons (100.0 % not verified)"
    ]
    assert words.rates(CASES["every kind"])[0] == (
        "0-shot: win 0.0 to 50.0 %, tie 0.0 to 50.0 %, loss 50.0 % of 2 comparisons (50.0 % not verified)"
    )
    assert words.rates(CASES["one comparison"]) == [
        "3-shot: win 0.0 %, tie 100.0 %, loss 0.0 % of 1 comparison"
    ]
    assert words.rates(CASES["no comparison"]) == ["no comparison was made"]


def test_every_state_of_a_check_is_said_in_words() -> None:
    assert words.verification(CASES["every kind"]) == [
        "1 verdict of 4 verified: every question was answered at full precision",
        "1 verdict of 4 verified: the unchecked questions cannot change it",
        "1 verdict of 4 verified, each with at least 95 % confidence",
        "pubmedqa, 0-shot is not verified: after 318 of 1,273 questions full precision may still give tie or win; "
        "--check full settles it",
    ]
    unchecked, unfit = words.verification(CASES["all not verified"])
    assert unchecked == "1 verdict of 2 not checked against full precision (--check sample does that)"
    assert unfit.startswith(
        "1 verdict of 2 not verified: full precision does not fit into this machine's memory"
    )


def test_what_was_not_to_be_checked_is_not_called_unverified() -> None:
    found = results([comparison(check=checked("none")), comparison("pubmedqa", "win", check=checked("none"))])
    assert {words.verdict(c, 0.95) for c in found.comparisons} == {"tie, not checked", "win, not checked"}
    assert words.state("win, not checked") == "not verified"
    (rates,) = words.rates(found)
    assert rates.endswith("(100.0 % not checked)")
    assert "verified" not in " ".join([rates, *words.verification(found)])
    mixed = [*found.comparisons, comparison("medqa-4", check=checked("unavailable"))]
    assert words.rates(results(mixed))[0].endswith("(100.0 % not verified)")


def test_an_interval_that_ends_at_zero_says_what_counts() -> None:
    touching = comparison().model_copy(update={"ci": (0.0, 0.056)})
    (section,) = sections.verdicts(results([touching]))
    assert "[0.0, +5.6]" in section.rows[0][4]
    assert "An interval that ends at exactly 0 holds it: a tie." in section.note
    (section,) = sections.verdicts(results([comparison()]))
    assert "exactly 0" not in section.note
    assert words.interval((0.0002, 0.056)) == "[+0.02, +5.6]", "which is a win, and must not look like a tie"


def test_nothing_is_said_of_a_check_where_full_precision_was_scored() -> None:
    full = comparison().model_copy(update={"quantised": None})
    assert words.verification(results([full]).model_copy(update={"precision": "full"})) == []


def test_a_verdict_that_quantisation_changed_is_said() -> None:
    found = comparison()
    assert found.quantised is not None
    changed = found.model_copy(update={"quantised": found.quantised.model_copy(update={"verdict": "win"})})
    assert words.verification(results([changed]))[1] == "medqa, 3-shot: win at q8_0, tie at full precision"


def test_a_stand_in_is_never_called_full_precision() -> None:
    agrees, differs, left_open = words.verification(CASES["a stand-in"])
    assert agrees == (
        "medqa, 3-shot is not verified: it agrees with q6_k, which stood in for full precision "
        "(1,273 of 1,273 questions)"
    )
    assert "pubmedqa, 3-shot is not verified: q6_k gives tie, which stood in" in differs
    assert "q6_k, standing in for full precision, leaves it open after 318" in left_open
    assert {words.verdict(c, 0.95) for c in CASES["a stand-in"].comparisons} == {
        "tie, unverified",
        "win, unverified",
    }


def test_everything_that_happened_to_prompts_is_said_once() -> None:
    counts = Counts(
        dropped_demonstrations=3, overlong=2, exact_ties=1, near_ties=4, smallest_mass=1e-5, median_mass=0.004
    )
    lines = words.notes(results([comparison(counts=counts), comparison("pubmedqa", counts=counts)]))
    assert len(lines) == 5
    assert all(line.startswith("meditron-7b") for line in lines)
    assert (
        "4 prompts longer than the context and counted as wrong (medqa, 3-shot: 2; pubmedqa, 3-shot: 2)"
        in lines[0]
    )
    assert lines[4].endswith(
        "in 2 of 2 comparisons the options together get a median probability of only 0.004"
    )
    cloze = comparison(counts=counts).model_copy(update={"scoring": "cloze"})
    assert not any("expects a label" in line for line in words.notes(results([cloze])))
    assert words.notes(results([comparison()])) == []


def test_a_verdict_that_an_exact_test_does_not_support_does_not_look_like_one() -> None:
    found = comparison("medqa", "win")
    assert words.verdict(found, 0.95) == "win"
    assert words.verdict(found.model_copy(update={"mcnemar_p": 0.062}), 0.95) == "win, doubtful"
    assert words.verdict(found.model_copy(update={"mcnemar_p": 0.062}), 0.9) == "win"
    assert words.verdict(found.model_copy(update={"n": 1, "mcnemar_p": 1.0}), 0.95) == "win, doubtful"
    assert words.state("win, doubtful") == "not verified"
