"""One model answers the questions of all cells: chooses its prompts, then takes the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from medbench_local.errors import WorkerDied
from medbench_local.progress import Advance, Progress
from medbench_local.prompts.prompt import Candidate, Prompt
from medbench_local.prompts.prompt_style import PromptStyle, candidates
from medbench_local.results.choices import PromptChoice
from medbench_local.results.record import Role
from medbench_local.scoring.answers import Answer
from medbench_local.scoring.session import ModelSession
from medbench_local.study.opening import builder_of, scorer_of
from medbench_local.study.plan import Cell, CellKey, Plan, test_questions
from medbench_local.study.prompt_search import choose_prompt, is_searched, search_prompts, selection_rows

_SAMPLE = 20
"""Questions whose prompts tell how long a task's prompts are."""


@dataclass(frozen=True)
class CellAnswers:
    """What one model did in one cell.

    Attributes:
        candidate: the prompt it was asked with.
        choice: how that prompt was chosen.
        answers: to the test questions, in their order.
        first_prompt: the one that asked the first of them.
    """

    candidate: Candidate
    choice: PromptChoice
    answers: tuple[Answer, ...]
    first_prompt: Prompt


def answer_all(
    session: ModelSession, plan: Plan, role: Role, *, label: str, progress: Progress
) -> dict[CellKey, CellAnswers]:
    """Choose a prompt for every cell and answer its test questions with it.

    Cells that differ in what the other model does have the same answers, which are found in the store.
    """
    prompt_style = session.prompt_style()
    for cell in plan.cells:
        default = Candidate(None, plan.protocol.demonstration_seed if cell.shots else None)
        rows = range(len(test_questions(plan, cell)))
        builder = builder_of(session, plan, cell, role, prompt_style.to_be_looked_at())
        builder.need_exact(default, "test", rows)
        builder.need_room_to_think(default, "test", rows)
    work = {cell.key: _prompts_of(plan, cell, prompt_style) for cell in plan.cells}
    lengths = {cell.key: _length(session, plan, cell, role, prompt_style) for cell in plan.cells}
    mean = sum(work[key] * lengths[key] for key in work) / max(sum(work.values()), 1) or 1.0
    found = {}
    with progress.step(label, total=sum(work.values()), unit="prompts") as advance:
        for cell in plan.cells:
            count = _Share(advance, work[cell.key], lengths[cell.key] / mean)
            scorer = scorer_of(session, plan, cell, role, prompt_style, count)
            candidate, choice = choose_prompt(
                scorer,
                task=cell.task,
                shots=cell.shots,
                prompt_style=prompt_style,
                settings=plan.protocol.selection,
                demonstration_seed=plan.protocol.demonstration_seed,
                limit=plan.options.limit,
                drops=plan.drops,
            )
            rows = range(len(test_questions(plan, cell)))
            answers = scorer.answers(candidate, "test", rows)
            builder = builder_of(session, plan, cell, role, prompt_style)
            first = builder.prompt(candidate, "test", 0, dropped=answers[0].dropped)
            found[cell.key] = CellAnswers(candidate, choice, tuple(answers), first)
            count.end()
    return found


def answer_with(
    session: ModelSession,
    plan: Plan,
    role: Role,
    prompt_style: PromptStyle,
    chosen: Mapping[CellKey, Candidate],
    rows: Mapping[CellKey, Sequence[int]],
    *,
    label: str,
    progress: Progress,
) -> dict[CellKey, tuple[Answer, ...]]:
    """Answer some test questions of every cell with prompts that are given."""
    for cell in plan.cells:
        key = cell.key
        builder_of(session, plan, cell, role, prompt_style).need_exact(chosen[key], "test", rows[key])
    found = {}
    with progress.step(label, total=sum(map(len, rows.values())), unit="prompts") as advance:
        for cell in plan.cells:
            key = cell.key
            scorer = scorer_of(session, plan, cell, role, prompt_style, advance)
            found[key] = tuple(scorer.answers(chosen[key], "test", rows[key]))
    return found


def with_retries(
    open_session: Callable[[], ModelSession],
    work: Callable[[ModelSession], object],
    *,
    retries: int,
    progress: Progress,
) -> None:
    """Run ``work`` with a session; when its worker dies, start it again up to ``retries`` times.

    What was scored before the worker died is in the store, so at most one pack is computed again.
    """
    for attempt in range(retries + 1):
        try:
            with open_session() as session:
                work(session)
            return
        except WorkerDied as error:
            if attempt == retries:
                raise
            progress.note(f"{error.message} Starting it again ({attempt + 1} of {retries}).")


class _Share:
    """One cell's part of the work: counts its prompts in prompts of mean length, so that time left is told well.

    Args:
        advance: of the whole.
        prompts: expected at most.
        length: of a prompt, as a multiple of the mean over all cells.
    """

    def __init__(self, advance: Advance, prompts: int, length: float) -> None:
        self._advance = advance
        self._left = float(prompts)
        self._length = length

    def __call__(self, amount: float, *, known: bool = False) -> None:
        """See `medbench_local.progress.Advance`."""
        self._left -= amount
        self._advance(amount * self._length, known=known)

    def end(self) -> None:
        """What is left was not needed: a race often ends before its limit."""
        self(max(self._left, 0.0), known=True)


def _length(session: ModelSession, plan: Plan, cell: Cell, role: Role, prompt_style: PromptStyle) -> float:
    """Tokens decoded for a prompt on average, from a few test questions in the default format."""
    candidate = Candidate(None, 0 if cell.shots else None)
    rows = range(min(_SAMPLE, len(cell.task.questions("test"))))
    builder = builder_of(session, plan, cell, role, prompt_style.to_be_looked_at())
    return builder.tokens(candidate, "test", rows) / len(rows)


def _prompts_of(plan: Plan, cell: Cell, prompt_style: PromptStyle) -> int:
    """An upper bound of the prompts of a cell."""
    settings = plan.protocol.selection
    test = len(test_questions(plan, cell))
    options = len(
        candidates(
            prompt_style,
            cell.shots,
            formats=settings.formats,
            demonstration_seeds=settings.demonstration_seeds,
        )
    )
    if not is_searched(options, cell.shots, settings):
        return test
    questions = len(selection_rows(cell.task, settings, plan.options.limit))
    return search_prompts(options, questions, settings) + test
