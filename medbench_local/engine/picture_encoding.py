"""What llama.cpp makes of pictures with a projector file, computed once and kept.

::

    MEDBENCH_HOME/features/<projector>/<rule>/<picture>.npy     float32 [rows, width of the language model]

as `medbench_local.vision.features` keeps what a tower says; ``<rule>`` names this machine and build of llama.cpp, too,
which may decide the last bits.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from medbench_local.engine.base import EngineOptions
from medbench_local.engine.machine import MachineNotes
from medbench_local.engine.memory import memory_available
from medbench_local.engine.process import end_process, signal_of, start_process
from medbench_local.engine.wire import error_from_json
from medbench_local.errors import EngineError, WorkerDied
from medbench_local.files.hashes import file_sha256
from medbench_local.progress import Progress
from medbench_local.vision.features import FeatureCache, PictureFile, keep_features
from medbench_local.vision.pictures import decode
from medbench_local.vision.projector_file import ProjectorFile, read_projector

VERSION = "v1"
"""Of what is computed here from a picture; another one whenever its numbers change."""


def encode_with_llama_cpp(
    projector: Path,
    model: Path,
    pictures: Sequence[PictureFile],
    home: Path,
    progress: Progress,
    options: EngineOptions,
) -> dict[str, Path]:
    """Rows that stand in the places of pictures; those that are kept already are not computed again.

    All pictures are looked at before the first is encoded, so that a damaged one is named at once. Stopped at any
    moment, the same call goes on where it was.

    Args:
        projector: the projector file.
        model: the GGUF file of the language model, or one of its precisions: its vocabulary is read.
        pictures: any may be there more than once.
        home: MEDBENCH_HOME.
        progress: told of a step "encoding pictures", unless all are kept.
        options: threads and layers on the GPU count.

    Returns:
        For each picture's hash the file with its rows.

    Raises:
        UsageError: the projector is of a kind that cannot be used.
        InputError: a picture cannot be shown, or a file is damaged.
        EngineError: llama.cpp cannot load the projector, or does not do as it should with it.
        WorkerDied: its process ended; most often memory ran out.
        StoreError, DiskFullError: the rows cannot be kept.
    """
    opened = read_projector(projector)
    rule = f"{VERSION}-{opened.rule}-llama.cpp-{MachineNotes(home, options.gpu_layers).numerics}"
    folder = FeatureCache(home).folder / file_sha256(projector, home, progress)[:12] / rule

    def encode(missing: Sequence[tuple[PictureFile, Path]]) -> Iterator[None]:
        for picture, _ in missing:
            decode(picture.path, sha256=picture.sha256)
        yield
        job = {
            "projector": str(projector),
            "model": str(model),
            "threads": options.threads,
            "gpu_layers": options.gpu_layers,
            "pictures": [[picture.sha256, str(picture.path), str(file)] for picture, file in missing],
        }
        yield from _at_work(job, opened)

    return keep_features(folder, pictures, (opened.rows, opened.width), encode, progress)


def _at_work(job: dict[str, Any], projector: ProjectorFile) -> Iterator[None]:
    """Let a process do a job; yields whenever the rows of one more picture are written."""
    with tempfile.TemporaryFile() as errors:
        process = start_process("engine.picture_worker", errors)
        try:
            pipe_in, pipe_out = process.stdin, process.stdout
            assert pipe_in is not None
            assert pipe_out is not None
            with suppress(BrokenPipeError):
                pipe_in.write(json.dumps(job).encode("ascii") + b"\n")
                pipe_in.flush()
            for line in pipe_out:
                if not line.endswith(b"\n"):  # it ended in the middle of a word
                    break
                said = json.loads(line)
                if "error" in said:
                    raise error_from_json(said["error"])
                if "result" in said:
                    return
                yield
            raise _died(process.wait(), projector, errors)
        finally:
            end_process(process)


def _died(code: int, projector: ProjectorFile, errors: IO[bytes]) -> EngineError:
    errors.seek(0)
    last = " ".join(errors.read().decode("utf-8", "replace").split())[-400:]
    ended_by = signal_of(code)
    available = memory_available() / 1e9
    return WorkerDied(
        f"The process that looks at pictures with {projector.path} ended ({ended_by or f'exit code {code}'}; "
        f"{available:.1f} GB are free)" + (f"; its last words: {last}" if last else "."),
        advice="Close other programs and run the same command again; if it ends here again, the file or this build of "
        "llama.cpp is at fault.",
        signal=ended_by,
    )
