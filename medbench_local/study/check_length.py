"""How long the check against full precision is, before it is made."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from medbench_local.statistics.verification import closest_count, expected_share, looks
from medbench_local.study.cell_verification import LEAST_AHEAD
from medbench_local.study.decoding import NONE, Number


@dataclass(frozen=True)
class CheckLength:
    """Of one model in one comparison, at one precision.

    Attributes:
        questions: that are asked again.
        visits: how often the model begins with the comparison, or goes on with it after others.
        calls: in how many goes questions are asked.
    """

    questions: Number
    visits: Number
    calls: Number


NOTHING = CheckLength(NONE, NONE, NONE)


def check_length(questions: int, *, everything: bool, share: float = 1.0, ranked: bool = True) -> CheckLength:
    """The length of a check.

    Args:
        questions: test questions of the comparison.
        everything: all of them are asked, whatever the first ones say.
        share: most of them that are asked; see `medbench_local.study.cell_verification.CellVerification`.
        ranked: whether the questions with the closest choices come first.
    """
    if not questions:
        return NOTHING
    if everything:
        return CheckLength(Number(questions, questions), Number(1, 1), Number(1, 1))
    first = closest_count(questions) if ranked else 0
    rest = questions - first
    within = share * questions - first if first <= share * questions / 2 else share * rest
    stops = [stop for stop in looks(questions, rest) if share == 1 or stop <= within]
    stops = stops or list(looks(questions, rest)[:1])
    most = first + stops[-1]
    expected = min(most, round(questions * expected_share(questions)))
    # Going first, a model answers twice as far each round; it follows the other one look by look.
    rounds = 1 + sum(1 for _ in _rounds(first, most))
    seen = max(1, ceil(len(stops) * expected / max(most, 1)))
    return CheckLength(
        questions=Number(expected, most),
        visits=Number(1 if expected <= max(first, LEAST_AHEAD) else 2, 2 * rounds),
        calls=Number(seen, len(stops) + rounds),
    )


def _rounds(first: int, most: int) -> list[int]:
    """Where the rounds after the first one begin."""
    done, found = max(first, 1), []
    while done < most:
        found.append(done)
        done = max(2 * done, done + LEAST_AHEAD)
    return found
