"""The pictures of a plan: encoded before a language model is loaded, so that both are never in memory at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from medbench_local.acquire.picture_parts import ProjectorFiles
from medbench_local.acquire.prepare import PreparedModel
from medbench_local.progress import Progress
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import shown_pictures, shows_few
from medbench_local.results.record import ROLES
from medbench_local.scoring.encoded import encoded
from medbench_local.scoring.prompt_styles import prompt_style_of
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
    shown = pictures_shown(plan)
    if not shown:
        return {}
    return encoded(model, shown, plan.options.home, plan.options.engine, progress)


def encoding_memory(plan: Plan, model: PreparedModel) -> int:
    """Bytes of memory that it takes to encode pictures that ``model`` may be shown; 0 where that was done before."""
    if model.vision is None or isinstance(
        model.vision, ProjectorFiles
    ):  # llama.cpp's own process looks after itself
        return 0
    from medbench_local.vision.features import FeatureCache, rule_of  # slow to import
    from medbench_local.vision.tower import read_tower_config, tower_memory

    cache, config = FeatureCache(plan.options.home), read_tower_config(model.vision.tower)
    folders = [
        cache.folder_of(model.vision.parts, rule_of(config, model.vision.parts, own_colours=own))
        for own in (False, True)
    ]
    kept = (
        (folders[picture.own_colours] / f"{picture.sha256}.npy").is_file() for picture in pictures_shown(plan)
    )
    return 0 if all(kept) else tower_memory(model.vision.tower)


def pictures_shown(plan: Plan) -> tuple[Picture, ...]:
    """The pictures that a model of ``plan`` that reads them may be shown, each once."""
    styles = [
        prompt_style_of(
            plan.models[role],
            plan.options.prompting(role),
            overrides=plan.protocol.prompts,
            shot_images=plan.protocol.shot_images,
        )
        for role in ROLES
        if plan.models[role].vision is not None
    ]
    return pictures_of(plan.cells, plan.options, styles)


def pictures_of(
    cells: Iterable[Cell], options: ResolvedOptions, styles: Sequence[PromptStyle]
) -> tuple[Picture, ...]:
    """The pictures that prompts of ``cells`` may show, each once.

    Args:
        cells: their questions that may be asked, and their demonstrations, count.
        options: the protocol and the limit decide which these are.
        styles: how the models that are shown pictures are prompted; where each shows few, only what is shown counts.
    """
    few = bool(styles) and all(map(shows_few, styles))
    found: dict[Picture, None] = {}
    for cell in cells:
        asked = list(_asked(cell, options))
        if not few:
            for question in (*asked, *(one for shown in _demonstrations(cell, options) for one in shown)):
                found.update(dict.fromkeys(question.pictures))
            continue
        for shown in _demonstrations(cell, options):
            # farthest first, demonstrations are left out of what is too long
            for dropped in range(len(shown) + 1 if options.protocol.too_long == "drop-demonstrations" else 1):
                for question in asked:
                    found.update(dict.fromkeys(shown_pictures(styles[0], question, shown[dropped:])))
    return tuple(found)


def _asked(cell: Cell, options: ResolvedOptions) -> Iterator[Question]:
    protocol, task = options.protocol, cell.task
    yield from asked_questions(protocol, cell, options.limit)
    if protocol.selection.method != "none":
        validation = task.questions("validation")
        yield from (validation[row] for row in selection_rows(task, protocol.selection, options.limit))


def _demonstrations(cell: Cell, options: ResolvedOptions) -> Iterator[tuple[Question, ...]]:
    """Each set that may be shown; the empty one without shots."""
    if not cell.shots:
        yield ()
        return
    protocol, pool = options.protocol, cell.task.questions("demonstrations")
    for seed in {*protocol.selection.demonstration_seeds, protocol.demonstration_seed}:
        yield tuple(pool[row] for row in demonstration_rows(seed, len(pool), cell.shots))
