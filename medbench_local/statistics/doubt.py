"""Whether so few questions can carry a verdict, and the sentence that says so, one for runs and for files."""

from __future__ import annotations

from typing import Literal

from medbench_local.statistics.paired import Verdict
from medbench_local.statistics.significance import mcnemar_exact

Doubt = Literal["too few questions", "exact test"]


def doubt(verdict: Verdict, n: int, mcnemar_p: float, *, confidence: float) -> Doubt | None:
    """Why a verdict of the paired bootstrap is not to be relied on.

    The percentile bootstrap is only as wide as the data: where a few questions all differ in the same way, its
    interval shrinks to a point. The exact test is not deceived by that.

    Args:
        verdict: of the bootstrap.
        n: number of questions, at least 1.
        mcnemar_p: exact, two-sided, of the same questions.
        confidence: of the bootstrap's interval, between 0 and 1.

    Returns:
        "too few questions": even if all ``n`` differed in the same way, p would be above 1 - ``confidence``; at 95 %,
        fewer than 6. "exact test": a win or a loss, but p is above 1 - ``confidence``. None: neither.

    Examples:
        >>> doubt("win", 5, 0.0625, confidence=0.95)
        'too few questions'
        >>> doubt("win", 1273, 0.01, confidence=0.95) is None
        True
    """
    level = 1 - confidence
    if 2.0 ** (1 - n) > level:  # what `mcnemar_exact` of (n, 0) is: reports are printed without scipy
        return "too few questions"
    return "exact test" if verdict != "tie" and mcnemar_p > level else None


def doubt_said(
    name: str, verdict: Verdict, n: int, medical_only: int, base_only: int, *, confidence: float
) -> str | None:
    """Why a verdict is not to be relied on, as `doubt` finds it, in a sentence; None if it is.

    Args:
        name: what the verdict is about.
        verdict: of the bootstrap.
        n: number of questions.
        medical_only, base_only: questions that only one side answers correctly.
        confidence: of the bootstrap's interval.
    """
    p = mcnemar_exact(medical_only, base_only)
    reason = doubt(verdict, n, p, confidence=confidence)
    if reason is None:
        return None
    level = f"{1 - confidence:.3g}"
    parts = [f"{name}:"]
    if verdict != "tie":
        parts.append(
            f"the {verdict} rests on {medical_only + base_only} of {n:,} questions (exact McNemar p = {p:.2g}, above "
            f"{level}): too few to rely on."
        )
    if reason == "too few questions":
        parts.append(
            f"{n} {'question' if n == 1 else 'questions'} cannot show a difference: even if all of them differed in "
            f"the same way, the exact McNemar p would be {mcnemar_exact(n, 0):.2g}, above {level}."
        )
    return " ".join(parts)
