"""How long a prompt search is, before it is made: prompts, and how often it turns to another candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medbench_local.catalog.protocol import SelectionSettings
from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.costs import Costs
from medbench_local.selection.grid import Grid
from medbench_local.selection.guaranteed import SMALL, looks
from medbench_local.selection.limited import first_size, first_visited, step_size
from medbench_local.selection.next_step import NUMBERS
from medbench_local.study.decoding import NONE, Number
from medbench_local.study.prompt_search import search_prompts

_SHARE, _SHARE_OF_SMALL = 0.7, 0.45
"""Of an exhaustive search's prompts that a race without a limit scores, about; of up to `SMALL` questions certainty
decides. Where 11 to 110 candidates were alike, 0.86 to 0.95 and 0.36 to 0.78; for the embedded pair about half."""

_CALLS = 6
"""Goes of such a race to a candidate, about."""

_STEPS, _FALL = 8.0, 0.43
"""Steps of a race under a limit where a prompt must promise a millionth of accuracy, about, and how fast their number
falls with what it must promise; counted over the simulated studies, 4 to 11 steps among 10 to 110 candidates alike."""

_LEAST_PRICE = 1e-3
"""Where asking costs next to nothing, a race goes on to its limit."""

_A_VISIT = 25
"""Prompts that a candidate is asked whenever it is turned to, about; as counted there."""

_TOGETHER, _GROWTH = 1.45, 0.25
"""Candidates that are asked in one step, about, and how their number grows with that of all; as counted there."""


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


def search_length(
    candidates: Sequence[Candidate], questions: int, settings: SelectionSettings, costs: Costs
) -> SearchLength:
    """The length of a search.

    Args:
        candidates: to choose from.
        questions: validation questions.
        settings: of the search; its method is not "none".
        costs: of asking, as the search is told of them.
    """
    number = len(candidates)
    most, whole = search_prompts(number, questions, settings), number * questions
    once = Number(number, number)
    if settings.method != "racing":
        return SearchLength(Number(most, most), once, once)
    if most == whole:  # without a limit each candidate is visited once
        share = _SHARE if questions > SMALL else _SHARE_OF_SMALL
        goes = len(looks(questions)) + 1 if questions > SMALL else questions
        calls = Number(number * min(_CALLS, goes), number * goes)
        return SearchLength(Number(share * whole, whole), once, calls, known=False)
    visited = len(first_visited(Grid(candidates), costs))
    first, step = visited * first_size(visited, most), step_size(number, most)
    together = min(number, NUMBERS[-1])
    # A step asks fewer prompts than it may where candidates have been asked everything: once each, and no more. The
    # last one may be followed by what it leaves, less than a prompt for each candidate that is asked in it.
    steps = -(-max(0, most - first) // max(1, step - together)) + most // questions + (most > first)
    asked = float(most)
    if settings.min_gain is not None:
        price = costs.of_a_question + float(costs.prefix.mean()) / _A_VISIT
        asked = min(asked, first + step * _STEPS * max(price * settings.min_gain, _LEAST_PRICE) ** -_FALL)
    expected = visited + (asked - first) / step * _TOGETHER * number**_GROWTH
    most_visits = min(most, visited + steps * together)
    visits = Number(min(asked, expected, most_visits), most_visits)
    return SearchLength(Number(asked, most), visits, visits, known=False)
