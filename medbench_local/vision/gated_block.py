"""Flamingo's gated blocks: between the layers of a language model its text looks at pictures.

Alayrac et al., 2022, https://arxiv.org/abs/2204.14198. A row gets the same bits whatever rows are computed with it:
rows go through in tiles of a constant size, weights in slices of a constant size, and every product of matrices has
one thread. Slices, not products, are shared out among threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medbench_local.vision.arithmetic import Floats, attention, gelu, layer_norm, one_thread
from medbench_local.vision.parts import HEAD, VisionFile, VisionParts

N = TypeVar("N", np.float32, np.int64)

TILE = 64
"""Rows that are computed together. Fewer than that in a call cost as much."""

_SLICE = 2**22
"""Weights of a matrix that are widened and multiplied at a time: 16 MB, which a processor's caches can hold."""


@dataclass(frozen=True)
class Media:
    """A picture as the blocks look at it: what one row after another would compute again.

    Attributes:
        keys, values: of each block, [latents, inner], in the order of `VisionParts.blocks`.
    """

    keys: tuple[Floats, ...]
    values: tuple[Floats, ...]


class GatedBlocks:
    """The gated blocks of a model; their weights stay on the disk and are widened when they are used.

    Attributes:
        parts: of the model that they belong to.
    """

    def __init__(self, file: VisionFile, threads: int) -> None:
        self.parts: VisionParts = file.parts
        self._file = file
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gated-block")

    @classmethod
    def open(cls, path: Path, *, threads: int = 1) -> GatedBlocks:
        """Open the ``vision.safetensors`` of a model of kind "flamingo".

        Args:
            path: the file.
            threads: that work at once; they change no bit of the result.

        Raises:
            InputError: as `VisionFile.open`; or the model is of another kind.
        """
        return cls(VisionFile.of_kind(path, "flamingo", "gated blocks"), threads)

    def media(self, latents: Floats) -> Media:
        """What the blocks need of a picture.

        Args:
            latents: [latents, tower width], of `Resampler.latents`.
        """
        with one_thread():
            pairs = [
                np.split(latents @ self._file.tensor(f"blocks.{number}.attn.to_kv.weight").T, 2, axis=1)
                for number in self.parts.blocks
            ]
        keys, values = zip(*pairs, strict=True)
        return Media(tuple(map(np.ascontiguousarray, keys)), tuple(map(np.ascontiguousarray, values)))

    def apply(
        self, block: int, x: Floats, units: Sequence[Sequence[Media]], seen: NDArray[np.integer]
    ) -> Floats:
        """The rows behind a block.

        Args:
            block: the layer of the language model before which it stands, one of `VisionParts.blocks`.
            x: [n, width], what goes into that layer without the block; it is not changed.
            units: what rows look at: one picture, or several all of whose latents count alike, whatever a row asks for;
                a picture that stands there twice is looked at by itself in this second way.
            seen: [n], for each row the index of its unit, or -1 for a row that sees nothing.

        Returns:
            [n, width]. A row's bits depend on itself and its unit alone.
        """
        if not len(x):
            return np.array(x)
        name, at = f"blocks.{block}", self.parts.blocks.index(block)
        tensor = self._file.tensor
        tiles, looks = _tiled(x, 0.0), _tiled(np.asarray(seen, np.int64), -1)
        with one_thread():
            norm = tensor(f"{name}.attn.norm.weight"), tensor(f"{name}.attn.norm.bias")
            queries = self._linear(f"{name}.attn.to_q.weight", [layer_norm(tile, *norm) for tile in tiles])
            found = [_look(*pair, units, at) for pair in zip(queries, looks, strict=True)]
            out = self._linear(f"{name}.attn.to_out.weight", found)
            tiles = _added(tiles, tensor(f"{name}.attn_gate"), out)
            norm = tensor(f"{name}.ff.0.weight"), tensor(f"{name}.ff.0.bias")
            normed = [layer_norm(tile, *norm) for tile in tiles]
            hidden = self._linear(f"{name}.ff.1.weight", normed, gelu)
            tiles = _added(tiles, tensor(f"{name}.ff_gate"), self._linear(f"{name}.ff.3.weight", hidden))
        result: Floats = np.concatenate(tiles)[: len(x)]
        return result

    def repeats(self) -> bool:
        """Whether a row of a tile gets the same bits at every place in it, which is up to numpy's BLAS.

        OpenBLAS did where it was tried; ask once when a model is loaded. One tile goes through the first block.
        """
        block = self.parts.blocks[0]
        draw = np.random.default_rng(0)
        row = draw.standard_normal((1, self.parts.width), np.float32)
        media = self.media(draw.standard_normal((self.parts.latents, self._file.sizes["tower"]), np.float32))
        result = self.apply(block, np.repeat(row, TILE, axis=0), ((media,),), np.zeros(TILE, np.int64))
        return bool((result.view(np.uint32) == result.view(np.uint32)[0]).all())

    def _linear(
        self, name: str, tiles: Iterable[Floats], then: Callable[[Floats], Floats] = lambda x: x
    ) -> list[Floats]:
        """Every tile times a matrix, a slice of it after the other, so that little of it is in memory."""
        weight, tiles = self._file.stored(name), list(tiles)
        count, width = weight.shape
        step = max(_SLICE // width // TILE * TILE, TILE)
        results = [np.empty((TILE, count), np.float32) for _ in tiles]

        def multiply(begin: int) -> None:
            piece = weight.rows(begin, begin + step).T
            for tile, result in zip(tiles, results, strict=True):
                result[:, begin : begin + step] = then(tile @ piece)

        for done in self._pool.map(multiply, range(0, count, step)):
            assert done is None  # an error in a thread is raised here
        return results


def _tiled(rows: NDArray[N], padding: float) -> list[NDArray[N]]:
    """Rows in tiles, the last of them filled up."""
    missing = -len(rows) % TILE
    rows = np.concatenate((rows, np.full((missing, *rows.shape[1:]), padding, rows.dtype)))
    return [rows[begin : begin + TILE] for begin in range(0, len(rows), TILE)]


def _added(tiles: list[Floats], gate: Floats, more: list[Floats]) -> list[Floats]:
    """What a part of a block says, as far as its gate is open, on top of what went in."""
    opening = np.tanh(gate)
    return [np.asarray(tile + opening * other, np.float32) for tile, other in zip(tiles, more, strict=True)]


def _look(queries: Floats, seen: NDArray[np.int64], units: Sequence[Sequence[Media]], at: int) -> Floats:
    """What the rows of a tile find in the units that they look at; nothing without one."""
    found = np.zeros_like(queries)
    for number in np.unique(seen[seen >= 0]):
        unit = units[number]
        if len(unit) == 1:
            (media,) = unit
            result = attention(queries, media.keys[at], media.values[at], queries.shape[1] // HEAD)
        else:
            result = np.concatenate([media.values[at] for media in unit]).mean(axis=0)
            result = np.broadcast_to(result, queries.shape)
        rows = seen == number
        found[rows] = result[rows]
    return found
