"""What one model costs in every cell of a comparison: its prompts as they are written, decoded as its file is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medbench_local.catalog.protocol import Scoring, SelectionSettings
from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.engine.base import LEAST_ROWS, Engine, Mode
from medbench_local.engine.support import WITH_STATE
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle, candidates
from medbench_local.results.cost import CellCost, PhaseCost
from medbench_local.scoring.pictures import PictureBook
from medbench_local.scoring.rule import ScoringRule, ScoringSettings
from medbench_local.scoring.rules import RULES
from medbench_local.study.cell_cost import Extent, Pass, phases
from medbench_local.study.check_length import NOTHING, CheckLength, check_length
from medbench_local.study.decoding import Lengths, Number, Way
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, asked_questions
from medbench_local.study.prompt_lengths import Asked, prompt_lengths
from medbench_local.study.prompt_search import asking_costs, is_searched, selection_rows
from medbench_local.study.search_length import NO_SEARCH, SearchLength, search_length
from medbench_local.study.token_counter import TokenCounter, allowance
from medbench_local.study.usable import usable_candidates
from medbench_local.study.verification import LADDER_SHARE
from medbench_local.tasks.question import Question, Split, SplitName, Task

USUAL_THINKING = 1000
"""Tokens of thinking that a question is expected to take: MedPsy-4B is said to take about 909 by its card."""

SOME_PLACE = 260
"""Tokens that a picture takes in prompts whose chat template is not known yet, about."""

_NO_LIMIT = 2**31
"""Context of a model of which nothing is known yet."""


@dataclass(frozen=True)
class Asking:
    """How one model is asked in a comparison.

    Attributes:
        counter: counts its tokens.
        prompt_style: how it is spoken to.
        borrowed: how the other model is, whose prompts it is asked with once more; None if it is not.
        thinks: whether it answers after thinking, too.
        context: the longest prompt, in tokens; None if that is not known.
        steps: the precisions that may be tried, in order.
        checked: whether verdicts are checked against a fuller precision.
        mode, full_mode: of the engine, at the precision that is scored and at the one that is checked against.
    """

    counter: TokenCounter
    prompt_style: PromptStyle
    borrowed: PromptStyle | None
    thinks: bool
    context: int | None
    steps: Sequence[QuantConfig]
    checked: bool
    mode: Mode
    full_mode: Mode


def cell_cost(cell: Cell, asking: Asking, options: ResolvedOptions) -> CellCost:
    """What a model costs in one cell.

    Raises:
        MedbenchError: as of `prompt_lengths`.
    """
    settings, shots = options.protocol.selection, cell.shots
    tried = _tried(cell, asking.prompt_style, options)
    searched = is_searched(_many(cell, asking.prompt_style, options), shots, settings)
    rows = selection_rows(cell.task, settings, options.limit) if searched else ()
    test = len(asked_questions(options.protocol, cell, options.limit))
    length = _search_length(cell, tried, rows, settings) if searched else NO_SEARCH
    extent = Extent(length, len(rows), test, [_check(step, test, asking, options) for step in asking.steps])
    scoring = options.scoring or options.protocol.scoring
    rules: list[Scoring] = [scoring]
    if RULES[scoring].thinks:
        rules = [options.protocol.thinking.reading, *([scoring] if asking.thinks else [])]

    def counted(engine: Engine) -> tuple[PhaseCost, PhaseCost, PhaseCost]:
        return phases([_pass(RULES[rule], engine, cell, tried, asking, options) for rule in rules], extent)

    counter = asking.counter
    usual = counted(counter.usual)
    most = usual if counter.counted == "tokenizer" else counted(counter.at_least)
    search, tested, check = (_bounded(one, bound) for one, bound in zip(usual, most, strict=True))
    return CellCost(cell.task.id, shots, len(tried), search, tested, check, length_known=length.known)


def _search_length(
    cell: Cell, tried: Sequence[Candidate], rows: Sequence[int], settings: SelectionSettings
) -> SearchLength:
    pool = cell.task.questions("demonstrations") if cell.shots else ()
    questions = cell.task.questions("validation")
    costs = asking_costs(tried, pool, [questions[row] for row in rows], cell.shots)
    return search_length(tried, len(rows), settings, costs)


def _bounded(usual: PhaseCost, most: PhaseCost) -> PhaseCost:
    """What is expected by one count, and what is not exceeded by another."""
    return replace(
        usual, prompts_most=most.prompts_most, tokens_most=most.tokens_most, written_most=most.written_most
    )


def _many(cell: Cell, prompt_style: PromptStyle, options: ResolvedOptions) -> int:
    return len(_all_candidates(cell, prompt_style, options))


def _all_candidates(cell: Cell, prompt_style: PromptStyle, options: ResolvedOptions) -> tuple[Candidate, ...]:
    settings = options.protocol.selection
    return candidates(
        prompt_style, cell.shots, formats=settings.formats, demonstration_seeds=settings.demonstration_seeds
    )


def _tried(cell: Cell, prompt_style: PromptStyle, options: ResolvedOptions) -> tuple[Candidate, ...]:
    """What a prompt is chosen from; one where nothing is chosen."""
    found = _all_candidates(cell, prompt_style, options)
    if not is_searched(len(found), cell.shots, options.protocol.selection):
        return (Candidate(None, options.protocol.demonstration_seed if cell.shots else None),)
    drops = options.protocol.too_long == "drop-demonstrations"
    return usable_candidates(prompt_style, cell.task, cell.shots, found, drops=drops)


def _check(step: QuantConfig, questions: int, asking: Asking, options: ResolvedOptions) -> CheckLength:
    """How much is checked at one of the precisions."""
    if not asking.checked or step.name == FULL:
        return NOTHING
    rule = RULES[options.scoring or options.protocol.scoring]
    return check_length(
        questions,
        everything=options.check == "full",
        share=1.0 if step is asking.steps[-1] else LADDER_SHARE,
        ranked=not rule.generates or rule.thinks,
    )


def _pass(
    rule: ScoringRule[Any],
    engine: Engine,
    cell: Cell,
    tried: Sequence[Candidate],
    asking: Asking,
    options: ResolvedOptions,
) -> Pass:
    """One way in which the model answers the questions of a cell."""
    protocol = options.protocol
    rows: dict[SplitName, Sequence[int]] = {
        "test": range(len(asked_questions(protocol, cell, options.limit)))
    }
    if is_searched(_many(cell, asking.prompt_style, options), cell.shots, protocol.selection):
        rows["validation"] = selection_rows(cell.task, protocol.selection, options.limit)

    def lengths(
        style: PromptStyle, prompts: Sequence[Candidate], of: dict[SplitName, Sequence[int]]
    ) -> dict[SplitName, tuple[Lengths, ...]]:
        task = _described(cell.task, style)
        settings = ScoringSettings(
            rule=rule,
            context=asking.context or _NO_LIMIT,
            protocol=protocol,
            pictures=PictureBook(engine.info, {}) if style.layout.shows_pictures else None,
        )
        return prompt_lengths(Asked(engine, style, task, cell.shots, settings), prompts, of)

    own = lengths(asking.prompt_style, tried, rows)
    borrowed: tuple[Lengths, ...] = ()
    if asking.borrowed is not None:
        others = _tried(cell, asking.borrowed, options)
        borrowed = lengths(asking.borrowed, others, {"test": rows["test"]})["test"]
    return Pass(
        validation=own.get("validation", ()),
        test=own["test"],
        scored=_way(rule, asking.mode, asking, options),
        full=_way(rule, asking.full_mode, asking, options),
        written=_written(rule, engine, cell, options),
        read_again=rule.thinks,
        borrowed=borrowed,
        differs=1 - 1 / len(tried) if _alike(asking.prompt_style, asking.borrowed) else 1.0,
    )


def _alike(one: PromptStyle, other: PromptStyle | None) -> bool:
    """Whether two models are prompted in the same way, so that equal candidates are equal prompts."""
    return other is not None and replace(one, name="") == replace(other, name="")


def _way(rule: ScoringRule[Any], mode: Mode, asking: Asking, options: ResolvedOptions) -> Way:
    header = asking.counter.header
    return Way(
        least=LEAST_ROWS[mode],
        together=options.engine.parallel if rule.generates and not rule.thinks else 0,
        stateful=header is not None and header.architecture in WITH_STATE,
    )


def _written(rule: ScoringRule[Any], engine: Engine, cell: Cell, options: ResolvedOptions) -> Number:
    """Tokens that the model writes for a question."""
    if not rule.generates:
        return Number()
    most = rule.answer_tokens(options.protocol)
    if rule.thinks:
        return Number(min(most, USUAL_THINKING), most)
    if not cell.shots:  # nothing shows the model where an answer ends
        return Number(most, most)
    shown = cell.task.questions("demonstrations")[:_ANSWERS]
    texts = [f"(A) {one.options[one.answer]}" for one in shown]
    answers = engine.tokenize(texts, special=False)
    return Number(min(most, float(np.mean([len(answer) for answer in answers])) + _STOP), most)


_ANSWERS, _STOP = 50, 3
"""Demonstrations whose answers are as long as those that a model writes, about, and tokens that end them."""


def _described(task: Task, style: PromptStyle) -> Task:
    """The task with signs for its pictures, where their place in a prompt is not known yet."""
    if not _pictured(task) or style.layout.shows_pictures:
        return task

    def described(question: Question) -> Question:
        signs = "0" * (SOME_PLACE * len(question.pictures))
        return replace(question, pictures=(), text=question.text + signs)

    splits: dict[SplitName, Split] = {
        name: replace(split, questions=tuple(map(described, split.questions)))
        for name, split in task.splits.items()
    }
    return replace(task, splits=splits)


def _pictured(task: Task) -> bool:
    return any(one.pictures for split in task.splits.values() for one in split.questions)


def counter_for(counter: TokenCounter, style: PromptStyle, cells: Sequence[Cell]) -> TokenCounter:
    """The counter of prompts that may show pictures: an allowance, which gives each the tokens of its place."""
    if not any(map(_pictured, {cell.task.id: cell.task for cell in cells}.values())):
        return counter
    return allowance(counter.header, style.layout.place_tokens or SOME_PLACE)
