"""The grammar of prompt formats: a seed draws one way to write questions, options and answers.

The lists and the order of the draws are those of Jeong et al. (EMNLP 2024), who follow Sclar et al. (ICLR
2024, "Quantifying Language Models' Sensitivity to Spurious Features in Prompt Design"); the same seed gives
the same format as in the study.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from medbench_local.prompts.template import Template

Casing = Literal["as is", "title", "upper", "lower", "heading", "bold"]

SPACES = ("\n", "\n\n", " || ", " ")
SEPARATORS = (
    *(": ", " : ", " :: ", ":\n"),
    *("= ", " = ", " == ", "=\n"),
    *(" - ", " -- ", " --- "),
    *("\n", "\n\n"),
)
OPTION_SPACES = ("\n", "\n\n", "; ", ";\n", ";\n\n", " || ", " ", ", ")
CASINGS: tuple[Casing, ...] = ("as is", "title", "upper", "lower", "heading", "bold")
QUESTION_DESCRIPTORS = ("", "Question")
OPTION_DESCRIPTORS = ("", "Options", "Choices")
NUMBERINGS = ("letters",)
WRAPPERS = ("({})", "{}.", "{})", "{} )", "[{}]", "<{}>")
ANSWER_DESCRIPTORS = ("Answer", "The answer is")


@dataclass(frozen=True)
class Format:
    """One point of the grammar.

    Attributes:
        space: between blocks (question, options, answer, next question).
        separator: between a descriptor and what it describes.
        option_space: between options.
        casing: how descriptors are written.
        question_descriptor: "Question" or "" for none.
        option_descriptor: "Options", "Choices" or "" for none.
        wrapper: how an option's letter is written; "{}" stands for the letter.
        answer_descriptor: "Answer" or "The answer is".
    """

    space: str
    separator: str
    option_space: str
    casing: Casing
    question_descriptor: str
    option_descriptor: str
    wrapper: str
    answer_descriptor: str

    @property
    def question_head(self) -> str:
        """What stands before the question, "" if the format has no descriptor for it."""
        return self._head(self.question_descriptor)

    @property
    def options_head(self) -> str:
        """What stands before the options, "" if the format has no descriptor for them."""
        return self._head(self.option_descriptor)

    @property
    def answer_head(self) -> str:
        """What stands before the answer; never empty."""
        return self._head(self.answer_descriptor)

    def template(self) -> Template:
        """The pieces that a prompt in this format is put together from."""
        heads = (self.question_head, self.options_head, self.answer_head)
        return Template(
            before_system="",
            after_system=self.space,
            question_head=self.question_head,
            after_question=self.space,
            options_head=self.options_head,
            option_label=self.wrapper,
            between_options=self.option_space,
            after_options=self.space,
            answer_head=self.answer_head,
            answer_label=self.wrapper,
            answer_text=True,
            after_answer=self.space,
            stop=tuple(head for head in heads if head),
        )

    def _head(self, descriptor: str) -> str:
        return _cased(descriptor, self.casing) + self.separator if descriptor else ""


def _cased(text: str, casing: Casing) -> str:
    return {
        "as is": text,
        "title": text.title(),
        "upper": text.upper(),
        "lower": text.lower(),
        "heading": f"### {text}",
        "bold": f"**{text}**",
    }[casing]


@lru_cache(maxsize=1024)
def sample_format(seed: int) -> Format:
    """The format that ``seed`` draws.

    One uniform choice each, in a fixed order: space, separator, option space, casing, question descriptor,
    option descriptor, numbering, wrapper, answer descriptor. Blocks separated without a line break admit only
    separators and option spaces without one.
    """
    draw = random.Random(seed).choice
    space = draw(SPACES)
    one_line = "\n" not in space
    separator = draw([s for s in SEPARATORS if not (one_line and "\n" in s)])
    option_space = draw([s for s in OPTION_SPACES if not (one_line and "\n" in s)])
    casing = draw(CASINGS)
    question_descriptor = draw(QUESTION_DESCRIPTORS)
    option_descriptor = draw(OPTION_DESCRIPTORS)
    draw(NUMBERINGS)  # a choice of one, but it moves the generator on
    return Format(
        space=space,
        separator=separator,
        option_space=option_space,
        casing=casing,
        question_descriptor=question_descriptor,
        option_descriptor=option_descriptor,
        wrapper=draw(WRAPPERS),
        answer_descriptor=draw(ANSWER_DESCRIPTORS),
    )
