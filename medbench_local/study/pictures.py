"""The pictures of a plan: encoded before a language model is loaded, so that both are never in memory at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medbench_local.acquire.picture_parts import ProjectorFiles
from medbench_local.acquire.prepare import PreparedModel
from medbench_local.progress import Progress
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, Plan, asked_questions
from medbench_local.study.prompt_search import selection_rows
from medbench_local.tasks.picture import TAG, Picture
from medbench_local.tasks.question import Question


def encoded_pictures(plan: Plan, model: PreparedModel, progress: Progress) -> dict[Picture, Path]:
    """The file with the features of each picture that ``model`` may be shown; what is known is not encoded again.

    Raises:
        InputError: a picture cannot be shown.
        StoreError, DiskFullError: features cannot be kept.
    """
    if model.vision is None:
        return {}
    shown = pictures_of(plan.cells, plan.options, last_only=_shows_last_only(plan, model))
    if not shown:
        return {}
    if isinstance(model.vision, ProjectorFiles):
        from medbench_local.engine.picture_encoding import encode_with_llama_cpp  # slow to import

        files = encode_with_llama_cpp(
            model.vision.vision,
            model.quantised.path,
            shown,
            plan.options.home,
            progress,
            plan.options.engine,
        )
        return {picture: files[picture.sha256] for picture in shown}
    from medbench_local.vision.features import encode_pictures  # slow to import

    found: dict[Picture, Path] = {}
    for own_colours in (False, True):
        alike = [picture for picture in shown if picture.own_colours == own_colours]
        if alike:
            files = encode_pictures(
                model.vision.tower,
                model.vision.parts,
                alike,
                plan.options.home,
                progress,
                own_colours=own_colours,
            )
            found |= {picture: files[picture.sha256] for picture in alike}
    return found


def pictures_of(
    cells: Iterable[Cell], options: ResolvedOptions, *, last_only: bool = False
) -> tuple[Picture, ...]:
    """The pictures of all questions that may be asked in ``cells``, and of the demonstrations shown, each once.

    Args:
        cells: tasks with numbers of shots.
        options: say which questions are asked and which demonstrations are shown.
        last_only: only the last place of a prompt shows anything; then pictures of demonstrations are looked at only
            where that place may be given one.
    """
    found: dict[Picture, None] = {}
    for cell in cells:
        asked, shown = tuple(_asked(cell, options)), tuple(_demonstrations(cell, options))
        if last_only and all(map(_has_its_place, (*asked, *shown))):
            shown = ()
        for question in (*asked, *shown):
            found.update(dict.fromkeys(question.pictures))
    return tuple(found)


def _shows_last_only(plan: Plan, model: PreparedModel) -> bool:
    """Whether a model is shown a picture only at the last place of a prompt, as by the study's code for LLaVA."""
    if isinstance(model.vision, ProjectorFiles):
        return False
    assert model.vision is not None
    return model.vision.parts.kind == "llava" and plan.protocol.shot_images == "paper"


def _has_its_place(question: Question) -> bool:
    """Whether there is one picture and one place for it.

    Where all questions of a prompt are so, its last place shows the picture of the question asked. Elsewhere the number
    of pictures handed over differs from that of places, and the last place may show that of a demonstration.
    """
    in_options = any("<image " in option for option in question.options)
    return len(question.pictures) == 1 and question.text.count(TAG) <= 1 and not in_options


def _asked(cell: Cell, options: ResolvedOptions) -> Iterable[Question]:
    protocol, task = options.protocol, cell.task
    yield from asked_questions(protocol, cell, options.limit)
    if protocol.selection.method != "none":
        validation = task.questions("validation")
        yield from (validation[row] for row in selection_rows(task, protocol.selection, options.limit))


def _demonstrations(cell: Cell, options: ResolvedOptions) -> Iterable[Question]:
    if cell.shots:
        selection = options.protocol.selection
        pool = cell.task.questions("demonstrations")
        for seed in {*selection.demonstration_seeds, options.protocol.demonstration_seed}:
            yield from (pool[row] for row in demonstration_rows(seed, len(pool), cell.shots))
