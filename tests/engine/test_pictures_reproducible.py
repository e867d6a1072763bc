"""Of prompts with pictures no bit depends on a reused prefix, on threads, or on how much is computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medbench_local.engine.base import (
    LEAST_ROWS,
    GenerateRequest,
    OptionScores,
    Pack,
    PictureTokens,
    ScoreRequest,
    ThinkRequest,
    Tokens,
)
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.packs import common_prefix
from medbench_local.vision.gated_block import TILE, GatedBlocks
from tests.engine.seeing import QUESTION, Seeing, spelled, write_flamingo, write_llava
from tests.engine.tiny import quantise

FILE_TYPES = {"f32": None, "bf16": 32, "q4_k_m": 15}
KINDS = ["rows", "rows-q4_k_m", "few rows-bf16", "cut text-q4_k_m", "blocks", "blocks-q4_k_m"]
LETTERS = ((65,), (66,), (67,))
LONGER = ((65, 70, 71), (66,), (65, 70, 73, 74, 75, 76, 77, 78, 79))
LEAST = LEAST_ROWS["exact"]


class Shown(Seeing):
    """With prompts in which pictures lie everywhere."""

    @property
    def pictures(self) -> tuple[PictureTokens, ...]:
        return tuple(self.shown(number, unit=number) for number in range(4))

    def prompts(self) -> list[Tokens]:
        first, second, third, fourth = (picture.first for picture in self.pictures)
        system = "You see pictures. "
        told: list[str | int | None] = [
            system + QUESTION,
            first,
            "(A) it is\n",
            second,
            QUESTION + "(B) or\n",
        ]
        long: list[str | int | None] = [QUESTION * 4, third]
        every: list[list[str | int | None]] = [
            [*told, third, QUESTION + "Answer:"],
            [*told, fourth, QUESTION + "Answer:"],  # another picture at the same place
            [*told, third, "Answer:"],
            [*told, third, "A"],
            [*told, third, fourth, QUESTION],  # no text between
            [*told, third, ".", fourth, "."],  # next to none
            [*told, third, *told[1:], fourth, *told[1:], "Answer:"],
            [*told, QUESTION * 3 + "Answer:"],  # text goes on where others have a picture
            [*told[:-1], QUESTION + "(B) or", third, "Answer:"],  # a picture where others' text goes on
            [*told, *long, *long, *long, QUESTION + "Answer:"],  # more than is computed together
            [system, first, "x"],
            [system, second, QUESTION],
            ["", first, "x"],
            [system + QUESTION * 2],
        ]
        return [spelled(parts, self) for parts in every]

    def requests(self) -> list[ScoreRequest]:
        return [
            ScoreRequest(tokens, LONGER if number % 2 else LETTERS)
            for number, tokens in enumerate(self.prompts())
        ]

    def alone(self, **options: object) -> list[OptionScores]:
        """Each in an engine of its own that has decoded nothing else."""
        found = []
        for request in self.requests():
            with self.engine(**options) as engine:
                found += engine.score(Pack((), (request,), self.pictures))
        return found


def make(folder: Path, name: str) -> Shown:
    kind, _, file_type = name.partition("-")
    if kind == "blocks":
        seeing = write_flamingo(folder)
    else:
        rows = {"rows": 16, "few rows": 4, "cut text": 20}[kind]
        seeing = write_llava(folder, tokens=kind != "cut text", rows=rows)
    wanted = FILE_TYPES[file_type or "f32"]
    if wanted is not None:
        quantise(seeing.gguf, folder / "small.gguf", wanted).replace(seeing.gguf)
    return Shown(folder, seeing.parts, seeing.weights)


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return make(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def expected(model: Shown) -> list[OptionScores]:
    return model.alone()


def test_prompts_differ(expected: list[OptionScores]) -> None:
    assert len({score.logprobs for score in expected}) == len(expected)


def test_every_cut_of_every_prompt_changes_no_bit(
    model: Shown, expected: list[OptionScores], request: pytest.FixtureRequest
) -> None:
    """Lengths at steps, for each kind of model from another one on."""
    kind = KINDS.index(request.node.callspec.params["model"])
    requests = model.requests()
    with model.engine() as engine:
        for number, step in ((5, 4), (0, 7), (8, 5), (10, 4)):
            context = requests[number].context
            lengths = [0, *range(kind % step, len(context), step), len(context)]
            for length in np.random.default_rng(number).permutation(lengths):
                (found,) = engine.score(Pack(context[:length], (requests[number],), model.pictures))
                assert found == expected[number], (number, length)


def test_what_was_held_before_changes_no_bit(model: Shown, expected: list[OptionScores]) -> None:
    requests, draw = model.requests(), np.random.default_rng(1)
    with model.engine() as engine:
        for _ in range(40):
            number = int(draw.integers(len(requests)))
            context = requests[number].context
            (found,) = engine.score(
                Pack(context[: draw.integers(len(context) + 1)], (requests[number],), model.pictures)
            )
            assert found == expected[number], number


@pytest.mark.parametrize(
    "options",
    [{"n_ctx": 2048}, {"batch_tokens": 256}, {"mode": "reproducible"}],
    ids=["context", "micro-batch", "mode"],
)
def test_settings_change_no_bit(
    model: Shown, expected: list[OptionScores], options: dict[str, object]
) -> None:
    requests = model.requests()
    prefix = common_prefix([request.context for request in requests[:8]])
    assert len(prefix) > 3 * LEAST
    with model.engine(**options) as engine:
        assert engine.score(Pack(prefix, tuple(requests[:8]), model.pictures)) == expected[:8]
        assert engine.score(Pack((), tuple(requests[::-1]), model.pictures)) == expected[::-1]


def test_threads_change_no_bit(model: Shown, expected: list[OptionScores]) -> None:
    requests = model.requests()
    with model.engine(threads=2) as engine:
        for number in (1, 5):
            context = requests[number].context
            assert engine.score(Pack(context[:50], (requests[number],), model.pictures)) == [expected[number]]


def test_the_fast_mode_scores_one_at_a_time_without_flash_attention(model: Shown) -> None:
    requests = model.requests()[:8]
    with model.engine(mode="fast") as engine:
        together = engine.score(Pack(requests[0].context[:40], tuple(requests), model.pictures))
        for request, one in zip(requests, together, strict=True):
            assert engine.score(Pack((), (request,), model.pictures)) == [one]
        numerics = engine.info.numerics
    with model.engine(cache="f16") as engine:
        assert engine.score(Pack((), tuple(requests), model.pictures)) == together
    assert (numerics["flash_attention"], numerics["cache"], numerics["repack"]) == ("off", "f16", "off")


def test_texts_and_thoughts_do_not_depend_on_a_reused_prefix(model: Shown) -> None:
    prompts = model.prompts()[:8]
    prefix = common_prefix(prompts)
    generates = tuple(GenerateRequest(tokens, (), 6) for tokens in prompts)
    thinks = tuple(ThinkRequest(tokens, (), 6) for tokens in prompts)
    found = []
    for held in ((), prefix, prefix[:23]):
        with model.engine() as engine:
            texts = [engine.generate(Pack(held, (one,), model.pictures)) for one in generates]
            traces = engine.think(Pack(held, thinks, model.pictures), lambda *heard: None)
            found.append((texts, traces))
    assert found[0] == found[1] == found[2]


def test_where_the_place_in_a_tile_decides_bits_each_row_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not so with any library that was tried; here, a block adds a row's place in its tile."""
    model = make(tmp_path, "blocks-q4_k_m")
    requests = model.requests()
    plain = model.alone()
    monkeypatch.setattr(GatedBlocks, "repeats", lambda self: False)
    apply = GatedBlocks.apply

    def by_place(self, block, x, units, seen):  # type: ignore[no-untyped-def]
        places = (np.arange(len(x)) % TILE).astype(np.float32)[:, None]
        return apply(self, block, x, units, seen) + places / 256

    monkeypatch.setattr(GatedBlocks, "apply", by_place)
    expected = model.alone()
    assert all(a != b for a, b in zip(expected, plain, strict=True))
    draw = np.random.default_rng(5)
    with model.engine() as engine:
        for number in (0, 2, 5, 7):
            for length in draw.integers(len(requests[number].context) + 1, size=8):
                (found,) = engine.score(
                    Pack(requests[number].context[:length], (requests[number],), model.pictures)
                )
                assert found == expected[number], (number, length)


