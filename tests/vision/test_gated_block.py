"""The gated blocks are those of the paper; a row's bits do not depend on what it is computed with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from medbench_local.errors import InputError
from medbench_local.vision import gated_block
from medbench_local.vision.arithmetic import layer_norm
from medbench_local.vision.gated_block import TILE, GatedBlocks, Media
from tests.vision.models import BLOCKS, TEXT_WIDTH, flamingo, flamingo_tensors, llava, saved_vision
from tests.vision.reference import block as reference_block

DRAW = np.random.default_rng(6)
PICTURES = [DRAW.normal(0, 1, (8, 48)).astype("f4") for _ in range(4)]


def drawn_rows(count: int, width: int = TEXT_WIDTH, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (count, width)).astype("f4")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> GatedBlocks:
    return GatedBlocks.open(saved_vision(tmp_path_factory.mktemp("blocks"), flamingo()))


def units_of(blocks: GatedBlocks, pictures: Sequence[NDArray[Any]]) -> list[tuple[Media, ...]]:
    """Each picture by itself, and all of them alike; if there is one only, it stands there twice."""
    media = [blocks.media(latents) for latents in pictures]
    return [*((one,) for one in media), tuple(media if len(media) > 1 else media * 2)]


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("number", BLOCKS)
def test_rows_are_those_of_torch(blocks: GatedBlocks, number: int, count: int) -> None:
    """Text before the first tag, behind each picture's, and behind one more tag than there are pictures."""
    tags = np.repeat(np.arange(count + 2), 37)
    x = drawn_rows(len(tags))
    before = x.copy()
    units = units_of(blocks, PICTURES[:count])
    found = blocks.apply(number, x, units, tags - 1)
    assert found.dtype == np.float32
    assert np.array_equal(x, before)
    expected = reference_block(x, PICTURES[:count], tags.tolist(), flamingo_tensors(flamingo()), number)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    if count > 1:
        shifted = reference_block(
            x, PICTURES[:count], (tags % (count + 1)).tolist(), flamingo_tensors(flamingo()), number
        )
        assert np.abs(shifted - expected)[tags > count].min(axis=0).max() > 0.01, "the test could not fail"


def test_text_before_the_first_tag_sees_nothing(blocks: GatedBlocks) -> None:
    x, nothing = drawn_rows(5), np.full(5, -1)
    found = blocks.apply(1, x, units_of(blocks, PICTURES[:2]), nothing)
    assert np.array_equal(found, blocks.apply(1, x, units_of(blocks, PICTURES[2:]), nothing))
    assert np.array_equal(found, blocks.apply(1, x, (), nothing))
    assert not np.array_equal(found, x), "the feed-forward part is for all rows"


def test_closed_gates_change_nothing(tmp_path: Path) -> None:
    closed = {
        f"blocks.{number}.{gate}": np.zeros(1, "f4") for number in BLOCKS for gate in ("attn_gate", "ff_gate")
    }
    blocks = GatedBlocks.open(saved_vision(tmp_path, flamingo(), flamingo_tensors(flamingo()) | closed))
    x = drawn_rows(70)
    assert np.array_equal(blocks.apply(3, x, units_of(blocks, PICTURES), np.arange(70) % 5), x)


def test_no_rows_are_no_rows(blocks: GatedBlocks) -> None:
    assert blocks.apply(1, drawn_rows(0), units_of(blocks, PICTURES), np.zeros(0, np.int64)).shape == (
        0,
        TEXT_WIDTH,
    )


WIDE = {"inner": 192, "ff": 1030}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = flamingo(width=258)
    return saved_vision(tmp_path_factory.mktemp("wide"), parts, flamingo_tensors(parts, **WIDE))


@pytest.mark.parametrize("whole", [True, False], ids=["whole matrices", "slices"])
def test_a_row_has_the_same_bits_whatever_it_is_computed_with(
    wide: Path, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gated_block, "_SLICE", 2**22 if whole else 70_000)
    blocks = GatedBlocks.open(wide, threads=2)
    units = units_of(blocks, PICTURES)
    count = 3 * TILE + 11
    x, seen = drawn_rows(count, 258), np.random.default_rng(1).integers(-1, len(units), count)
    together = blocks.apply(1, x, units, seen)
    draw = np.random.default_rng(2)
    cuts = [sorted(draw.choice(np.arange(1, count), pieces, replace=False)) for pieces in (1, 1, 2, 5, 9, 30)]
    for cut in ([1], [TILE], [TILE - 1, TILE + 1], *cuts):
        pieces = [
            blocks.apply(1, rows, units, looks)
            for rows, looks in zip(np.split(x, cut), np.split(seen, cut), strict=True)
        ]
        assert np.concatenate(pieces).tobytes() == together.tobytes(), cut
    for _ in range(20):  # any rows, in any order, among others
        chosen = draw.choice(count, draw.integers(1, 2 * TILE))
        others = drawn_rows(int(draw.integers(0, 40)), 258, seed=9) * 100
        rows = np.concatenate((others, x[chosen]))
        looks = np.concatenate((np.full(len(others), -1), seen[chosen]))
        found = blocks.apply(1, rows, units, looks)[len(others) :]
        assert found.tobytes() == together[chosen].tobytes()


def test_units_that_no_row_looks_at_change_nothing(wide: Path) -> None:
    blocks = GatedBlocks.open(wide)
    units, x = units_of(blocks, PICTURES), drawn_rows(20, 258)
    alone = blocks.apply(3, x, units[2:3], np.zeros(20, np.int64))
    assert blocks.apply(3, x, units, np.full(20, 2)).tobytes() == alone.tobytes()


def test_bits_do_not_depend_on_threads(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated_block, "_SLICE", 70_000)
    made = []
    x, seen = drawn_rows(150, 258), np.arange(150) % 6 - 1
    for threads in (1, 2, 5):
        blocks = GatedBlocks.open(wide, threads=threads)
        with threadpool_limits(threads, user_api="blas"):
            before = [library["num_threads"] for library in threadpool_info()]
            made.append(blocks.apply(1, x, units_of(blocks, PICTURES), seen).tobytes())
            assert [library["num_threads"] for library in threadpool_info()] == before
    assert len(set(made)) == 1


def test_places_in_a_tile_are_alike_here(wide: Path) -> None:
    assert GatedBlocks.open(wide).repeats()


def test_that_places_differ_would_be_noticed(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = GatedBlocks.open(wide)

    def skewed(x: NDArray[Any], *weights: Any) -> NDArray[Any]:
        result = layer_norm(x, *weights)
        result[-1] = np.nextafter(result[-1], np.float32(9))
        return result

    monkeypatch.setattr(gated_block, "layer_norm", skewed)
    assert not blocks.repeats()


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_narrow_weights_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    tensors = flamingo_tensors(flamingo())
    if kind == "F16":
        stored: dict[str, Any] = {name: value.astype("f2") for name, value in tensors.items()}
        known = {name: value.astype("f4") for name, value in stored.items()}
    else:
        stored = {name: (value.view("u4") >> 16).astype("u2") for name, value in tensors.items()}
        known = {name: (value.view("u4") & 0xFFFF0000).view("f4") for name, value in tensors.items()}
    blocks = GatedBlocks.open(saved_vision(tmp_path, flamingo(), stored))
    tags = [0, 1, 1, 2, 3]
    found = blocks.apply(1, drawn_rows(5), units_of(blocks, PICTURES[:2]), np.array(tags) - 1)
    expected = reference_block(drawn_rows(5), PICTURES[:2], tags, known, 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kind 'llava', which has no gated blocks"):
        GatedBlocks.open(saved_vision(tmp_path, llava()))
