"""Where prompts may be cut, against whole decodes told apart by what is in them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from medbench_local.engine.base import Tokens
from medbench_local.engine.runs import Runs, common_rest

LEAST, VOCABULARY, ROWS = 4, 10, 3
RUNS = Runs(VOCABULARY, ROWS)
TEXT = st.lists(st.integers(0, 1), max_size=11).map(tuple)
PICTURE = st.integers(0, 1).map(
    lambda unit: tuple(range(VOCABULARY + ROWS * unit, VOCABULARY + ROWS * (unit + 1)))
)
PROMPT = st.lists(TEXT | PICTURE, min_size=1, max_size=5).map(lambda parts: sum(parts, ())).filter(len)


def runs_of(tokens: Tokens) -> list[tuple[int, int]]:
    """Beginning and end of each run, token by token."""
    kinds = [
        token if token < VOCABULARY else VOCABULARY + (token - VOCABULARY) // ROWS * ROWS for token in tokens
    ]
    kinds = [-1 if kind < VOCABULARY else kind for kind in kinds]
    starts = [i for i in range(len(kinds)) if i == 0 or kinds[i] != kinds[i - 1]]
    return list(zip(starts, [*starts, len(tokens)][1:], strict=False))


def kernels(decodes: list[tuple[int, int]]) -> dict[int, int]:
    """For each place the number of rows that it was decoded with, LEAST for more: what decides bits."""
    return {place: min(end - begin, LEAST) for begin, end in decodes for place in range(begin, end)}


def whole(tokens: Tokens) -> dict[int, int]:
    return kernels(runs_of(tokens))


@given(PROMPT)
def test_runs(tokens: Tokens) -> None:
    borders = RUNS.borders(tokens)
    assert list(pairwise(borders)) == runs_of(tokens)
    assert [len(run) for run in RUNS.split(tokens)] == [end - begin for begin, end in runs_of(tokens)]
    assert RUNS.last(tokens) == runs_of(tokens)[-1][0]
    assert Runs(VOCABULARY).borders(tokens) == [0, len(tokens)]


@given(PROMPT, st.integers(0, 40))
def test_a_prompt_rests_where_both_parts_are_decoded_as_the_whole(tokens: Tokens, wanted: int) -> None:
    place = RUNS.rest(tokens, wanted, LEAST)
    assert place <= wanted

    def in_two(cut: int) -> dict[int, int]:
        behind = [(begin + cut, end + cut) for begin, end in runs_of(tokens[cut:])]
        return kernels(runs_of(tokens[:cut]) + behind)

    assert in_two(place) == whole(tokens)
    allowed = [cut for cut in range(min(wanted, len(tokens) - 1) + 1) if in_two(cut) == whole(tokens)]
    assert place == max(allowed)


@given(st.lists(PROMPT, min_size=1, max_size=3), PROMPT)
def test_several_prompts_rest_at_one_place(tails: list[Tokens], beginning: Tokens) -> None:
    prompts = [beginning + tail for tail in tails]
    place = common_rest(RUNS, prompts, len(beginning), LEAST)
    assert place == 0 or all(RUNS.rest(tokens, place, LEAST) == place for tokens in prompts)
    better = range(place + 1, len(beginning) + 1)
    assert not any(all(RUNS.rest(tokens, cut, LEAST) == cut for tokens in prompts) for cut in better)


@given(st.data())
def test_what_is_held_stands_only_where_the_next_prompt_decodes_it_alike(data: st.DataObject) -> None:
    beginning = data.draw(PROMPT | st.just(()))
    prompts = [beginning + data.draw(PROMPT) for _ in range(2)]
    held, wanted = (
        tokens[: RUNS.rest(tokens, data.draw(st.integers(0, len(tokens))), LEAST)] for tokens in prompts
    )
    # What is held was decoded as its prompt was to be; what is behind what is shared is decoded now.
    start = RUNS.shared(held, wanted, LEAST)
    assert wanted[:start] == held[:start]
    now = kernels([(begin + start, end + start) for begin, end in runs_of(wanted[start:])])
    before = {place: rows for place, rows in whole(prompts[0]).items() if place < start}
    assert before | now == {place: rows for place, rows in whole(prompts[1]).items() if place < len(wanted)}
