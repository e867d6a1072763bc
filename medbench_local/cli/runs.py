"""``runs list|show|rm``: what was compared before."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench_local.cli import complete
from medbench_local.cli.asking import agreed
from medbench_local.cli.output import Listing, err, out, print_json
from medbench_local.cli.wording import on_command_line
from medbench_local.errors import MedbenchError
from medbench_local.text import plain

if TYPE_CHECKING:
    from medbench_local.results.folder import RunFolder

app = typer.Typer(name="runs", help="Runs on this machine.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option(help="Where runs lie.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
RunName = Annotated[
    str,
    typer.Argument(
        help="A run's folder, or its name (or the beginning or end of it).", autocompletion=complete.runs
    ),
]
_RATES = ("win_rate", "tie_rate", "loss_rate")


@app.command("list")
def list_command(folder: Folder = Path("runs"), json: Json = False) -> None:
    """List the runs below a folder, the latest last, finished or not.

    Example: medbench-local runs list
    """
    from medbench_local.results.folder import list_runs

    rows = sorted((_row(run) for run in list_runs(folder)), key=lambda row: (row["date"], row["name"]))
    if json:
        print_json(rows)
        return
    if not rows:
        err().print(f"no runs below {folder}", markup=False)
        return
    texts = [
        (
            row["name"],
            row["date"][:16].replace("T", " "),
            row["state"],
            " ".join(row["tasks"]),
            *(f"{row[rate]:.0%}" if rate in row else "" for rate in _RATES),
            plain(row.get("precision", "")),
        )
        for row in rows
    ]
    names = ("run", "date", "state", "tasks", "win", "tie", "loss", "precision")
    out().print(Listing(names, texts, right=("win", "tie", "loss")))


def _row(run: RunFolder) -> dict[str, Any]:
    """What a list says of a run; of a damaged one what can still be read."""
    began = datetime.fromtimestamp(run.manifest_file.stat().st_mtime, timezone.utc)
    row: dict[str, Any] = {
        "name": plain(run.name),
        "date": began.isoformat(timespec="seconds"),
        "state": "not finished",
        "tasks": _planned(run),
    }
    try:
        results = run.results()
    except MedbenchError as error:
        return row | {"state": plain(f"damaged: {on_command_line(error.message)}")}
    if results is None:
        return row
    return (
        row
        | {
            "date": results.timing.started,
            "state": "finished",
            "tasks": list(dict.fromkeys(plain(c.task) for c in results.comparisons)),
        }
        | results.summary.model_dump(exclude={"by_shots"})
        | {"precision": results.precision}
    )


def _planned(run: RunFolder) -> list[str]:
    """The tasks of a run that is not finished, as its manifest has them; none if that cannot be read."""
    with suppress(MedbenchError):
        settings = run.manifest().get("settings")
        tasks = settings.get("tasks") if isinstance(settings, dict) else None
        if isinstance(tasks, list):
            return [plain(str(task)) for task in tasks]
    return []


@app.command()
def show(run: RunName, folder: Folder = Path("runs"), json: Json = False) -> None:
    """Show what a run is: when, of what, its files and their sizes, and what it found.

    Example: medbench-local runs show demo-med-vs-demo-base
    """
    from medbench_local.acquire.removal import folder_size
    from medbench_local.cli.progress import amount
    from medbench_local.report.terminal import show_results
    from medbench_local.results.folder import find_run

    found = find_run(run, folder)
    results = found.results()
    size = folder_size(found.path)
    if json:
        row = _row(found) if found.manifest_file.is_file() else {"name": plain(found.name)}
        print_json(row | {"path": str(found.path), "size": size})
        return
    if results is not None:
        out().print(show_results(results, found.path, brief=True))
        date = results.timing.started
        out().print(f"made: {date[:16].replace('T', ' ')} UTC; {amount(size, 'B')}", markup=False)
        return
    row = _row(found)
    out().print(f"{row['name']}: not finished", style="bold", markup=False)
    for name, text in {
        "begun": f"{row['date'][:16].replace('T', ' ')} UTC",
        "tasks": ", ".join(row["tasks"]),
        "files": f"{plain(str(found.path))} ({amount(size, 'B')})",
    }.items():
        out().print(f"{name}: {text}", markup=False)


@app.command("rm")
def remove_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Runs: folders, or names (or the beginning or end of one).", autocompletion=complete.runs
        ),
    ],
    folder: Folder = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove runs with all their scores. Files in their folders that are none of the tool's stay.

    Example: medbench-local runs rm demo-med-vs-demo-base
    """
    from medbench_local.acquire.removal import folder_size
    from medbench_local.cli.progress import amount
    from medbench_local.results.folder import find_run
    from medbench_local.results.removal import remove_run

    found = {run.path.resolve(): run for run in (find_run(name, folder) for name in runs)}
    for run in found.values():
        err().print(f"{plain(str(run.path))} ({amount(folder_size(run.path), 'B')})", markup=False)
    agreed("Remove what was computed there?", yes=yes)
    for run in found.values():
        gone = remove_run(run)
        rest = "" if gone else "; what the tool did not write is still there"
        err().print(f"removed {plain(run.name)}{rest}", markup=False)
