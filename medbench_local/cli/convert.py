"""``convert`` and ``quantize``: from a checkpoint to a GGUF, from a GGUF to a smaller one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli.output import err, warn
from medbench_local.cli.progress import amount, progress


class TypeName(str, Enum):
    """Number type of a converted model's weights."""

    auto = "auto"
    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"


def convert(
    source: Annotated[str, typer.Argument(help="A checkpoint folder, a catalog name, or hf:owner/name.")],
    output: Annotated[Path, typer.Option(help="The GGUF file to write.")],
    type: Annotated[
        TypeName, typer.Option(help="auto keeps the checkpoint's own type, without loss.")
    ] = TypeName.auto,
    offline: Annotated[bool, typer.Option("--offline", help="Never touch the network.")] = False,
) -> None:
    """Convert a checkpoint to GGUF, without torch and without running any of its code.

    Example: medbench-local convert ./my-model --output my-model.gguf
    """
    from medbench_local.acquire.convert import convert_checkpoint
    from medbench_local.acquire.prepare import find_checkpoint
    from medbench_local.acquire.source import HubCheckpoint, LocalCheckpoint, resolve_model
    from medbench_local.catalog.quantisation import load_quant
    from medbench_local.errors import UsageError
    from medbench_local.settings import read_settings

    settings = read_settings()
    listener = progress()
    meant = resolve_model(source)
    if not isinstance(meant, LocalCheckpoint | HubCheckpoint):
        raise UsageError(f"{source} is a GGUF already.", advice="medbench-local quantize makes it smaller.")
    checkpoint = find_checkpoint(
        meant,
        load_quant("full"),
        home=settings.home,
        offline=offline or settings.offline,
        progress=listener,
    )
    made = convert_checkpoint(checkpoint.folder(), output, file_type=type.value, progress=listener)
    for warning in made.warnings:
        warn(warning)
    err().print(f"{output}: {made.file_type}, {amount(output.stat().st_size, 'B')}", markup=False)


def quantize(
    source: Annotated[Path, typer.Argument(help="A GGUF file in f32, f16 or bf16.")],
    quant: Annotated[str, typer.Option(help="A quantisation config or its file.")],
    output: Annotated[Path, typer.Option(help="The GGUF file to write.")],
    threads: Annotated[int | None, typer.Option(help="CPU threads; the bytes do not depend on them.")] = None,
) -> None:
    """Quantise a GGUF file; the same input gives the same bytes.

    Example: medbench-local quantize my-model.gguf --quant q4_k_m --output my-model.q4_k_m.gguf
    """
    from medbench_local.acquire.quantise import quantise
    from medbench_local.catalog.quantisation import load_quant

    made = quantise(source, load_quant(quant), output, threads=threads, progress=progress())
    for warning in made.warnings:
        warn(warning)
    err().print(f"{output}: {quant}, {amount(output.stat().st_size, 'B')}", markup=False)
