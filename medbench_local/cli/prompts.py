"""``prompts export|show``: exactly what a model is asked."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from medbench_local.cli import parse
from medbench_local.cli.compare import MODEL_HELP
from medbench_local.cli.inputs import model_files, question_files, run_files
from medbench_local.cli.output import err, out, print_json, warn
from medbench_local.cli.progress import progress
from medbench_local.text import plain

app = typer.Typer(name="prompts", help="The exact prompts of a cell.", no_args_is_help=True)


class SplitOption(str, Enum):
    """Which questions."""

    validation = "validation"
    test = "test"
    demonstrations = "demonstrations"


Model = Annotated[str, typer.Option(help=MODEL_HELP)]
TaskId = Annotated[str, typer.Option(help="A task id, or a folder of your own questions.")]
Split = Annotated[SplitOption, typer.Option(help="Which questions are asked.")]
Shots = Annotated[int, typer.Option(help="Demonstrations in a prompt.")]
Formats = Annotated[str, typer.Option("--format", help="all, default, or seeds such as default,0,1.")]
Demonstrations = Annotated[
    str | None, typer.Option(help="Seeds of demonstration sets, such as 0,1.  [default: 42]")
]
SystemPrompt = Annotated[str | None, typer.Option(help="Replaces the system prompt.")]
ProtocolOption = Annotated[str, typer.Option(help="Its own system prompts are used.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the data sets' official files, instead of the hub.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="The JSON Lines file to write.")],
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    task: Annotated[str | None, typer.Option(help="A task id, or a folder of your own questions.")] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Instead of a model and a task: the test prompts of a finished run, both models."),
    ] = None,
    split: Split = SplitOption.test,
    shots: Shots = 0,
    format: Formats = "default",
    demonstrations: Demonstrations = None,
    items: Annotated[
        str | None, typer.Option(help="Rows of the split: 0,5,7 or 0:100.  [default: all]")
    ] = None,
    system_prompt: SystemPrompt = None,
    protocol: ProtocolOption = "laptop",
    data_dir: DataDir = None,
    offline: Offline = False,
) -> None:
    """Write exact prompts, one JSON line each, to run them on any engine.

    Example: medbench-local prompts export --model meditron-7b --task medqa --shots 3 --output prompts.jsonl

    Example: medbench-local prompts export --run runs/demo-med-vs-demo-base-1a2b3c4d --output prompts.jsonl
    """
    import json

    from medbench_local import api
    from medbench_local.errors import UsageError
    from medbench_local.files.atomic import output_file, write_atomic
    from medbench_local.results.folder import find_run
    from medbench_local.settings import read_settings

    data = data_dir or read_settings().data_dir
    read = [data] if data else []
    rows: list[dict[str, Any]]
    if run is not None:
        if model is not None or task is not None:
            raise UsageError("--run says which models and tasks; leave --model and --task out.")
        target = output_file(output, inputs=[*read, *run_files(find_run(run))])
        found = api.export_prompts(run, data_dir=data_dir, offline=offline or None, progress=progress())
        rows = [row.as_row() for row in found]
    elif model is None or task is None:
        raise UsageError("--model and --task say whose prompts; or --run, those of a finished run.")
    else:
        read += [*model_files(model), *question_files(task, protocol)]
        target = output_file(output, inputs=read)
        rows = list(
            _rows(
                model,
                task,
                split,
                shots,
                format,
                demonstrations,
                items,
                system_prompt,
                protocol,
                data_dir,
                offline,
            )
        )
    write_atomic(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    err().print(f"{len(rows):,} prompts in {output}", markup=False)


@app.command()
def show(
    model: Model,
    task: TaskId,
    split: Split = SplitOption.test,
    shots: Shots = 0,
    format: Formats = "default",
    demonstrations: Demonstrations = None,
    item: Annotated[int, typer.Option(help="Row of the split.")] = 0,
    system_prompt: SystemPrompt = None,
    protocol: ProtocolOption = "laptop",
    data_dir: DataDir = None,
    offline: Offline = False,
    json: Annotated[bool, typer.Option("--json", help="The row as JSON on stdout.")] = False,
) -> None:
    """Print one prompt exactly as the model sees it, trailing blanks marked.

    Example: medbench-local prompts show --model llama-2-7b --task mmlu-anatomy --shots 3 --format 4
    """
    rows = _rows(
        model,
        task,
        split,
        shots,
        format,
        demonstrations,
        str(item),
        system_prompt,
        protocol,
        data_dir,
        offline,
    )
    for row in rows:
        if json:
            print_json(row)
            continue
        console = out()
        header = f"{row['model']}, {row['task']} {row['split']} {row['item']}, format {row['format']}"
        console.print(f"--- {header}, {row['shots']}-shot", style="dim", markup=False)
        text = str(row["prompt"])
        if console.is_terminal:  # breaks at the end stay: they are part of the prompt
            text = "\n".join(map(plain, text.split("\n")))
        kept = text.rstrip(" ")
        console.print(kept + "␣" * (len(text) - len(kept)), markup=False)
        console.print(
            f"--- options {' '.join(row['options'])}, answer {row['options'][row['answer']]}",
            style="dim",
            markup=False,
        )


def _rows(
    model: str,
    task: str,
    split: SplitOption,
    shots: int,
    format: str,
    demonstrations: str | None,
    items: str | None,
    system_prompt: str | None,
    protocol: str,
    data_dir: Path | None,
    offline: bool,
) -> Iterable[dict[str, Any]]:
    from medbench_local.catalog.protocol import load_protocol
    from medbench_local.errors import UsageError
    from medbench_local.prompts.demonstrations import DEFAULT_SEED
    from medbench_local.prompts.export import exported_prompts
    from medbench_local.prompts.prompt_style import check_system_prompt
    from medbench_local.reference.exporting import prompt_style_of
    from medbench_local.settings import read_settings
    from medbench_local.tasks.load import load_task

    if shots < 0:
        raise UsageError(f"--shots must be 0 or more, not {shots}.")
    check_system_prompt(system_prompt)
    settings = read_settings()
    offline = offline or settings.offline
    listener = progress()
    loaded = load_task(task, data_dir=data_dir or settings.data_dir, offline=offline, progress=listener)
    for warning in loaded.warnings:
        warn(warning)
    prompt_style = prompt_style_of(
        model,
        system_prompt=system_prompt,
        overrides=load_protocol(protocol).prompts,
        home=settings.home,
        offline=offline,
        progress=listener,
    )
    chosen = parse.rows(items, "--items")
    size = len(loaded.questions(split.value))
    picked = range(size)[chosen] if isinstance(chosen, slice) else chosen
    if picked is not None and not picked:
        raise UsageError(f"--items {items} names none of the {size:,} {split.value} questions.")
    return (
        row.as_row()
        for row in exported_prompts(
            prompt_style,
            loaded,
            split.value,
            shots,
            formats=_formats(format),
            demonstration_seeds=parse.numbers(demonstrations, "--demonstrations") or (DEFAULT_SEED,),
            items=picked,
        )
    )


def _formats(text: str) -> list[int | None]:
    """Formats by name: the eleven of the study for ``all``, also for models that are only asked in one of them.

    Raises:
        UsageError: neither all, default nor seeds.
    """
    if text == "all":
        return [None, *range(10)]
    found: list[int | None] = []
    for part in parse.names(text) or ():
        found.append(None if part == "default" else (parse.numbers(part, "--format") or (0,))[0])
    return found
