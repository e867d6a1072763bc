"""Thinking before the answer: what is asked, what is kept, what a trace that is known spares."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench_local.catalog.model import ThinkingName
from medbench_local.catalog.protocol import ThinkingSettings
from medbench_local.engine.base import Heard, Pack, ThinkRequest, Tokens, Trace
from medbench_local.engine.fake import FakeEngine
from medbench_local.errors import UsageError, WorkerDied
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.thinking_style import STYLES
from medbench_local.scoring.thoughts import within
from medbench_local.store.scores import StoredTrace
from tests.scoring.watched import ZERO
from tests.study.material import Bench, a_prompt_style, a_task, questions, settings


def _style(name: ThinkingName = "think-tags") -> PromptStyle:
    from dataclasses import replace

    return replace(a_prompt_style(), thinking=STYLES[name])


class _Engine(FakeEngine):
    """Remembers what it was asked, and answers with the letter that it thought of."""

    def __init__(self, thought: str = "it is B</think>", die_after: int | None = None) -> None:
        super().__init__(thought=lambda _: thought, logprob=self._by_thought)
        self.thoughts: list[ThinkRequest] = []
        self.scored: list[Pack] = []
        self._die_after_thoughts = die_after

    def _by_thought(self, context: Tokens, option: Tokens) -> float:
        (text,) = self.spell([context])
        (letter,) = self.spell([option])
        return -0.1 if f"it is {letter[0]}" in text else -3.0

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:
        found = []
        for number, request in enumerate(pack.requests):
            assert isinstance(request, ThinkRequest)
            if len(self.thoughts) == self._die_after_thoughts:
                raise WorkerDied("The worker was killed.")
            self.thoughts.append(request)
            trace = self._trace(request)
            heard(number, len(trace.tokens), trace)
            found.append(trace)
        return found

    def score(self, pack: Pack):  # type: ignore[no-untyped-def]
        self.scored.append(pack)
        return super().score(pack)


def _bench(tmp_path: Path, engine: _Engine, *, style: PromptStyle | None = None, **own: object) -> Bench:
    given = settings("thinking", context=8192, thinking=ThinkingSettings.model_validate(own))
    return Bench(tmp_path, engine=engine, given=given, prompt_style=style or _style(), task=a_task(test=6))


def test_the_options_are_read_behind_what_was_thought(tmp_path: Path) -> None:
    engine = _Engine()
    bench = _bench(tmp_path, engine)
    answers = bench.scorer.answers(ZERO, "test", range(6))
    assert {answer.prediction for answer in answers} == {1}
    assert {answer.thought.end for answer in answers if answer.thought} == {"closed"}
    assert {answer.thought.text for answer in answers if answer.thought} == {"it is B</think>"}
    (text,) = engine.spell([engine.scored[0].requests[0].context])
    assert text.endswith("### Answer: <think>\nit is B</think>\n\nThe answer is (")
    assert answers[0].tokens == len(engine.thoughts[0].context)


def test_what_is_not_closed_is_closed_for_the_model(tmp_path: Path) -> None:
    for name, thought, budget, ends in (
        ("budget", "hm " * 50, 7, "hm hm hm hm\n</think>\n\nThe answer is ("),
        ("ended", "I say it is C.", 4096, "I say it is C.\n</think>\n\nThe answer is ("),
    ):
        engine = _Engine(thought)
        (answer, *_) = _bench(tmp_path / name, engine, budget=budget).scorer.answers(ZERO, "test", range(6))
        assert answer.thought is not None
        assert answer.thought.end == name
        (text,) = engine.spell([engine.scored[0].requests[0].context])
        assert text.endswith(ends)


def test_a_model_that_was_not_trained_to_think_writes_until_its_text_ends(tmp_path: Path) -> None:
    engine = _Engine("Well, it is D.")
    answers = _bench(tmp_path, engine, style=a_prompt_style()).scorer.answers(ZERO, "test", range(6))
    assert {answer.prediction for answer in answers} == {3}
    assert engine.thoughts[0].close == ()
    (text,) = engine.spell([engine.scored[0].requests[0].context])
    assert text.endswith("### Answer: Well, it is D.\n\n\nThe answer is (")


def test_labels_can_be_read_instead_of_letters(tmp_path: Path) -> None:
    engine = _Engine()
    answers = _bench(tmp_path, engine, reading="label").scorer.answers(ZERO, "test", range(6))
    assert {answer.prediction for answer in answers} == {1}
    request = engine.scored[0].requests[0]
    (text, *endings) = engine.spell([request.context, *request.continuations])  # type: ignore[union-attr]
    assert text.endswith("The answer is (")
    assert endings == ["A)", "B)", "C)", "D)"]


def test_nothing_is_thought_twice(tmp_path: Path) -> None:
    engine = _Engine()
    bench = _bench(tmp_path, engine)
    first = bench.scorer.answers(ZERO, "test", range(3))
    assert len(engine.thoughts) == 3
    assert bench.scorer.answers(ZERO, "test", range(6))[:3] == first
    assert len(engine.thoughts) == 6
    bench.store.close()
    again = _Engine()
    assert _bench(tmp_path, again).scorer.answers(ZERO, "test", range(6))[:3] == first
    assert (len(again.thoughts), again.packs) == (0, 0)
    other = _Engine()
    _bench(tmp_path, other, reading="label").scorer.answers(ZERO, "test", range(6))
    assert len(other.thoughts) == 0, "options are read again in another way without thinking again"
    assert other.packs == 1


def test_a_death_loses_only_what_was_being_thought(tmp_path: Path) -> None:
    engine = _Engine(die_after=4)
    bench = _bench(tmp_path, engine)
    with pytest.raises(WorkerDied):
        bench.scorer.answers(ZERO, "test", range(6))
    bench.store.close()
    again = _Engine()
    _bench(tmp_path, again).scorer.answers(ZERO, "test", range(6))
    assert len(again.thoughts) == 2


def test_a_trace_serves_every_budget_that_it_answers() -> None:
    closed = StoredTrace((1, 2, 3), "closed")
    assert within(closed, 3) == Trace((1, 2, 3), "closed")
    assert within(closed, 2) == Trace((1, 2), "budget")
    ended = StoredTrace((1, 2, 3), "ended")
    assert within(ended, 4) == Trace((1, 2, 3), "ended")
    assert within(ended, 3) == Trace((1, 2, 3), "budget"), (
        "with three tokens the end would not have been seen"
    )
    cut = StoredTrace((1, 2, 3), "budget")
    assert within(cut, 3) == Trace((1, 2, 3), "budget")
    assert within(cut, 4) is None
    assert within(StoredTrace((1,), "nonsense"), 4) is None
    assert within(None, 4) is None


def test_a_budget_that_does_not_fit_is_refused_beforehand(tmp_path: Path) -> None:
    given = settings("thinking", context=400, thinking=ThinkingSettings(budget=150))
    bench = Bench(tmp_path, engine=_Engine(), given=given, prompt_style=_style(), task=a_task(test=6))
    bench.builder.need_room_to_think(ZERO, "test", [0])
    given = settings("thinking", context=400, thinking=ThinkingSettings(budget=390))
    bench = Bench(
        tmp_path / "more", engine=_Engine(), given=given, prompt_style=_style(), task=a_task(test=6)
    )
    with pytest.raises(UsageError, match=r"6 of 6 prompts .* context of 400 tokens .* with 390 tokens"):
        bench.builder.need_room_to_think(ZERO, "test", range(6))


def test_progress_adds_up_to_the_questions(tmp_path: Path) -> None:
    heard: list[float] = []
    bench = _bench(tmp_path, _Engine("hm " * 400 + "it is A</think>"))
    bench.scorer._advance = lambda amount, known=False: heard.append(amount)
    bench.scorer.answers(ZERO, "test", range(6))
    assert sum(heard) == pytest.approx(6)
    assert all(amount >= 0 for amount in heard)
    assert len(questions("test", 6)) == 6
