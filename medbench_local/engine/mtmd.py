"""llama.cpp's own code for pictures ("mtmd"): what it makes of a picture for a language model.

Only squares of the size that a model wants are handed over: such a picture it takes as it is.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llama_cpp import mtmd_cpp
from numpy.typing import NDArray

from medbench_local.engine.bindings import LOG, llama_cpp, set_fields
from medbench_local.engine.llama_model import Model
from medbench_local.engine.logits import not_finite
from medbench_local.errors import EngineError
from medbench_local.vision.arithmetic import Floats
from medbench_local.vision.projector_file import ProjectorFile


class PictureEncoder:
    """A projector file with its tower, loaded.

    Args:
        projector: the file.
        model: the language model, of which the vocabulary is enough.
        threads: processor threads.
        gpu: whether any device but the processor may be used.

    Raises:
        EngineError: llama.cpp refuses the file, or does not look at pictures as it should.
    """

    def __init__(self, projector: ProjectorFile, model: Model, *, threads: int, gpu: bool) -> None:
        LOG.share(mtmd_cpp.mtmd_log_set)
        params = mtmd_cpp.mtmd_context_params_default()
        set_fields(
            params,
            use_gpu=gpu,
            print_timings=False,
            n_threads=threads,
            # keys and values in float16: nothing beside matrices that are, a third faster, and half the memory
            flash_attn_type=llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if projector.precision == "f16"
            else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
            warmup=False,
        )
        LOG.clear()
        self._projector = projector
        self._handle: Any = mtmd_cpp.mtmd_init_from_file(os.fsencode(projector.path), model.handle, params)
        if not self._handle:
            raise EngineError(
                f"llama.cpp cannot load {projector.path}: {LOG.problem() or 'no reason given'}."
            )
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free what is held; safe to call twice."""
        if self._handle:
            mtmd_cpp.mtmd_free(self._handle)
            self._handle = None

    def encode(self, picture: NDArray[np.uint8]) -> Floats:
        """The rows that stand in a picture's place.

        Args:
            picture: [side, side, 3] of red, green and blue, as `ProjectorFile.fitted` makes it.

        Returns:
            [rows, width].

        Raises:
            EngineError: llama.cpp could not, or makes something else of it.
        """
        side = self._projector.side
        if picture.shape != (side, side, 3) or picture.dtype != np.uint8:
            raise EngineError(f"A picture of {picture.shape} was not made to fit {side} pixels a side.")
        wanted = self._projector.rows
        with self._chunks(picture) as chunks:
            found = [
                chunk
                for number in range(mtmd_cpp.mtmd_input_chunks_size(chunks))
                if mtmd_cpp.mtmd_input_chunk_get_type(chunk := mtmd_cpp.mtmd_input_chunks_get(chunks, number))
                == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE
            ]
            sizes = [int(mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk)) for chunk in found]
            if sizes != [wanted]:
                raise EngineError(
                    f"llama.cpp makes {' and '.join(map(str, sizes)) or 'no'} rows of a picture with "
                    f"{self._projector.path}; {wanted} are expected.",
                    advice="Take the projector that belongs to the model.",
                )
            LOG.clear()
            if mtmd_cpp.mtmd_encode_chunk(self._handle, found[0]):
                raise EngineError(f"llama.cpp cannot encode a picture: {LOG.problem() or 'no reason given'}.")
            values = mtmd_cpp.mtmd_get_output_embd(self._handle)
            rows: Floats = np.ctypeslib.as_array(values, shape=(wanted, self._projector.width)).copy()
        if not np.isfinite(rows).all():
            raise not_finite()
        return rows

    @contextmanager
    def _chunks(self, picture: NDArray[np.uint8]) -> Iterator[Any]:
        """What llama.cpp cuts a prompt into that is this picture alone: its rows, between control tokens."""
        height, width, _ = picture.shape
        content = np.ascontiguousarray(picture).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd_cpp.mtmd_bitmap_init(width, height, content)
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        try:
            part = mtmd_cpp.mtmd_input_part()
            set_fields(part, bitmap=bitmap)
            parts = (ctypes.POINTER(mtmd_cpp.mtmd_input_part) * 1)(ctypes.pointer(part))
            LOG.clear()
            if mtmd_cpp.mtmd_tokenize_from_parts(self._handle, chunks, parts, 1, False):
                raise EngineError(f"llama.cpp does not take a picture: {LOG.problem() or 'no reason given'}.")
            yield chunks
        finally:
            mtmd_cpp.mtmd_input_chunks_free(chunks)
            mtmd_cpp.mtmd_bitmap_free(bitmap)

    def _check(self) -> None:
        """Look at one picture twice.

        Raises:
            EngineError: what is seen differs, or is nothing.
        """
        side = self._projector.side
        x, y = np.meshgrid(np.arange(side), np.arange(side))
        picture = np.stack([x * 255 // side, y * 255 // side, (x * 7 + y * 3) % 256], axis=-1).astype(
            np.uint8
        )
        first, second = self.encode(picture), self.encode(picture)
        if not np.array_equal(first, second) or not np.ptp(first, axis=0).any():
            raise EngineError(
                f"llama.cpp does not see the same in the same picture twice with {self._projector.path}, or sees "
                "nothing in it.",
                advice="Compute on the processor: `gpu_layers=0`.",
            )
