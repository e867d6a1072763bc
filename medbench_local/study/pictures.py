"""The pictures of a plan: encoded before a language model is loaded, so that both are never in memory at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medbench_local.acquire.picture_parts import ProjectorFiles
from medbench_local.acquire.prepare import PreparedModel
from medbench_local.progress import Progress
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.scoring.encoded import encoded
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, Plan, asked_questions
from medbench_local.study.prompt_search import selection_rows
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import Question


def encoded_pictures(plan: Plan, model: PreparedModel, progress: Progress) -> dict[Picture, Path]:
    """The file with the features of each picture that ``model`` may be shown; what is known is not encoded again.

    Raises:
        InputError: a picture cannot be shown.
        StoreError, DiskFullError: features cannot be kept.
    """
    if model.vision is None:
        return {}
    shown = pictures_of(plan.cells, plan.options, demonstrations=_shows_demonstrations(plan, model))
    if not shown:
        return {}
    return encoded(model, shown, plan.options.home, plan.options.engine, progress)


def pictures_of(
    cells: Iterable[Cell], options: ResolvedOptions, *, demonstrations: bool = True
) -> tuple[Picture, ...]:
    """The pictures of all questions that may be asked in ``cells``, and of the demonstrations shown, each once."""
    found: dict[Picture, None] = {}
    for cell in cells:
        for question in _shown_questions(cell, options, demonstrations=demonstrations):
            found.update(dict.fromkeys(question.pictures))
    return tuple(found)


def _shows_demonstrations(plan: Plan, model: PreparedModel) -> bool:
    """Whether pictures of demonstrations are looked at; the study's code for LLaVA only leaves room for them."""
    if isinstance(model.vision, ProjectorFiles):
        return True
    assert model.vision is not None
    return model.vision.parts.kind != "llava" or plan.protocol.shot_images == "all"


def _shown_questions(cell: Cell, options: ResolvedOptions, *, demonstrations: bool) -> Iterable[Question]:
    protocol, task = options.protocol, cell.task
    yield from asked_questions(protocol, cell, options.limit)
    if protocol.selection.method != "none":
        validation = task.questions("validation")
        yield from (validation[row] for row in selection_rows(task, protocol.selection, options.limit))
    if cell.shots and demonstrations:
        pool = task.questions("demonstrations")
        for seed in {*protocol.selection.demonstration_seeds, protocol.demonstration_seed}:
            yield from (pool[row] for row in demonstration_rows(seed, len(pool), cell.shots))
