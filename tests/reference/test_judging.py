"""Which predictions are right, whatever notation they come in: against a truth known beforehand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from medbench_local.reference.judging import Gold, Judged, judge
from medbench_local.reference.notation import Written
from medbench_local.reference.reading_choice import Unclear
from medbench_local.tasks.labels import Value, options_of

Notation = Callable[[int, Sequence[str]], Value]

LETTERS = "ABCDE"
LABELS: dict[str, Notation] = {
    "letter": lambda place, _: LETTERS[place],
    "small letter": lambda place, _: LETTERS[place].lower(),
    "blank": lambda place, _: f" {LETTERS[place]}",
    "brackets": lambda place, _: f"({LETTERS[place]})",
    "stop": lambda place, _: f"{LETTERS[place]}.",
    "line break": lambda place, _: f"{LETTERS[place]}\n",
    "bold": lambda place, _: f"**{LETTERS[place]}**",
    "full width": lambda place, _: chr(ord(LETTERS[place]) + 0xFEE0),
    "letter and text": lambda place, texts: f"{LETTERS[place]}. {texts[place]}",
    "letter) and text": lambda place, texts: f"{LETTERS[place]}) {texts[place]}",
    "letter: and text": lambda place, texts: f"{LETTERS[place]}: {texts[place]}",
}
NUMBERS: dict[str, Notation] = {
    "from 0": lambda place, _: place,
    "from 1": lambda place, _: place + 1,
    "digits from 0": lambda place, _: str(place),
    "digits from 1": lambda place, _: f"({place + 1})",
    "floats from 0": lambda place, _: float(place),
    "floats from 1": lambda place, _: float(place + 1),
}
TEXTS: dict[str, Notation] = {
    "text": lambda place, texts: texts[place],
    "Text.": lambda place, texts: f" {texts[place].title()}.",
}
SENTENCES: dict[str, Notation] = {
    "the answer is": lambda place, texts: f"The answer is {LETTERS[place]} because of {texts[place]}",
    "text in a sentence": lambda place, texts: f"I believe that {texts[place]} is right",
    "all options": lambda _, texts: " ".join(f"{a}. {b}" for a, b in zip(LETTERS, texts, strict=False)),
    "two lines": lambda place, texts: f"{LETTERS[place]}. {texts[place]}\nB. Another",
    "answer: the text": lambda place, texts: f"A: {texts[place]}",
}
WORDS = (
    "aspirin",
    "heparin",
    "insulin",
    "ramipril",
    "codeine",
    "glucose",
    "iron",
    "zinc",
    "statin",
    "digoxin",
)


def asked(
    n: int,
    answers: Notation,
    predictions: Notation,
    *,
    k: int = 4,
    listed: bool = False,
    closed: bool = False,
    seed: int = 0,
) -> tuple[list[Written], list[bool]]:
    """Rows of ``n`` questions with ``k`` options, and which predictions are right."""
    generator = random.Random(seed)
    rows, truth = [], []
    for line in range(n):
        texts = ["yes", "no", "maybe", "unsure", "never"][:k]
        if not closed:
            texts = [f"{word} {generator.randint(1, 99)} mg" for word in generator.sample(WORDS, k)]
        answer = generator.randrange(k)
        prediction = answer if generator.random() < 0.4 else generator.randrange(k)
        truth.append(answer == prediction)
        rows.append(
            Written(
                where=f"line {line + 1}",
                answer=answers(answer, texts),
                prediction=predictions(prediction, texts),
                predicts=True,
                options=options_of(texts) if listed else None,
                correct=None,
            )
        )
    return rows, truth


def rows_of(
    answers: Sequence[Value],
    predictions: Sequence[Value],
    correct: Sequence[bool | None] = (),
    options: object = None,
) -> list[Written]:
    given = [*correct, *[None] * (len(answers) - len(correct))]
    return [
        Written(f"line {i + 1}", answer, prediction, True, options_of(options), right)
        for i, (answer, prediction, right) in enumerate(zip(answers, predictions, given, strict=True))
    ]


def judged(
    answers: Sequence[Value],
    predictions: Sequence[Value],
    correct: Sequence[bool | None] = (),
    *,
    options: object = None,
) -> Judged:
    return judge(rows_of(answers, predictions, correct, options))


@pytest.mark.parametrize("predictions", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("answers", LABELS.values(), ids=LABELS)
def test_labels_in_any_dress(answers: Notation, predictions: Notation) -> None:
    rows, truth = asked(60, answers, predictions)
    assert judge(rows).correct == tuple(truth)


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_numbers_and_labels(numbers: Notation, labels: Notation) -> None:
    for answers, predictions in ((numbers, labels), (labels, numbers)):
        rows, truth = asked(60, answers, predictions)
        found = judge(rows)
        assert found.correct == tuple(truth)
        (note,) = found.notes
        assert "numbers from" in note


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("answers", [*TEXTS.values(), *LABELS.values(), *NUMBERS.values()])
def test_anything_where_rows_list_their_options(answers: Notation, closed: bool) -> None:
    for predictions in (*TEXTS.values(), *LABELS.values()):
        rows, truth = asked(60, answers, predictions, listed=True, closed=closed)
        assert judge(rows).correct == tuple(truth)
        assert {gold.text for gold in judge(rows).gold if gold} >= ({"yes", "no"} if closed else set())


@pytest.mark.parametrize("closed", [True, False])
def test_texts_as_answers(closed: bool) -> None:
    for answers in TEXTS.values():
        for predictions in TEXTS.values():
            rows, truth = asked(60, answers, predictions, closed=closed, k=3)
            assert judge(rows).correct == tuple(truth)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize(
    ("answers", "predictions"),
    [
        *[("letter", name) for name in (*TEXTS, *SENTENCES)],
        *[("text", name) for name in (*LABELS, *NUMBERS, *SENTENCES)],
        *[("from 0", name) for name in (*TEXTS, *SENTENCES, "from 1", "digits from 1", "floats from 1")],
        *[("from 1", name) for name in (*TEXTS, *SENTENCES, "from 0", "digits from 0", "floats from 0")],
    ],
)
def test_what_the_file_does_not_show_is_refused(answers: str, predictions: str, closed: bool) -> None:
    every = LABELS | NUMBERS | TEXTS | SENTENCES
    rows, _ = asked(60, every[answers], every[predictions], closed=closed)
    with pytest.raises(Unclear) as caught:
        judge(rows)
    assert caught.value.where.startswith("line ")
    assert caught.value.advice


def test_no_notation_gives_a_wrong_outcome_without_a_word() -> None:
    generator = random.Random(4)
    every = [*LABELS.values(), *NUMBERS.values(), *TEXTS.values()]
    understood = 0
    for seed in range(1500):
        rows, truth = asked(
            generator.choice((30, 60, 120)),
            generator.choice(every),
            generator.choice([*every, *SENTENCES.values()]),
            k=generator.randint(2, 5),
            listed=generator.random() < 0.5,
            closed=generator.random() < 0.5,
            seed=seed,
        )
        try:
            found = judge(rows)
        except Unclear:
            continue
        understood += 1
        assert found.correct == tuple(truth), rows[:3]
    assert understood > 700


ABCD = [*"ABCDABCDABCDABCDABCD"]


def test_a_zero_counts_from_zero_and_the_number_of_options_from_one() -> None:
    assert judged(ABCD, [0, 0, *[2] * 18]).correct[:3] == (True, False, True)
    assert judged(ABCD, [4, 4, *[2] * 18]).correct[:3] == (False, False, False)
    for stray in (0, 4):  # a single value shows nothing
        with pytest.raises(Unclear, match="does not show whether"):
            judged(ABCD, [stray, *[2] * 19])
    with pytest.raises(Unclear, match="numbers from 0, or answers are labels and predictions numbers from 1"):
        judged(ABCD, [1, 2, 3, 2] * 5)
    with pytest.raises(Unclear, match="written in another way"):
        judged(ABCD, [0, 4, 2, 1] * 5)


def test_a_few_questions_do_not_show_how_many_options_there_are() -> None:
    with pytest.raises(Unclear, match="does not show"):
        judged([*"ABCD"], [1, 2, 3, 4])
    with pytest.raises(Unclear, match="does not show"):
        judged([*"AB"] * 30, [1, 2] * 30)  # or of three, the third of which is never the answer
    assert judged([*"ABCD"], [1, 2, 3, 4], options=["w", "x", "y", "z"]).correct == (True,) * 4
    assert judged([*"ABCD"], [0, 1, 2, 2]).correct == (True, True, True, False)


def test_numbers_on_both_sides() -> None:
    both = [1, 2, 3, 4] * 5
    assert judged(both, [str(n) for n in both]).correct == (True,) * 20
    assert judged(both, both).notes == ()
    never_first = judged([0, 1, 2, 3] * 5, [1, 1, 2, 3] * 5)
    assert never_first.correct == (False, True, True, True) * 5
    assert "taken to count alike" in never_first.notes[0]
    with pytest.raises(Unclear):
        judged([0, 1, 2, 3] * 5, ["1", "1", "2", "3"] * 5)
    with pytest.raises(Unclear):
        judged([0, 1, 2, 3] * 5, [1] * 20)  # a fourth is right, and a fourth would be if they counted from 1
    with pytest.raises(Unclear):
        judged([1, 2, 3, 4] * 5, [0, 1, 2, 3] * 5)
    with pytest.raises(Unclear):
        judged([0, 1, 2, 3] * 5, [1, 2, 3, 3] * 5)


def test_rows_that_say_themselves_whether_they_are_correct_decide_how_numbers_count() -> None:
    right = [True, True, True, False] * 5
    assert judged(ABCD, [1, 2, 3, 3] * 5, right).correct == tuple(right)
    assert judged(ABCD, [1, 2, 3, 3] * 5, [True]).correct == tuple(right)
    assert judged(ABCD, [1, 2, 3, 3] * 5, [False]).correct == (False, False, False, True) * 5


def test_a_row_that_contradicts_itself() -> None:
    for prediction, answer, correct in (("(A)", "A", False), ("a", "B", True), (None, "C", True)):
        with pytest.raises(Unclear, match="contradicts the row's own prediction") as caught:
            judged(["A", "B", "C", answer], ["A", "A", "C", prediction], [True, False, True, correct])
        assert caught.value.where == "line 4, key 'correct'"


def test_what_cannot_be_compared_contradicts_nothing() -> None:
    found = judged(ABCD, ["I would say so"] * 20, [True] * 20)
    assert found.correct == (True,) * 20
    assert "'correct' was taken as it stands" in found.notes[0]
    drugs = [f"drug {i}" for i in range(20)]
    reworded = judged(drugs, [*drugs[:10], *(f"medicine {i}" for i in range(10, 20))], [True] * 20)
    assert reworded.correct == (True,) * 20
    with pytest.raises(Unclear, match="contradicts"):
        judged(drugs, drugs, [*[True] * 19, False])


def test_a_letter_that_is_no_answer_is_a_wrong_answer() -> None:
    found = judged(ABCD, ["E", *ABCD[1:]])
    assert found.correct.count(False) == 1
    (note,) = found.notes
    assert "1 prediction is an option that no question seems to have (the first: 'E', line 1)" in note
    many = judged(ABCD, ["E"] * 5 + ABCD[5:])
    assert many.correct == (False,) * 5 + (True,) * 15
    assert "5 predictions are an option that no question seems to have" in many.notes[0]
    with pytest.raises(Unclear, match="no question seems to have"):
        judged(ABCD, ["E"] * 20)


def test_garbage_is_wrong_and_counted_if_it_is_a_little() -> None:
    found = judged(ABCD * 3, ["?", "[INST]", "T", *ABCD[3:], *ABCD * 2])
    assert found.correct == (False,) * 3 + (True,) * 57
    assert found.notes == ("3 predictions are no option (the first: '?', line 1) and counted as wrong",)
    with pytest.raises(Unclear, match="4 of 60 predictions"):
        judged(ABCD * 3, ["T"] * 4 + (ABCD * 3)[4:])


def test_empty_predictions_are_wrong_and_counted() -> None:
    nothing = [None, "", "NaN", -1, "null"]
    found = judged(ABCD, [*nothing, *ABCD[5:]])
    assert found.correct == (False,) * 5 + (True,) * 15
    assert found.notes == ("5 predictions are empty and counted as wrong",)
    with pytest.raises(Unclear, match="11 of 20 predictions"):
        judged(ABCD, [None] * 11 + ABCD[11:])
    assert judged(["none", "some"] * 10, ["None", "some"] * 10).correct == (True,) * 20


def test_truth_values_and_yes_and_no() -> None:
    assert judged([True, False], ["true", "FALSE"]).correct == (True, True)
    assert judged([True, False], [False, False]).correct == (False, True)
    assert judged(["yes", "no"] * 10, ["Maybe", "no"] * 10).correct == (False, True) * 10
    with pytest.raises(Unclear):
        judged(["yes", "no"] * 10, [True, False] * 10)
    with pytest.raises(Unclear):
        judged([True, False] * 10, [1, 0] * 10)


def test_answers_that_differ_in_case_only() -> None:
    with pytest.raises(Unclear, match="upper and lower case"):
        judged(["A", "a", "B"], ["a", "a", "B"])
    assert judged(["A", "a", "B"], ["A", "a", "A"]).correct == (True, True, False)
    assert judged(["AA", "aa"], ["AA", "Aa"], options=["AA", "Aa", "aa"]).correct == (True, False)


def test_an_answer_that_is_no_option() -> None:
    with pytest.raises(Unclear, match="none of the row's options") as caught:
        judged(["A", "B", "E"], ["A", "A", "A"], options=["x", "y", "z"])
    assert caught.value.where == "line 3, key 'answer'"
    with pytest.raises(Unclear, match="none of the row's options"):
        judged(["unheard of"], ["A"], options=["x", "y", "z"])


def test_keys_of_options_that_are_numbers_are_labels() -> None:
    options = {"1": "w", "2": "x", "3": "y"}
    found = judged([1, 2, 3], ["2", "2", "3. y"], options=options)
    assert found.correct == (False, True, True)
    assert found.notes == ()
    assert [gold and gold.text for gold in found.gold] == ["w", "x", "y"]


def test_the_text_after_a_label_must_not_be_another_option() -> None:
    options = ["aspirin", "heparin", "zinc"]
    rows = ["A. aspirin"] * 30
    assert judged(["A"] * 30, rows, options=options).correct == (True,) * 30
    mixed_up = judged(["A"] * 30, ["A. heparin", *rows[1:]], options=options)
    assert mixed_up.correct == (False, *[True] * 29)
    assert "1 prediction is no option" in mixed_up.notes[0]


def test_what_is_correct_is_known_by_place_or_text() -> None:
    assert judged(["B"], ["B"]).gold == (Gold(1, None),)
    assert judged([3, 0], [3, 0]).gold == (Gold(3, None), Gold(0, None))
    assert judged([3], [3]).gold == (Gold(3, None, from_either=True),)
    assert judged(["Maybe."], ["no"]).gold == (Gold(None, "maybe"),)
    assert judged(["B"], ["B"], options=["No", "Yes"]).gold == (Gold(1, "yes"),)
    alone = judge([Written("line 1", None, None, False, None, True)])
    assert (alone.correct, alone.gold) == ((True,), (None,))


def test_two_numbers_against_letters_do_not_show_which_is_which() -> None:
    with pytest.raises(Unclear, match="written in another way"):
        judged([1, 0, 0, 1] * 10, [*"ABBA"] * 10)
    assert judged([1, 0] * 20, [*"BA"] * 20, options=["no", "yes"]).correct == (True,) * 40


def test_an_answer_cut_short_or_reworded_is_another_notation() -> None:
    golds = [f"the treatment number {i} (as usual) given, for a while" for i in range(40)]
    cut = [gold[:30] for gold in golds]
    bare = [gold.replace("the ", "").replace(",", "") for gold in golds]
    bracketless = [gold.replace(" (as usual)", "") for gold in golds]
    for changed in (cut, bare, bracketless):
        with pytest.raises(Unclear, match="written in another way"):
            judged(golds, changed[:20] + golds[20:])
    few = judged(golds, [golds[0][:30], *golds[1:]])
    assert few.correct.count(False) == 1
    assert any("counted as wrong" in note for note in few.notes)


def test_a_label_whose_sentence_says_another_is_no_answer() -> None:
    for text in (
        "B. this is wrong; the answer is A",
        "(B) is wrong. The correct option is (A)",
        "(A) or (B)",
        "(B) no, A",
    ):
        with pytest.raises(Unclear, match="written in another way"):
            judged([*"ABCD"] * 10, [text] * 20 + [*"ABCD"] * 5)


def test_what_is_empty_or_beyond_all_options_is_counted() -> None:
    correct = [i >= 9 and i % 2 == 0 for i in range(40)]
    found = judged(["AB"[i % 2] for i in range(40)], [None if i < 9 else "A" for i in range(40)], correct)
    assert any("9 predictions are empty, and wrong" in note for note in found.notes)


def test_abbreviated_names_are_no_labels() -> None:
    golds = ["E. coli", "S. aureus", "S. pyogenes"] * 10
    predictions = ["E. coli", "S. pyogenes", "S. pyogenes"] * 10
    assert judged(golds, predictions).correct == (True, False, True) * 10
    with_quotes = judged(
        ['the "open" one".'] * 3 + ["another"] * 3, ['the "open" one.'] * 3 + ["another"] * 3
    )
    assert with_quotes.correct == (True,) * 6


def test_a_stray_zero_does_not_show_that_both_columns_count_from_zero() -> None:
    answers = [0, 1, 2, 3] * 25
    with pytest.raises(Unclear, match="does not show whether"):
        judged(answers, [0, 0, *[min(answer + 1, 3) for answer in answers[2:]]])
    assert judged(answers, answers).correct == (True,) * 100


def test_a_colon_follows_a_label_if_several_letters_stand_before_one() -> None:
    assert judged(ABCD, [f"**{letter}**: drug" for letter in ABCD]).correct == (True,) * 20
    for begins_alike in ([f"A: drug {i}" for i in range(20)], [f"A: {letter}" for letter in ABCD]):
        with pytest.raises(Unclear, match="written in another way"):
            judged(ABCD, begins_alike)  # "A:" for "answer:"
    stray = [f"A: {letter}" for letter in ABCD]
    with pytest.raises(Unclear, match="written in another way"):
        judged(ABCD * 2, [*stray, "B: A", *stray[1:]])


def test_t_and_f_are_true_and_false_if_there_is_nothing_else() -> None:
    truths: list[Value] = [True, False] * 10
    letters: list[Value] = ["T", "f"] * 10
    texts: list[Value] = ["true", "False"] * 10
    for one, other in ((truths, letters), (letters, truths), (texts, letters)):
        assert judged(one, other).correct == (True,) * 20
        assert judged(one, other[1:] + other[:1]).correct == (False,) * 20
    assert judged(truths, [*letters[:18], None, "F"]).correct == (*[True] * 18, False, True)
    with pytest.raises(Unclear):
        judged(truths, [*letters[:18], "A", "B"])
    with pytest.raises(Unclear):
        judged(["yes", "no"] * 10, letters)
