"""Questions of made-up words, of about the length of real ones."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

SYLLABLES = ("ka", "lo", "mi", "ter", "vas", "nu", "pre", "sin", "do", "gra")


def made_up_text(dice: random.Random, words: int) -> str:
    """So many words of two syllables."""
    return " ".join("".join(dice.choices(SYLLABLES, k=2)) for _ in range(words))


def write_questions(
    folder: Path,
    dice: random.Random,
    splits: Mapping[str, int],
    *,
    words: int,
    options: int,
    words_of_an_option: int,
) -> None:
    """Write a task of one's own, a file a split.

    Args:
        folder: is there.
        dice: draws the words.
        splits: how many questions each has.
        words: of a question.
        options: of a question.
        words_of_an_option: of each.
    """
    for split, count in splits.items():
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                row = {
                    "id": f"{split}-{number}",
                    "question": f"{made_up_text(dice, words)} {number}?",
                    "options": [f"{made_up_text(dice, words_of_an_option)} {i}" for i in range(options)],
                    "answer": dice.randrange(options),
                }
                file.write(json.dumps(row) + "\n")
