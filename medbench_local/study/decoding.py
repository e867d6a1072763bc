"""How many tokens an engine decodes for prompts of known lengths: what `medbench_local.engine` does, in numbers.

The beginning that prompts share is decoded once and stays, but for its last rows where a question behind it is so short
that no decode may be as small (`medbench_local.engine.prefix`); those are decoded with each such question, and once
more where a pack begins with a longer one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medbench_local.engine.base import TOKENS_PER_PACK

Numbers = NDArray[np.float64]

SURE = 4.0
"""Standard errors by which a mean over a sample of questions may be off the mean over all of them."""

_UNSURE_SHARE = 0.1
"""By which the share of the prompts that fit may be larger than in a sample."""

_ROOMS = 1024.0
"""Tokens that an engine has room for when it is loaded; it grows by half, and decodes a prefix anew each time."""


@dataclass(frozen=True)
class Number:
    """A number that is planned.

    Attributes:
        expected: what it will be, about.
        most: what it will not be above.
    """

    expected: float = 0.0
    most: float = 0.0

    def __add__(self, other: Number) -> Number:
        return Number(self.expected + other.expected, self.most + other.most)

    def times(self, expected: float, most: float | None = None) -> Number:
        """So often, or so often at most."""
        return Number(self.expected * expected, self.most * (expected if most is None else most))


NONE = Number()
"""Nothing."""


@dataclass(frozen=True)
class Way:
    """How prompts are decoded.

    Attributes:
        least: fewest rows of a decode.
        together: texts that are written at once; 0 where options are scored.
        stateful: whether the model has a running state, so that every option is decoded by itself.
    """

    least: int
    together: int = 0
    stateful: bool = False


@dataclass(frozen=True)
class Lengths:
    """Tokens of the prompts of one candidate, of a sample of the questions.

    Attributes:
        prefixes: shape (n,), of the beginning that each shares with all that have as many demonstrations.
        contexts: shape (n,), of the prompts.
        behind: shape (n,), of what is decoded behind them, and is known: the options.
        branches: shape (n,), options of more than one token.
        asked: share of the sample that fits the context, and is these.
        complete: whether the sample is all there is.
    """

    prefixes: Numbers
    contexts: Numbers
    behind: Numbers
    branches: Numbers
    asked: float = 1.0
    complete: bool = False

    @property
    def prefix(self) -> float:
        """Tokens of the beginnings, each once."""
        return float(np.unique(self.prefixes).sum())

    def longer(self, tokens: float, behind: float, prefix: float) -> Lengths:
        """Prompts of another candidate, which differ from these by about as much, each of them."""
        return replace(
            self,
            prefixes=np.maximum(self.prefixes + prefix, 0),
            contexts=np.maximum(self.contexts + tokens, 1),
            behind=np.maximum(self.behind + behind, 0),
        )

    def held(self, way: Way) -> Numbers:
        """Shape (n,), tokens of each prompt that were decoded before it."""
        if way.stateful:
            short = (self.contexts - self.prefixes).min(initial=np.inf) < way.least
            held = self.prefixes - (way.least if short else 0)
        else:
            held = np.minimum(self.prefixes, self.contexts - way.least)
        return np.where(held >= way.least, held, 0.0)

    def a_question(self, way: Way, total: int) -> Number:
        """Tokens decoded for one of ``total`` questions, on average, without those that the model writes."""
        if not self.contexts.size:
            return NONE
        held = self.held(way)
        rows = self.contexts - held + self.behind
        most = rows
        if way.together:  # texts that are written together hold as much as the shortest prompt allows
            most = self.contexts - held.min() + self.behind
        if way.stateful:
            rows = rows + self.branches * way.least
            most = rows + (self.branches + 1) * way.least
        unsure = 0.0
        if not self.complete and rows.size < total:
            left = 1 - rows.size / total
            unsure = SURE * float(most.std()) / np.sqrt(rows.size) * np.sqrt(left) + 2
        share = self.asked if self.complete else min(1.0, self.asked + _UNSURE_SHARE)
        return Number(self.asked * float(rows.mean()), share * (float(most.mean()) + unsure))

    def packs(self, way: Way, written: Number, questions: float, calls: float) -> Number:
        """How many packs so many questions are, or groups that are written together.

        Args:
            way: how.
            written: tokens that the model writes, at most.
            questions: that are asked.
            calls: in so many goes.
        """
        if not self.contexts.size or not questions:
            return NONE
        if way.together:
            return Number(max(calls, questions / way.together), calls + questions)
        new = self.contexts - self.prefixes + self.behind + written.most
        mean, longest = float(new.mean()), float(new.max())
        filled = max(TOKENS_PER_PACK - mean / 2, mean)
        return Number(
            calls + max(0.0, questions * mean / filled - calls / 2),
            calls + 2 * questions * min(longest, TOKENS_PER_PACK) / TOKENS_PER_PACK + 1,
        )

    def again(self, way: Way, pack: float) -> Number:
        """Tokens of the prefix that are decoded again where a pack of ``pack`` questions begins."""
        if not self.contexts.size or way.stateful:
            return NONE
        held, prefixes = self.held(way), self.prefixes
        usable = np.where(prefixes >= way.least, prefixes, 0.0)
        emptied = float(((held == 0) & (usable > 0)).mean())
        shortened = float(((held < usable) & (held > 0)).mean())
        longest = float(usable.max(initial=0.0))
        if not longest:
            return NONE
        expected = longest * _any_of(emptied, pack) * (emptied < 1) + way.least * _any_of(shortened, pack)
        if self.complete and not emptied and not shortened:
            return Number(expected, 0.0)
        return Number(expected, longest if emptied or longest < 2 * way.least else float(way.least))

    def begun(self, way: Way) -> float:
        """Tokens of the prefix that are decoded where a candidate is come back to, at most."""
        usable = np.unique(self.prefixes)
        return float(usable[usable >= way.least].sum())

    def growths(self, written: Number, together: int = 1) -> float:
        """How often room has to be made in an engine, at most."""
        if not self.contexts.size:
            return 0.0
        own = float((self.contexts - self.prefixes + self.behind).max()) + written.most
        needed = float(self.prefixes.max()) + max(together, 1) * own
        return 0.0 if needed <= _ROOMS else float(np.ceil(np.log(needed / _ROOMS) / np.log(1.5)) + 1)


def _any_of(share: float, count: float) -> float:
    """Probability that there is one among ``count`` where a share of all is so."""
    return float(1 - (1 - share) ** max(count, 1))
