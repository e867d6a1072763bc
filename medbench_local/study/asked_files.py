"""What a run keeps of what was asked: the questions, the chosen prompts, and small copies of the pictures."""

from __future__ import annotations

from collections.abc import Mapping

from medbench_local.files.atomic import whole_file
from medbench_local.results.asked import KeptPrompt, clear_asked, kept_parts, write_prompts, write_questions
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import ROLES, Role
from medbench_local.study.cell_answers import CellAnswers
from medbench_local.study.plan import CellKey, Plan, test_questions


def write_asked(folder: RunFolder, plan: Plan, sides: Mapping[Role, Mapping[CellKey, CellAnswers]]) -> None:
    """Write what the options want to be kept, in place of what was kept before.

    Args:
        folder: of the run.
        plan: what was compared.
        sides: what both models did in each cell.

    Raises:
        StoreError: the files cannot be written.
    """
    clear_asked(folder)
    if not plan.options.questions:
        return
    questions = {cell.task.id: test_questions(plan, cell) for cell in plan.cells}
    for task, asked in questions.items():
        write_questions(folder, task, asked)
    prompts = [
        KeptPrompt(
            role,
            cell.task.id,
            cell.shots,
            cell.thinkers,
            questions[cell.task.id][0].id,
            kept_parts(sides[role][cell.key].first_prompt.parts),
        )
        for cell in plan.cells
        for role in ROLES
    ]
    write_prompts(folder, prompts)
    pictures = {
        picture.sha256: picture.path
        for asked in questions.values()
        for question in asked
        for picture in question.pictures
    }
    if pictures and plan.options.pictures:
        from medbench_local.vision.thumbnails import thumbnails  # only runs with pictures need it

        for sha256, data in thumbnails(pictures).items():
            with whole_file(folder.thumbnails_folder / f"{sha256}.jpg", nbytes=len(data)) as temporary:
                temporary.write_bytes(data)
