"""Every picture that a prompt may show is encoded before the language model is loaded, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from medbench_local.catalog.names import ShotImages
from medbench_local.prompts.rendering import render
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.pictures import pictures_of
from medbench_local.study.plan import Cell
from medbench_local.tasks.question import Question, Split, Task
from tests.prompts.pictures import BLIND, BONE, FEWER, IN_OPTIONS, LUNG, ORGAN, PAIRS, TAGGED, style


def a_cell(test: Question, pool: Sequence[Question]) -> Cell:
    splits = {
        "demonstrations": Split(tuple(pool), None, ()),
        "validation": Split((test,), None, ()),
        "test": Split((test,), None, ()),
    }
    return Cell(Task("mmmu-pharmacy", "Pharmacy", splits), len(pool))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", PAIRS)
@pytest.mark.parametrize("shot_images", ["paper", "all"])
@pytest.mark.parametrize("test", [LUNG, IN_OPTIONS, FEWER, BLIND])
@pytest.mark.parametrize(
    "pool", [(BONE, ORGAN), (BONE, FEWER), (IN_OPTIONS, BONE), (BLIND, BONE), (TAGGED, BONE)]
)
def test_what_prompts_show_is_encoded(
    family: str, shot_images: ShotImages, test: Question, pool: tuple[Question, ...]
) -> None:
    cell = a_cell(test, pool)
    last_only = family.startswith("llava") and shot_images == "paper"
    encoded = set(pictures_of([cell], resolve(CompareOptions()), last_only=last_only))
    prompt_style = style(family, shot_images).to_be_looked_at()  # type: ignore[arg-type]
    for demonstrations in (pool, pool[::-1], pool[1:]):
        prompt = render(prompt_style, "mmmu-pharmacy", test, demonstrations, None)
        assert set(prompt.pictures) <= encoded


def test_demonstrations_that_leave_only_room_are_not_encoded() -> None:
    """1,025 pictures of VQA-RAD's pool would be encoded for nothing."""
    cell = a_cell(LUNG, (BONE, ORGAN))
    assert pictures_of([cell], resolve(CompareOptions()), last_only=True) == LUNG.pictures
    assert len(pictures_of([cell], resolve(CompareOptions()))) == 3
