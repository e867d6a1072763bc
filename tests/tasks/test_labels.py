"""Single values of results files, as people and tools write them."""

from __future__ import annotations

import pytest

from medbench_local.tasks.labels import (
    Options,
    Value,
    bare,
    fold,
    labelled,
    letter,
    names_another,
    no_answer,
    number,
    options_of,
)


@pytest.mark.parametrize(
    "text",
    ["B", "b", " B", "B\n", "(B)", "[b]", "B.", "B)", "**B**", "`B`", '"B"', "\uff22", "\uff08B\uff09", "B,"],
)
def test_one_letter_however_it_is_dressed(text: str) -> None:
    assert letter(text) == 1
    assert bare(text).upper() == "B"


@pytest.mark.parametrize("value", ["", "BB", "B C", "B: ", "A and B", "1", 1, 1.0, True, None, "é", "ß"])
def test_what_is_no_letter(value: Value) -> None:
    assert letter(value) is None


@pytest.mark.parametrize("value", [2, 2.0, "2", " 2\n", "(2)", "2.", "2.0", "\uff12"])
def test_one_number_however_it_is_dressed(value: Value) -> None:
    assert number(value) == 2


@pytest.mark.parametrize("value", [True, False, None, 2.5, "2.5", "two", "2 mg", "", "1/2", "2-3"])
def test_what_is_no_number(value: Value) -> None:
    assert number(value) is None


def test_truth_values_are_not_remembered_as_numbers() -> None:
    assert [number(1), number(True), number(1.0)] == [1, None, 1]


def test_numbers_of_any_size() -> None:
    assert number(10**400) == 10**400
    assert number("9" * 400) is None
    assert number(1e300) == int(1e300)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A. aspirin", ("A", "aspirin")),
        ("(c) aspirin 5 mg.", ("c", "aspirin 5 mg")),
        ("**B)** Vitamin D.", ("B", "Vitamin D")),
        ("2. aspirin", ("2", "aspirin")),
        ('D. Deep vein thrombosis\n"', ("D", "Deep vein thrombosis")),
        ("A aspirin", None),
        ("A: aspirin", None),  # "A:" also opens an answer of any kind
        ("A.aspirin", None),
        ("A. aspirin\nB. heparin", None),
        ("The answer is A. aspirin", None),
        ("0.5 mg", None),
        (2, None),
    ],
)
def test_a_label_and_its_text(text: Value, found: tuple[str, str] | None) -> None:
    assert labelled(text) == found


def test_texts_that_go_on_to_another_label() -> None:
    assert names_another("A", "aspirin B) heparin")
    assert names_another("a", "is wrong, so B. it is")
    assert not names_another("A", "aspirin (see A. above)")
    assert not names_another("A", "E. faecalis")
    assert not names_another("B", "Vitamin D")


@pytest.mark.parametrize("value", [None, "", "  ", "NaN", "nan", "None", "null", "N/A", -1, "-1", -1.0])
def test_no_answer(value: Value) -> None:
    assert no_answer(value)
    assert not no_answer("no")


def test_folding_keeps_what_decides() -> None:
    assert fold(" Yes.\n") == fold("\u201cyes\u201d") == "yes"
    assert fold("p53  mutation") == "p53 mutation"
    assert fold("5 mg") != fold("50 mg")


def test_options_as_lists_and_mappings() -> None:
    assert options_of(["aspirin", "heparin"]) == Options(("a", "b"), ("aspirin", "heparin"))
    assert options_of({"A": "aspirin", "B": "heparin"}) == Options(("a", "b"), ("aspirin", "heparin"))
    assert options_of({"0": "x", "1": "y"}) == Options(("0", "1"), ("x", "y"))
    assert options_of([10, 20.0]) == Options(("a", "b"), ("10", "20"))
    assert options_of(["(A)", "(B)", "(C)"]) == Options(("a", "b", "c"), None)
    assert options_of(["A. aspirin", "B. heparin"]) == Options(("a", "b"), ("aspirin", "heparin"))
    for nothing in (
        "ab",
        [],
        ["one"],
        None,
        3,
        [["a"], ["b"]],
        ["x"] * 27,
        {"A": "x", "(a)": "y"},
        [True, False],
    ):
        assert options_of(nothing) is None


def test_options_that_differ_in_case_only_are_kept_apart() -> None:
    genotypes = options_of(["AA", "Aa", "aa"])
    assert genotypes is not None
    assert [genotypes.place_of_text(text) for text in ("AA", "Aa", " aa ", "aA")] == [0, 1, 2, None]
    drugs = options_of(["Aspirin", "Heparin."])
    assert drugs is not None
    assert [drugs.place_of_text(text) for text in ("aspirin", "heparin", "none")] == [0, 1, None]
