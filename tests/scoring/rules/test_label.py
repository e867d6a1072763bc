"""Labels as the format writes them, tokenised with the prompt."""

from __future__ import annotations

from pathlib import Path

from medbench_local.engine.base import ScoreRequest
from medbench_local.engine.fake import FakeEngine
from medbench_local.prompts.rendering import render
from medbench_local.scoring.rules.label import label_requests
from tests.scoring.tokenizing import tokenizer
from tests.scoring.watched import ZERO, Watched
from tests.study.material import Bench, settings


def test_label_scores_what_the_format_writes_beyond_what_all_labels_share(tmp_path: Path) -> None:
    bench = Bench(tmp_path, engine=(engine := Watched()), given=settings("label"))
    (answer,) = bench.scorer.answers(ZERO, "test", [0])
    question = bench.task.questions("test")[0]
    prompt = render(bench.prompt_style, "made-up", question, [], None)
    (request,) = engine.given[0].requests
    assert isinstance(request, ScoreRequest)
    whole = engine.tokenize([prompt.text + label for label in prompt.labels], special=False)
    assert [request.context + tail for tail in request.continuations] == whole
    assert len({tail[0] for tail in request.continuations}) > 1
    assert len(answer.logprobs) == 4


def test_options_are_tokenised_with_the_prompt() -> None:
    engine = FakeEngine()
    tokenize = tokenizer(engine)
    (request,) = label_requests(tokenize, [("Answer: foo",)], [["bar", "baz"]])
    (whole,) = engine.tokenize(["Answer: foobar"], special=False)
    assert request.context + request.continuations[0] == whole  # "foobar" is one token of this engine
    assert len(request.continuations[0]) == 1


def test_a_single_option_begins_after_the_prompt() -> None:
    engine = FakeEngine()
    tokenize = tokenizer(engine)
    several, single = label_requests(tokenize, [("Answer: foo",), ("Answer:",)], [["bar", "baz"], [" A B"]])
    assert several == label_requests(tokenize, [("Answer: foo",)], [["bar", "baz"]])[0]
    (prompt,) = engine.tokenize(["Answer:"], special=False)
    assert single.context == prompt
    assert len(single.continuations[0]) == 4
