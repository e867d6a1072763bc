"""Multiple-choice questions about the made-up world: those of the demo tasks, and those that train.

A fact can be asked in nine ways. Six of them, different ones from fact to fact, are kept for the tasks; training
uses the other three. So every question of a task is one whose wording about that thing no model has read, with
options drawn anew.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

from medbench_local.demo.world import SEED, Fact, Subject, facts
from medbench_local.tasks.question import SplitName

SIZES: dict[SplitName, int] = {"demonstrations": 20, "validation": 100, "test": 300}
"""Questions in each split of a demo task."""

Row = dict[str, object]
"""One line of a task's file: id, question, options, answer (index of the correct option)."""


KEPT = 6
"""Ways of asking a fact that only the tasks use."""


def kept_wordings(fact: Fact) -> tuple[str, ...]:
    """The ways of asking ``fact`` that only the tasks use."""
    draw = random.Random(f"{SEED}-{fact.relation.name}-{fact.thing}")
    return tuple(draw.sample(fact.relation.questions, KEPT))


def training_wordings(fact: Fact) -> tuple[str, ...]:
    """The ways of asking ``fact`` that training uses."""
    kept = kept_wordings(fact)
    return tuple(wording for wording in fact.relation.questions if wording not in kept)


def options_for(fact: Fact, count: int, answer: int, draw: random.Random) -> tuple[str, ...]:
    """``count`` options for ``fact``, the correct one at index ``answer``, the others drawn from its relation."""
    others = [value for value in fact.relation.values if value != fact.value]
    options = draw.sample(others, count - 1)
    options.insert(answer, fact.value)
    return tuple(options)


def task_rows(subject: Subject) -> dict[SplitName, list[Row]]:
    """The questions of the demo task about ``subject``, by split.

    No wording is used twice for the same thing, the facts of the demonstrations are asked in no other split, and
    the correct option stands equally often at each place.
    """
    draw = random.Random(f"{SEED}-task-{subject.name}")
    known = list(facts(subject))
    draw.shuffle(known)
    solved = math.ceil(SIZES["demonstrations"] / KEPT)
    demonstrations = _asked(known[:solved])[: SIZES["demonstrations"]]
    asked = _asked(known[solved:])
    draw.shuffle(demonstrations)
    draw.shuffle(asked)
    cut = SIZES["validation"]
    chosen: dict[SplitName, list[tuple[Fact, str]]] = {
        "demonstrations": demonstrations,
        "validation": asked[:cut],
        "test": asked[cut : cut + SIZES["test"]],
    }
    return {split: _rows(subject, split, asked, draw) for split, asked in chosen.items()}


def _asked(known: Iterable[Fact]) -> list[tuple[Fact, str]]:
    return [(fact, wording) for fact in known for wording in kept_wordings(fact)]


def _rows(
    subject: Subject, split: SplitName, asked: list[tuple[Fact, str]], draw: random.Random
) -> list[Row]:
    answers = [number % subject.options for number in range(len(asked))]
    draw.shuffle(answers)
    return [
        {
            "id": f"{subject.name}-{split}-{number}",
            "question": wording.format(fact.thing),
            "options": list(options_for(fact, subject.options, answer, draw)),
            "answer": answer,
        }
        for number, ((fact, wording), answer) in enumerate(zip(asked, answers, strict=True))
    ]