@pytest.fixture(scope="module", params=["rows", "blocks"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return make(tmp_path_factory.mktemp("small"), request.param)


def test_fewest_rows_of_a_decode(small: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the promise rests on: so many rows, or a whole run; and no run in a decode with another one."""
    sizes: list[tuple[int, tuple[int, ...]]] = []
    arrange = Context._arrange

    def counted(context: Context, spans: Sequence[Span]) -> int:
        sizes.append((spans[0].position, tuple(token for span in spans for token in span.tokens)))
        return arrange(context, spans)

    monkeypatch.setattr(Context, "_arrange", counted)
    requests = small.requests()
    with small.engine() as engine:
        runs = engine._cache._runs
        for request in requests[::3]:
            borders = runs.borders(request.context)
            for length in range(0, len(request.context), 17):
                sizes.clear()
                engine.score(Pack(request.context[:length], (request,), small.pictures))
                for start, tokens in sizes:
                    if len(tokens) < LEAST:
                        assert start in borders
                        last = start + len(tokens) >= len(request.context)
                        assert last or start + len(tokens) in borders
                    if small.parts.kind == "llava":
                        assert len({token >= small.vocabulary for token in tokens}) == 1


def test_what_is_kept_of_pictures_changes_no_bit(small: Shown) -> None:
    requests = tuple(small.requests())
    with small.engine() as engine:
        expected = engine.score(Pack((), requests, small.pictures))
    with small.engine() as engine:
        kept = engine._visual._kept  # type: ignore[union-attr]
        kept._most = 1
        assert engine.score(Pack((), requests, small.pictures)) == expected
        assert len(kept._values) == 1


@pytest.mark.parametrize("file_type", ["f32", "q4_k_m", "bf16"])
def test_a_short_text_between_pictures_is_not_taken_for_the_beginning_of_a_long_one(
    tmp_path: Path, file_type: str
) -> None:
    """Nor a long one's beginning for a short text: they are decoded by different kernels."""
    model = make(tmp_path, f"rows-{file_type}")
    first, second, *_ = (picture.first for picture in model.pictures)
    every: list[list[str | int | None]] = [
        [QUESTION, first, "a", second, QUESTION],
        [QUESTION, first, "a" + QUESTION * 2],
        [QUESTION, first, "a" + QUESTION, second, QUESTION],
    ]
    requests = [ScoreRequest(spelled(parts, model), LETTERS) for parts in every]
    expected = []
    for request in requests:
        with model.engine() as engine:
            expected += engine.score(Pack((), (request,), model.pictures))
    with model.engine() as engine:
        for number in (0, 1, 0, 2, 1, 2, 0):
            held = requests[number].context[:-LEAST]
            assert engine.score(Pack(held, (requests[number],), model.pictures)) == [expected[number]]


def test_ids_that_come_to_mean_another_picture_are_not_taken_for_the_old_one(small: Shown) -> None:
    request = small.requests()[0]
    prefix = request.context[:-LEAST]
    assert sum(token in prefix for token in range(small.vocabulary, small.vocabulary + 99)) > 1
    others = tuple(replace(one, features=(small.feature_file(9),)) for one in small.pictures)
    with small.engine() as engine:
        (other,) = engine.score(Pack((), (request,), others))
    with small.engine() as engine:
        (first,) = engine.score(Pack(prefix, (request,), small.pictures))
        (found,) = engine.score(Pack(prefix, (request,), others))
        (again,) = engine.score(Pack(prefix, (request,), small.pictures))
    assert found == other
    assert first == again != other


def test_gates_that_are_closed_are_no_blocks(tmp_path: Path) -> None:
    closed = write_flamingo(tmp_path, gates=0.0)
    shown = closed.shown(0, unit=0)
    tokens = spelled([QUESTION, shown.first, QUESTION], closed)
    plain = tuple(min(token, closed.vocabulary - 1) for token in tokens)
    with closed.engine() as engine:
        (seeing,) = engine.score(Pack((), (ScoreRequest(tokens, LETTERS),), (shown,)))
    with closed.engine(vision="") as engine:
        (blind,) = engine.score(Pack((), (ScoreRequest(plain, LETTERS),)))
    assert seeing == blind
