"""``validate`` and ``reference run``: a run against results computed elsewhere."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.errors import DOES_NOT_HOLD, DONE, UNSETTLED
from medbench_local.cli.options import Json
from medbench_local.cli.output import err, out, print_json
from medbench_local.cli.progress import progress

_CODES = {"agrees": DONE, "contradicted": DOES_NOT_HOLD, "too little to judge": UNSETTLED}

reference_app = typer.Typer(
    name="reference", help="Results from another engine, to validate against.", no_args_is_help=True
)


class DTypeName(str, Enum):
    """Precision of weights and arithmetic."""

    checkpoint = "checkpoint"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class BosName(str, Enum):
    """BOS tokens before a chat prompt that begins with one."""

    once = "once"
    twice = "twice"


def validate(
    run: Annotated[str, typer.Argument(help="A run's folder or name.", autocompletion=complete.runs)],
    reference: Annotated[
        list[Path],
        typer.Option(
            help="Reference results: exported prompts with results, samples, logs of lm-evaluation-harness or "
            "inspect_ai, or another run's folder."
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Whose results they are, if the files do not say.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="A protocol whose thresholds are used.  \\[default: the one that the run was made with]",
            autocompletion=complete.protocols,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Scorer of an inspect_ai log that says what is correct, if it has several."),
    ] = None,
    filter: Annotated[
        str | None, typer.Option(help="Filter of an lm-evaluation-harness log, if it has several.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task of rows that do not say theirs.")] = None,
    json: Json = False,
) -> None:
    """Compare a run with reference results, question by question.

    Only the same prompts are compared, and a cell is judged only if at least 90 % of its questions were. The
    run's verdicts are those on all of its questions; what the reference lacks may leave its own open. Exit code
    0: the run agrees; 1: the reference contradicts it; 3: too little to judge.

    Example: medbench-local validate runs/demo-med-vs-demo-base-1a2b3c4d --reference gpu.jsonl
    """
    from medbench_local import api
    from medbench_local.report.validation import show_validation, validation_dict

    found = api.validate(
        run, reference, model=model, protocol=protocol, metric=metric, filter=filter, task=task
    )
    if json:
        print_json(validation_dict(found))
    else:
        out().print(show_validation(found))
    if found.outcome != "agrees":
        raise typer.Exit(_CODES[found.outcome])


@reference_app.command("run")
def reference_run(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint folder in Hugging Face layout.")],
    prompts: Annotated[Path, typer.Argument(help="Prompts from `prompts export`.")],
    output: Annotated[Path, typer.Option(help="JSON Lines to write; an interrupted run resumes.")],
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps.  \\[default: CUDA if there is one]")
    ] = None,
    dtype: Annotated[
        DTypeName, typer.Option(help="checkpoint keeps what the weights are stored in.")
    ] = DTypeName.checkpoint,
    batch_size: Annotated[
        int, typer.Option(help="Prompts at once; halved where memory does not suffice.")
    ] = 8,
    bos: Annotated[
        BosName, typer.Option(help="BOS tokens before chat prompts that begin with one.")
    ] = BosName.once,
    model: Annotated[str | None, typer.Option(help="Only the prompts of this model.")] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pictures that prompts show, by their names in the export or their hashes."
        ),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The language model to which a LLaVA is a difference: its folder.")
    ] = None,
    vision_tower: Annotated[
        Path | None, typer.Option(help="The CLIP model of a LLaVA that does not hold it: its folder.")
    ] = None,
) -> None:
    """Compute reference results with transformers (needs the extra `reference`), on a GPU or the processor.

    LLaVA, LLaVA 1.5 and Gemma 3 are shown pictures; parts of LLaVA are the folders that were downloaded.

    Example: medbench-local reference run ./meditron-7b prompts.jsonl --output gpu.jsonl --device cuda
    """
    from medbench_local import api
    from medbench_local.files.atomic import output_file

    done = api.run_reference(
        checkpoint,
        prompts,
        output_file(output, inputs=[checkpoint, prompts, *filter(None, (images, base, vision_tower))]),
        device=device,
        dtype=dtype.value,
        batch_size=batch_size,
        bos=bos.value,
        model=model,
        images=images,
        base=base,
        vision_tower=vision_tower,
        progress=progress(),
    )
    err().print(
        f"{output}: {done.computed:,} prompts computed, {done.kept:,} kept, {done.overlong:,} longer than the "
        f"context; {done.device}, {done.dtype}",
        markup=False,
    )
