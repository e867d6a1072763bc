"""Whether a generated text runs in a circle."""

from __future__ import annotations

from collections.abc import Sequence


def repeats(tokens: Sequence[int], *, times: int = 4, longest: int = 256) -> bool:
    """Whether a text ends in a loop: a piece of up to ``longest`` tokens, at least ``times`` times in a row.

    Pieces shorter than 8 tokens must fill 32 tokens: a table's dashes are no loop.
    """
    for period in range(1, min(longest, len(tokens) // times) + 1):
        span = max(times * period, min(32, len(tokens)))
        if span > len(tokens) or span < 32:
            continue
        end = tokens[-span:]
        if all(end[i] == end[i - period] for i in range(period, span)):
            return True
    return False
