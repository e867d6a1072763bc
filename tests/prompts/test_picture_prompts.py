"""Prompts with pictures: written out by hand, and compared with the specification read a second time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.catalog.model import FamilyName, models
from medbench_local.catalog.names import ShotImages
from medbench_local.errors import InputError, TooFewPicturesError, UsageError
from medbench_local.prompts.families import FAMILIES
from medbench_local.prompts.prompt import Shown
from medbench_local.prompts.prompt_style import prompt_style_for
from medbench_local.prompts.prompting import PLAIN_TEXT, Prompting
from medbench_local.prompts.rendering import lacking_pictures, render, render_cloze, render_thinking
from medbench_local.tasks.picture import CONTROL, Picture
from medbench_local.tasks.question import Question
from tests.prompts.pictures import (
    BLIND,
    BONE,
    FEWER,
    IN_OPTIONS,
    LUNG,
    MORE,
    ORGAN,
    P1,
    P2,
    PAIRS,
    TAGGED,
    entry,
    style,
    written,
)

# Family: its zero-shot prompt of LUNG, and its one-shot prompt of LUNG behind BONE, every picture shown.
DEFAULT: dict[FamilyName, tuple[str, str]] = {
    "llava-v0": (
        "SYS\n\n### Human: Is the lung clear?\nOptions: (A) yes (B) no\n[1]\n### Assistant:",
        "SYS\n\n### Human: Is a bone broken?\nOptions: (A) yes (B) no\n[2]\n### Assistant: (B) no"
        "\n### Human: Is the lung clear?\nOptions: (A) yes (B) no\n[1]\n### Assistant:",
    ),
    "llava-med": (
        "SYS\n\n### Human: Is the lung clear? Please choose from the following options: [yes, no].\n[1]"
        "\n### Assistant:",
        "SYS\n\n### Human: Is a bone broken? Please choose from the following options: [yes, no].\n[2]"
        "\n### Assistant: no"
        "\n### Human: Is the lung clear? Please choose from the following options: [yes, no].\n[1]\n### Assistant:",
    ),
    "open-flamingo": (
        "SYS\n[1]Question: Is the lung clear? (A) yes, (B) no; Short answer: ",
        "SYS\n[2]Question: Is a bone broken? (A) yes, (B) no; Short answer: (B) no.<|endofchunk|>"
        "[1]Question: Is the lung clear? (A) yes, (B) no; Short answer: ",
    ),
    "med-flamingo": (
        "SYS\n[1]Question: Is the lung clear? (A) yes, (B) no; Answer: ",
        "SYS\n[2]Question: Is a bone broken? (A) yes, (B) no; Answer: (B) no.<|endofchunk|>"
        "[1]Question: Is the lung clear? (A) yes, (B) no; Answer: ",
    ),
    "llava-v1.5": (
        "SYS USER: [1]\nIs the lung clear?\nA. yes\nB. no\nReply with the letter of the right option only. ASSISTANT:",
        "SYS USER: [2]\nIs a bone broken?\nA. yes\nB. no\nReply with the letter of the right option only. "
        "ASSISTANT: B</s>"
        "USER: [1]\nIs the lung clear?\nA. yes\nB. no\nReply with the letter of the right option only. ASSISTANT:",
    ),
    "llava-mistral": (
        "[INST] <<SYS>>\nSYS\n<</SYS>>\n\n[1]\nIs the lung clear?\nA. yes\nB. no\n"
        "Reply with the letter of the right option only. [/INST]",
        "[INST] <<SYS>>\nSYS\n<</SYS>>\n\n[2]\nIs a bone broken?\nA. yes\nB. no\n"
        "Reply with the letter of the right option only. [/INST] B </s>"
        "[INST] [1]\nIs the lung clear?\nA. yes\nB. no\n"
        "Reply with the letter of the right option only. [/INST]",
    ),
}


@pytest.mark.parametrize("family", DEFAULT)
def test_the_default_prompt(family: FamilyName) -> None:
    zero, one = DEFAULT[family]
    assert written(render(style(family), "vqa-rad", LUNG, [], None)) == zero
    assert written(render(style(family), "vqa-rad", LUNG, [BONE], None)) == one


def test_every_family_with_pictures_is_written_out() -> None:
    assert set(DEFAULT) == {name for name, family in FAMILIES.items() if family.layout is not None}


@pytest.mark.parametrize(
    ("family", "format", "expected"),
    [
        (
            "llava-v0",
            3,
            "SYS\n\n### Human: QUESTION -- Is a bone broken?\n\nCHOICES -- [A] yes; [B] no\n[2]"
            "\n### Assistant: ANSWER -- [B] no"
            "\n### Human: QUESTION -- Is the lung clear?\n\nCHOICES -- [A] yes; [B] no\n[1]"
            "\n### Assistant: ANSWER -- ",
        ),
        (
            "llava-med",
            6,
            "SYS\n\n### Human: Is a bone broken?\n<A> yes;\n\n<B> no\n[2]\n### Assistant: The answer is=\n<B> no"
            "\n### Human: Is the lung clear?\n<A> yes;\n\n<B> no\n[1]\n### Assistant: The answer is=\n",
        ),
        (
            "med-flamingo",
            4,
            "SYS\n[2]**Question**= Is a bone broken?\n\n**Options**= (A) yes\n\n(B) no **Answer**= (B) no."
            "<|endofchunk|>[1]**Question**= Is the lung clear?\n\n**Options**= (A) yes\n\n(B) no **Answer**= ",
        ),
        (
            "open-flamingo",
            5,
            "SYS\n[2]Is a bone broken? || choices == A. yes; B. no answer == B. no."
            "<|endofchunk|>[1]Is the lung clear? || choices == A. yes; B. no answer == ",
        ),
    ],
)
def test_sampled_formats_join_their_blocks_as_the_family_does(
    family: FamilyName, format: int, expected: str
) -> None:
    assert written(render(style(family), "vqa-rad", LUNG, [BONE], format)) == expected


@pytest.mark.parametrize(
    ("question", "llava", "flamingo"),
    [
        (TAGGED, "Compare it with  .\nOptions: (A) same (B) other\n[4]\n[5]", "[4][5]Question: Compare it with  . (A)"),
        (FEWER, "In  see:\nOptions: (A) <image 2> (B) none of it\n[4]", "[4][5]Question: In  see: (A) <image 2>,"),
        (MORE, "is A. Look again at\nOptions: (A) x (B) y\n[6]\n[6]", "[6]Question: is A. Look again at (A) x,"),
        (IN_OPTIONS, "Which one?\nOptions: (A) <image 1> (B) <image 2>", "[4][5]Question: Which one? (A) <image 1>,"),
        (BLIND, "Does insulin lower glucose?\nOptions: (A) yes (B) no (C) maybe", "Question: Does insulin"),
    ],
)  # fmt: skip
def test_tags_in_the_text_and_pictures(question: Question, llava: str, flamingo: str) -> None:
    prompt = render(style("llava-v0"), "mmmu-pharmacy", question, [], None)
    assert written(prompt) == f"SYS\n\n### Human: {llava}\n### Assistant:"
    assert str(prompt).count("<image>") == len(prompt.places)
    assert written(render(style("open-flamingo"), "mmmu-pharmacy", question, [], None)).startswith(
        "SYS\n" + flamingo
    )


def test_in_the_mode_of_the_paper_llava_sees_the_last_place_only() -> None:
    prompt = render(style("llava-v0", "paper"), "slake", LUNG, [BONE, ORGAN], None)
    assert prompt.places == (Shown(()), Shown(()), Shown((P1,)))
    two = render(style("llava-med", "paper"), "mmmu-pharmacy", TAGGED, [], None)
    assert written(two).count("[]\n[5]") == 1, "the first of two places is not replaced"
    # Three pictures are handed over, p2 of the demonstration and p4 and p5 of the question; two places, so the second.
    fewer = render(style("llava-v0", "paper"), "mmmu-pharmacy", FEWER, [BONE], None)
    assert "".join(written(fewer).split("\n")[i] for i in (4, 8)) == "[][4]"


def test_in_the_mode_of_the_paper_flamingo_goes_by_the_number() -> None:
    """Handed over: 4 (the first of the demonstration), then 2 and nothing more."""
    prompt = render(style("med-flamingo", "paper"), "mmmu-pharmacy", BONE, [TAGGED], None)
    assert written(prompt) == (
        "SYS\n[4][2]Question: Compare it with  . (A) same, (B) other; Answer: (B) other.<|endofchunk|>"
        "[4,2]Question: Is a bone broken? (A) yes, (B) no; Answer: "
    )


@pytest.mark.parametrize("family", PAIRS)
def test_prompts_of_both_modes_differ_where_the_pictures_do(family: FamilyName) -> None:
    def hashes(question: Question, *shown: Question) -> set[str]:
        return {
            render(style(family, mode), "slake", question, shown, None).sha256 for mode in ("paper", "all")
        }

    assert len(hashes(LUNG)) == 1, "the same prompt has the same scores"
    assert len(hashes(BLIND, LUNG if "flamingo" in family else BLIND)) == 1
    assert len(hashes(BONE, LUNG)) == (2 if "llava" in family else 1)
    assert len(hashes(BONE, TAGGED, FEWER) if "flamingo" in family else hashes(TAGGED)) == 2


def test_a_prompt_that_the_studys_code_cannot_ask_is_refused() -> None:
    paper = style("llava-v0", "paper")
    with pytest.raises(TooFewPicturesError, match=r"mmmu-pharmacy, question q1: .* 1 more places") as caught:
        render(paper, "mmmu-pharmacy", LUNG, [TAGGED, BONE], 2)
    assert "shot_images: all" in caught.value.advice
    assert lacking_pictures(paper, LUNG, [TAGGED, BONE]) == 1
    assert lacking_pictures(paper, FEWER, [TAGGED, BONE]) == 0, "a picture of the question is left over"
    assert lacking_pictures(paper, MORE, []) == 1
    assert lacking_pictures(style("llava-v0"), LUNG, [TAGGED, BONE]) == 0
    assert lacking_pictures(style("med-flamingo", "paper"), LUNG, [TAGGED, BONE]) == 0
    looked_at = render(paper.to_be_looked_at(), "mmmu-pharmacy", LUNG, [TAGGED, BONE], 2)
    assert looked_at.places == (Shown(()),) * 4
    assert str(looked_at) == str(render(style("llava-v0"), "mmmu-pharmacy", LUNG, [TAGGED, BONE], 2))


# --- the specification, read once more -----------------------------------------------------------------------------

# S, P, O, F(question) + P, F(options) + P, option and answer label, F(answer) + P; decoded by hand from the study.
FORMATS = {
    0: (" ", "; ", "QUESTION - ", "OPTIONS - ", "{} )", "THE ANSWER IS - "),
    1: ("\n\n", "\n\n", "", "OPTIONS -- ", "{} )", "THE ANSWER IS -- "),
    2: ("\n", "\n\n", "", "CHOICES : ", "{})", "ANSWER : "),
    3: ("\n\n", "; ", "QUESTION -- ", "CHOICES -- ", "[{}]", "ANSWER -- "),
    4: ("\n\n", "\n\n", "**Question**= ", "**Options**= ", "({})", "**Answer**= "),
    5: (" || ", "; ", "", "choices == ", "{}.", "answer == "),
    6: ("\n", ";\n\n", "", "", "<{}>", "The answer is=\n"),
    7: (" || ", ", ", "", "", "{})", "**Answer** :: "),
    8: ("\n\n", " ", "", "Choices = ", "({})", "Answer = "),
    9: (" ", " ", "", "Choices == ", "{})", "The Answer Is == "),
}


def blocks(family: str, format: int | None, question: Question) -> tuple[str, str, str]:
    """The question block, the answer block of a demonstration, and what an answer begins with."""
    text = question.text.replace("<image>", "").strip()
    names = "ABCDEFG"
    right = question.options[question.answer]
    letter = names[question.answer]
    if format is not None:
        space, between, q, o, label, a = FORMATS[format]
        listed = between.join(
            label.replace("{}", n) + " " + x for n, x in zip(names, question.options, strict=False)
        )
        return q + text + space + o + listed, a + label.replace("{}", letter) + " " + right, a
    lettered = [f"({n}) {x}" for n, x in zip(names, question.options, strict=False)]
    if family == "llava-v0":
        return f"{text}\nOptions: {' '.join(lettered)}", f"({letter}) {right}", ""
    if family == "llava-med":
        return f"{text} Please choose from the following options: [{', '.join(question.options)}].", right, ""
    head = "Answer: " if family == "med-flamingo" else "Short answer: "
    return f"Question: {text} {', '.join(lettered)};", f"{head}({letter}) {right}", head


def tags_of(family: str, question: Question) -> int:
    if "flamingo" in family:
        return len(question.pictures)
    in_text = question.text.count("<image>")
    in_options = sum(o.startswith("<image ") for o in question.options)
    return in_text or len(question.pictures) - in_options


def by_the_book(
    family: str, format: int | None, shown: Sequence[Question], asked: Question, mode: ShotImages
) -> tuple[str, list[tuple[Picture, ...]]] | None:
    """Text with "<image>", and what each of them shows; None where the study's code fails."""
    text = "SYS\n"
    if "llava" in family:
        turns = []
        for number, question in enumerate([*shown, asked]):
            said, answer, prefix = blocks(family, format, question)
            last = number == len(shown)
            turns.append("Human: " + said + "\n<image>" * tags_of(family, question))
            end = prefix if last else answer
            turns.append(f"Assistant: {end}" if end else "Assistant:")
        text += "\n### " + "\n### ".join(turns)
    else:
        for question in shown:
            said, answer, _ = blocks(family, format, question)
            text += "<image>" * len(question.pictures) + f"{said} {answer}.<|endofchunk|>"
        said, _, prefix = blocks(family, format, asked)
        text += "<image>" * len(asked.pictures) + f"{said} {prefix}"
    places = text.count("<image>")
    if mode == "all":
        seen: list[tuple[Picture, ...]] = []
        for question in [*shown, asked]:
            own = [question.pictures[i % len(question.pictures)] for i in range(tags_of(family, question))]
            seen += [(one,) for one in own]
        return text, seen
    handed = [question.pictures[0] for question in shown if question.pictures] + list(asked.pictures)
    if "flamingo" in family:
        return text, [(handed[k],) if k < len(handed) else tuple(handed) for k in range(places)]
    if places > len(handed):
        return None
    return text, [()] * (places - 1) + [(handed[places - 1],)] if places else []


