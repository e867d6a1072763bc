"""Generated answers, and what is read from them."""

from __future__ import annotations

from pathlib import Path

from medbench_local.engine.base import GenerateRequest, Pack
from medbench_local.engine.fake import FakeEngine
from medbench_local.scoring.rules.greedy import RULE
from tests.scoring.watched import ZERO, Watched
from tests.study.material import Bench, a_task, settings


def test_greedy_matches_letters_and_keeps_the_text(tmp_path: Path) -> None:
    replies = iter(["(B) because (C)", "none of them", " A.", ""])
    bench = Bench(
        tmp_path, engine=(engine := Watched(reply=lambda context: next(replies))), given=settings("greedy")
    )
    answers = bench.scorer.answers(ZERO, "test", range(4))
    assert [answer.prediction for answer in answers] == [1, None, 0, None]
    assert [answer.text for answer in answers] == ["(B) because (C)", "none of them", " A.", ""]
    assert all(answer.logprobs == () and answer.mass is None and not answer.tied for answer in answers)
    assert engine.asked[0].max_tokens == 64
    bench.store.close()
    again = Bench(tmp_path, engine=FakeEngine(reply=lambda context: "D"), given=settings("greedy"))
    assert again.scorer.answers(ZERO, "test", range(4)) == answers


def test_several_letters_mean_what_the_protocol_says(tmp_path: Path) -> None:
    for meaning, expected in (("first", 1), ("none", None)):
        bench = Bench(
            tmp_path / meaning,
            engine=FakeEngine(reply=lambda context: "(B) because (C)"),
            given=settings("greedy", multiple_letters=meaning),
        )
        (answer,) = bench.scorer.answers(ZERO, "test", [0])
        assert answer.prediction == expected


def test_an_answer_stops_at_the_models_end_the_studys_strings_and_the_heads_in_this_order(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, engine=(engine := Watched()), given=settings("greedy"))
    bench.scorer.answers(ZERO, "test", [0])
    assert engine.info.eos_text == "</s>"
    assert engine.asked[0].stop == ("</s>", "###", "<|eot_id|>", "### Question:", "### Answer:")


def test_a_greedy_answer_ends_where_the_context_ends(tmp_path: Path) -> None:
    free = Bench(tmp_path / "free", engine=(engine := Watched()), given=settings("greedy"))
    free.scorer.answers(ZERO, "test", range(12))
    lengths = [len(request.context) for request in engine.asked]
    context = max(lengths) + 5
    bench = Bench(
        tmp_path / "short",
        engine=(engine := Watched()),
        task=a_task(),
        given=settings("greedy", context=context),
    )
    bench.scorer.answers(ZERO, "test", range(12))
    assert [request.max_tokens for request in engine.asked] == [min(64, context - n) for n in lengths]
    assert {RULE.room(request) for request in engine.asked} == {n + 1 for n in lengths}


def test_the_key_is_that_of_every_release() -> None:
    request = GenerateRequest((1, 2), ("</s>", "###"), 64)
    assert RULE.key_parts(request) == ("generate", (1, 2), '["</s>", "###", 64]')


def test_the_length_of_the_prompt_is_kept() -> None:
    pack = Pack((), (GenerateRequest((1, 2, 3), ("#",), 8),))
    (stored,) = RULE.compute(FakeEngine(reply=lambda context: "A"), pack)
    assert (stored.text, stored.tokens, stored.logprobs, stored.mass) == ("A", 3, (), None)
    assert RULE.fits(stored, pack.requests[0])  # type: ignore[arg-type]
