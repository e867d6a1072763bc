"""Which pictures of a plan are encoded, and what memory that takes; what a search costs where pictures are many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medbench_local.catalog.protocol import load_protocol
from medbench_local.engine import memory as engine_memory
from medbench_local.engine.base import EngineOptions
from medbench_local.engine.fake import VOCABULARY, FakeEngine
from medbench_local.errors import DoesNotFitError
from medbench_local.prompts.prompt import Candidate, Prompt
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import render, shown_pictures
from medbench_local.scoring.pictures import PictureBook
from medbench_local.study import memory
from medbench_local.study.options import CompareOptions, ResolvedOptions, resolve
from medbench_local.study.pictures import pictures_of
from medbench_local.study.plan import Cell
from medbench_local.study.prompt_search import search_prompts
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import Question, Split, Task
from tests.prompts.pictures import style
from tests.study.material import Bench, settings


def a_picture(number: int) -> Picture:
    return Picture(f"{number:064x}", f"{number}.png")


def about(number: int, *pictures: int, text: str = "") -> Question:
    shown = tuple(map(a_picture, pictures))
    return Question(f"q{number}", text or f"What is {number}?", ("yes", "no"), 0, pictures=shown)


def a_task(test: Sequence[Question], pool: Sequence[Question]) -> Task:
    return Task(
        "seen",
        "Seen",
        {
            "demonstrations": Split(tuple(pool), None, ()),
            "validation": Split((about(0, 0),), None, ()),
            "test": Split(tuple(test), None, ()),
        },
    )


POOL = [about(i, i) for i in range(100, 140)]
TEST = [about(1, 1), about(2, 1), about(3, 3)]


def asked(protocol: str, **more: Any) -> ResolvedOptions:
    return resolve(CompareOptions(protocol=protocol, **more))


def numbers(task: Task, shots: int, options: ResolvedOptions, *families: Any, mode: Any = "all") -> set[int]:
    styles = [style(family, mode) for family in families]
    return {int(one.sha256, 16) for one in pictures_of([Cell(task, shots)], options, styles)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))


def test_each_picture_that_may_be_shown_once() -> None:
    options = asked("laptop")
    assert numbers(a_task(TEST, POOL), 0, options, "llava-v0") == {0, 1, 3}
    few_shot = numbers(a_task(TEST, POOL), 2, options, "llava-v0")
    assert {0, 1, 3} < few_shot
    # eleven sets of two at most: the ten that are searched, and the one where nothing is
    assert 15 <= len(few_shot - {0, 1, 3}) <= 22
    assert numbers(a_task(TEST, POOL), 0, asked("laptop", limit=1), "llava-v0") == {0, 1}


def test_where_nothing_is_searched_validation_pictures_are_not_looked_at() -> None:
    options = asked("laptop")
    selection = options.protocol.selection.model_copy(update={"method": "none"})
    options = replace(options, protocol=options.protocol.model_copy(update={"selection": selection}))
    assert numbers(a_task(TEST, POOL), 0, options, "llava-v0") == {1, 3}


def test_in_the_studys_way_a_llava_sees_the_question_alone() -> None:
    task, options = a_task(TEST, POOL), asked("emnlp2024")
    assert numbers(task, 2, options, "llava-med", "llava-v0", mode="paper") == {0, 1, 3}
    for others in (("med-flamingo", "open-flamingo"), ("llava-v0", "open-flamingo"), ("llava-v1.5",)):
        assert len(numbers(task, 2, options, *others, mode="paper")) > 10, others


@pytest.mark.parametrize("family", ["llava-v0", "llava-v1.5", "med-flamingo"])
@pytest.mark.parametrize("mode", ["all", "paper"])
def test_what_prompts_show_is_encoded(family: Any, mode: Any) -> None:
    """Questions without pictures, with several, and with pictures that the options name: nothing shown is missing."""
    pool = [about(50, 50), about(51), about(52, 52, 53), about(54, 54, text="<image> and again <image>")]
    test = [about(1), about(2, 1), about(3, 3, 4), about(5, 5, 6, text="<image> or <image>?")]
    options = asked("emnlp2024" if mode == "paper" else "laptop")
    found = set(pictures_of([Cell(a_task(test, pool), 2)], options, [style(family, mode)]))
    lenient = style(family, mode).to_be_looked_at()
    from medbench_local.prompts.demonstrations import demonstration_rows

    for seed in range(10):
        shown = [pool[row] for row in demonstration_rows(seed, len(pool), 2)]
        for question in test:
            expected = shown_pictures(style(family, mode), question, shown)
            assert set(expected) <= found
            rendered: Prompt = render(lenient, "seen", question, shown, 0)
            assert not expected or expected == rendered.pictures


def test_the_laptop_search_has_an_end_whatever_the_task() -> None:
    """PathVQA has 3,135 validation questions: exhaustively a search takes ten times as many prompts."""
    laptop, study = (load_protocol(name).selection for name in ("laptop", "emnlp2024"))
    formats, sets = 1 + len(study.formats), len(study.demonstration_seeds)
    assert study.validation_questions == laptop.validation_questions == 500
    assert search_prompts(formats * sets, 500, study) == 55_000
    assert search_prompts(formats * sets, 500, laptop) == 3_800
    assert search_prompts(formats, 500, laptop) == 1_815


# --- with the fake engine


def bench(
    folder: Path, task: Task, *, shots: int = 0, mode: Any = "all", engine: FakeEngine | None = None
) -> Bench:
    engine = engine or FakeEngine(picture_tokens=4)
    every = {
        picture: Path(f"/f/t/r/{picture.sha256}.npy")
        for split in task.splits.values()
        for question in split.questions
        for picture in question.pictures
    }
    given = replace(settings(), pictures=PictureBook(engine.info, every))
    prompt_style: PromptStyle = style("llava-v0", mode)
    return Bench(folder, task=task, engine=engine, shots=shots, given=given, prompt_style=prompt_style)


def test_questions_are_answered_and_found_again_in_another_order(tmp_path: Path) -> None:
    task = a_task(TEST, POOL)
    one = bench(tmp_path, task, shots=2)
    candidate = Candidate(None, 0)
    answers = one.scorer.answers(candidate, "test", [0, 1, 2])
    assert len({answer.logprobs for answer in answers}) == 3
    one.store.close()
    # The prompts are looked up by their tokens only: as after a release, what was tokenised before is not known.
    again = bench(tmp_path, task, shots=2)
    again.builder.recall = lambda *_: {}  # type: ignore[method-assign]
    assert again.scorer.answers(candidate, "test", [2, 1, 0]) == answers[::-1]
    assert (again.meter.prompts_scored, again.meter.prompts_reused) == (0, 3)


def test_another_picture_is_another_prompt_of_the_same_text(tmp_path: Path) -> None:
    before, after = (a_task([about(1, number)], POOL) for number in (1, 2))
    for number, task in enumerate((before, after, before)):
        one = bench(tmp_path, task)
        one.scorer.answers(Candidate(None, None), "test", [0])
        assert one.meter.prompts_scored == (number < 2)
        one.store.close()


def test_a_picture_in_its_own_colours_is_another_prompt(tmp_path: Path) -> None:
    """What a model sees of it is in another file, though the hash of the prompt is the same."""
    plain = about(1, 1)
    own = replace(plain, pictures=tuple(replace(one, own_colours=True) for one in plain.pictures))
    for question in (plain, own):
        one = bench(tmp_path, a_task([question], POOL))
        files = {
            p: Path(f"/f/t/{'own' if p.own_colours else 'rgb'}/{p.sha256}.npy") for p in question.pictures
        }
        given = replace(settings(), pictures=PictureBook(one.engine.info, files))
        one = Bench(tmp_path, task=one.task, engine=one.engine, given=given, prompt_style=style("llava-v0"))
        one.scorer.answers(Candidate(None, None), "test", [0])
        assert one.meter.prompts_scored == 1
        one.store.close()


def test_demonstrations_of_the_study_show_nothing_and_are_shared(tmp_path: Path) -> None:
    """Their places are ordinary tokens, so that all questions share them."""
    paper = bench(tmp_path, a_task(TEST, POOL), shots=2, mode="paper")
    prepared = paper.builder.prompts(Candidate(None, 0), "test", [0, 1, 2])
    (prefix,) = prepared.prefixes.values()
    assert max(prefix) < VOCABULARY
    assert sum(max(p.request.context) >= VOCABULARY for p in prepared.prompts.values() if p.request) == 3


# --- memory


def test_what_a_model_sees_with_counts_and_so_does_the_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen:
        vision = Path("vision.safetensors")

    class Reader:
        name, vision = "reader", Seen()

    engine = EngineOptions()
    plan: Any = type("Outline", (), {})()
    reader: Any = Reader()
    assert memory._seeing(plan, reader, engine).vision == "vision.safetensors"
    reader.vision = None
    assert memory._seeing(plan, reader, engine) == engine
    monkeypatch.setattr(memory, "encoding_memory", lambda *_: 2**31)
    monkeypatch.setattr(memory, "memory_available", lambda: 2**30)
    with pytest.raises(DoesNotFitError, match=r"looks at pictures for reader needs about 2\.0 GiB"):
        memory._refuse_tower(plan, reader)
    monkeypatch.setattr(memory, "encoding_memory", lambda *_: 0)
    memory._refuse_tower(plan, reader)
    assert engine_memory.gigabytes(2**31) == "2.0 GiB"
