"""``verdict``: the paired verdict of any two result files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from medbench_local.cli.output import out, print_json, warn


def verdict(
    medical: Annotated[
        Path,
        typer.Argument(
            help="Rows with id, correct (or prediction and answer), task if several, cluster or image if questions "
            "share any, as JSON Lines, JSON or CSV; "
            "a log of lm-evaluation-harness or inspect_ai; or a run's folder."
        ),
    ],
    base: Annotated[Path, typer.Argument(help="The same of the base model.")],
    confidence: Annotated[float, typer.Option(help="Level of the interval.")] = 0.95,
    metric: Annotated[
        str | None,
        typer.Option(help="Metric or scorer of a log that says what is correct, if it has several."),
    ] = None,
    filter: Annotated[
        str | None, typer.Option(help="Filter of an lm-evaluation-harness log, if it has several.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task of rows that do not say theirs.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Draw the paired verdict from two result files, whatever tool made them.

    Rows are paired by task and id; the same id with another answer or text is an error, rows without a partner are
    counted and left out.

    Example: medbench-local verdict finetuned.jsonl baseline.jsonl
    """
    from medbench_local import api
    from medbench_local.report import words
    from medbench_local.report.grid import Grid, GridColumn
    from medbench_local.report.terminal import STYLES

    found = api.verdict(medical, base, confidence=confidence, metric=metric, filter=filter, task=task)
    for warning in found.warnings:
        warn(warning)
    if json:
        print_json(found.to_dict())
        return
    beside = any(row.clusters is not None for row in found.rows)
    numbers = ["n", "medical", "base", "difference", f"{confidence * 100:g} % interval"]
    numbers += ["over clusters"] if beside else []
    columns = [
        GridColumn("task", whole=True),
        *(GridColumn(name, whole=True, right=True) for name in numbers),
        *(
            GridColumn(name, whole=name != "verdict")
            for name in ("verdict", "detectable", "McNemar p", "Holm p")
        ),
    ]
    rows = []
    for row in found.rows:
        detectable = row.minimum_detectable_difference
        texts = (
            words.plain(row.task) or "(all)",
            f"{row.n:,}",
            words.percent(row.accuracy_medical),
            words.percent(row.accuracy_base),
            words.points(row.difference),
            words.interval(row.ci),
            *([words.interval(row.clusters.ci) if row.clusters else ""] if beside else []),
            row.said,
            f"±{detectable * 100:.1f}" if row.verdict == "tie" and detectable is not None else "",
            words.p_value(row.mcnemar_p),
            words.p_value(row.holm_p),
        )
        style = "yellow" if row.doubt or row.unlike_clusters else STYLES[row.verdict]
        rows.append([Text(text, style=style if text is row.said else "") for text in texts])
    out().print(Grid(columns, rows))
