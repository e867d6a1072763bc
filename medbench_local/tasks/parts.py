"""Which questions of a file belong to which split, where the files themselves do not say."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from medbench_local.tasks.question import Question

SPLIT_SEED = 42
"""Seed of the splits that the study makes itself."""

ARTIFICIAL_TRAIN = 200_000
"""Artificial PubMedQA questions before the official splitter's cut; the study joins both sides again."""

Questions = Sequence[Question]
Item = TypeVar("Item")


def one_fifth(questions: Questions) -> list[Question]:
    """The validation part of MedMCQA's train questions: the first fifth of a permutation with seed 42."""
    return _permuted(questions)[: math.ceil(0.2 * len(questions))]


def four_fifths(questions: Questions) -> list[Question]:
    """The demonstrations among MedMCQA's train questions: what `one_fifth` leaves, as permuted."""
    return _permuted(questions)[math.ceil(0.2 * len(questions)) :]


def pubmedqa_artificial(questions: Questions) -> list[Question]:
    """PubMedQA's artificial questions in the order of the official splitter, train before dev."""
    order = list(range(len(questions)))
    random.Random(0).shuffle(order)
    return [questions[index] for index in order]


def pubmedqa_test(questions: Questions) -> list[Question]:
    """The official 500 of PubMedQA's 1,000 labelled questions, in the official order."""
    return _labelled(questions)[0]


def pubmedqa_train(questions: Questions) -> list[Question]:
    """The 450 questions that cross-validation fold 0 trains on."""
    return _labelled(questions)[1]


def pubmedqa_dev(questions: Questions) -> list[Question]:
    """The 50 questions that cross-validation fold 0 holds out."""
    return _labelled(questions)[2]


def pubmedqa_validation(questions: Questions) -> list[Question]:
    """Fold 0 as a whole: its 450, then its 50."""
    _, train, dev = _labelled(questions)
    return train + dev


def one_fifth_as_scikit_learn(items: Sequence[Item]) -> list[Item]:
    """The test part of scikit-learn's ``train_test_split(items, test_size=0.2, random_state=42)``."""
    order = np.random.RandomState(SPLIT_SEED).permutation(len(items))
    return [items[index] for index in order[: math.ceil(0.2 * len(items))]]


def as_datasets(items: Sequence[Item], train: int) -> tuple[list[Item], list[Item]]:
    """Both parts of ``train_test_split(train_size=train, seed=42)`` of the hub's library ``datasets``: train, test."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(items))
    rest = len(items) - train
    return [items[index] for index in order[rest:]], [items[index] for index in order[:rest]]


PARTS: dict[str, Callable[[Questions], list[Question]]] = {
    "all": list,
    "four-fifths": four_fifths,
    "one-fifth": one_fifth,
    "pubmedqa-artificial": pubmedqa_artificial,
    "pubmedqa-validation": pubmedqa_validation,
    "pubmedqa-train": pubmedqa_train,
    "pubmedqa-dev": pubmedqa_dev,
    "pubmedqa-test": pubmedqa_test,
}
"""The catalog's names of the parts of text; data sets with pictures have theirs in their readers."""


def _permuted(questions: Questions) -> list[Question]:
    order = np.random.default_rng(SPLIT_SEED).permutation(len(questions))
    return [questions[index] for index in order]


def _labelled(questions: Questions) -> tuple[list[Question], list[Question], list[Question]]:
    """Test, fold 0's train and fold 0's dev questions, dealt out as the official splitter does (seed 0)."""
    dice = random.Random(0)
    cross_validation, test = _deal(questions, 2, dice)
    dev, *others = _deal(cross_validation, 10, dice)
    return test, [question for fold in others for question in fold], dev


def _deal(questions: Questions, count: int, dice: random.Random) -> list[list[Question]]:
    """Deal ``questions`` into ``count`` piles with nearly the same share of each answer."""
    piles: list[list[Question]] = [[] for _ in range(count)]
    for answer in range(3):
        same = [question for question in questions if question.answer == answer]
        dice.shuffle(same)
        size = math.ceil(len(same) / count)
        for index, pile in enumerate(piles):
            pile += same[index * size : (index + 1) * size]
    if len(piles[-1]) != len(piles[0]):
        for pile in piles[:-1]:
            if pile:
                piles[-1].append(pile.pop(dice.randrange(len(pile))))
    return piles
