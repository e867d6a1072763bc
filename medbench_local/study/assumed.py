"""What a plan assumes where files are not here, and may or can not be had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medbench_local.acquire.inventory import ModelPlan
from medbench_local.study.plan import Cell
from medbench_local.tasks.typical import is_typical
from medbench_local.text import listed


def assumptions(cells: Sequence[Cell], models: Sequence[ModelPlan]) -> tuple[str, ...]:
    """One sentence for each kind of thing that is assumed; none where everything is here or the hub was asked."""
    return (*assumed_sizes(models), *assumed_questions(cells))


def assumed_sizes(models: Sequence[ModelPlan]) -> Iterator[str]:
    """That models are taken to be as large as the catalog says, if any is."""
    sizes = tuple(dict.fromkeys(model.name for model in models if model.about))
    if sizes:
        yield (
            f"The size of {listed(sizes)} is about, from the catalog: the files are not here, and the hub was not "
            "asked."
        )


def assumed_questions(cells: Sequence[Cell]) -> Iterator[str]:
    """That questions are taken to be as many and as long as the catalog says, if any are."""
    tasks = tuple(dict.fromkeys(cell.task.id for cell in cells if is_typical(cell.task)))
    if tasks:
        yield (
            f"The questions of {listed(tasks)} are not here: as many as each data set officially has are counted, of "
            "its typical length, which the longest demonstrations exceed; `data_dir=` counts real ones."
        )
