"""Exported rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from medbench_local.catalog.model import FamilyName, models
from medbench_local.catalog.names import ShotImages
from medbench_local.errors import UsageError
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.export import exported_prompts
from medbench_local.prompts.prompt_style import prompt_style_for
from medbench_local.prompts.prompting import Prompting
from medbench_local.prompts.rendering import render
from medbench_local.tasks.question import Question, Split, Task
from tests.prompts.pictures import BLIND, BONE, FEWER, P2, P4, TAGGED, style

POOL = tuple(Question(f"d{i}", f"shown {i}", ("left", "right"), i % 2) for i in range(6))
TEST = tuple(Question(f"t{i}", f"asked {i}", ("up", "down", "none"), i % 3) for i in range(4))
TASK = Task(
    "medqa",
    "Test",
    {
        "demonstrations": Split(POOL, None, ()),
        "validation": Split(TEST[:1], None, ()),
        "test": Split(TEST, None, ()),
    },
)
PROMPTING = prompt_style_for(models()["llama-2-7b"], asked=Prompting(system_prompt="SYS"))


def test_a_row_has_the_documented_keys_and_the_rendered_prompt() -> None:
    (row,) = exported_prompts(PROMPTING, TASK, "test", 3, formats=[5], demonstration_seeds=[7], items=[2])
    shown = [POOL[i] for i in demonstration_rows(7, len(POOL), 3)]
    written = json.loads(json.dumps(row.as_row()))
    assert written == {
        "model": "llama-2-7b",
        "task": "medqa",
        "split": "test",
        "item": 2,
        "id": "t2",
        "shots": 3,
        "format": 5,
        "demonstrations": 7,
        "prompt": render(PROMPTING, "medqa", TEST[2], shown, 5).text,
        "special": False,
        "options": ["A.", "B.", "C."],
        "answer": 2,
    }


def test_rows_of_prompts_with_pictures_name_what_each_place_shows() -> None:
    pool = (BONE, TAGGED)
    task = Task(
        "mmmu-pharmacy",
        "Test",
        {"demonstrations": Split(pool, None, ()), "test": Split((FEWER, BLIND), None, ())},
    )

    def rows(family: FamilyName, mode: ShotImages, shots: int) -> list[dict[str, Any]]:
        found = exported_prompts(
            style(family, mode), task, "test", shots, formats=[None], demonstration_seeds=[0], items=[0]
        )
        return [json.loads(json.dumps(row.as_row())) for row in found]

    assert demonstration_rows(0, 2, 2) == (0, 1)
    (row,) = rows("llava-v0", "all", 1)
    assert row["prompt"].count("<image>") == 2
    assert row["images"] == ["p2.png", "p4.png"]
    assert row["image_sha256"] == [P2.sha256, P4.sha256]
    assert list(row)[:13] == [*list(row)[:12], "images"], "behind what every row has"
    (row,) = rows("llava-v0", "paper", 1)
    assert row["images"] == [None, "p4.png"]
    (row,) = rows("med-flamingo", "paper", 2)
    handed_over = ["p2.png", "p4.png", "p4.png", "p5.png"]
    assert row["images"] == [*handed_over, handed_over]
    (text,) = exported_prompts(
        style("llava-v0"), task, "test", 0, formats=[None], demonstration_seeds=[], items=[1]
    )
    assert not {"images", "image_sha256"} & text.as_row().keys()


def test_rows_run_over_formats_then_demonstrations_then_items() -> None:
    rows = exported_prompts(PROMPTING, TASK, "test", 2, formats=[None, 1], demonstration_seeds=[3, 0])
    found = [(row.format, row.demonstrations, row.item) for row in rows]
    assert found == [(f, d, i) for f in ("default", 1) for d in (3, 0) for i in range(4)]


def test_zero_shot_has_no_demonstration_sets() -> None:
    rows = list(
        exported_prompts(PROMPTING, TASK, "validation", 0, formats=[None], demonstration_seeds=range(9))
    )
    assert [(row.demonstrations, row.shots) for row in rows] == [(None, 0)]
    assert "shown" not in rows[0].prompt


def test_items_outside_the_split_are_refused() -> None:
    with pytest.raises(UsageError, match="no item 4") as caught:
        list(
            exported_prompts(PROMPTING, TASK, "test", 0, formats=[None], demonstration_seeds=[], items=[0, 4])
        )
    assert "0 to 3" in str(caught.value)
