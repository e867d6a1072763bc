"""The fake keeps the promises of `Engine` that other rooms' tests rely on."""

from __future__ import annotations

import pytest

from medbench_local.engine.base import Engine, GenerateRequest, Pack, PictureTokens, ScoreRequest
from medbench_local.engine.fake import BOS, FakeEngine
from medbench_local.errors import EngineError, WorkerDied

REQUEST = ScoreRequest((1, 5), ((7,), (8, 9)))


def test_equal_requests_score_equally_and_models_differ() -> None:
    engines: list[Engine] = [FakeEngine("a"), FakeEngine("a"), FakeEngine("b")]
    first, again, other = (engine.score(Pack((1,), (REQUEST,)))[0] for engine in engines)
    assert first == again != other
    assert first.logprobs[0] == -4.513797913212329
    assert 0 < first.mass < 1


def test_tokens() -> None:
    engine = FakeEngine()
    plain, control = (engine.tokenize(["<s>a b"], special=special)[0] for special in (False, True))
    assert plain[0] == control[0] == BOS
    assert len(plain) == 1 + 6
    assert len(control) == 1 + 3
    assert engine.tokenize(["<s>a b"], special=True, bos="twice")[0] == (BOS, *control)
    assert engine.tokenize(["a"], special=False)[0][1] == engine.token_of("a")
    assert engine.token_of("a b") is None


def test_it_dies_on_demand_and_refuses_long_prompts() -> None:
    engine = FakeEngine(die_after=1, n_ctx_train=3)
    with pytest.raises(EngineError, match="does not fit"):
        engine.score(Pack((), (ScoreRequest((1, 2, 3, 4), ((5,),)),)))
    engine.score(Pack((), (REQUEST,)))
    with pytest.raises(WorkerDied):
        engine.score(Pack((), (REQUEST,)))
    assert (engine.packs, engine.prompts) == (1, 1)


def test_own_scores_and_replies() -> None:
    engine = FakeEngine(logprob=lambda context, option: -float(option[0]), reply=lambda context: " B\nx")
    assert engine.score(Pack((), (REQUEST,)))[0].logprobs == (-7.0, -8.0)
    assert engine.generate(Pack((), (GenerateRequest((1,), ("\n",)), GenerateRequest((1,), ())))) == [
        " B",
        " B\nx",
    ]


def test_pictures() -> None:
    engine = FakeEngine(picture_tokens=3)
    first, second = (PictureTokens(engine.info.vocabulary + 3 * i, (f"{i}.npy",)) for i in range(2))
    shown, other, nothing, text = engine.tokenize_parts(
        [["a ", first.first, "b"], ["a ", second.first, "b"], ["a ", None, "b"], ["a ", "b"]], special=False
    )
    assert engine.tokenize(["a b"], special=False) == [text]
    assert shown == (*text[:3], *range(first.first, first.first + 3), *text[3:])
    assert len({shown, other, nothing, text}) == 4
    assert max(nothing) < engine.info.vocabulary
    requests = tuple(ScoreRequest(tokens, ((7,),)) for tokens in (shown, other, nothing))
    assert len(set(engine.score(Pack(text[:3], requests, (first, second))))) == 3
    with pytest.raises(EngineError, match="Nothing was said"):
        engine.score(Pack((), requests, (first,)))
    for control in ("<image>", "<s>"):
        with pytest.raises(EngineError, match="must not become"):
            engine.tokenize_parts([[control, first.first]], special=False)
    with pytest.raises(EngineError, match="text only"):
        FakeEngine().tokenize_parts([["a"]], special=False)
