"""A way to write questions and answers, as data, and how questions and answers are written with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medbench_local.tasks.question import LETTERS, Question


@dataclass(frozen=True)
class Template:
    """The pieces that a prompt is put together from, in the order in which they appear.

    Attributes:
        before_system: before the system prompt; used only where there is one.
        after_system: between the system prompt and the first question.
        question_head: before the question's text.
        after_question: between the question's text and the options.
        options_head: before the first option.
        option_label: how an option is labelled in the list; "{}" stands for its letter; "" for no label.
        between_options: between two options.
        options_tail: behind the last option, part of the question.
        after_options: between the question and its answer.
        answer_head: before the answer; the prompt ends with it.
        answer_label: how an answer names its option; "{}" stands for the letter; "" for no label.
        answer_text: whether the option's text follows the label in an answer, after a blank if there is a label.
        after_answer: between a demonstration's answer and the next question.
        stop: the heads at which a generated answer has ended.
    """

    before_system: str
    after_system: str
    question_head: str
    after_question: str
    options_head: str
    option_label: str
    between_options: str
    after_options: str
    answer_head: str
    answer_label: str
    answer_text: bool
    after_answer: str
    stop: tuple[str, ...]
    options_tail: str = ""


def letter(index: int) -> str:
    """The letter of the option at ``index``: A, B, ...; at most 26 options."""
    return LETTERS[index]


def labels(template: Template, options: Sequence[str]) -> tuple[str, ...]:
    """The labels of ``options`` as an answer writes them ("(A)", "A."), or the options where it writes none."""
    label = template.answer_label
    return tuple(label.replace("{}", letter(i)) if label else option for i, option in enumerate(options))


def write_question(template: Template, question: Question) -> str:
    """The question with its options; nothing follows the last option but what closes the list."""
    label = f"{template.option_label} " if template.option_label else ""
    options = (label.replace("{}", letter(i)) + option for i, option in enumerate(question.options))
    listed = template.options_head + template.between_options.join(options) + template.options_tail
    return template.question_head + question.text + template.after_question + listed


def write_answer(template: Template, question: Question) -> str:
    """The solved question's answer, head included; nothing follows it."""
    label = template.answer_label.replace("{}", letter(question.answer))
    text = question.options[question.answer] if template.answer_text else ""
    return template.answer_head + label + (" " if label and template.answer_text else "") + text


def write_cloze_question(template: Template, question: Question) -> str:
    """The question alone: no options are shown."""
    return template.question_head + question.text


def write_cloze_answer(template: Template, question: Question) -> str:
    """The solved question's answer in words: the option's text without a label."""
    return template.answer_head + question.options[question.answer]


def write_system(template: Template, system: str) -> str:
    """The system prompt at the head of a plain prompt, or "" if it is empty."""
    return template.before_system + system + template.after_system if system else ""


def write_plain(template: Template, system: str, solved: Sequence[tuple[str, str]], asked: str) -> str:
    """A whole prompt in plain text.

    Args:
        template: the pieces.
        system: the system prompt, or "" for none.
        solved: question and answer of each demonstration, as `write_question` and `write_answer` give them.
        asked: the question to answer.
    """
    between = template.after_options
    shown = (f"{question}{between}{answer}{template.after_answer}" for question, answer in solved)
    return write_system(template, system) + "".join(shown) + asked + between + template.answer_head
