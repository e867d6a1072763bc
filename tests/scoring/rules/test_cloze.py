"""Cloze scoring: the log-probability of an option's text over the bytes that its scored tokens spell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbench_local.engine.base import EngineOptions, Pack, ScoreRequest, Tokens
from medbench_local.engine.fake import FakeEngine
from medbench_local.engine.llama import LlamaEngine, tokenize
from medbench_local.engine.llama_model import Model
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import render_cloze
from medbench_local.scoring.request_builder import RequestBuilder
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import SPLITS, Question, Split, Task
from tests.engine.tiny import write_stories
from tests.scoring.watched import ZERO, Watched
from tests.study.material import Bench, a_prompt_style, settings

QUESTIONS = {
    "one word shared": ("Which disease?", ("Acute otitis media", "Acute appendicitis", "Acute gout")),
    "much shared": (
        "What is given?",
        ("a blood transfusion of one unit", "a blood transfusion", "a blood test"),
    ),
    "nothing shared": ("Which one?", ("Aspirin", "Zinc", "the left hand", "é and ü")),
    "blanks": ("What did Lily see?", (" a big dog", "a big  cat", "1,000 cats")),
    "one continues another": ("Who came?", ("Tom", "Tom and Lily", "Tom and")),
}


def a_task(questions: tuple[Question, ...]) -> Task:
    return Task("made-up", "", {name: Split(questions, None, ()) for name in SPLITS})


ASKED = tuple(Question(name, text, options, 0) for name, (text, options) in QUESTIONS.items())


@pytest.fixture(scope="module")
def engine(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    path = tmp_path_factory.mktemp("cloze") / "stories260K.gguf"
    write_stories(shared_data / "weights" / "stories260K", path)
    with LlamaEngine(path, EngineOptions(n_ctx=768, threads=1)) as engine:
        yield engine


class Checkpoint:
    """The real tiny checkpoint through sentencepiece and transformers alone, and the definition written out."""

    def __init__(self, folder: Path) -> None:
        transformers = pytest.importorskip("transformers")
        self.torch = pytest.importorskip("torch")
        sentencepiece = pytest.importorskip("sentencepiece")
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        self.model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=self.torch.float32).eval()

    def tokens(self, text: str) -> list[int]:
        return [self.pieces.bos_id(), *self.pieces.encode(text)]

    def spelled(self, tokens: list[int]) -> bytes:
        found = b""
        for token in tokens:
            piece = self.pieces.id_to_piece(token)
            byte = self.pieces.is_byte(token)
            found += bytes([int(piece[3:5], 16)]) if byte else piece.replace("▁", " ").encode()
        return found

    def per_byte(self, prompt: str, options: tuple[str, ...]) -> list[float]:
        own = self.tokens(prompt)
        texts = [self.tokens(prompt + option) for option in options]
        start = min(
            next(
                (i for i, pair in enumerate(zip(own, text, strict=False)) if pair[0] != pair[1]),
                min(len(own), len(text)),
            )
            for text in texts
        )
        found = []
        for text, option in zip(texts, options, strict=True):
            with self.torch.no_grad():
                rows = self.model(self.torch.tensor([text])).logits[0].double().log_softmax(-1)
            joint = sum(float(rows[i - 1, text[i]]) for i in range(start, len(text)))
            size = len((prompt + option).encode()) - len(self.spelled(text[1:start]).removeprefix(b" "))
            assert size == len(self.spelled(text[start:]))
            found.append(joint / size)
        return found


def test_equals_transformers_and_the_definition(
    engine: LlamaEngine, shared_data: Path, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(shared_data / "weights" / "stories260K")
    bench = Bench(tmp_path, task=a_task(ASKED), engine=engine, given=settings("cloze"))
    answers = bench.scorer.answers(ZERO, "test", range(len(ASKED)))
    for question, answer in zip(ASKED, answers, strict=True):
        prompt = render_cloze(bench.prompt_style, "made-up", question, [], None)
        expected = checkpoint.per_byte(prompt.text + prompt.gap, question.options)
        assert answer.logprobs == pytest.approx(expected, abs=3e-4), question.id
        assert answer.prediction == int(np.argmax(expected))
    requests = [
        prompt.request for prompt in bench.builder.prompts(ZERO, "test", range(len(ASKED))).prompts.values()
    ]
    shared = [
        r for r in requests if isinstance(r, ScoreRequest) and len({t[0] for t in r.continuations}) == 1
    ]
    assert len(shared) >= 3, "or the test shows nothing"


def test_a_first_word_that_all_share_is_scored_and_counted(tmp_path: Path) -> None:
    """By hand: a shared word that is hard to predict costs the shorter option more per byte than the longer one."""
    options = ("acute myocardial infarction", "acute appendicitis")
    task = a_task((Question("q", "Which?", options, 0),))
    engine = FakeEngine()
    costs = {"acute": 0.0, " ": 0.0, "myocardial": -8.0, "infarction": -0.5, "appendicitis": -5.5}
    values = {engine.token_of(word): cost for word, cost in costs.items()}

    def logprob(context: Tokens, continuation: Tokens) -> float:
        return sum(values[token] for token in continuation)

    bench = Bench(tmp_path, task=task, engine=FakeEngine(logprob=logprob), given=settings("cloze"))
    (answer,) = bench.scorer.answers(ZERO, "test", [0])
    assert answer.logprobs == (-8.5 / 27, -5.5 / 18)
    assert answer.prediction == 1
    values[engine.token_of("acute")] = -9.0
    bench = Bench(tmp_path / "rare", task=task, engine=FakeEngine(logprob=logprob), given=settings("cloze"))
    (answer,) = bench.scorer.answers(ZERO, "test", [0])
    assert answer.logprobs == (-17.5 / 27, -14.5 / 18)
    assert answer.prediction == 0, "without the shared word, -8.5 / 27 against -5.5 / 18 says the other one"


def test_the_shared_word_is_part_of_what_is_stored(tmp_path: Path) -> None:
    """A store filled by a rule that left the shared word to the prompt holds no score of this rule."""
    task = a_task((Question("q", "Which?", ("acute gout", "acute otitis"), 0),))
    bench = Bench(tmp_path, task=task, given=settings("cloze"))
    (row,) = bench.builder.prompts(ZERO, "test", [0]).prompts.values()
    request = row.request
    assert isinstance(request, ScoreRequest)
    moved = ScoreRequest(
        request.context + request.continuations[0][:2], tuple(tail[2:] for tail in request.continuations)
    )
    assert {tail[:2] for tail in request.continuations} == {request.continuations[0][:2]}
    assert bench.scorer._key(moved) != bench.scorer._key(request)
    bench.scorer.answers(ZERO, "test", [0])
    shared = 2
    own = sum(len(tail) - 1 - shared for tail in request.continuations)
    assert bench.meter.tokens_decoded == len(request.context) - len(
        bench.builder.prompts(ZERO, "test", [0]).prefixes[0]
    ) + (shared + own), "the shared tokens are decoded once"


def test_cloze_is_compared_per_byte_and_shows_no_options(tmp_path: Path) -> None:
    texts = ("é" * 8, "aaaa", "bb", "c")
    asked = (Question("q", "Which?", texts, 2),)
    task = Task("made-up", "", {s: Split(asked, None, ()) for s in ("demonstrations", "validation", "test")})
    bench = Bench(tmp_path, task=task, engine=(engine := Watched()), given=settings("cloze"))
    (answer,) = bench.scorer.answers(ZERO, "test", [0])
    (request,) = engine.given[0].requests
    raw = FakeEngine().score(Pack((), (request,)))[0].logprobs  # type: ignore[arg-type]
    assert answer.logprobs == tuple(value / size for value, size in zip(raw, (16, 4, 2, 1), strict=True))
    assert answer.prediction == answer.logprobs.index(max(answer.logprobs))
    (context,) = engine.tokenize(["aaaa"], special=False)
    assert context[-1] not in request.context


class Vocabulary(FakeEngine):
    """A real vocabulary without weights."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def tokenize(self, texts: Any, *, special: bool, bos: Any = "once") -> list[Tokens]:
        return [tokenize(self._model, text, special=special, bos=bos) for text in texts]

    def text_sizes(self, token_lists: Any) -> list[int]:
        return [sum(len(self._model.piece(token)) for token in tokens) for tokens in token_lists]


@pytest.mark.parametrize("vocabulary", ["spm", "bpe"])
@pytest.mark.parametrize("name", ["llama-2-7b", "llama-2-7b-chat", "meditron-7b"])
def test_sizes_are_what_the_scored_tokens_spell(shared_data: Path, vocabulary: str, name: str) -> None:
    """On real options, with prompts that end in a blank and prompts that do not."""
    model = Model(shared_data / "weights" / f"ggml-vocab-llama-{vocabulary}.gguf", vocab_only=True)
    task = load_task("medqa", data_dir=shared_data, splits=("test",))
    asked = a_task(task.questions("test")[:150])
    prompt_style: PromptStyle = a_prompt_style(name)
    found = RequestBuilder(Vocabulary(model), prompt_style, asked, 0, settings("cloze")).prompts(
        ZERO, "test", range(150)
    )
    for row, prompt in found.prompts.items():
        assert isinstance(prompt.request, ScoreRequest)
        options = asked.questions("test")[row].options
        written = [b"".join(map(model.piece, tail)) for tail in prompt.request.continuations]
        assert prompt.sizes == tuple(map(len, written))
        assert [text.lstrip() for text in written] == [option.lstrip().encode() for option in options]
    model.close()
