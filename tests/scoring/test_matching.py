"""The letter matcher follows the published rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.catalog.protocol import MultipleLetters
from medbench_local.scoring.matching import match_answer

OPTIONS = ("yes", "no", "maybe")
GOLD = 1


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("A", 0),
        ("A) yes", 0),
        ("(B) no", 1),
        ("[C] maybe", 2),
        ("<A>", 0),
        ("A:", None),
        ("A,", None),
        ("A/B", None),
        ("**C**", None),
        ('"A"', None),
        ("=A", None),
        ("B-type", None),
        ("a", None),
        ("D", None),
        ("A.", 0),
        ("B</s>", 1),
        ("  C \n", 2),
        ("no", 1),
        ("No!", 1),
        ("yes", None),
        ("no, maybe", None),
        ("nothing", None),
        ("", None),
        ("A patient with", 0),
    ],
)
@pytest.mark.parametrize("several", ["first", "none"])
def test_published_checks(output: str, expected: int | None, several: MultipleLetters) -> None:
    assert match_answer(output, OPTIONS, GOLD, multiple_letters=several) == expected


@pytest.mark.parametrize(
    ("output", "first"),
    [("The answer is B, because A is", 0), ("B or A", 1), ("(C) (B)", 2), ("A A", 0)],
)
def test_several_letters(output: str, first: int) -> None:
    # "B," is no match, so only "A" is left in the first of these.
    assert match_answer(output, OPTIONS, GOLD, multiple_letters="first") == first
    alone = output == "The answer is B, because A is"
    assert match_answer(output, OPTIONS, GOLD, multiple_letters="none") == (first if alone else None)


def test_texts_are_compared_without_case_punctuation_and_blanks() -> None:
    options = ("Beta-blocker", "ACE inhibitor")
    assert match_answer("it is the beta  BLOCKER!", options, 0, multiple_letters="first") == 0
    assert match_answer("beta blocker or ace-inhibitor", options, 0, multiple_letters="first") is None
    assert match_answer("betablocker", options, 0, multiple_letters="first") is None


def test_options_equal_to_the_correct_one_do_not_contradict_it() -> None:
    assert match_answer("rest", ("rest", "rest", "ice"), 0, multiple_letters="first") == 0


def test_an_option_without_words_is_never_found() -> None:
    assert match_answer("", ("+", "-"), 0, multiple_letters="first") is None
    assert match_answer("?", ("+", "-"), 0, multiple_letters="first") is None


@given(st.text(), st.lists(st.text(), min_size=2, max_size=26), st.data(), st.sampled_from(["first", "none"]))
def test_a_prediction_is_an_option(
    output: str, options: list[str], data: st.DataObject, several: MultipleLetters
) -> None:
    answer = data.draw(st.integers(0, len(options) - 1))
    found = match_answer(output, options, answer, multiple_letters=several)
    assert found is None or 0 <= found < len(options)
    if several == "none" and found is not None:
        assert match_answer(output, options, answer, multiple_letters="first") == found
