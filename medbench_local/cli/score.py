"""``score``: option log-probabilities for prompts of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from medbench_local.cli.inputs import model_files, prompting_files, quant_files
from medbench_local.cli.options import MODEL_HELP, takes
from medbench_local.cli.progress import progress
from medbench_local.study.options import CompareOptions


@takes(CompareOptions, "mode", "threads", "gpu_layers", "adapter_base", "offline", "force")
def score(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    requests: Annotated[Path, typer.Argument(help="JSON Lines with id, prompt, options (continuations).")],
    asked: CompareOptions,
    output: Annotated[Path | None, typer.Option(help="Where results go.  [default: stdout]")] = None,
    quant: Annotated[str, typer.Option(help="A quantisation config or its file, or full.")] = "full",
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
) -> None:
    """Score continuations of your own prompts: one JSON line a prompt with logprobs, tokens and mass.

    By the rule `label`: the joint log-probability of what each option adds to what all of them share.

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
