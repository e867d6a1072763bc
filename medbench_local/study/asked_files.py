"""What a run keeps of what was asked: the questions, the chosen prompts, and small copies of the pictures."""

from __future__ import annotations

from collections.abc import Mapping

from medbench_local.files.atomic import remove_unfinished, whole_file
from medbench_local.files.lock import only_process
from medbench_local.results.asked import (
    KeptPrompt,
    clear_asked,
    clear_thumbnails,
    has_questions,
    kept_parts,
    write_prompts,
    write_questions,
)
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import ROLES, Role
from medbench_local.results.schema import Results
from medbench_local.study.cell_answers import CellAnswers
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import CellKey, Plan, test_questions
from medbench_local.study.tools import WriteReports


def write_asked(
    folder: RunFolder,
    plan: Plan,
    sides: Mapping[Role, Mapping[CellKey, CellAnswers]],
    *,
    thumbnails: bool = True,
) -> None:
    """Write what the options want to be kept, in place of what was kept before.

    Args:
        folder: of the run.
        plan: what was compared.
        sides: what both models did in each cell.
        thumbnails: make small copies of the pictures, too, where that is wanted.

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
    if pictures and plan.options.pictures and thumbnails:
        from medbench_local.vision import thumbnails as small  # only runs with pictures need it

        for sha256, data in small.thumbnails(pictures).items():
            with whole_file(folder.thumbnails_folder / f"{sha256}.jpg", nbytes=len(data)) as temporary:
                temporary.write_bytes(data)


def leave_out_as_asked(
    folder: RunFolder, results: Results, options: ResolvedOptions, write_reports: WriteReports
) -> None:
    """Take out of a finished run's folder and reports what is not to be kept, as if it had never been there.

    Raises:
        StoreError: that cannot be done.
        InputError: what is left in the folder is damaged.
    """
    without_questions = not options.questions and (has_questions(folder) or folder.prompts_file.is_file())
    if not without_questions and (options.pictures or not folder.thumbnails_folder.is_dir()):
        return
    with only_process(folder.path):
        remove_unfinished(folder.path)
        (clear_asked if without_questions else clear_thumbnails)(folder)
        kept = {"questions": not without_questions, "pictures": False}
        folder.write_manifest(folder.manifest() | {"kept": kept})
        write_reports(folder.path, results)
