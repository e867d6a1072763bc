"""One model answers the questions of all cells: chooses its prompts, then takes the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from medbench_local.errors import WorkerDied
from medbench_local.progress import Advance, Progress
from medbench_local.prompts.prompt import Candidate, Prompt
from medbench_local.prompts.prompt_style import PromptStyle, candidates
from medbench_local.results.choices import PromptChoice
from medbench_local.results.record import Role
from medbench_local.scoring.answers import Answer, Meter
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


class ModelAnswers:
    """One model's way through the cells of a plan, some at each visit.

    Cells that differ in what the other model does have the same answers, which are found in the store.

    Args:
        plan: what is compared.
        role: of the model.
        label: for people.
        progress: hears of one piece of work that lasts from the first visit to `close`.

    Attributes:
        found: what it did, by the cell.
    """

    def __init__(self, plan: Plan, role: Role, *, label: str, progress: Progress) -> None:
        self._plan, self._role, self._label, self._progress = plan, role, label, progress
        self._prompts: dict[CellKey, int] = {}
        self._lengths: dict[CellKey, float] = {}
        self._shown = ExitStack()
        self._advance: Advance | None = None
        self._one = threading.Lock()
        self.found: dict[CellKey, CellAnswers] = {}

    def visit(self, session: ModelSession, cells: Sequence[CellKey]) -> None:
        """Choose a prompt for each of ``cells`` and answer its test questions with it."""
        self.look_over(session)
        prompt_style = session.prompt_style()
        for cell in self._plan.cells:
            if cell.key in cells:
                self.found[cell.key] = self._answer(session, cell, prompt_style)

    def tokens(self, key: CellKey) -> float:
        """Tokens that a cell takes at most, about; once all cells were looked over."""
        return self._prompts[key] * self._lengths[key]

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more is done for now, because of ``error`` if there is one."""
        self._advance = None
        self._shown.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def look_over(self, session: ModelSession) -> None:
        """Refuse what cannot be asked, of all cells before the first is answered; and see how long they are.

        Once only: later sessions of the same model need not.
        """
        if self._prompts:
            return
        prompt_style = session.prompt_style()
        plan, role = self._plan, self._role
        for cell in plan.cells:
            default = Candidate(None, plan.protocol.demonstration_seed if cell.shots else None)
            rows = range(len(test_questions(plan, cell)))
            builder = builder_of(session, plan, cell, role, prompt_style.to_be_looked_at())
            builder.need_exact(default, "test", rows)
            builder.need_room_to_think(default, "test", rows)
        self._lengths = {cell.key: _length(session, plan, cell, role, prompt_style) for cell in plan.cells}
        self._prompts = {cell.key: _prompts_of(plan, cell, prompt_style) for cell in plan.cells}

    def _shown_work(self) -> Advance:
        """Counts the prompts of all cells; those of cells that are answered already are told first."""
        with self._one:
            if self._advance is None:
                total = sum(self._prompts.values())
                self._advance = self._shown.enter_context(
                    self._progress.step(self._label, total=total, unit="prompts")
                )
                for key in self.found:
                    self._share(self._advance, key).end()
            return self._advance

    def _share(self, advance: Advance, key: CellKey) -> _Share:
        work = sum(self._prompts[each] * self._lengths[each] for each in self._prompts)
        mean = work / max(sum(self._prompts.values()), 1) or 1.0
        return _Share(advance, self._prompts[key], self._lengths[key] / mean)

    def _answer(self, session: ModelSession, cell: Cell, prompt_style: PromptStyle) -> CellAnswers:
        count = self._share(self._shown_work(), cell.key)
        try:
            return self._counted(session, cell, prompt_style, count)
        except BaseException:
            count.undo()  # of a cell that is begun again what was done would be counted twice
            raise

    def _counted(
        self, session: ModelSession, cell: Cell, prompt_style: PromptStyle, count: _Share
    ) -> CellAnswers:
        plan, role = self._plan, self._role
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
        answers = scorer.answers(candidate, "test", range(len(test_questions(plan, cell))))
        builder = builder_of(session, plan, cell, role, prompt_style)
        first = builder.prompt(candidate, "test", 0, dropped=answers[0].dropped)
        count.end()
        return CellAnswers(candidate, choice, tuple(answers), first)


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


class Restarts:
    """How often the dead workers of a model may still be started again.

    What was scored before a worker died is in the store, so at most one pack is computed again.

    Args:
        most: how often; with a ``meter``, for one pack.
        progress: hears of each time.
        meter: counts the work: once something was scored since the last death, another pack is at fault.
    """

    def __init__(self, most: int, progress: Progress, meter: Meter | None = None) -> None:
        self._most, self._progress, self._done = most, progress, 0
        self._meter, self._scored = meter, 0

    def run(
        self,
        open_session: Callable[[], AbstractContextManager[ModelSession]],
        work: Callable[[ModelSession], object],
    ) -> None:
        """Run ``work`` with a session; when its worker dies, start it again while that is allowed."""
        while True:
            try:
                with open_session() as session:
                    work(session)
                return
            except WorkerDied as error:
                if self._meter is not None and self._meter.prompts_scored > self._scored:
                    self._scored, self._done = self._meter.prompts_scored, 0
                if self._done == self._most:
                    raise
                self._done += 1
                self._progress.note(f"{error.message} Starting it again ({self._done} of {self._most}).")


class _Share:
    """One cell's part of the work: counts its prompts in prompts of mean length, so that time left is told well.

    Args:
        advance: of the whole.
        prompts: expected at most.
        length: of a prompt, as a multiple of the mean over all cells.
    """

    def __init__(self, advance: Advance, prompts: int, length: float) -> None:
        self._advance = advance
        self._prompts = self._left = float(prompts)
        self._length = length

    def __call__(self, amount: float, *, known: bool = False) -> None:
        """See `medbench_local.progress.Advance`."""
        self._left -= amount
        self._advance(amount * self._length, known=known)

    def end(self) -> None:
        """What is left was not needed: a race often ends before its limit."""
        self(max(self._left, 0.0), known=True)

    def undo(self) -> None:
        """Nothing of it counts: it is to be done again."""
        self(self._left - self._prompts, known=True)


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
