"""How long a prompt search is, before it is made: prompts, and how often it turns to another candidate."""

from __future__ import annotations

from dataclasses import dataclass

from medbench_local.catalog.protocol import SelectionSettings
from medbench_local.selection.guaranteed import SMALL, looks
from medbench_local.selection.limited import LEAST_LEVELS, first_size, step_size
from medbench_local.selection.next_step import NUMBERS
from medbench_local.study.decoding import NONE, Number
from medbench_local.study.prompt_search import search_prompts

_SHARE, _SHARE_OF_SMALL = 0.7, 0.45
"""Of an exhaustive search's prompts that a race without a limit scores, about; of up to `SMALL` questions certainty
decides. Where 11 to 110 candidates were alike, 0.86 to 0.95 and 0.36 to 0.78; for the embedded pair about half."""

_CALLS = 6
"""Goes of such a race to a candidate, about."""

_SHARE_OF_LIMIT = 0.87
"""Of the prompts of a race under a limit that ends where little is to be gained, about."""

_LARGE_GRID, _SHARE_OF_VISITS = LEAST_LEVELS**2, 0.7
"""Candidates of a grid that a race under a limit begins with every other one of, if prefixes are long, and the share of
the visits that it then makes, about."""


@dataclass(frozen=True)
class SearchLength:
    """Of one search.

    Attributes:
        prompts: that are scored.
        visits: how often a candidate is scored that was not the one before.
        calls: in how many goes prompts are scored.
        known: whether the length is known beforehand: a race may end before its limit.
    """

    prompts: Number
    visits: Number
    calls: Number
    known: bool = True


NO_SEARCH = SearchLength(NONE, NONE, NONE)


def search_length(candidates: int, questions: int, settings: SelectionSettings) -> SearchLength:
    """The length of a search.

    Args:
        candidates: to choose from.
        questions: validation questions.
        settings: of the search; its method is not "none".
    """
    most, whole = search_prompts(candidates, questions, settings), candidates * questions
    once = Number(candidates, candidates)
    if settings.method != "racing":
        return SearchLength(Number(most, most), once, once)
    if most == whole:  # without a limit each candidate is visited once
        share = _SHARE if questions > SMALL else _SHARE_OF_SMALL
        goes = len(looks(questions)) + 1 if questions > SMALL else questions
        calls = Number(candidates * min(_CALLS, goes), candidates * goes)
        return SearchLength(Number(share * whole, whole), once, calls, known=False)
    first = min(most, candidates * first_size(candidates, most))
    step = step_size(candidates, most)
    together = min(candidates, NUMBERS[-1])
    # A step asks fewer prompts than it might where candidates have been asked everything: once each, and no more.
    longest = -(-(most - first) // max(1, step - together)) * together + most // questions
    asked = most if settings.min_gain is None else min(most, expected)
    usual = (_SHARE_OF_VISITS if candidates >= _LARGE_GRID else 1.0) * candidates + _TOGETHER * (asked - first) / step
    visits = Number(min(most, usual), min(most, candidates + longest))
    return SearchLength(Number(asked, most), visits, visits, known=False)
