"""``prompts export|show``: exactly what a model is asked."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medbench_local.catalog.names import Scoring
from medbench_local.cli import complete, parse
from medbench_local.cli.inputs import model_files, prompting_files, question_files, run_files
from medbench_local.cli.options import MODEL_HELP, flag, takes
from medbench_local.cli.output import err, out, print_json
from medbench_local.cli.progress import progress
from medbench_local.study.options import CompareOptions
from medbench_local.text import plain

if TYPE_CHECKING:
    from medbench_local.prompts.export import ExportedPrompt

app = typer.Typer(name="prompts", help="The exact prompts of a cell.", no_args_is_help=True)


class SplitOption(str, Enum):
    """Which questions."""

    validation = "validation"
    test = "test"
    demonstrations = "demonstrations"


Model = Annotated[str, typer.Option(help=MODEL_HELP, autocompletion=complete.models)]
TaskId = Annotated[
    str, typer.Option(help="A task id, or a folder of your own questions.", autocompletion=complete.task)
]
Split = Annotated[SplitOption, typer.Option(help="Which questions are asked.")]
Shots = Annotated[int, typer.Option(help="Demonstrations in a prompt.")]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        help="all, default, or seeds such as default,0,1.",
        autocompletion=complete.prompt_formats,
    ),
]
Demonstrations = Annotated[
    str | None, typer.Option(help="Seeds of demonstration sets, such as 0,1.  \\[default: 42]")
]
AskedScoring = Annotated[
    Scoring | None,
    typer.Option(help="Prompts as this scoring asks them; rows say what else it needs.  \\[default: none]"),
]
ProtocolOption = Annotated[
    str,
    typer.Option(
        help="Its own system prompts are used, and what it says of thinking.",
        autocompletion=complete.protocols,
    ),
]
SHARED = ("chat_template", "system_prompt", "think_open", "think_close", "data_dir", "offline")


@app.command()
@takes(CompareOptions, *SHARED)
def export(
    output: Annotated[Path, typer.Option(help="The JSON Lines file to write.")],
    asked: CompareOptions,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP, autocompletion=complete.models)] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A task id, or a folder of your own questions.", autocompletion=complete.task),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="Instead of a model and a task: the test prompts of a finished run, both models.",
            autocompletion=complete.runs,
        ),
    ] = None,
    split: Split = SplitOption.test,
    shots: Shots = 0,
    format: Formats = "default",
    demonstrations: Demonstrations = None,
    items: Annotated[
        str | None, typer.Option(help="Rows of the split: 0,5,7 or 0:100.  \\[default: all]")
    ] = None,
    scoring: AskedScoring = None,
    protocol: ProtocolOption = "laptop",
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

    data = asked.data_dir or read_settings().data_dir
    read = [data] if data else []
    if run is not None:
        if model is not None or task is not None:
            raise UsageError("--run says which models and tasks; leave --model and --task out.")
        _refuse_beside_run(
            split=split is not SplitOption.test,
            shots=shots != 0,
            format=format != "default",
            demonstrations=demonstrations is not None,
            items=items is not None,
            protocol=protocol != "laptop",
            chat_template=asked.chat_template is not None,
            system_prompt=asked.system_prompt is not None,
            scoring=scoring is not None,
            think_open=asked.think_open is not None,
            think_close=asked.think_close is not None,
        )
        target = output_file(output, inputs=[*read, *run_files(find_run(run))])
        found = api.export_prompts(run, data_dir=asked.data_dir, offline=asked.offline, progress=progress())
    elif model is None or task is None:
        raise UsageError("--model and --task say whose prompts; or --run, those of a finished run.")
    else:
        read += [*model_files(model), *question_files(task, protocol)]
        read += prompting_files(asked.chat_template, asked.system_prompt)
        target = output_file(output, inputs=read)
        found = _prompts(model, task, split, shots, format, demonstrations, items, scoring, protocol, asked)
    rows = [row.as_row() for row in found]
    write_atomic(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    err().print(f"{len(rows):,} prompts in {output}", markup=False, soft_wrap=True)


def _refuse_beside_run(**given: bool) -> None:
    """Refuse options that would do nothing: a run's prompts are what they were.

    Raises:
        UsageError: one is given.
    """
    from medbench_local.errors import UsageError

    flags = [flag(name) for name, is_given in given.items() if is_given]
    if flags:
        raise UsageError(f"--run says how its prompts were made; leave {' and '.join(flags)} out.")


@app.command()
@takes(CompareOptions, *SHARED)
def show(
    model: Model,
    task: TaskId,
    asked: CompareOptions,
    split: Split = SplitOption.test,
    shots: Shots = 0,
    format: Formats = "default",
    demonstrations: Demonstrations = None,
    item: Annotated[int, typer.Option(help="Row of the split.")] = 0,
    scoring: AskedScoring = None,
    protocol: ProtocolOption = "laptop",
    json: Annotated[bool, typer.Option("--json", help="The row as JSON on stdout.")] = False,
) -> None:
    """Print one prompt exactly as the model sees it, trailing blanks marked.

    Example: medbench-local prompts show --model llama-2-7b --task mmlu-anatomy --shots 3 --format 4
    """
    found = _prompts(model, task, split, shots, format, demonstrations, str(item), scoring, protocol, asked)
    for row in found:
        if json:
            print_json(row.as_row())
            continue
        console = out()
        header = f"{row.model}, {row.task} {row.split} {row.item}, format {row.format}"
        console.print(f"--- {header}, {row.shots}-shot", style="dim", markup=False, soft_wrap=True)
        text = row.prompt
        if console.is_terminal:  # breaks at the end stay: they are part of the prompt
            text = "\n".join(map(plain, text.split("\n")))
        kept = text.rstrip(" ")
        console.print(kept + "␣" * (len(text) - len(kept)), markup=False, soft_wrap=True)
        for number, name in enumerate(row.images or (), 1):
            shown = " and ".join(name) if isinstance(name, tuple) else name or "nothing"
            console.print(f"--- <image> {number} shows {shown}", style="dim", markup=False, soft_wrap=True)
        console.print(
            f"--- options {' '.join(row.options)}, answer {row.options[row.answer]}",
            style="dim",
            markup=False,
            soft_wrap=True,
        )


def _prompts(
    model: str,
    task: str,
    split: SplitOption,
    shots: int,
    format: str,
    demonstrations: str | None,
    items: str | None,
    scoring: Scoring | None,
    protocol: str,
    asked: CompareOptions,
) -> list[ExportedPrompt]:
    from medbench_local import api

    seeds = parse.numbers(demonstrations, "--demonstrations")
    return api.task_prompts(
        model,
        task,
        split=split.value,
        shots=shots,
        formats=_formats(format),
        items=parse.rows(items, "--items"),
        scoring=scoring,
        chat_template=asked.chat_template,
        system_prompt=asked.system_prompt,
        think_open=asked.think_open,
        think_close=asked.think_close,
        protocol=protocol,
        data_dir=asked.data_dir,
        offline=asked.offline,
        progress=progress(),
        **({} if seeds is None else {"demonstrations": seeds}),
    )


def _formats(text: str) -> list[int | Literal["default"]]:
    """Formats by name: the eleven of the study for ``all``, also for models that are only asked in one of them.

    Raises:
        UsageError: neither all, default nor seeds.
    """
    if text == "all":
        return ["default", *range(10)]
    found: list[int | Literal["default"]] = []
    for part in parse.names(text) or ():
        found.append("default" if part == "default" else (parse.numbers(part, "--format") or (0,))[0])
    return found
