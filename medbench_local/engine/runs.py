"""Token lists cut into runs that are decoded apart: text, and pictures whose rows are no tokens.

llama.cpp takes tokens or rows of numbers in one decode, not both. So every picture is a decode of its own, and so is
the text between two of them, however short: whether a prefix is cached or not, the cuts are the same and so are the
bits. Models that read text only, or look at pictures from within (`medbench_local.engine.residual`), have one run.

Kernels differ for few rows (`medbench_local.engine.prefix`): a run of at least ``least`` rows may be decoded in parts
of that many; a shorter one is always decoded whole and alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from medbench_local.engine.base import Tokens
from medbench_local.engine.packs import shared_length


@dataclass(frozen=True)
class Runs:
    """How one model's token lists are cut.

    Attributes:
        vocabulary: ids from here on stand for pictures.
        rows: of a picture, an id each, that are decoded apart from tokens; 0 if nothing is.
        whole: whether a picture must be one decode, because its rows look at each other.
    """

    vocabulary: int
    rows: int = 0
    whole: bool = False

    def borders(self, tokens: Sequence[int]) -> list[int]:
        """Where runs begin, and the end: ascending, the first one 0."""
        end = len(tokens)
        if not self.rows or not end or max(tokens) < self.vocabulary:
            return [0, end]
        kinds = [max(token - self.vocabulary, -1) // self.rows for token in tokens]
        return [0, *(i for i in range(1, end) if kinds[i] != kinds[i - 1]), end]

    def split(self, tokens: Sequence[int]) -> Iterator[Sequence[int]]:
        """The runs, none empty."""
        borders = self.borders(tokens)
        return (tokens[a:b] for a, b in pairwise(borders) if a < b)

    def last(self, tokens: Sequence[int]) -> int:
        """Where the last run begins."""
        return self.borders(tokens)[-2]

    def rest(self, tokens: Sequence[int], wanted: int, least: int) -> int:
        """The last place, at most ``wanted``, where the first tokens may end that are decoded before the others.

        Args:
            tokens: of the whole prompt, not empty.
            wanted: number of first tokens.
            least: fewest rows of a part of a run.
        """
        wanted = max(0, min(wanted, len(tokens)))
        borders = self.borders(tokens)
        run = min(bisect_right(borders, wanted) - 1, len(borders) - 2)
        begin, end = borders[run], borders[run + 1]
        if self.whole and begin < len(tokens) and tokens[begin] >= self.vocabulary:
            return begin
        place = min(wanted, end - least)
        return place if place - begin >= least else begin

    def shared(self, held: Tokens, tokens: Tokens, least: int) -> int:
        """How many of the tokens that are held, and that ``tokens`` begin with, were decoded as these are to be.

        Args:
            held: end where they may rest.
            tokens: likewise.
            least: fewest rows of a part of a run.
        """
        equal = shared_length(held, tokens)
        if not equal:
            return 0
        begin, end = self._run_before(tokens, equal)
        held_end = self._run_before(held, equal)[1]
        # What rests within a run leaves at least so many rows of it: fewer are a whole run.
        if min(end, held_end) - begin < least:
            return equal if end == held_end == equal else begin
        return equal if equal == end else max(begin, min(equal, end - least))

    def _run_before(self, tokens: Sequence[int], place: int) -> tuple[int, int]:
        """Beginning and end of the run with the token before ``place``."""
        borders = self.borders(tokens)
        run = bisect_right(borders, place - 1) - 1
        return borders[run], borders[run + 1]


def common_rest(runs: Runs, token_lists: Sequence[Tokens], wanted: int, least: int) -> int:
    """The last place where the first tokens of all of ``token_lists`` may end; see `Runs.rest`.

    Args:
        runs: how they are cut.
        token_lists: which begin with the same ``wanted`` tokens; none empty.
        wanted: number of them.
        least: fewest rows of a part of a run.
    """
    place = wanted
    while True:
        before = place
        for tokens in token_lists:
            place = runs.rest(tokens, place, least)
        if place == before:
            return place
