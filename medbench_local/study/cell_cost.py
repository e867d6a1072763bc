"""What one model decodes in one cell: to choose a prompt, to take the test, and to be checked at full precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medbench_local.results.cost import PhaseCost
from medbench_local.study.check_length import CheckLength
from medbench_local.study.decoding import NONE, Lengths, Number, Way
from medbench_local.study.search_length import SearchLength

MARGIN = 1.02
"""By which what is not counted exactly may be more: questions that were not tokenised, other prompts' lengths."""


@dataclass(frozen=True)
class Pass:
    """One way in which a model answers.

    Attributes:
        validation, test: lengths of each candidate's prompts; none to choose from has validation lengths of none.
        scored, full: how they are decoded at the precision that is scored, and at the one that is checked against.
        written: tokens that the model writes for a question.
        read_again: whether they are read with the prompt, to score the options behind them.
        borrowed: lengths of another model's prompts, with which the test is taken once more; none if it is not.
        differs: probability that these are other prompts than its own, whose answers are known.
    """

    validation: Sequence[Lengths]
    test: Sequence[Lengths]
    scored: Way
    full: Way
    written: Number = NONE
    read_again: bool = False
    borrowed: Sequence[Lengths] = ()
    differs: float = 1.0


@dataclass(frozen=True)
class Extent:
    """How much is asked in a cell.

    Attributes:
        search: of the prompt search.
        validation, test: questions.
        checks: one for each precision that may be tried, in order.
    """

    search: SearchLength
    validation: int
    test: int
    checks: Sequence[CheckLength]


def phases(passes: Sequence[Pass], extent: Extent) -> tuple[PhaseCost, PhaseCost, PhaseCost]:
    """What the search, the test and the check of a cell cost.

    At most all precisions are tried; the first one is expected to do.

    Args:
        passes: what the model is asked.
        extent: how often.
    """
    tries = len(extent.checks)
    search = _sum([_searched(one, extent) for one in passes], tries)
    test = _sum([_tested(one, extent) for one in passes], tries)
    checked = [[_checked(one, check) for one in passes] for check in extent.checks]
    first = _sum(checked[0], 1)
    every = [_sum(one, 1) for one in checked]
    check = PhaseCost(
        first.prompts,
        sum(one.prompts_most for one in every),
        first.tokens,
        sum(one.tokens_most for one in every),
        first.written,
        sum(one.written_most for one in every),
    )
    return search, test, check


@dataclass(frozen=True)
class _Done:
    prompts: Number
    read: Number
    written: Number


def _sum(done: Sequence[_Done], tries: int) -> PhaseCost:
    prompts = sum((one.prompts for one in done), NONE)
    read = sum((one.read for one in done), NONE)
    written = sum((one.written for one in done), NONE)
    return PhaseCost(
        prompts=round(prompts.expected),
        prompts_most=tries * int(np.ceil(prompts.most)),
        tokens=round(read.expected + written.expected),
        tokens_most=tries * int(np.ceil(read.most * MARGIN + written.most)),
        written=round(written.expected),
        written_most=tries * int(np.ceil(written.most)),
    )


def _searched(one: Pass, extent: Extent) -> _Done:
    length, way = extent.search, one.scored
    if not length.prompts.most:
        return _Done(NONE, NONE, NONE)
    count, total = len(one.validation), extent.validation
    each = [own.a_question(way, total) for own in one.validation]
    begun = [own.begun(way) for own in one.validation]
    pieces = _pieces(one, one.validation, length.prompts, length.calls, length.visits, way)
    expected = length.prompts.expected * float(np.mean([own.expected for own in each]))
    expected += length.visits.expected * float(np.mean(begun))
    # What is not asked of everybody is asked of the candidates with the longest prompts.
    costs, left, asked = sorted((own.most for own in each), reverse=True), length.prompts.most, 0.0
    for cost in costs:
        taken = min(left, float(total))
        asked += taken * cost
        left -= taken
    often = length.visits.most
    most = asked + sum(begun) + max(often - count, 0.0) * max(begun)
    read = Number(expected, most) + pieces
    return _written(one, length.prompts, read)


def _tested(one: Pass, extent: Extent) -> _Done:
    done = _asked(one, one.test, Number(extent.test, extent.test), Number(1, 1), Number(1, 1), one.scored)
    if not one.borrowed:
        return done
    more = _asked(one, one.borrowed, Number(extent.test, extent.test), Number(1, 1), Number(1, 1), one.scored)
    often = one.differs
    return _Done(
        done.prompts + more.prompts.times(often, 1),
        done.read + more.read.times(often, 1),
        done.written + more.written.times(often, 1),
    )


def _checked(one: Pass, check: CheckLength) -> _Done:
    return _asked(one, one.test, check.questions, check.visits, check.calls, one.full)


def _asked(
    one: Pass, lengths: Sequence[Lengths], questions: Number, visits: Number, calls: Number, way: Way
) -> _Done:
    """Questions asked with one candidate: with the mean of all, or with the one that takes the most."""
    if not questions.most:
        return _Done(NONE, NONE, NONE)
    total = int(questions.most)
    each = [own.a_question(way, total) for own in lengths]
    begun = [own.begun(way) for own in lengths]
    expected = questions.expected * float(np.mean([own.expected for own in each]))
    expected += visits.expected * float(np.mean(begun))
    most = max(
        questions.most * own.most + visits.most * first for own, first in zip(each, begun, strict=True)
    )
    read = Number(expected, most) + _pieces(one, lengths, questions, calls, visits, way)
    return _written(one, questions, read)


def _pieces(
    one: Pass, lengths: Sequence[Lengths], questions: Number, calls: Number, visits: Number, way: Way
) -> Number:
    """What is decoded again because questions come in packs, and because room has to be made."""
    expected, most = [], []
    for own in lengths:
        packs = own.packs(way, one.written, questions.expected, calls.expected)
        at_most = own.packs(way, one.written, questions.most, calls.most)
        pack = questions.expected / max(packs.expected, 1.0)
        again = own.again(way, pack)
        expected.append(max(packs.expected - visits.expected, 0.0) * again.expected)
        room = own.growths(one.written, way.together) * own.prefix
        most.append(max(at_most.most - min(visits.most, 1), 0.0) * again.most + room)
    return Number(float(np.mean(expected)), max(most))


def _written(one: Pass, questions: Number, read: Number) -> _Done:
    """With what the model writes, the last token of which is not decoded, and what is read again to score options."""
    written = Number(
        questions.expected * max(one.written.expected - 1, 0.0),
        questions.most * max(one.written.most - 1, 0.0),
    )
    if one.read_again:
        # The prompt is decoded to think about it, and once more with what was thought.
        again = Number(questions.expected * one.written.expected, questions.most * one.written.most)
        read = Number(2 * read.expected, 2 * read.most) + again
    return _Done(questions, read, written)
