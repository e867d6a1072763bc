"""``convert`` and ``quantize``: from a checkpoint to a GGUF, from a GGUF to a smaller one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.inputs import gguf_files, model_files, quant_files
from medbench_local.cli.options import takes
from medbench_local.cli.output import err, warn
from medbench_local.cli.progress import amount, progress
from medbench_local.study.options import CompareOptions

Force = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]


class TypeName(str, Enum):
    """Number type of a converted model's weights."""

    auto = "auto"
    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"


class PictureFamily(str, Enum):
    """How models with pictures are prompted."""

    llava_v0 = "llava-v0"
    llava_med = "llava-med"
    llava_15 = "llava-v1.5"
    llava_mistral = "llava-mistral"
    open_flamingo = "open-flamingo"
    med_flamingo = "med-flamingo"


@takes(CompareOptions, "adapter_base", "offline")
def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of a checkpoint or a LoRA adapter, a catalog name, hf:owner/name, or a Flamingo's .pt file."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="The GGUF file to write; of a model with pictures the folder.")
    ],
    asked: CompareOptions,
    type: Annotated[
        TypeName, typer.Option(help="auto keeps the checkpoint's own type, without loss.")
    ] = TypeName.auto,
    base: Annotated[
        str | None,
        typer.Option(help="The language model that a difference is added to, or that gated blocks stand in."),
    ] = None,
    vision_tower: Annotated[
        str | None,
        typer.Option(help="The folder of the CLIP model that looks at pictures, or hf:owner/name."),
    ] = None,
    family: Annotated[
        PictureFamily | None,
        typer.Option(
            help="How a model with pictures is prompted, where its files and the catalog do not say."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Convert a checkpoint to GGUF, without torch and without running any of its code.

    A model with pictures becomes a folder that is a model again.

    Example: medbench-local convert ./my-model --output my-model.gguf
    """
    from medbench_local import api
    from medbench_local.acquire.picture_source import becomes_folder
    from medbench_local.files.atomic import output_file, output_folder
    from medbench_local.files.gguf_header import read_gguf_header

    folder = becomes_folder(source, base or asked.adapter_base, vision_tower)
    place = output_folder if folder else output_file
    target = place(output, inputs=model_files(source, base, vision_tower))
    warnings = api.convert(
        source,
        target,
        type=type.value,
        adapter_base=asked.adapter_base,
        base=base,
        vision_tower=vision_tower,
        family=None if family is None else family.value,
        force=force,
        offline=asked.offline,
        progress=progress(),
    )
    for warning in warnings:
        warn(warning)
    if folder:
        for path in sorted(output.glob("model.gguf")) + sorted(output.glob("*.safetensors")):
            err().print(f"{path}: {amount(path.stat().st_size, 'B')}", markup=False, soft_wrap=True)
        return
    err().print(
        f"{output}: {read_gguf_header(output).file_type}, {amount(output.stat().st_size, 'B')}",
        markup=False,
        soft_wrap=True,
    )


def quantize(
    source: Annotated[Path, typer.Argument(help="A GGUF file in f32, f16 or bf16.")],
    quant: Annotated[
        str, typer.Option(help="A quantisation config or its file.", autocompletion=complete.quants)
    ],
    output: Annotated[Path, typer.Option(help="The GGUF file to write.")],
    threads: Annotated[int | None, typer.Option(help="CPU threads; the bytes do not depend on them.")] = None,
    force: Force = False,
) -> None:
    """Quantise a GGUF file; the same input gives the same bytes.

    Example: medbench-local quantize my-model.gguf --quant q4_k_m --output my-model.q4_k_m.gguf
    """
    from medbench_local import api
    from medbench_local.files.atomic import output_file

    read = gguf_files(source) if source.is_file() else []
    target = output_file(output, inputs=[*read, *quant_files(quant)])
    warnings = api.quantize(source, target, quant=quant, threads=threads, force=force, progress=progress())
    for warning in warnings:
        warn(warning)
    err().print(f"{output}: {quant}, {amount(output.stat().st_size, 'B')}", markup=False, soft_wrap=True)
