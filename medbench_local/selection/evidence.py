"""Can a candidate still overtake another? The paired evidence, exact and statistical."""

from __future__ import annotations


def overtaking_p_value(ahead: int, behind: int, unseen: int, *, needs: int) -> float:
    """How surprising the discordant questions seen so far are if one candidate ends at or above another.

    Two candidates, the leader and the challenger, are compared on a finite set of questions, of which a
    random sample without replacement has been seen. Only questions that exactly one of them answers correctly
    matter. If there are D of them in the whole set, the challenger ends level or above only if at least
    ceil(D / 2) are its own (one more for strictly above, D even); the number of its own among the d seen ones
    is then hypergeometric. D is unknown, between d and d + unseen; the tail is largest at the upper end, up to
    parity. This is the sign test (exact McNemar test) for a finite population. A p-value of 0 is certainty: no
    outcome of the unseen questions lets the challenger through.

    Args:
        ahead: seen questions that only the leader answers correctly.
        behind: seen questions that only the challenger answers correctly.
        unseen: questions of the set not seen yet.
        needs: 0 if a tie at the end is enough for the challenger (it comes first in evaluation order), 1 if
            it must end strictly above.

    Returns:
        Upper bound, over every possible completion that lets the challenger through, of the probability that
        a random sample shows ``behind`` or fewer of its questions.
    """
    seen = ahead + behind
    if not seen:
        return 1.0 if unseen >= needs else 0.0
    from scipy.stats import hypergeom  # slow to import

    worst = 0.0
    for discordant in range(max(seen, seen + unseen - 1), seen + unseen + 1):
        own = (discordant + needs + 1) // 2
        worst = max(worst, float(hypergeom.cdf(behind, discordant, own, seen)))
    return worst
