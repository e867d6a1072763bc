"""From questions to answers: what is asked of the engine, what is looked up, how scores become predictions."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from medbench_local.catalog.protocol import Scoring
from medbench_local.engine.base import EngineInfo, OptionScores, Pack, WorkDone
from medbench_local.engine.fake import FakeEngine
from medbench_local.errors import DiskFullError, EngineError, WorkerDied
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.rendering import render
from medbench_local.scoring.answers import Meter, fingerprint
from medbench_local.scoring.request_builder import RequestBuilder
from medbench_local.tasks.question import Question, Split, Task
from tests.scoring.watched import ZERO, Watched
from tests.study.material import Bench, a_prompt_style, a_task, settings

SHOWN = Candidate(None, 42)


def test_nothing_is_scored_twice_and_order_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.scorer.answers(ZERO, "test", [4, 1, 7])
    assert bench.engine.prompts == 3  # type: ignore[attr-defined]
    again = bench.scorer.answers(ZERO, "test", range(12))
    assert bench.engine.prompts == 12  # type: ignore[attr-defined]
    assert [again[row] for row in (4, 1, 7)] == first
    assert (bench.meter.prompts_scored, bench.meter.prompts_reused) == (12, 3)
    assert bench.told == 3 + 12
    assert len(bench.store) == 12


class HelpedEngine(FakeEngine):
    """Does all by itself, and notes when nobody wants any more."""

    over = False

    def each(self, work: Callable[[Any, Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """See `medbench_local.engine.several.Helped`."""
        try:
            for item in items:
                yield item, work(self, item)
        finally:
            self.over = True


def test_where_nothing_can_be_kept_helpers_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = HelpedEngine()
    bench = Bench(tmp_path, task=a_task(test=400), engine=engine)

    def full(_scores: object) -> None:
        raise DiskFullError("scores.sqlite: the disk is full.")

    monkeypatch.setattr(bench.store, "put", full)
    with pytest.raises(DiskFullError) as raised:
        bench.scorer.answers(ZERO, "test", range(400))
    assert engine.over
    assert raised.tb is not None, "which holds all that was going on"


def test_another_scorer_on_the_same_store_finds_everything(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    expected = first.scorer.answers(ZERO, "test", range(12))
    first.store.close()
    second = Bench(tmp_path)
    assert second.scorer.answers(ZERO, "test", range(12)) == expected
    assert second.engine.prompts == 0  # type: ignore[attr-defined]


def test_other_numerics_are_another_score(tmp_path: Path) -> None:
    Bench(tmp_path).scorer.answers(ZERO, "test", range(12))
    other = FakeEngine(numerics={"engine": "fake", "flash_attention": "on"})
    bench = Bench(tmp_path, engine=other)
    bench.scorer.answers(ZERO, "test", range(12))
    assert other.prompts == 12
    info: EngineInfo = other.info
    assert fingerprint("a file", info) != fingerprint("another file", info)


def test_the_prefix_does_not_depend_on_which_rows_are_scored(tmp_path: Path) -> None:
    prefixes = set()
    for number, rows in enumerate(([0], [5, 6], range(12))):
        engine = Watched()
        Bench(tmp_path / str(number), engine=engine, shots=3).scorer.answers(SHOWN, "test", list(rows))
        prefixes |= {pack.prefix for pack in engine.given}
    assert len(prefixes) == 1
    (prefix,) = prefixes
    task = a_task()
    pool = task.questions("demonstrations")
    shown = [pool[row] for row in demonstration_rows(42, len(pool), 3)]
    texts = [render(a_prompt_style(), "made-up", q, shown, None).text for q in task.questions("test")]
    contexts = FakeEngine().tokenize(texts, special=False)
    assert all(context[: len(prefix)] == prefix for context in contexts)
    assert len({context[len(prefix)] for context in contexts}) > 1, "it is the longest one"


def test_long_work_is_kept_pack_by_pack(tmp_path: Path) -> None:
    task = a_task(test=400)
    engine = FakeEngine(die_after=1)
    bench = Bench(tmp_path, task=task, engine=engine)
    with pytest.raises(WorkerDied):
        bench.scorer.answers(ZERO, "test", range(400))
    kept = len(bench.store)
    assert 0 < kept < 400
    bench.store.close()
    second = Bench(tmp_path, task=task)
    second.scorer.answers(ZERO, "test", range(400))
    assert second.engine.prompts == 400 - kept  # type: ignore[attr-defined]


def _lengths(task: Task, shots: int, dropped: int = 0) -> list[int]:
    pool = task.questions("demonstrations")
    shown = [pool[row] for row in demonstration_rows(42, len(pool), shots)][dropped:]
    texts = [render(a_prompt_style(), task.id, q, shown, None).text for q in task.questions("test")]
    return [len(tokens) for tokens in FakeEngine().tokenize(texts, special=False)]


def test_a_prompt_that_does_not_fit_is_wrong_and_counted(tmp_path: Path) -> None:
    lengths = _lengths(a_task(), 3)
    context = sorted(lengths)[6]
    bench = Bench(tmp_path, shots=3, given=settings(context=context, too_long="count-as-wrong"))
    answers = bench.scorer.answers(SHOWN, "test", range(12))
    assert [answer.overlong for answer in answers] == [length > context for length in lengths]
    for answer in answers:
        assert answer.dropped == 0
        if answer.overlong:
            assert (answer.prediction, answer.logprobs, answer.mass) == (None, (), None)
            assert answer.tokens > context
    assert bench.engine.prompts == sum(length <= context for length in lengths)  # type: ignore[attr-defined]
    assert bench.told == 12


def test_the_farthest_demonstrations_are_dropped_until_it_fits(tmp_path: Path) -> None:
    task = a_task()
    context = max(_lengths(task, 3, dropped=1)) - 1
    bench = Bench(tmp_path, shots=3, given=settings(context=context, too_long="drop-demonstrations"))
    answers = bench.scorer.answers(SHOWN, "test", range(12))
    assert not any(answer.overlong for answer in answers)
    assert {answer.dropped for answer in answers} == {1, 2}
    pool = task.questions("demonstrations")
    shown = [pool[row] for row in demonstration_rows(42, len(pool), 3)]
    for question, answer in zip(task.questions("test"), answers, strict=True):
        text = render(a_prompt_style(), task.id, question, shown[answer.dropped :], None).text
        assert answer.prompt_sha256 == hashlib.sha256(text.encode()).hexdigest()
        assert answer.tokens <= context


def test_what_does_not_fit_without_demonstrations_is_wrong(tmp_path: Path) -> None:
    bench = Bench(tmp_path, shots=3, given=settings(context=10, too_long="drop-demonstrations"))
    answers = bench.scorer.answers(SHOWN, "test", range(12))
    assert all(answer.overlong and answer.dropped == 3 for answer in answers)
    assert bench.engine.prompts == 0  # type: ignore[attr-defined]


def test_an_empty_option_cannot_be_scored_as_text(tmp_path: Path) -> None:
    asked = (Question("q7", "Which?", ("a", ""), 0),)
    task = Task("made-up", "", {s: Split(asked, None, ()) for s in ("demonstrations", "validation", "test")})
    bench = Bench(tmp_path, task=task, given=settings("cloze"))
    with pytest.raises(EngineError, match=r"q7: option 2 is empty.*constrained"):
        bench.scorer.answers(ZERO, "test", [0])


@pytest.mark.parametrize("kind", ["greedy", "fast"])
def test_what_depends_on_its_company_is_not_taken_from_other_company(tmp_path: Path, kind: str) -> None:
    given = settings("greedy") if kind == "greedy" else settings()

    class Company(FakeEngine):
        """Whose results show what was asked together."""

        def generate(self, pack: Pack) -> list[str]:
            return [f"({'ABCD'[len(pack.requests) % 4]})"] * len(pack.requests)

        def score(self, pack: Pack) -> list[OptionScores]:
            size = len(pack.requests)
            return [OptionScores(tuple(-1.0 - (i + size) % 4 for i in range(4)), 1.0)] * size

    def engine() -> FakeEngine:
        return Company(numerics={"mode": "fast" if kind == "fast" else "exact"})

    undisturbed = Bench(tmp_path / "one", engine=engine(), given=given).scorer.answers(
        ZERO, "test", range(12)
    )
    bench = Bench(tmp_path / "two", engine=engine(), given=given)
    bench.scorer.answers(ZERO, "test", range(5))
    assert bench.scorer.answers(ZERO, "test", range(12)) == undisturbed
    assert bench.scorer.answers(ZERO, "test", range(12)) == undisturbed
    assert (bench.meter.prompts_scored, bench.meter.prompts_reused) == (17, 12)


def test_tokens_count_each_shared_prefix_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, shots=3)
    expected = bench.builder.tokens(SHOWN, "test", range(12))
    lengths = _lengths(bench.task, 3)
    bench.scorer.answers(SHOWN, "test", range(12))
    (prefix,) = {expected - bench.meter.tokens_decoded}
    assert sum(lengths) - 11 * prefix == expected


def test_chat_prompts_are_tokenised_with_their_control_tokens(tmp_path: Path) -> None:
    said = []

    class Listening(FakeEngine):
        def tokenize(self, texts, *, special, bos="once"):  # type: ignore[no-untyped-def]
            said.append((special, bos))
            return super().tokenize(texts, special=special, bos=bos)

    twice = settings(chat_bos="twice")
    Bench(
        tmp_path / "chat", engine=Listening(), prompt_style=a_prompt_style("llama-2-7b-chat"), given=twice
    ).scorer.answers(ZERO, "test", [0])
    assert set(said) == {(True, "twice")}
    said.clear()
    Bench(tmp_path / "plain", engine=Listening(), given=twice).scorer.answers(ZERO, "test", [0])
    assert set(said) == {(False, "once")}, "plain prompts never get two"


def test_stored_scores_of_another_number_of_options_are_computed_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    right = bench.scorer.answers(ZERO, "test", range(12))
    with closing(sqlite3.connect(tmp_path / "scores.sqlite")) as database:
        values = struct.pack("<9d", *[-1.0] * 8, -0.1)
        database.execute(
            "UPDATE scores SET logprobs = ?, sum = NULL", (values,)
        )  # as earlier releases wrote rows
        database.commit()
    again = Bench(tmp_path)
    assert again.scorer.answers(ZERO, "test", range(12)) == right
    assert again.meter.prompts_scored == 12


def test_only_what_may_be_asked_is_tokenised(tmp_path: Path) -> None:
    class Counting(FakeEngine):
        texts = 0

        def tokenize(self, texts, *, special, bos="once"):  # type: ignore[no-untyped-def]
            self.texts += len(texts)
            return super().tokenize(texts, special=special, bos=bos)

    engine = Counting()
    task = a_task(validation=40)
    asked = {"validation": (7, 3, 21)}
    builder = RequestBuilder(engine, a_prompt_style(), task, 0, settings(), asked)  # type: ignore[arg-type]
    first = builder.prompts(ZERO, "validation", (3, 21))
    assert engine.texts == 3
    assert set(first.prompts) == {3, 21}
    second = builder.prompts(ZERO, "validation", (7,))
    assert engine.texts == 4
    assert second.prefixes == first.prefixes
    whole = RequestBuilder(engine, a_prompt_style(), task, 0, settings()).prompts(ZERO, "validation", (3,))
    assert whole.prompts[3] == first.prompts[3]


@pytest.mark.parametrize("scoring", ["label", "cloze"])
def test_answers_begin_with_the_blank_that_a_chat_template_stripped(tmp_path: Path, scoring: Scoring) -> None:
    seen: list[str] = []

    class Listening(FakeEngine):
        def tokenize(self, texts, *, special, bos="once"):  # type: ignore[no-untyped-def]
            seen.extend(texts)
            return super().tokenize(texts, special=special, bos=bos)

    bench = Bench(
        tmp_path,
        engine=Listening(),
        prompt_style=a_prompt_style("llama-3-8b-instruct"),
        given=settings(scoring),
    )
    bench.scorer.answers(ZERO, "test", [0])
    question = bench.task.questions("test")[0]
    ends = question.options if scoring == "cloze" else ("(A)", "(B)", "(C)", "(D)")
    for text, end in zip(seen[:4], ends, strict=True):
        assert text.endswith(f"### Answer: {end}")


def test_speed_is_the_engine_s_own_where_it_counts() -> None:
    assert Meter().speed is None
    waited = Meter(tokens_decoded=100, seconds=10.0)
    assert waited.speed == 10.0
    waited.engine += WorkDone(tokens=60, seconds=1.5)
    waited.engine += WorkDone(tokens=60, seconds=2.5)
    assert waited.speed == 30.0
