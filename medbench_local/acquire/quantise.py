"""A GGUF file becomes a smaller one, by llama.cpp's own quantiser in a process of its own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.engine.importance import check_importance, read_importance
from medbench_local.engine.process import end_process, start_process
from medbench_local.engine.wire import error_from_json
from medbench_local.errors import AcquireError, UnsupportedArchitectureError, UsageError
from medbench_local.files.atomic import whole_file
from medbench_local.files.gguf_file import stored_bytes
from medbench_local.files.gguf_header import LOSSLESS, GgufHeader, read_gguf_header
from medbench_local.files.gguf_sense import refuse_nonsense
from medbench_local.progress import Progress, Silent


@dataclass(frozen=True)
class QuantisedModel:
    """What a quantisation made.

    Attributes:
        file_type: lower case, "q4_k_m".
        warnings: what a person should know.
    """

    file_type: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PlannedSize:
    """How large a quantised file will be.

    Attributes:
        nbytes: of the file.
        needs_importance: whether this precision cannot be made without an importance matrix.
        warnings: tensors whose rows do not fit the precision and get another.
    """

    nbytes: int
    needs_importance: bool
    warnings: tuple[str, ...]


def quantise(
    source: Path,
    config: QuantConfig,
    output: Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> QuantisedModel:
    """Quantise a lossless GGUF file.

    The same source and config give the same bytes, whatever the number of threads (on one kind of processor).

    Args:
        source: F32, F16 or BF16.
        config: any but "full".
        output: the file to write; it appears when it is complete.
        threads: at once; all processors if None.
        progress: told the bytes read.

    Raises:
        UsageError: the config changes nothing, or the source is quantised already.
        InputError: the source or the importance matrix is damaged, or they do not belong together.
        UnsupportedArchitectureError: llama.cpp does not know the model's architecture.
        AcquireError: llama.cpp refused or died.
        DiskFullError: the disk is full.
        StoreError: the output cannot be written for another reason.
    """
    header = _check_source(source, config)
    warnings = []
    if config.imatrix is not None and (
        missing := check_importance(config.imatrix, read_importance(config.imatrix), header)
    ):
        warnings.append(f"{config.imatrix.name} says nothing about {missing} matrices; they do without.")
    label = f"quantising {source.name} to {config.name}"
    with closing(_Quantiser(header, config)) as quantiser:
        planned = _planned(quantiser)
        if planned.needs_importance and config.imatrix is None:
            raise UsageError(
                f"{config.name} ({config.file_type}) cannot be made without an importance matrix.",
                advice="Add 'imatrix: FILE' to the config (made with llama-imatrix), or choose 3 bits or more.",
            )
        with (
            whole_file(output, nbytes=planned.nbytes) as temporary,
            (progress or Silent()).step(label, total=float(_weight_bytes(header)), unit="B") as advance,
        ):
            quantiser.run(temporary, threads=threads, dry_run=False, advance=advance)
            made = read_gguf_header(temporary)
    return QuantisedModel(made.file_type, (*planned.warnings, *warnings))


def planned_size(source: Path, config: QuantConfig) -> PlannedSize:
    """How large ``source`` will be at the precision of ``config``; reads headers only.

    Raises:
        UsageError, InputError, AcquireError: as `quantise`.
    """
    with closing(_Quantiser(_check_source(source, config), config)) as quantiser:
        return _planned(quantiser)


def _planned(quantiser: _Quantiser) -> PlannedSize:
    header, config = quantiser.header, quantiser.config
    types: dict[str, str] = {}
    fallbacks = 0
    needs_importance = False
    for event in quantiser.run(header.path, threads=1, dry_run=True, advance=_ignore):
        if "tensor" in event:
            types[event["tensor"]] = event["type"]
        fallbacks += event.get("fallbacks", 0)
        needs_importance = needs_importance or event.get("needs_importance", False)
    if types.keys() != {tensor.name for tensor in header.tensors}:
        raise AcquireError(
            f"llama.cpp planned {len(types)} of {len(header.tensors)} tensors of {header.path.name}.",
            advice="Install the version of llama-cpp-python that this package asks for.",
        )
    data = sum(_padded(stored_bytes(t.shape, types.get(t.name, t.type))) for t in header.tensors)
    original = sum(_padded(tensor.nbytes) for tensor in header.tensors)
    warnings = []
    if fallbacks:
        warnings.append(
            f"{fallbacks} of {len(header.tensors)} tensors have rows that {config.file_type} cannot store (their "
            "length is not a multiple of its block, mostly 256); llama.cpp stores them at a higher precision."
        )
    return PlannedSize(header.size - original + data, needs_importance, tuple(warnings))


def _ignore(_amount: float) -> None:
    """Nobody waits for a dry run."""


def _padded(nbytes: int) -> int:
    return -(-nbytes // 32) * 32


def _weight_bytes(header: GgufHeader) -> int:
    return sum(tensor.nbytes for tensor in header.tensors)


def _check_source(source: Path, config: QuantConfig) -> GgufHeader:
    if config.file_type == "auto":
        raise UsageError(
            f"The config {config.name!r} changes nothing.",
            advice="Use the full file, or choose a smaller precision (`quant_names()` has them).",
        )
    header = read_gguf_header(source)
    if header.file_type not in LOSSLESS:
        raise UsageError(
            f"{source} is quantised already ({header.file_type}); quantising it again would add up the losses.",
            advice="Start from the full GGUF file or from the checkpoint.",
        )
    refuse_nonsense(header)
    return header


class _Quantiser:
    """A process of llama.cpp's quantiser for one file; use `contextlib.closing`.

    Args:
        header: of the file.
        config: the wanted precision.
    """

    def __init__(self, header: GgufHeader, config: QuantConfig) -> None:
        self.header, self.config = header, config
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = start_process("engine.quantise_worker", self._errors)

    def close(self) -> None:
        """End the process; safe to call twice."""
        end_process(self._process)
        self._errors.close()

    def run(
        self, output: Path, *, threads: int | None, dry_run: bool, advance: Callable[[float], None]
    ) -> list[dict[str, Any]]:
        """Run the quantiser to its end and return what it told of every tensor."""
        job = {
            "source": str(self.header.path),
            "output": str(output),
            "file_type": self.config.file_type,
            "tensor_types": self.config.tensor_types,
            "imatrix": str(self.config.imatrix) if self.config.imatrix else None,
            "threads": threads or os.cpu_count() or 1,
            "dry_run": dry_run,
        }
        sizes = {tensor.name: tensor.nbytes for tensor in self.header.tensors}
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        with suppress(BrokenPipeError):
            pipe_in.write(json.dumps(job).encode("ascii") + b"\n")
            pipe_in.flush()
        events = []
        code = 0
        for line in pipe_out:
            if not line.endswith(b"\n"):  # it ended in the middle of a word
                continue
            events.append(json.loads(line))
            advance(sizes.get(events[-1].get("tensor", ""), 0))
            if "result" in events[-1] or "error" in events[-1]:
                break
        else:
            code = self._process.wait()
        if events and "error" in events[-1]:
            raise error_from_json(events[-1]["error"])
        if code != 0 or not events or events[-1].get("result") != 0:
            raise _failure(self.header, self.config, code, events, self._errors)
        return events


def _failure(
    header: GgufHeader, config: QuantConfig, code: int, events: list[dict[str, Any]], errors: IO[bytes]
) -> AcquireError:
    errors.seek(0)
    printed = errors.read().decode("utf-8", "replace").strip().splitlines()
    told = events[-1].get("problem") if events else None
    reason = told or (printed[-1] if printed else "no reason given")
    how = f"its process ended with code {code}" if code else "it refused"
    advice = "Check free memory and disk space."
    if code < 0:
        advice = "It was killed or aborted; most often memory ran out. Close other programs and try again."
    unknown = "unknown model architecture" in reason
    return (UnsupportedArchitectureError if unknown else AcquireError)(
        f"llama.cpp could not quantise {header.path.name} to {config.name}; {how}: {reason[:300]}",
        advice=advice,
    )
