"""Log-probabilities, texts and token ids of prompts with pictures, against torch, transformers and SentencePiece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from medbench_local.engine.base import (
    GenerateRequest,
    Pack,
    PictureTokens,
    ScoreRequest,
    ThinkRequest,
    Tokens,
)
from medbench_local.engine.llama import LlamaEngine
from tests.engine.seeing import (
    QUESTION,
    Seeing,
    TorchFlamingo,
    TorchLlava,
    spelled,
    write_flamingo,
    write_llava,
)

TOLERANCE = 1e-4
OPTIONS = ((65,), (66,), (67, 70, 301), (67, 70, 12))
SYSTEM = "You see pictures and answer questions about them.\n"

Places = Sequence[str | int | tuple[int, ...] | None]
"""A prompt: texts, a picture by its number, several that are looked at alike, None where nothing is shown."""


def llava(*blocks: Sequence[int | None]) -> Places:
    """Turns with as many places for pictures each; the last question is open."""
    parts: list[Any] = [SYSTEM]
    for number, shown in enumerate(blocks):
        parts.append(f"\n### Human: {QUESTION}({'ABCD'[number % 4]}) Aspirin")
        for picture in shown:
            parts += ["\n", picture]
        parts.append("\n### Assistant:" + f" (B) Discharge {number}" * (number < len(blocks) - 1))
    return parts


def flamingo(*tags: Sequence[int | tuple[int, ...]]) -> Places:
    parts: list[Any] = [SYSTEM]
    for number, shown in enumerate(tags):
        parts += shown
        parts.append(f"{QUESTION}({'ABCD'[number % 4]}) Aspirin; Answer: ")
        parts.append(f"(B) Discharge {number}.<|endofchunk|>" * (number < len(tags) - 1))
    return parts


@dataclass
class Asked:
    """A prompt with ids for pictures."""

    parts: list[str | int | None]
    pictures: tuple[PictureTokens, ...]
    numbers: dict[int, tuple[int, ...]]


def asked(seeing: Seeing, places: Places) -> Asked:
    """Ids in order of first use."""
    units: dict[tuple[int, ...], PictureTokens] = {}
    parts: list[str | int | None] = []
    for place in places:
        if place is None or isinstance(place, str):
            parts.append(place)
            continue
        key = place if isinstance(place, tuple) else (place,)
        unit = units.setdefault(key, seeing.shown(*key, unit=len(units)))
        parts.append(unit.first)
    return Asked(parts, tuple(units.values()), {unit.first: key for key, unit in units.items()})


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def with_tokens(tmp_path_factory: pytest.TempPathFactory) -> Seeing:
    return write_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def without_tokens(tmp_path_factory: pytest.TempPathFactory) -> Seeing:
    return write_llava(tmp_path_factory.mktemp("llava-1.5"), tokens=False, rows=20)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Seeing:
    return write_flamingo(tmp_path_factory.mktemp("flamingo"))


def joint(rows: torch.Tensor, start: int, continuation: Tokens) -> float:
    return sum(float(rows[start - 1 + i, token]) for i, token in enumerate(continuation))


def compare(engine: LlamaEngine, seeing: Seeing, one: Asked, of_torch: Any) -> None:
    (tokens,) = engine.tokenize_parts([one.parts], special="<|endofchunk|>" in "".join(map(str, one.parts)))
    assert tokens == spelled(one.parts, seeing)
    (scores,) = engine.score(Pack((), (ScoreRequest(tokens, OPTIONS),), one.pictures))
    expected = [joint(of_torch(tokens + option), len(tokens), option) for option in OPTIONS]
    largest = max(abs(a - b) for a, b in zip(scores.logprobs, expected, strict=True))
    assert largest < TOLERANCE


LLAVA: dict[str, Places] = {
    "0-shot": llava([0]),
    "0-shot, two pictures": llava([0, 1]),
    "0-shot, one picture twice": llava([0, 0]),
    "0-shot, nothing shown": llava([None]),
    "2-shot paper": llava([None], [None], [0]),
    "2-shot paper, two pictures": llava([None, None], [None], [None, 1]),
    "2-shot all": llava([2], [1], [0]),
    "2-shot all, two pictures": llava([2, 3], [2], [0, 1]),
}


@pytest.mark.parametrize("places", LLAVA.values(), ids=LLAVA)
def test_rows_in_place_of_tokens_score_as_in_transformers(with_tokens: Seeing, places: Places) -> None:
    one = asked(with_tokens, places)
    with with_tokens.engine() as engine:
        compare(
            engine, with_tokens, one, lambda tokens: TorchLlava(with_tokens).logprobs(tokens, one.numbers)
        )


@pytest.mark.parametrize(
    "places",
    [["", 0, f"\n{QUESTION}ASSISTANT:"], [SYSTEM, "USER: ", 0, 1, f"\n{QUESTION}", 0, "Well? ASSISTANT:"]],
    ids=["picture first", "three places"],
)
def test_text_that_is_cut_at_pictures_scores_as_in_transformers(
    without_tokens: Seeing, places: Places
) -> None:
    one = asked(without_tokens, places)
    with without_tokens.engine() as engine:
        compare(
            engine,
            without_tokens,
            one,
            lambda tokens: TorchLlava(without_tokens).logprobs(tokens, one.numbers),
        )


FLAMINGO: dict[str, tuple[Places, tuple[int, ...]]] = {
    "0-shot": (flamingo([0]), (0,)),
    "0-shot, two pictures": (flamingo([0, 1]), (0, 1)),
    "0-shot, one picture twice": (flamingo([0, 0]), (0, 0)),
    "2-shot": (flamingo([2], [1], [0]), (2, 1, 0)),
    # the study hands over the first picture of a demonstration only: tags shift, and the last one has no picture
    "2-shot paper, tags shift": (flamingo([2, 1], [0], [3, (2, 1, 0, 3)]), (2, 1, 0, 3)),
    "five tags, four pictures": (flamingo([0], [1], [2, 3, (0, 1, 2, 3)]), (0, 1, 2, 3)),
    "one tag too many, one picture": (flamingo([0, (0, 0)]), (0,)),
}


@pytest.mark.parametrize("ln_post", ["paper", "original"])
@pytest.mark.parametrize(("places", "pictures"), FLAMINGO.values(), ids=FLAMINGO)
def test_gated_blocks_score_as_in_torch(
    gated: Seeing, places: Places, pictures: tuple[int, ...], ln_post: str
) -> None:
    one = asked(gated, places)
    reference = TorchFlamingo(gated, ln_post)
    with gated.engine(vision_ln_post=ln_post) as engine:
        compare(engine, gated, one, lambda tokens: reference.logprobs(tokens, pictures))


def test_what_is_shown_and_how_matters(with_tokens: Seeing, gated: Seeing) -> None:
    """The comparisons with torch can fail."""
    found = []
    for picture in (0, 1):
        one = asked(with_tokens, llava([picture]))
        found.append(TorchLlava(with_tokens).logprobs(spelled(one.parts, with_tokens), one.numbers)[-1])
    for pictures, ln_post in (((0,), "paper"), ((1,), "paper"), ((0,), "original")):
        tokens = spelled(asked(gated, flamingo([0])).parts, gated)
        found.append(TorchFlamingo(gated, ln_post).logprobs(tokens, pictures)[-1])
    for a, b in ((0, 1), (2, 3), (2, 4)):
        assert float((found[a] - found[b]).abs().max()) > 0.1


def greedy(of_torch: Any, tokens: Tokens, count: int) -> Tokens:
    for _ in range(count):
        tokens = (*tokens, int(of_torch(tokens)[-1].argmax()))
    return tokens[-count:]


@pytest.mark.parametrize("kind", ["rows", "blocks"])
def test_greedy_texts_and_thoughts_are_those_of_torch(with_tokens: Seeing, gated: Seeing, kind: str) -> None:
    seeing = with_tokens if kind == "rows" else gated
    prompts = [asked(seeing, one) for one in (llava([0], [1]), llava([1]), llava([1, 0]))]
    if kind == "blocks":
        prompts = [asked(seeing, one) for one in (flamingo([0], [1]), flamingo([1]), flamingo([1, 0]))]
    count = 10
    with seeing.engine() as engine:
        texts, traces, expected = [], [], []
        for one in prompts:
            (tokens,) = engine.tokenize_parts([one.parts], special=True)
            if kind == "rows":
                of_torch: Any = lambda t, one=one: TorchLlava(seeing).logprobs(t, one.numbers)  # noqa: E731
            else:
                pictures = tuple(number for (number,) in one.numbers.values())
                of_torch = lambda t, pictures=pictures: TorchFlamingo(seeing).logprobs(t, pictures)  # noqa: E731
            texts += engine.generate(Pack((), (GenerateRequest(tokens, (), count),), one.pictures))
            traces += engine.think(
                Pack((), (ThinkRequest(tokens, (), count),), one.pictures), lambda *heard: None
            )
            expected.append(greedy(of_torch, tokens, count))
        model = engine._model
        for text, trace, tokens in zip(texts, traces, expected, strict=True):
            ended = next((i for i, token in enumerate(tokens) if model.ends(token)), len(tokens))
            assert text == b"".join(map(model.piece, tokens[:ended])).decode("utf-8", "replace")
            assert trace.tokens == tokens[:ended]


@pytest.mark.parametrize("kind", ["rows", "blocks"])
def test_texts_that_are_generated_together_look_at_their_own_pictures(
    with_tokens: Seeing, gated: Seeing, kind: str
) -> None:
    seeing, write = (with_tokens, llava) if kind == "rows" else (gated, flamingo)
    every = [asked(seeing, write([0], [picture])) for picture in (0, 1, 2)]
    pictures = tuple(seeing.shown(number, unit=number) for number in range(3))
    requests = []
    for number, _ in enumerate(every):
        parts = [
            pictures[0 if i == 0 else number].first if isinstance(part, int) else part
            for i, part in _numbered(every[1].parts)
        ]
        requests.append(GenerateRequest(spelled(parts, seeing), (), 12))
    with seeing.engine() as engine:
        together = engine.generate(Pack((), tuple(requests), pictures))
        apart = [engine.generate(Pack((), (request,), pictures))[0] for request in requests]
    assert together == apart
    assert len(set(apart)) == 3


def _numbered(parts: Sequence[str | int | None]) -> Iterator[tuple[int, str | int | None]]:
    """Parts with the number of pictures before them."""
    seen = 0
    for part in parts:
        yield seen, part
        seen += isinstance(part, int)
