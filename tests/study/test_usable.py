"""Candidates that the study's code could not ask are left out of a search, and it is said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.protocol import SelectionSettings
from medbench_local.errors import TooFewPicturesError, UsageError
from medbench_local.progress import Silent
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import candidates
from medbench_local.scoring.answers import Answer
from medbench_local.study import model_prompts, prompt_search
from medbench_local.study.model_prompts import prompt_warnings, refuse_prompts
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.plan import Cell, Plan
from medbench_local.study.planner import Planner
from medbench_local.study.usable import refuse_unread_pictures, unusable_sets, usable_candidates
from medbench_local.tasks.question import Question, Split, Task
from tests.prompts.pictures import BONE, FEWER, IN_OPTIONS, LUNG, MORE, ORGAN, TAGGED, style
from tests.study.conftest import Fakes
from tests.study.material import a_prompt_style, a_task
from tests.study.test_prompting import DAYS, FEW, own

POOL = (BONE, ORGAN, TAGGED, LUNG, BONE)
TWO_SEEN = [seed for seed in range(10) if 2 in demonstration_rows(seed, len(POOL), 2)]
"""Sets with the demonstration that has two pictures."""


def a_visual_task(*test: Question, pool: Sequence[Question] = POOL) -> Task:
    return Task(
        "mmmu-pharmacy",
        "Pharmacy",
        {
            "demonstrations": Split(tuple(pool), None, ()),
            "validation": Split((LUNG, ORGAN), None, ()),
            "test": Split(test or (LUNG,), None, ()),
        },
    )


class Answers:
    """Answers every question with its first option, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Candidate] = []

    def answers(self, candidate: Candidate, split: str, rows: Sequence[int]) -> list[Answer]:
        self.asked.append(candidate)
        return [Answer(0, (), None, False, 9, 0, False, None, "00" * 32) for _ in rows]


def test_sets_with_two_pictures_in_a_demonstration_are_left_out() -> None:
    assert 0 < len(TWO_SEEN) < 10
    task, paper = a_visual_task(), style("llava-v0", "paper")
    assert unusable_sets(paper, task, 2, range(10), drops=False) == tuple(TWO_SEEN)
    tried = candidates(paper, 2)
    usable = usable_candidates(paper, task, 2, tried, drops=False)
    assert usable == tuple(one for one in tried if one.demonstrations not in TWO_SEEN)
    for every in (style("llava-v0"), style("open-flamingo", "paper"), a_prompt_style()):
        assert usable_candidates(every, task, 2, tried, drops=False) == tried


def test_questions_of_the_test_count_too() -> None:
    """A set that the validation questions can be asked with fails later in the study."""
    paper, task = style("llava-med", "paper"), a_visual_task(LUNG, MORE, pool=(FEWER, FEWER, FEWER))
    with pytest.raises(TooFewPicturesError, match=r"mmmu-pharmacy, 0-shot: .* llava-med-7b fewer pictures"):
        usable_candidates(paper, task, 0, candidates(paper, 0), drops=False)
    # Only one picture of FEWER is handed over, and it has one place: MORE still lacks one.
    assert len(unusable_sets(paper, task, 2, range(10), drops=False)) == 10
    fit = a_visual_task(LUNG, MORE, pool=(IN_OPTIONS, IN_OPTIONS))
    assert unusable_sets(paper, fit, 1, range(10), drops=False) == (), "its picture is left over"
    assert len(unusable_sets(paper, fit, 1, range(10), drops=True)) == 10, "but not once it is left out"


