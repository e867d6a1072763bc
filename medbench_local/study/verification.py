"""Asks both models again at full precision, until it is known whether the verdicts are those of full precision.

One model is loaded at a time. The one that goes first in a round answers some questions of every comparison that is
still open; the other one answers them look by look, stops where the check may end, and then goes first in the next
round. Where a check ends depends on the answers and the order alone, not on who goes first or how far ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial

from medbench_local.catalog.quantisation import FULL
from medbench_local.progress import Advance, Progress
from medbench_local.results.checks import (
    ChangesOfBoth,
    Check,
    CheckObstacle,
    CheckState,
    ComparisonEquivalence,
    EquivalenceRecord,
    PrecisionChanges,
)
from medbench_local.results.record import ROLES, VERDICTS, Role
from medbench_local.scoring.answers import Answer, CellScorer
from medbench_local.scoring.session import ModelSession
from medbench_local.statistics.verification import CONFIDENCE
from medbench_local.study.cell_answers import CellAnswers
from medbench_local.study.cell_verification import CellVerification
from medbench_local.study.equivalence import (
    CheckSettings,
    compare_precisions,
    precision_changes,
    record,
)
from medbench_local.study.opening import scorer_of
from medbench_local.study.plan import Cell, CellKey, Plan, test_questions
from medbench_local.study.verdicts import AtFullPrecision, paired
from medbench_local.tasks.question import Question

Sides = Mapping[Role, Mapping[CellKey, CellAnswers]]
Answerer = Callable[[int], None]
"""Has a model answer at full precision what is missing up to a look."""
WithModel = Callable[[Role, Callable[[ModelSession], None]], None]
"""Runs some work with one of the models loaded at the precision that is checked against."""

LADDER_SHARE = 0.25
"""Share of a comparison's questions that ``quant="auto"`` checks at one precision before it tries the next."""


def verify_verdicts(
    plan: Plan,
    sides: Sides,
    *,
    key: str,
    precisions: int,
    share: float,
    with_model: WithModel,
    progress: Progress,
) -> dict[CellKey, CellVerification]:
    """Check every comparison of ``plan`` as far as its options want.

    Args:
        plan: what is compared.
        sides: each model's answers at the scored precision.
        key: the run's identity; decides the order of checking.
        precisions: how many may be checked one after the other until one is confident: they share the allowed error.
        share: most questions of a comparison that are checked before it is left open; 1 for no limit.
        with_model: loads a model.
        progress: listens.

    Raises:
        MedbenchError: of the engine and the store; what was computed is kept.
    """
    checks = {
        cell.key: CellVerification(
            test_questions(plan, cell),
            {role: sides[role][cell.key].answers for role in ROLES},
            key=f"{key} {plan.quant.name} {cell.label}",
            settings=plan.protocol.bootstrap,
            share=share,
            error=(1 - CONFIDENCE) / precisions,
            everything=plan.options.check == "full",
        )
        for cell in plan.cells
    }
    work = _Work(plan, sides, checks, progress)
    turn = 0
    while any(check.unfinished for check in checks.values()):
        role = ROLES[turn % len(ROLES)]
        if plan.scored_at_reference(role):
            work.known(role)
        else:
            with_model(role, partial(work.visit, role=role))
        turn += 1
    return checks


class _Work:
    """The visits of the two models; each goes on where an interrupted one stopped."""

    def __init__(
        self, plan: Plan, sides: Sides, checks: Mapping[CellKey, CellVerification], progress: Progress
    ) -> None:
        self._plan = plan
        self._sides = sides
        self._checks = checks
        self._progress = progress

    def known(self, role: Role) -> None:
        """The visit of a model whose answers are known, because it was scored at the precision checked against."""
        for check in self._checks.values():
            check.full[role].update(enumerate(check.scored[role]))
            self._follow(check, role, answer=None)
            self._lead(check, role, answer=None)

    def visit(self, session: ModelSession, role: Role) -> None:
        """Answer what the other model answered, look by look, then go ahead in what is still open."""
        cells = [cell for cell in self._plan.cells if self._checks[cell.key].unfinished]
        label = f"{session.name} ({self._plan.reference_precision}), checking"
        prompt_style, counted = session.prompt_style(), _Counted()
        answers: dict[CellKey, Answerer] = {}
        for cell in cells:
            key = cell.key
            scorer = scorer_of(session, self._plan, cell, role, prompt_style, counted)
            answers[key] = _answerer(scorer, self._sides[role][key], self._checks[key], role)
        self._step(label, role, answers, counted, self._follow, lambda check: check.goal)
        self._step(label, role, answers, counted, self._lead, lambda check: check.next_goal)

    def _step(
        self,
        label: str,
        role: Role,
        answers: Mapping[CellKey, Answerer],
        counted: _Counted,
        act: Callable[[CellVerification, Role, Answerer], None],
        goal: Callable[[CellVerification], int],
    ) -> None:
        """One announced piece of a visit: ``act`` on every check that is not finished."""
        unfinished = {key: self._checks[key] for key in answers if self._checks[key].unfinished}
        total = sum(len(check.missing(role, goal(check))) for check in unfinished.values())
        with self._progress.step(label, total=total, unit="prompts") if total else nullcontext() as advance:
            counted.begin(advance)
            for key, check in unfinished.items():
                act(check, role, answers[key])
            counted.end(total)

    def _follow(self, check: CellVerification, role: Role, answer: Answerer | None) -> None:
        for look in check.looks_to_follow:
            if not check.unfinished:
                return
            if answer is not None and check.missing(role, look):
                answer(look)
            check.assess(look)

    def _lead(self, check: CellVerification, role: Role, answer: Answerer | None) -> None:
        if check.unfinished and not check.looks_to_follow:
            goal = check.next_goal
            if answer is not None and check.missing(role, goal):
                answer(goal)
            check.goal = goal


