"""``runs list|show|rm``: what was compared and checked before."""

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
    from medbench_local.results.check_folder import CheckFolder
    from medbench_local.results.folder import RunFolder
    from medbench_local.results.kept import Kept
    from medbench_local.results.sweep_folder import SweepFolder

app = typer.Typer(name="runs", help="Runs, checks and sweeps on this machine.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option(help="Where runs lie.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
RunName = Annotated[
    str,
    typer.Argument(
        help="The folder of a run, check or sweep, or its name (or the beginning or end of it).",
        autocompletion=complete.kept,
    ),
]
_RATES = ("win_rate", "tie_rate", "loss_rate")


@app.command("list")
def list_command(folder: Folder = Path("runs"), json: Json = False) -> None:
    """List the runs, checks and sweeps below a folder, the latest last, finished or not.

    Runs of a sweep that was given a folder are called by it: sweep/01.

    Example: medbench-local runs list
    """
    from medbench_local.results.kept import named
    from medbench_local.results.sweep_folder import list_sweeps

    rows = [_row(name, one) for name, one in named(folder).items()]
    rows += [_row(sweep.name, sweep) for sweep in list_sweeps(folder)]
    rows.sort(key=lambda row: (row["date"], row["name"]))
    if json:
        print_json(rows)
        return
    if not rows:
        err().print(f"no runs below {folder}", markup=False, soft_wrap=True)
        return
    texts = [
        (
            row["name"],
            row["date"][:16].replace("T", " "),
            row["state"] + _unsettled(row),
            " ".join(row["tasks"]),
            *(f"{row[rate]:.0%}" if rate in row else "" for rate in _RATES),
            row.get("precision", ""),
            *(
                []
                if "-vs-" in row["name"] or row["state"].startswith("sweep")
                else [" against ".join(row["models"])]
            ),
        )
        for row in rows
    ]
    names = ["run", "date", "state", "tasks", "win", "tie", "loss", "precision"]
    width = max(map(len, texts))
    if width > len(names):
        names.append("models")
    filled = [(*row, *[""] * (width - len(row))) for row in texts]
    out().print(Listing(names, filled, right=("win", "tie", "loss")))


def _unsettled(row: dict[str, Any]) -> str:
    """What the rates of a run do not count: all three are 0 % where nothing was checked."""
    share = row.get("not_verified_rate", 0.0)
    return f", {share:.0%} not verified" if share else ""


def _row(name: str, kept: Kept | SweepFolder) -> dict[str, Any]:
    """What a list says of a run, check or sweep; of a damaged one what can still be read."""
    from medbench_local.results.check_folder import CheckFolder
    from medbench_local.results.sweep_folder import SweepFolder

    row: dict[str, Any] = {"name": plain(name), "tasks": [], "models": []}
    try:
        if isinstance(kept, SweepFolder):
            return row | _of_sweep(kept)
        return row | (_of_check(kept) if isinstance(kept, CheckFolder) else _of_run(kept))
    except MedbenchError as error:
        date = _changed(kept.path)
        return row | {"date": date, "state": plain(f"damaged: {on_command_line(error.message)}")}


def _of_run(run: RunFolder) -> dict[str, Any]:
    results = run.results()
    if results is None:
        return {"date": _changed(run.manifest_file), "state": f"not finished{_so_far(run)}"} | _planned(run)
    return (
        {
            "date": results.timing.started,
            "state": "finished",
            "tasks": list(dict.fromkeys(plain(c.task) for c in results.comparisons)),
            "models": [plain(results.models.medical.name), plain(results.models.base.name)],
        }
        | results.summary.model_dump(exclude={"by_shots"})
        | {"precision": plain(results.precision)}
    )


def _so_far(run: RunFolder) -> str:
    """How many comparisons of a run that is not finished are, their check included: ", 3 of 8 comparisons are"."""
    with suppress(MedbenchError):
        if (partial := run.partial()) is not None:
            answered = len(partial.comparisons)
            done, total = answered - len(partial.provisional), answered + len(partial.missing)
            return f", {done} of {total} comparisons are"
    return ""


def _of_check(kept: CheckFolder) -> dict[str, Any]:
    """The latest check of a folder, which may be one of several; what was scored is kept of unfinished ones, too."""
    found = kept.found()
    if not found:
        return {"date": _changed(kept.checks_file), "state": "check, not finished"}
    last = found[-1].check
    others = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return {
        "date": found[-1].date,
        "state": f"check: {last.outcome}{others}",
        "tasks": list(dict.fromkeys(plain(c.task) for c in last.tasks)),
        "models": [plain(last.model)],
        "precision": plain(last.precision),
    }


def _of_sweep(sweep: SweepFolder) -> dict[str, Any]:
    pairs = sweep.record().pairs
    done = sum(pair.run is not None for pair in pairs)
    runs = sweep.read().runs if done else ()
    return {
        "date": _changed(sweep.file),
        "state": f"sweep: {done} of {len(pairs)} pairs",
        "tasks": list(dict.fromkeys(plain(c.task) for run in runs for c in run.results.comparisons)),
        "models": list(dict.fromkeys(plain(name) for pair in pairs for name in (pair.medical, pair.base))),
    }


def _changed(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat(timespec="seconds")


def _planned(run: RunFolder) -> dict[str, Any]:
    """Tasks and models of a run that is not finished, as its manifest has them; nothing if that cannot be read."""
    found: dict[str, Any] = {}
    with suppress(MedbenchError):
        manifest = run.manifest()
        settings, models = manifest.get("settings"), manifest.get("models")
        tasks = settings.get("tasks") if isinstance(settings, dict) else None
        if isinstance(tasks, list):
            found["tasks"] = [plain(str(task)) for task in tasks]
        if isinstance(models, dict):
            sides = [models.get(role) for role in ("medical", "base")]
            found["models"] = [plain(str(side.get("name"))) for side in sides if isinstance(side, dict)]
    return found


@app.command()
def show(run: RunName, folder: Folder = Path("runs"), json: Json = False) -> None:
    """Show what a run, check or sweep is: when, of what, its files and their sizes, and what it found.

    Example: medbench-local runs show demo-med-vs-demo-base
    """
    from medbench_local.acquire.removal import folder_size
    from medbench_local.cli.progress import amount
    from medbench_local.report.sweep import show_sweep
    from medbench_local.report.terminal import show_check, show_results
    from medbench_local.results.check_folder import CheckFolder
    from medbench_local.results.kept import find, find_sweep
    from medbench_local.results.sweep_folder import SweepFolder

    found = find_sweep(run, folder) or find(run, folder)
    size = folder_size(found.path)
    row = _row(found.name, found)
    if json:
        print_json(row | {"path": str(found.path), "size": size})
        return
    date = f"{row['date'][:16].replace('T', ' ')} UTC"
    if isinstance(found, SweepFolder):
        if any(pair.run is not None for pair in found.record().pairs):
            out().print(show_sweep(found.read()))
        out().print(f"{row['state']}; made: {date}; {amount(size, 'B')}", markup=False)
        return
    if isinstance(found, CheckFolder):
        for one in found.found():
            out().print(show_check(one.check))
    elif (results := found.results()) is not None:
        out().print(show_results(results, found.path, brief=True))
        out().print(f"made: {date}; {amount(size, 'B')}", markup=False)
        return
    elif (partial := found.partial()) is not None:
        out().print(show_results(partial, found.path, brief=True))
    if not row["state"].startswith("check: "):
        out().print(f"{row['name']}: {row['state']}", style="bold", markup=False)
    for name, text in {
        "made" if row["state"].startswith("check: ") else "begun": date,
        "tasks": ", ".join(row["tasks"]),
        "files": f"{plain(str(found.path))} ({amount(size, 'B')})",
    }.items():
        out().print(f"{name}: {text}", markup=False, soft_wrap=True)


@app.command("rm")
def remove_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Runs, checks and sweeps: folders, or names (or the beginning or end of one); a sweep means its "
            "reports and all that lies in its folder, not the runs beside it.",
            autocompletion=complete.kept,
        ),
    ],
    folder: Folder = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove runs, checks and sweeps with all their scores. Files that are none of the tool's stay.

    Example: medbench-local runs rm demo-med-vs-demo-base
    """
    from medbench_local.acquire.removal import folder_size
    from medbench_local.cli.progress import amount
    from medbench_local.results.kept import find_all, find_sweep
    from medbench_local.results.removal import refuse_other, remove, remove_sweep

    found: dict[Path, tuple[str, Kept]] = {}
    sweeps: dict[Path, SweepFolder] = {}
    below: set[Path] = set()
    for asked in runs:
        if (sweep := find_sweep(asked, folder)) is not None:
            sweep.record()  # a folder that is not the tool's is refused before anything is removed
            sweeps[sweep.path.absolute()] = sweep
            asked = str(sweep.path)
            if not _runs_inside(sweep):
                continue
        for name, one in find_all(asked, folder).items():
            refuse_other(one)
            found[one.path.absolute()] = (name, one)
            if name.startswith(f"{asked.rstrip('/')}/"):
                below.add(one.path.parent)
    for path in (*sweeps, *(path for path in found if path.parent not in sweeps)):
        err().print(f"{plain(str(path))} ({amount(folder_size(path), 'B')})", markup=False, soft_wrap=True)
    agreed("Remove what was computed there?", yes=yes)
    for name, one in found.values():
        _say_removed(name, gone=remove(one))
    for sweep in sweeps.values():
        _say_removed(sweep.name, gone=remove_sweep(sweep))
    for path in below:
        with suppress(OSError):  # something else is in it, or it is gone
            path.rmdir()


def _runs_inside(sweep: SweepFolder) -> bool:
    from medbench_local.results.kept import named

    return bool(named(sweep.path))


def _say_removed(name: str, *, gone: bool) -> None:
    rest = "" if gone else "; what the tool did not write is still there"
    err().print(f"removed {plain(name)}{rest}", markup=False, soft_wrap=True)