@pytest.mark.parametrize("method", ["exhaustive", "racing"])
def test_a_search_asks_and_lists_only_what_can_be_asked(method: str) -> None:
    scorer: Any = Answers()
    chosen, choice = prompt_search.choose_prompt(
        scorer,
        task=a_visual_task(),
        shots=2,
        prompt_style=style("llava-v0", "paper"),
        settings=SelectionSettings(method=method),  # type: ignore[arg-type]
        demonstration_seed=42,
        limit=None,
    )
    first = min(set(range(10)) - set(TWO_SEEN))
    assert chosen == Candidate(None, first), "the first of equals"
    listed = {(one.format, one.demonstrations) for one in choice.candidates}
    assert listed == {(f, d) for f in ("default", *range(10)) for d in range(10) if d not in TWO_SEEN}
    assert {one.demonstrations for one in scorer.asked}.isdisjoint(TWO_SEEN)


@pytest.mark.parametrize("model", ["meditron-7b", "llama-2-7b-chat", "demo-med"])
def test_models_known_to_read_text_are_refused_pictures_before_anything_is_fetched(model: str) -> None:
    refuse_unread_pictures(resolve_model(model), [a_task()])
    with pytest.raises(UsageError, match=f"mmmu-pharmacy come with pictures, and {model} reads text only"):
        refuse_unread_pictures(resolve_model(model), [a_task(), a_visual_task()])


def test_of_other_models_the_files_say_it_before_anything_is_scored(fakes: Fakes, tmp_path: Path) -> None:
    medical, base = own(tmp_path / "mine", DAYS, "demo-med"), own(tmp_path / "theirs", DAYS)
    planner = Planner(str(medical), str(base), resolve(CompareOptions(**FEW)), Silent())
    plan = planner.plan(planner.quants[0])
    refuse_prompts(plan)
    late = a_visual_task()
    late = replace(late, splits=late.splits | {"test": Split((*a_task().questions("test"), LUNG), None, ())})
    with pytest.raises(UsageError, match="mmmu-pharmacy come with pictures, and mine reads text only"):
        refuse_prompts(replace(plan, cells=(*plan.cells, Cell(late, 0))))


@pytest.fixture
def paper_plan(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan whose models are prompted like LLaVA, as the study's code did."""
    mine, theirs = own(tmp_path / "mine", DAYS, "demo-med"), own(tmp_path / "theirs", DAYS)
    options = resolve(CompareOptions(**(FEW | {"protocol": "emnlp2024", "shots": [2]})))
    planner = Planner(str(mine), str(theirs), options, Silent())
    plan = planner.plan(planner.quants[0])
    monkeypatch.setattr(
        model_prompts, "prompt_style_of", lambda *_, shot_images, **__: style("llava-v0", shot_images)
    )
    seen_with: Any = object()
    medical, base = (replace(model, vision=seen_with) for model in (plan.medical, plan.base))
    return replace(plan, medical=medical, base=base, cells=(Cell(a_visual_task(), 2), Cell(a_task(), 2)))


def test_what_is_left_out_is_said(paper_plan: Plan) -> None:
    refuse_prompts(paper_plan)
    (warning,) = prompt_warnings(paper_plan)
    assert warning.startswith(
        f"mmmu-pharmacy, 2-shot, llava-v0-7b: the demonstration sets {', '.join(map(str, TWO_SEEN))} are left out"
    )


def test_where_nothing_is_searched_the_one_prompt_must_be_one_that_can_be_asked(paper_plan: Plan) -> None:
    def searching_nothing(seed: int) -> Plan:
        protocol = paper_plan.protocol.model_copy(
            update={"selection": SelectionSettings(method="none"), "demonstration_seed": seed}
        )
        return replace(paper_plan, options=replace(paper_plan.options, protocol=protocol))

    refuse_prompts(searching_nothing(min(set(range(10)) - set(TWO_SEEN))))
    with pytest.raises(TooFewPicturesError, match="mmmu-pharmacy, 2-shot"):
        refuse_prompts(searching_nothing(TWO_SEEN[0]))


def test_without_demonstrations_it_is_a_question_that_cannot_be_asked() -> None:
    with pytest.raises(
        TooFewPicturesError, match=r"0-shot: .* places: a question's text names one more than once"
    ):
        usable_candidates(
            style("llava-v0", "paper"), a_visual_task(MORE), 0, [Candidate(None, None)], drops=False
        )
