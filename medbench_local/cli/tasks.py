"""``tasks list|show``: what can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.options import takes
from medbench_local.cli.output import Listing, out, print_json, warn
from medbench_local.cli.progress import progress
from medbench_local.study.options import CompareOptions

app = typer.Typer(name="tasks", help="The tasks that models are compared on.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


@app.command("list")
def list_command(json: Json = False) -> None:
    """List the tasks, with their official sizes.

    Example: medbench-local tasks list
    """
    from medbench_local.catalog.task import task_names

    _list(task_names(), json=json)


def _list(names: Sequence[str], *, json: bool) -> None:
    from medbench_local.catalog.task import task_entry

    entries = [task_entry(name) for name in names]
    if json:
        print_json(
            [
                {
                    "id": e.id,
                    "title": e.title,
                    "options": e.options,
                    "sizes": e.sizes,
                    "images": e.images,
                    "licence": e.licence,
                }
                for e in entries
            ]
        )
        return
    rows = []
    for entry in entries:
        sizes = [f"{size:,}" for size in entry.sizes] if entry.sizes else ["embedded", "", ""]
        images = "yes" if entry.images else ""
        rows.append((entry.id, entry.title, str(entry.options or ""), images, *sizes, entry.licence))
    sizes = ["demonstrations", "validation", "test"]
    out().print(Listing(("task", "title", "options", "images", *sizes, "licence"), rows, right=sizes))


@app.command()
@takes(CompareOptions, "data_dir", "offline")
def show(
    task: Annotated[
        str,
        typer.Argument(
            help="A task id, a group, or a file or folder of your own questions.",
            autocompletion=complete.task,
        ),
    ],
    asked: CompareOptions,
    item: Annotated[int, typer.Option(help="Which test question to print, from 0.")] = 0,
    json: Json = False,
) -> None:
    """Show a task: its splits, its files, and one of its questions, with the names and sizes of its pictures.

    Of a group (all, mmlu, visual, mmmu, demo) the tasks that it stands for are listed.

    Example: medbench-local tasks show mmlu-anatomy --data-dir data
    """
    from string import ascii_uppercase

    from medbench_local.catalog.task import task_groups

    if (group := task_groups().get(task)) is not None:
        _list(group, json=json)
        return

    from medbench_local import api
    from medbench_local.errors import UsageError
    from medbench_local.study.options import resolve
    from medbench_local.tasks.load import load_task
    from medbench_local.text import plain, plain_lines
    from medbench_local.vision.pictures import dimensions

    options = resolve(asked)
    loaded = load_task(task, data_dir=options.data_dir, offline=options.offline, progress=progress())
    questions = loaded.questions("test")
    if not 0 <= item < len(questions):
        raise UsageError(f"{task} has test questions 0 to {len(questions) - 1}, not {item}.")
    question = questions[item]
    pictures = [(picture, dimensions(picture.path)) for picture in question.pictures]
    if json:
        print_json(
            {
                "id": loaded.id,
                "title": loaded.title,
                "splits": api.describe_task(loaded),
                "notes": loaded.notes,
                "warnings": loaded.warnings,
                "question": {
                    "id": question.id,
                    "text": question.text,
                    "options": question.options,
                    "answer": question.answer,
                    "images": [
                        {
                            "name": picture.name,
                            "path": str(picture.path),
                            "sha256": picture.sha256,
                            "width": width,
                            "height": height,
                        }
                        for picture, (width, height) in pictures
                    ],
                },
            }
        )
        return
    console = out()
    console.print(f"{loaded.id}: {loaded.title}", style="bold", markup=False)
    for name, split in loaded.splits.items():
        expected = (
            f" (officially {split.expected:,})" if split.expected not in (None, len(split.questions)) else ""
        )
        files = ", ".join(file.path for file in split.files)
        console.print(f"{name}: {len(split.questions):,} questions{expected}; {plain(files)}", markup=False)
    for note in loaded.notes:
        console.print(plain(note), markup=False)
    for warning in loaded.warnings:
        warn(warning)
    console.print(
        f"\ntest question {item} ({plain(question.id)}):\n{plain_lines(question.text)}", markup=False
    )
    for picture, (width, height) in pictures:
        console.print(f"[{plain(picture.name)}, {width} x {height} pixels]", markup=False)
    for index, option in enumerate(question.options):
        mark = "*" if index == question.answer else " "
        console.print(f"{mark} {ascii_uppercase[index]}. {plain_lines(option)}", markup=False)
