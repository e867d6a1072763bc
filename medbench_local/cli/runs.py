"""``runs list``: what was compared before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from medbench_local.cli.output import err, out, print_json
from medbench_local.cli.wording import on_command_line
from medbench_local.errors import MedbenchError
from medbench_local.text import plain

app = typer.Typer(name="runs", help="Runs on this machine.", no_args_is_help=True)


@app.command("list")
def list_command(
    folder: Annotated[Path, typer.Option(help="Where runs lie.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """List the runs below a folder, finished or not.

    Example: medbench-local runs list
    """
    from medbench_local.results.folder import list_runs

    rows: list[dict[str, object]] = []
    for run in list_runs(folder):
        try:
            results = run.results()
        except MedbenchError as error:
            rows.append(
                {"name": plain(run.name), "state": plain(f"damaged: {on_command_line(error.message)}")}
            )
            continue
        row: dict[str, object] = {"name": plain(run.name), "state": "finished" if results else "not finished"}
        if results is not None:
            row |= results.summary.model_dump(exclude={"by_shots"}) | {"precision": results.precision}
        rows.append(row)
    if json:
        print_json(rows)
        return
    if not rows:
        err().print(f"no runs below {folder}", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("run", "state", "comparisons", "win", "tie", "loss", "precision"):
        table.add_column(name)
    for row in rows:
        shares = [
            f"{float(str(row[k])):.0%}" if k in row else "" for k in ("win_rate", "tie_rate", "loss_rate")
        ]
        table.add_row(
            Text(str(row["name"])),
            Text(str(row["state"])),
            str(row.get("comparisons", "")),
            *shares,
            Text(plain(str(row.get("precision", "")))),
        )
    out().print(table)
