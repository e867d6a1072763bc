"""A run's samples: reported answers in ``samples``, those at the other precision in a folder of its name below it."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.results.folder import RunFolder
from medbench_local.results.record import Role
from medbench_local.results.samples import sample_rows, samples_name
from medbench_local.scoring.answers import Answer
from medbench_local.study.cell_verification import CellVerification
from medbench_local.study.plan import Cell, Plan, test_questions
from medbench_local.study.verdicts import AtFullPrecision


def write_samples(
    folder: RunFolder,
    plan: Plan,
    cell: Cell,
    role: Role,
    scored: Sequence[Answer],
    check: CellVerification | None,
    found: AtFullPrecision,
) -> None:
    """Write one model's answers in one cell.

    Args:
        folder: of the run.
        plan: what was compared.
        cell: which cell.
        role: which model.
        scored: its answers at the scored precision.
        check: of the comparison; None if it was not checked.
        found: what is known of the comparison at full precision.

    Raises:
        StoreError: the files cannot be written.
    """
    name = samples_name(role, cell.task.id, cell.shots, cell.thinkers)
    questions = test_questions(plan, cell)
    model = plan.models[role]

    def write(path: str, rows: Sequence[int], answers: Sequence[Answer], precision: str) -> None:
        folder.write_samples(
            path,
            sample_rows(
                [questions[row] for row in rows],
                answers,
                model=model.name,
                role=role,
                precision=precision,
                task=cell.task.id,
                shots=cell.shots,
                scoring=plan.rule_of(cell, role),
                thinkers=cell.thinkers,
            ),
        )

    every = range(len(questions))
    if check is None or plan.scored_at_reference(role):
        write(name, every, scored, model.precision)
        return
    fuller = plan.reference_precision
    reported = found.medical if role == "medical" else found.base
    if reported is not None:
        write(name, every, reported, fuller)
        write(f"{model.precision}/{name}", every, scored, model.precision)
        return
    rows = sorted(check.checked)
    write(name, every, scored, model.precision)
    write(f"{fuller}/{name}", rows, [check.full[role][row] for row in rows], fuller)