POOL = (BONE, ORGAN, LUNG, TAGGED, FEWER, MORE, IN_OPTIONS, BLIND)
KINDS = {
    "yes or no": LUNG,
    "several options": ORGAN,
    "two pictures": TAGGED,
    "a picture in an option": FEWER,
    "a picture spoken of twice": MORE,
    "pictures in options only": IN_OPTIONS,
    "text": BLIND,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", PAIRS)
@pytest.mark.parametrize("mode", ["paper", "all"])
def test_every_format_and_demonstration_set_is_as_the_specification_says(
    family: FamilyName, kind: str, mode: ShotImages
) -> None:
    asked, refused = KINDS[kind], 0
    prompt_style = style(family, mode)
    for seed in (None, *range(10)):
        drawn = np.random.default_rng(seed or 0).permutation(len(POOL))[:3].tolist()
        shown = [] if seed is None else [POOL[row] for row in drawn]
        for format in (None, *range(10)):
            expected = by_the_book(family, format, shown, asked, mode)
            if expected is None:
                refused += 1
                with pytest.raises(TooFewPicturesError):
                    render(prompt_style, "mmmu-pharmacy", asked, shown, format)
                continue
            prompt = render(prompt_style, "mmmu-pharmacy", asked, shown, format)
            assert (str(prompt), [place.pictures for place in prompt.places]) == expected
            assert prompt.special
            assert "" not in prompt.parts
    spare = len(asked.pictures) - tags_of(family, asked)
    assert (refused > 0) == (mode == "paper" and "llava" in family and spare < 2)


# --- labels, gaps, ends --------------------------------------------------------------------------------------------


def test_labels_gaps_and_ends_of_answers() -> None:
    v0, med = (render(style(family), "slake", LUNG, [BONE], None) for family in ("llava-v0", "llava-med"))
    assert v0.labels == ("(A)", "(B)")
    assert med.labels == ("yes", "no"), "answers name no letters"
    assert {one.gap for one in (v0, med)} == {" "}, "as demonstrations go on behind `Assistant:`"
    assert render(style("llava-v0"), "slake", LUNG, [BONE], 3).gap == ""
    assert v0.stop == render(style("llava-v0"), "slake", LUNG, [], 3).stop == ("###",)
    flamingo = render(style("med-flamingo"), "slake", LUNG, [BONE], 3)
    assert (flamingo.gap, flamingo.stop) == ("", ("Question:", "<|endofchunk|>"))
    assert flamingo.labels == ("[A]", "[B]")


@pytest.mark.parametrize("family", DEFAULT)
def test_without_options_and_where_a_model_may_think(family: FamilyName) -> None:
    cloze = render_cloze(style(family), "slake", LUNG, [BONE], None)
    assert [place.pictures for place in cloze.places] == [(P2,), (P1,)]
    assert "yes" not in str(cloze)
    assert cloze.labels == LUNG.options
    thinking = render_thinking(style(family), "slake", LUNG, [BONE], None)
    assert thinking.parts == render(style(family), "slake", LUNG, [BONE], None).parts


# --- system prompts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", PAIRS)
def test_system_prompts_are_our_own_and_can_be_replaced(family: FamilyName) -> None:
    own = FAMILIES[family].system
    text = str(render(style(family, system=None), "slake", LUNG, [], None))
    assert text.startswith(f"{own}\n")
    assert len(own) > 60
    assert "{" not in own
    other = str(render(style(family, system="Two\n lines {last} "), "slake", LUNG, [], None))
    assert other == "Two\n lines {last} " + text.removeprefix(own)


def test_an_empty_system_prompt_leaves_none() -> None:
    def beginning(family: FamilyName) -> str:
        return str(render(style(family, system=""), "slake", LUNG, [], None))[:20]

    assert beginning("llava-v0") == "\n### Human: Is the l"
    assert beginning("med-flamingo") == "<image>Question: Is "
    assert beginning("llava-v1.5") == "USER: <image>\nIs the"
    assert beginning("llava-mistral") == "[INST] <image>\nIs th"
    assert FAMILIES["llava-mistral"].system == ""


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", PAIRS)
@pytest.mark.parametrize("text", [t for t in CONTROL if t != "<image>"])
def test_control_text_in_a_question_is_an_error_of_the_question(family: FamilyName, text: str) -> None:
    for question in (
        Question("bad", f"Is {text} seen?", ("yes", "no"), 0, pictures=(P1,)),
        Question("bad", f"Is {text} seen?", ("yes", "no"), 0),
        Question("bad", "Seen?", ("yes", text), 0, pictures=(P1,)),
    ):
        with pytest.raises(InputError, match=r"slake, question bad: .* holds ") as caught:
            render(style(family), "slake", question, [BONE], None)
        assert repr(text) in str(caught.value)
        with pytest.raises(InputError, match="question bad"):
            render(style(family), "slake", LUNG, [question], None)


def test_a_tag_that_is_no_place_of_a_picture_is_an_error() -> None:
    for question in (
        Question("bad", "What does <image> mean in HTML?", ("yes", "no"), 0),
        Question("bad", "Which?", ("<image>", "none"), 0, pictures=(P1,)),
    ):
        with pytest.raises(InputError, match=r"question bad: .*'<image>'"):
            render(style("llava-v0"), "own", question, [], None)
    with pytest.raises(UsageError, match="system prompt holds '<image>'"):
        render(style("llava-v0", system="Look at <image>"), "own", LUNG, [], None)
    plain = prompt_style_for(models()["llama-2-7b"], asked=Prompting(system_prompt="<image>"))
    html = Question("good", "What does <image> mean in HTML?", ("</s>", "no"), 0)
    assert "What does <image> mean in HTML?\n(A) </s>" in render(plain, "own", html, [], None).text


@pytest.mark.parametrize("model", ["llama-2-7b", "llama-2-7b-chat", "meditron-7b", "mistral-7b-instruct"])
def test_a_model_that_reads_text_only_is_refused_pictures(model: str) -> None:
    text_only = prompt_style_for(models()[model])
    for asked, shown in ((LUNG, []), (BLIND, [LUNG])):
        for write in (render, render_cloze, render_thinking):
            with pytest.raises(UsageError, match=f"questions of slake come with pictures, and {model} reads"):
                write(text_only, "slake", asked, shown, None)


def test_asking_for_plain_text_changes_nothing() -> None:
    asked = Prompting(chat_template=PLAIN_TEXT, system_prompt="SYS")
    plain = prompt_style_for(entry("llava-v0"), asked=asked)
    assert written(render(plain, "slake", LUNG, [BONE], None)) == DEFAULT["llava-v0"][1]


words = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: not any(one in text for one in CONTROL)
)


@pytest.mark.parametrize("family", DEFAULT)
@given(text=words, options=st.lists(words, min_size=2, max_size=4), format=st.none() | st.integers(0, 500))
def test_nothing_of_a_question_is_lost(
    family: FamilyName, text: str, options: list[str], format: int | None
) -> None:
    question = Question("x", text.strip(), tuple(options), 0, pictures=(P1,))
    prompt = render(style(family), "own", question, [BONE], format)
    rest = str(prompt).split("<image>" if "flamingo" in family else "bone broken?", 1)[1]
    for one in (question.text, *options):
        assert one in rest
        rest = rest[rest.index(one) + len(one) :]
    assert prompt.pictures == (P2, P1)
