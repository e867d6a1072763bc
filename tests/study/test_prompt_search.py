"""The prompt of a cell is the best one on validation questions, by whichever search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medbench_local.catalog.protocol import SelectionSettings
from medbench_local.engine.fake import FakeEngine
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import candidates
from medbench_local.results.choices import PromptChoice
from medbench_local.scoring.answers import Answer
from medbench_local.study.prompt_search import asking_costs, choose_prompt, margins_of, selection_rows
from tests.study.material import Bench, a_prompt_style, a_task


def _choose(
    bench: Bench, settings: SelectionSettings, shots: int, limit: int | None = None
) -> tuple[Candidate, PromptChoice]:
    return choose_prompt(
        bench.scorer,
        task=bench.task,
        shots=shots,
        prompt_style=bench.prompt_style,
        settings=settings,
        demonstration_seed=42,
        limit=limit,
    )


@pytest.mark.parametrize("shots", [0, 3])
def test_without_a_search_the_default_prompt_is_taken(tmp_path: Path, shots: int) -> None:
    bench = Bench(tmp_path, shots=shots)
    chosen, choice = _choose(bench, SelectionSettings(method="none"), shots)
    assert chosen == Candidate(None, 42 if shots else None)
    assert (choice.method, choice.format, choice.validation_accuracy) == ("none", "default", None)
    assert choice.estimated_gain is None
    assert bench.engine.prompts == 0  # type: ignore[attr-defined]


def test_exhaustive_takes_the_first_of_the_best_and_lists_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path, task=a_task(validation=30), shots=2)
    settings = SelectionSettings(method="exhaustive", formats=(3, 8), demonstration_seeds=(0, 5))
    chosen, choice = _choose(bench, settings, 2)
    options = candidates(bench.prompt_style, 2, formats=(3, 8), demonstration_seeds=(0, 5))
    asked = bench.task.questions("validation")
    right = [
        np.mean(
            [
                answer.prediction == question.answer
                for answer, question in zip(
                    bench.scorer.answers(option, "validation", range(30)), asked, strict=True
                )
            ]
        )
        for option in options
    ]
    best = int(np.argmax(right))
    assert chosen == options[best]
    assert [c.accuracy for c in choice.candidates] == pytest.approx(right)
    assert [(c.format, c.demonstrations) for c in choice.candidates] == [
        (f, d) for f in ("default", 3, 8) for d in (0, 5)
    ]
    assert choice.validation_accuracy == pytest.approx(max(right))
    assert choice.spread == pytest.approx(max(right) - right[0])
    assert choice.estimated_gain is not None
    assert abs(choice.estimated_gain) < 0.05, "answers are drawn by lot: no prompt is better"
    assert (choice.prompts_scored, choice.prompts_exhaustive) == (180, 180)
    assert bench.engine.prompts == 180, "looking at the answers again scored nothing"  # type: ignore[attr-defined]


def test_racing_finds_the_winner_of_the_exhaustive_search_where_it_is_clear(tmp_path: Path) -> None:
    task = a_task(validation=200)
    answer_tokens = FakeEngine()
    letters = {answer_tokens.token_of(letter): i for i, letter in enumerate("ABCD")}
    exhaustive_bench = Bench(tmp_path / "prepare", task=task)
    best = Candidate(4, None)
    questions = task.questions("validation")
    prepared = exhaustive_bench.builder.prompts(best, "validation", range(len(questions)))
    right = {
        prompt.request.context: questions[row].answer  # type: ignore[union-attr]
        for row, prompt in prepared.prompts.items()
    }

    def logprob(context: tuple[int, ...], continuation: tuple[int, ...]) -> float:
        if context in right:
            return -0.1 if letters[continuation[0]] == right[context] else -5.0
        return -3 - (hash((context, continuation)) % 1000) / 1000

    def search(method: str) -> tuple[Candidate, PromptChoice, int]:
        engine = FakeEngine(logprob=logprob)
        bench = Bench(tmp_path / method, task=task, engine=engine)
        chosen, choice = _choose(bench, SelectionSettings(method=method), 0)  # type: ignore[arg-type]
        return chosen, choice, engine.prompts

    winner, _, all_prompts = search("exhaustive")
    raced, choice, prompts = search("racing")
    assert winner == raced == best
    assert choice.method == "racing"
    assert prompts == choice.prompts_scored < 0.7 * all_prompts
    assert choice.prompts_exhaustive == all_prompts == 11 * 200
    assert choice.error_bound is not None
    assert choice.error_bound <= 0.05


def test_a_fixed_template_is_not_searched_zero_shot_and_only_by_demonstrations_few_shot(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "0", prompt_style=a_prompt_style("biomistral-7b"))
    chosen, choice = _choose(bench, SelectionSettings(), 0)
    assert (chosen, choice.method) == (Candidate(None, None), "none")
    bench = Bench(tmp_path / "3", prompt_style=a_prompt_style("biomistral-7b"), shots=3)
    chosen, choice = _choose(bench, SelectionSettings(), 3)
    assert chosen.format is None
    assert [(c.format, c.demonstrations) for c in choice.candidates] == [("default", d) for d in range(10)]


def test_limits_of_the_protocol_and_the_user_both_hold() -> None:
    task = a_task(validation=700)
    assert len(selection_rows(task, SelectionSettings(), None)) == 500
    assert len(selection_rows(task, SelectionSettings(validation_questions=None), None)) == 700
    assert len(selection_rows(task, SelectionSettings(), 20)) == 20
    assert selection_rows(a_task(validation=6), SelectionSettings(), 20) == tuple(range(6))
    drawn = np.random.RandomState(42).choice(700, 500, replace=False)
    assert selection_rows(task, SelectionSettings(), None) == tuple(drawn), "the study's subset"


def test_a_search_never_touches_test_questions(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked = []
    answers = bench.scorer.answers

    def listening(candidate, split, rows):  # type: ignore[no-untyped-def]
        asked.append(split)
        return answers(candidate, split, rows)

    bench.scorer.answers = listening  # type: ignore[method-assign]
    _choose(bench, SelectionSettings(), 0)
    assert set(asked) == {"validation"}


def test_asking_costs_what_is_read() -> None:
    """The demonstrations of a candidate, and the question, whoever is asked."""
    task = a_task(validation=10)
    pool, asked = task.questions("demonstrations"), task.questions("validation")
    options = candidates(a_prompt_style(), 2, formats=(3,), demonstration_seeds=(0, 5))
    costs = asking_costs(options, pool, asked, 2)
    assert costs.prefix[0] == costs.prefix[2] != costs.prefix[1] == costs.prefix[3]
    longer = [len(question.text) - len(asked[0].text) for question in asked]
    assert (costs.question - costs.question[0]).tolist() == longer
    assert (asking_costs(candidates(a_prompt_style(), 0), pool, asked, 0).prefix == 0).all()


def test_margins_are_those_of_the_right_option_where_options_have_scores() -> None:
    (question,) = a_task(validation=1).questions("validation")
    assert question.answer < 4

    def margin(*logprobs: float) -> float:
        answer = Answer(0, logprobs, None, False, 9, 0, not logprobs, None, "00" * 32)
        return float(margins_of([question], [answer])[0])

    right, best_other = -0.25, -1.5
    scores = [-4.0] * 4
    scores[question.answer] = right
    scores[question.answer - 1] = best_other
    assert margin(*scores) == pytest.approx(right - best_other)
    assert margin(*[-score for score in scores]) == pytest.approx(0.25 - 4)
    assert margin(*[score + 1e-6 * place for place, score in enumerate(scores)]) == margin(*scores)
    assert np.isnan(margin()), "a text was generated, or the prompt did not fit"
