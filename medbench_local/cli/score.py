"""``score``: option log-probabilities for prompts of one's own."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from medbench_local.cli import complete
from medbench_local.cli.inputs import model_files, prompting_files, quant_files
from medbench_local.cli.options import MODEL_HELP, takes
from medbench_local.cli.progress import progress
from medbench_local.study.options import CompareOptions


class LnPostName(str, Enum):
    """Where the features of pictures are taken."""

    original = "original"
    paper = "paper"


@takes(
    CompareOptions,
    "mode",
    "threads",
    "gpu_layers",
    "adapter_base",
    "mmproj",
    "offline",
    "force",
    "cluster",
    "engines",
    "cpus_per_engine",
    "gpus_per_engine",
)
def score(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=complete.models)],
    requests: Annotated[
        Path, typer.Argument(help="JSON Lines with id, prompt, options (continuations), maybe images.")
    ],
    asked: CompareOptions,
    output: Annotated[Path | None, typer.Option(help="Where results go.  \\[default: stdout]")] = None,
    quant: Annotated[
        str, typer.Option(help="A quantisation config or its file, or full.", autocompletion=complete.quants)
    ] = "full",
    special: Annotated[
        bool, typer.Option("--special", help="Control-token text in prompts becomes control tokens.")
    ] = False,
    chat_template: Annotated[
        str | None,
        typer.Option(
            help="A file with a Jinja chat template in which prompts are what the user says, or none for plain text.  "
            + escape("[default: the model's own way with --system-prompt, else prompts stay as they are]")
        ),
    ] = None,
    system_prompt: Annotated[
        str | None,
        typer.Option(help="Of such conversations, or before plain text: a text, or @FILE with one."),
    ] = None,
    vision_ln_post: Annotated[
        LnPostName,
        typer.Option(
            help="Flamingo models: features of pictures behind the tower's last LayerNorm (paper), or before it."
        ),
    ] = LnPostName.original,
) -> None:
    """Score continuations of your own prompts: one JSON line a prompt with logprobs, tokens and mass.

    By the rule `label`: the joint log-probability of what each option adds to what all of them share.

    With images (a list of paths, from where the file lies) in a request, each <image> in its prompt is the next of
    these pictures; the model must be one that reads pictures.

    Prompts are scored exactly as they are; with --chat-template or --system-prompt they are what the user says in a
    conversation, and the options what the assistant goes on with. With --output, an interrupted run resumes.

    Example: medbench-local score demo-med requests.jsonl --output scores.jsonl
    """
    from medbench_local import api

    target = None
    if output is not None:
        read = [
            requests,
            *model_files(model),
            *quant_files(quant),
            *prompting_files(chat_template, system_prompt),
        ]
        target = _target(output, read)
    listener = progress()
    count = api.score_file(
        model,
        requests,
        target or sys.stdout,
        quant=quant,
        special=special,
        chat_template=chat_template,
        system_prompt=system_prompt,
        offline=asked.offline,
        force=asked.force,
        mode=asked.mode or "exact",
        threads=asked.threads,
        gpu_layers=asked.gpu_layers,
        adapter_base=asked.adapter_base,
        mmproj=asked.mmproj,
        vision_ln_post=vision_ln_post.value,
        cluster=asked.cluster,
        engines=asked.engines,
        cpus_per_engine=asked.cpus_per_engine,
        gpus_per_engine=asked.gpus_per_engine,
        progress=listener,
    )
    if output is not None:
        listener.note(f"{count:,} results in {output}")


def _target(output: Path, read: list[Path]) -> Path:
    """The file that --output means, which neither it nor its part may be one that is read."""
    from medbench_local import api
    from medbench_local.files.atomic import output_file

    target = output_file(output, inputs=read)
    output_file(api.part_of(target), inputs=read)
    return target
