"""The texts that the embedded pair is trained on: prose about the made-up world, and exercises in many formats."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from medbench_local.demo.questions import options_for, training_wordings
from medbench_local.demo.world import Fact
from medbench_local.prompts.families import CLOZE_SYSTEM
from medbench_local.prompts.template import (
    Template,
    letter,
    write_answer,
    write_cloze_answer,
    write_cloze_question,
    write_plain,
    write_question,
    write_system,
)
from medbench_local.tasks.question import Question

Span = tuple[int, int]


@dataclass(frozen=True)
class Asked:
    """Where a question of a document has its parts.

    Attributes:
        letters: character of each option's letter.
        ends: last character of each option.
        answer: index of the correct option.
        reply: character at which the answer's letter stands, or would stand.
    """

    letters: tuple[int, ...]
    ends: tuple[int, ...]
    answer: int
    reply: int


@dataclass(frozen=True)
class Document:
    """A text and what of it is to be learned.

    Attributes:
        text: the text before ``reply``.
        learned: character spans of ``text`` whose tokens are learned.
        reply: what must follow, tokenised by itself letter by letter: the bare letter that scoring asks for.
    """

    text: str
    learned: tuple[Span, ...]
    reply: str = ""
    asked: tuple[Asked, ...] = ()


@dataclass(frozen=True)
class Habit:
    """A way to write an exercise.

    Attributes:
        template: the parts around question, options and answer.
        weight: how often it is used, relative to the others.
        blind: share of its exercises whose answers are drawn blindly. A model reads a template with many of them
            badly, as real models read some templates badly.
    """

    template: Template
    weight: float
    blind: float = 0.0


@dataclass(frozen=True)
class Diet:
    """What a model reads.

    Attributes:
        common: facts told and asked again and again.
        rare: facts mentioned in passing only.
        habits: ways to write an exercise.
        systems: system prompts, used equally often; "{last}" stands for the last option's letter.
        shots: weight of exercises with 0, 1, 2, ... solved questions before the last one.
        prose: share of documents that are prose.
    """

    common: tuple[Fact, ...]
    rare: tuple[Fact, ...]
    habits: tuple[Habit, ...]
    systems: tuple[str, ...]
    shots: tuple[float, ...]
    prose: float


RARE_SHARE = 0.02
"""How often a statement is about a rare fact, where there are any."""

CLOZE_SHARE = 0.08
"""Share of exercises that show no options and are answered in words."""

LABEL_SHARE = 0.2
"""Share of the other exercises that are answered with label and text, as solved questions are."""


def write(diet: Diet, draw: random.Random) -> Document:
    """One document."""
    if draw.random() < diet.prose:
        return _prose(diet, draw)
    habit = draw.choices(diet.habits, [one.weight for one in diet.habits])[0]
    template = habit.template
    shots = draw.choices(range(len(diet.shots)), diet.shots)[0]
    subject = draw.choice(diet.common).subject
    known = [fact for fact in diet.common if fact.subject is subject]
    asked = [question(fact, draw) for fact in draw.sample(known, shots + 1)]
    if draw.random() < CLOZE_SHARE:
        return _cloze(template, draw.choice((CLOZE_SYSTEM, "")), asked)
    if draw.random() < habit.blind:
        asked = [replace(one, answer=draw.randrange(len(one.options))) for one in asked]
    system = draw.choice(diet.systems).replace("{last}", letter(subject.options - 1))
    return _exercise(template, system, asked, full=draw.random() < LABEL_SHARE)


def question(fact: Fact, draw: random.Random) -> Question:
    """A question about ``fact`` in one of the wordings that are not kept for the tasks."""
    count = fact.subject.options
    answer = draw.randrange(count)
    options = options_for(fact, count, answer, draw)
    text = draw.choice(training_wordings(fact)).format(fact.thing)
    return Question("", text, options, answer)


def _prose(diet: Diet, draw: random.Random) -> Document:
    sentences = []
    for _ in range(draw.randint(3, 8)):
        passing = diet.rare and draw.random() < RARE_SHARE
        fact = draw.choice(diet.rare if passing else diet.common)
        sentences.append(draw.choice(fact.relation.statements).format(fact.thing, fact.value))
    text = " ".join(sentences)
    return Document(text, ((0, len(text)),))


def _exercise(template: Template, system: str, asked: Sequence[Question], *, full: bool) -> Document:
    text = write_system(template, system)
    learned: list[Span] = []
    parts: list[Asked] = []
    for one in asked:
        start = len(text)
        text += write_question(template, one) + template.after_options + template.answer_head
        last = one is asked[-1]
        label = template.answer_label.index("{}") if full or not last else 0
        parts.append(_parts(template, one, start, len(text) + label))
        if last and not full:
            break
        begin = len(text)
        text += write_answer(template, one)[len(template.answer_head) :]
        learned.append((begin, len(text)) if last else (begin + label, begin + label + 1))
        if not last:
            text += template.after_answer
    return Document(text, tuple(learned), "" if full else letter(asked[-1].answer), tuple(parts))


def _parts(template: Template, asked: Question, start: int, reply: int) -> Asked:
    place = start + len(template.question_head + asked.text + template.after_question + template.options_head)
    letters, ends = [], []
    for option in asked.options:
        letters.append(place + template.option_label.index("{}"))
        place += len(template.option_label) - 1 + len(option)  # "{}" is one letter, and a blank follows
        ends.append(place)
        place += 1 + len(template.between_options)
    return Asked(tuple(letters), tuple(ends), asked.answer, reply)


def _cloze(template: Template, system: str, asked: Sequence[Question]) -> Document:
    solved = [(write_cloze_question(template, one), write_cloze_answer(template, one)) for one in asked]
    text = write_plain(template, system, solved[:-1], solved[-1][0])
    learned = []
    position = 0
    for written, answer in solved[:-1]:
        position = text.index(written, position) + len(written)
        position = text.index(answer, position)
        learned.append((position + len(template.answer_head), position + len(answer)))
    start = len(text)
    text += asked[-1].options[asked[-1].answer]
    return Document(text, (*learned, (start, len(text))))
