"""Questions that stand twice, found whatever their case, blanks and punctuation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import Question, SplitName
from medbench_local.tasks.repeats import repeats

FIRST = Question("first", "Which bone is broken?", ("The radius", "The ulna"), 0)
OTHER = Question("other", "Which nerve is cut?", ("The radial", "The ulnar"), 1)
ASIDE = "(case, blanks, punctuation and the order of options aside)"


def said(test: Question, known: Question = FIRST, split: SplitName = "validation") -> list[str]:
    return list(repeats({split: (OTHER, known), "test": (test,)}))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Which bone is broken?", ("The radius", "The ulna")),
        ("which BONE is broken", ("the radius.", "THE ULNA")),
        ("  Which\u00a0bone\n is  broken:- ", ("The radius", "The ulna")),
        ("\u201cWhich bone is broken?\u201d", ("The ulna", "The radius")),
        ("\uff37hich bone is broken\uff1f", ("The radius", "The ulna")),
    ],
)
def test_small_differences_do_not_hide_a_repeat(text: str, options: tuple[str, ...]) -> None:
    again = Question("again", text, options, int(options[0] == "The ulna"))
    assert said(again) == [f"1 test question is also among the validation questions {ASIDE}, first again."]
    assert said(again, split="demonstrations") == [
        f"1 test question is also among the demonstrations {ASIDE}, first again."
    ]
    assert list(repeats({"test": (FIRST, OTHER, again, again)})) == [
        f"2 test questions repeat an earlier one {ASIDE}, first again."
    ]


def test_a_repeat_with_another_answer_is_told() -> None:
    again = Question("again", "which bone is broken", ("the ulna", "the radius"), 0)
    assert said(again) == [
        f"1 test question is also among the validation questions {ASIDE}, 1 with another answer, first again."
    ]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Which bone is broken?", ("The radius", "The femur")),
        ("Which bones are broken?", ("The radius", "The ulna")),
        ("Which bone is broken?", ("The radius", "The ulna", "Neither")),
    ],
)
def test_the_same_text_with_other_options_is_another_question(text: str, options: tuple[str, ...]) -> None:
    assert said(Question("again", text, options, 0)) == []


@pytest.mark.parametrize(("one", "other"), [("1.5", "1 5"), ("< 5", "> 5"), ("5 +", "5"), ("10 %", "10")])
def test_signs_are_no_punctuation(one: str, other: str) -> None:
    known, asked = (Question("q", f"A value of {text} mg?", ("yes", "no"), 0) for text in (one, other))
    same = one == "1.5"  # a full stop between digits is punctuation here
    assert bool(said(asked, known)) is same


@given(
    st.lists(
        st.tuples(st.text("aA .x", min_size=30, max_size=60), st.text("bB,", min_size=1, max_size=2)),
        max_size=9,
    )
)
def test_the_short_way_finds_what_the_long_one_does(pairs: list[tuple[str, str]]) -> None:
    """Against every pair of questions compared as a whole."""

    def plainly(question: Question) -> object:
        def bare(text: str) -> str:
            return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())

        return bare(question.text), {bare(option) for option in question.options}

    questions = tuple(
        Question(str(i), "a " * 90 + text, (option, "c"), 0) for i, (text, option) in enumerate(pairs)
    )
    half = len(questions) // 2
    known, test = questions[:half], questions[half:]
    shared = sum(any(plainly(q) == plainly(k) for k in known) for q in test)
    again = sum(any(plainly(q) == plainly(p) for p in test[:i]) for i, q in enumerate(test))
    numbers = [int(sentence.split()[0]) for sentence in repeats({"validation": known, "test": test})]
    assert numbers == [count for count in (shared, again) if count]


def test_the_official_questions(shared_data: Path) -> None:
    """Counted by eye in the pairs that differ in punctuation only."""
    warnings = load_task("medmcqa", data_dir=shared_data, splits=("test",)).warnings
    assert warnings == (
        f"medmcqa: 13 test questions repeat an earlier one {ASIDE}, 1 with another answer, "
        "first 638442d9-e6dd-42a0-9803-9042d9a88e09.",
    )
    for name in ("medqa", "medqa-4", "mmlu-nutrition"):
        warnings = load_task(name, data_dir=shared_data, splits=("validation", "test")).warnings
        assert not any("repeat" in warning or "also among" in warning for warning in warnings)
