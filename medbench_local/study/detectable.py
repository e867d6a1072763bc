"""Said before anything is computed: which differences so many questions are likely to miss."""

from __future__ import annotations

from collections.abc import Mapping

from medbench_local.statistics.significance import minimum_detectable_difference
from medbench_local.text import listed

USUAL_DISCORDANCE = (0.2, 0.5)
"""Shares of the questions that one of two models alone answers correctly: of near relatives, and of models that hardly
have anything in common."""


def detectable_beforehand(questions: Mapping[str, int], *, confidence: float) -> str:
    """One sentence, with the span of every number of questions.

    Args:
        questions: how many test questions of each task are asked, by the task's id; at least 1.
        confidence: of the interval behind a verdict, between 0 and 1.
    """
    tasks: dict[int, list[str]] = {}
    for task, count in questions.items():
        tasks.setdefault(count, []).append(task)
    few, many = (f"{share * 100:.0f}" for share in USUAL_DISCORDANCE)
    spans = []
    for count, names in tasks.items():
        low, high = (
            minimum_detectable_difference(count, share, alpha=1 - confidence) * 100
            for share in USUAL_DISCORDANCE
        )
        counted = "1 question" if count == 1 else f"{count:,} questions"
        each = "each of " if len(names) > 1 else ""
        spans.append(f"{low:.1f} to {high:.1f} points with {counted} of {each}{listed(names)}")
    return (
        f"To be found with 80 % probability, a true difference has to be about {'; '.join(spans)} (where one model "
        f"alone answers {few} to {many} % of them). Smaller ones are likely to be missed."
    )
