"""The grammar draws the published formats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.prompts.grammar import sample_format

# Seed: space, separator, option space, casing, question, options, wrapper, answer head as rendered.
PUBLISHED = {
    0: (" ", " - ", "; ", "upper", "Question", "Options", "{} )", "THE ANSWER IS - "),
    1: ("\n\n", " -- ", "\n\n", "upper", "", "Options", "{} )", "THE ANSWER IS -- "),
    2: ("\n", " : ", "\n\n", "upper", "", "Choices", "{})", "ANSWER : "),
    3: ("\n\n", " -- ", "; ", "upper", "Question", "Choices", "[{}]", "ANSWER -- "),
    4: ("\n\n", "= ", "\n\n", "bold", "Question", "Options", "({})", "**Answer**= "),
    5: (" || ", " == ", "; ", "lower", "", "Choices", "{}.", "answer == "),
    6: ("\n", "=\n", ";\n\n", "as is", "", "", "<{}>", "The answer is=\n"),
    7: (" || ", " :: ", ", ", "bold", "", "", "{})", "**Answer** :: "),
    8: ("\n\n", " = ", " ", "title", "", "Choices", "({})", "Answer = "),
    9: (" ", " == ", " ", "title", "", "Choices", "{})", "The Answer Is == "),
}


@pytest.mark.parametrize("seed", PUBLISHED)
def test_the_first_ten_seeds_give_the_published_formats(seed: int) -> None:
    f = sample_format(seed)
    assert (
        f.space,
        f.separator,
        f.option_space,
        f.casing,
        f.question_descriptor,
        f.option_descriptor,
        f.wrapper,
        f.answer_head,
    ) == PUBLISHED[seed]


@given(st.integers(0, 2**31))
def test_formats_without_line_breaks_between_blocks_have_none_at_all(seed: int) -> None:
    f = sample_format(seed)
    if "\n" not in f.space:
        assert "\n" not in f.separator + f.option_space


@given(st.integers(0, 2**31))
def test_the_template_carries_what_the_format_says(seed: int) -> None:
    f = sample_format(seed)
    template = f.template()
    assert template.answer_head.endswith(f.separator)
    assert template.answer_label == template.option_label == f.wrapper
    assert "" not in template.stop
    assert template.stop[-1] == f.answer_head
    assert (f.question_head != "") == (f.question_head in template.stop)


def test_descriptors_are_cased() -> None:
    heads = {
        sample_format(seed).casing: sample_format(seed).answer_head.rstrip(" :=-\n") for seed in range(60)
    }
    assert heads.keys() == {"as is", "title", "upper", "lower", "heading", "bold"}
    assert heads["heading"].startswith("### ")
    assert heads["bold"].startswith("**")
    assert heads["bold"].endswith("**")
    assert heads["upper"].isupper()
    assert heads["lower"].islower()
    assert heads["title"].istitle()