class _Counted:
    """An `Advance` for scorers that outlive one step: passes on to the step that is going on."""

    def __init__(self) -> None:
        self._advance: Advance | None = None
        self._done = 0.0

    def __call__(self, amount: float, *, known: bool = False) -> None:
        """See `medbench_local.progress.Advance`."""
        self._done += amount
        if self._advance is not None:
            self._advance(amount, known=known)

    def begin(self, advance: Advance | None) -> None:
        """Pass on to ``advance`` from here on, if anybody listens."""
        self._advance, self._done = advance, 0.0

    def end(self, total: float) -> None:
        """Say that the rest of ``total`` need not be done: a check that ended needs no more."""
        self(max(total - self._done, 0.0), known=True)


def _answerer(scorer: CellScorer, side: CellAnswers, check: CellVerification, role: Role) -> Answerer:
    """Answers what is missing up to a look, with the prompt that the scored precision was asked with."""

    def answer(look: int) -> None:
        rows = check.missing(role, look)
        check.full[role].update(zip(rows, scorer.answers(side.candidate, "test", rows), strict=True))

    return answer


def finding(plan: Plan, check: CellVerification, settings: CheckSettings) -> AtFullPrecision:
    """What a check found, as the comparison records it.

    Args:
        plan: what was compared.
        check: of one comparison.
        settings: of the equivalence of precisions.
    """
    state: CheckState = "unsettled"
    if check.settled and check.found.state != "open":
        state = check.found.state
    everything = state == "full"
    found = Check(
        state=state,
        against=plan.reference_precision,
        confidence={"full": 1.0, "certain": 1.0, "confident": CONFIDENCE}.get(state),
        checked=len(check.questions) if everything else len(check.checked),
        of=len(check.questions),
        possible_verdicts=check.found.possible,
        changes=ChangesOfBoth(medical=_changes(plan, check, "medical"), base=_changes(plan, check, "base")),
    )
    if not everything:
        return AtFullPrecision(found)
    bootstrap = plan.protocol.bootstrap
    medical, base = (check.answers(role) for role in ROLES)
    equivalence = ComparisonEquivalence(
        medical=_equivalence(plan, check, "medical", settings),
        base=_equivalence(plan, check, "base", settings),
        verdict_quantised=paired(
            check.questions, check.scored["medical"], check.scored["base"], bootstrap
        ).verdict,
        verdict_full_precision=paired(check.questions, medical, base, bootstrap).verdict,
        verified=found.verified,
    )
    if not found.verified:  # a stand-in's answers are no full-precision answers
        return AtFullPrecision(found, equivalence=equivalence)
    return AtFullPrecision(found, medical, base, equivalence)


def unchecked(plan: Plan, cell: Cell, obstacle: CheckObstacle | None) -> AtFullPrecision:
    """What is known of a comparison that is not checked: everything where it was scored at full precision.

    Args:
        plan: what was compared.
        cell: which comparison.
        obstacle: why it could not be checked; None if nobody asked for it.
    """
    n = len(test_questions(plan, cell))
    state: CheckState = "none" if obstacle is None else "unavailable"
    return AtFullPrecision(
        Check(
            state="full" if plan.at_full_precision else state,
            against=FULL if plan.at_full_precision else plan.reference_precision,
            confidence=1.0 if plan.at_full_precision else None,
            checked=n if plan.at_full_precision else 0,
            of=n,
            possible_verdicts=VERDICTS,
            obstacle=None if plan.at_full_precision else obstacle,
        ),
        scored_in_full=plan.at_full_precision,
    )


def _both(check: CellVerification, role: Role) -> tuple[list[Question], list[Answer], list[Answer]]:
    """The checked questions with the model's answers at full precision and as scored."""
    rows = check.checked
    return (
        [check.questions[row] for row in rows],
        [check.full[role][row] for row in rows],
        [check.scored[role][row] for row in rows],
    )


def _changes(plan: Plan, check: CellVerification, role: Role) -> PrecisionChanges | None:
    return None if plan.scored_at_reference(role) else precision_changes(*_both(check, role))


def _equivalence(
    plan: Plan, check: CellVerification, role: Role, settings: CheckSettings
) -> EquivalenceRecord | None:
    if plan.scored_at_reference(role) or not check.checked:
        return None
    return record(compare_precisions(*_both(check, role), settings), settings)
