"""A sweep on the terminal: rates of each pair, pooled and mean, the ablations, and the published figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from medbench_local.reference.published import published_rates
from medbench_local.report import words
from medbench_local.report.section import Column, Section
from medbench_local.report.terminal import show_results
from medbench_local.results.summary import counted
from medbench_local.results.sweep import AblationTable, ShotsSummary, Sweep
from medbench_local.statistics.summary import Rates


def show_sweep(found: Sweep) -> RenderableType:
    """Every pair's comparisons, then the study's tables."""
    parts: list[RenderableType] = []
    for run in found.runs:
        parts += [show_results(run.results, run.folder.path, brief=True), Text("")]
    thinking = {
        label: words.of_whom(counted(run.results.comparisons))
        for label, run in zip(found.labels, found.runs, strict=True)
    }
    for summary in found.summaries:
        parts += [_rates_table(summary, thinking), Text("")]
        if summary.not_verified:
            count = words.counted(summary.not_verified, "verdict")
            parts.append(Text(f"{count} not verified: hence bounds in place of rates", style="yellow"))
        parts += [_ablation_table(summary.shots, summary.ablation), Text("")]
    parts.append(_published_table())
    return Group(*parts)


def sweep_dict(found: Sweep) -> dict[str, Any]:
    """The same as JSON has it."""
    return {
        "pairs": [
            {"pair": label, "run": str(run.folder.path), "results": run.results.to_dict()}
            for label, run in zip(found.labels, found.runs, strict=True)
        ],
        "summary": [asdict(summary) for summary in found.summaries],
        "published": [rate.model_dump(mode="json") for rate in published_rates()],
    }


def _rates_table(summary: ShotsSummary, thinking: Mapping[str, str]) -> Table:
    """The rates; a pair's name says who thinks in the comparisons that they are over."""
    table = _table(f"{summary.shots}-shot", "comparisons")
    for label, rates in summary.pairs.items():
        table.add_row(Text(f"{words.plain(label)}{thinking[label]}"), str(rates.n), *_shares(rates))
    pooled, mean = summary.pooled, summary.mean
    table.add_row("pooled over all comparisons", str(pooled.n), *_shares(pooled), style="bold")
    table.add_row("mean of the pairs' rates", str(mean.n), *_shares(mean), style="bold")
    return table


def summaries(found: Sweep) -> list[Section]:
    """The study's tables, one for each number of shots."""
    columns = (
        Column("pair", name_of_row=True),
        *(Column(name, numeric=True) for name in ("comparisons", "win", "tie", "loss")),
    )
    tables = []
    for summary in found.summaries:
        named = [(words.plain(label), rates) for label, rates in summary.pairs.items()]
        named += [("pooled over all comparisons", summary.pooled), ("mean of the pairs' rates", summary.mean)]
        rows = tuple((name, str(rates.n), *_shares(rates)) for name, rates in named)
        tables.append(Section(f"{summary.shots}-shot", "", columns, rows))
    return tables


def _ablation_table(shots: int, ablation: AblationTable) -> Table:
    table = _table(f"ablations, {shots}-shot, pooled, at the scored precision", "comparisons")
    rows = (
        ("own prompts, paired bootstrap (the method)", ablation.own_bootstrap),
        ("own prompts, raw sign", ablation.own_raw),
        ("the medical model's prompt for both, paired bootstrap", ablation.medical_bootstrap),
        ("the medical model's prompt for both, raw sign", ablation.medical_raw),
    )
    for name, rates in rows:
        if rates is None:
            table.add_row(name, "", "not scored", "(use", "--ablation)")
        else:
            table.add_row(name, str(rates.n), *_shares(rates))
    return table


def _published_table() -> Table:
    table = _table("published by the study", "shots")
    for rate in published_rates():
        shares = [
            "" if share is None else words.percent(share)
            for share in (rate.win_rate, rate.tie_rate, rate.loss_rate)
        ]
        if rate.win_rate_above is not None:
            shares[0] = f"> {words.percent(rate.win_rate_above)}"
        shots = "" if rate.shots is None else str(rate.shots)
        doubt = "" if rate.certainty == "read" else " (secondary source)"
        table.add_row(f"{rate.name}{doubt}", shots, *shares)
    return table


def _table(title: str, count: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(title, overflow="fold")
    for name in (count, "win", "tie", "loss"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _shares(rates: Rates) -> tuple[str, str, str]:
    return (
        words.share(rates.win_rate, rates.win_rate_high),
        words.share(rates.tie_rate, rates.tie_rate_high),
        words.share(rates.loss_rate, rates.loss_rate_high),
    )
