"""A run on the terminal: one row a comparison, the summary, what to know, where the files are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from medbench_local import __version__
from medbench_local.report import words
from medbench_local.study.check import ModelCheck
from medbench_local.study.cost import ComparisonCost
from medbench_local.study.results import Comparison, EquivalenceRecord, Results

STYLES = {"win": "bold green", "loss": "bold red", "tie": "bold", "not verified": "bold yellow"}


def show_results(results: Results, folder: Path) -> RenderableType:
    """Everything a person wants to see at the end of a comparison.

    Args:
        results: of the run.
        folder: where its files lie.
    """
    parts: list[RenderableType] = [Text(words.headline(results), style="bold"), comparison_table(results)]
    parts += [Text(line) for line in words.rates(results)]
    parts += [Text(line) for line in _remarks(results)]
    parts += [Text(f"warning: {line}", style="yellow") for line in results.warnings]
    parts += [Text(line, style="dim") for line in _closing(results, folder)]
    return Group(*parts)


def comparison_table(results: Results) -> Table:
    """One row a comparison."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("task", no_wrap=True)
    table.add_column("shots", justify="right")
    for name in (
        "n",
        "medical",
        "base",
        "difference",
        f"{results.confidence * 100:g} % interval",
        "verdict",
        "detectable",
    ):
        table.add_column(name, justify="left" if name == "verdict" else "right", no_wrap=True)
    table.add_column("prompt of medical / base", overflow="fold")
    for comparison in results.comparisons:
        table.add_row(*_row(comparison))
    return table


def _row(comparison: Comparison) -> tuple[RenderableType, ...]:
    reported = comparison.reported
    return (
        comparison.task,
        str(comparison.shots),
        f"{comparison.n:,}",
        words.percent(comparison.accuracy.medical),
        words.percent(comparison.accuracy.base),
        words.points(comparison.difference),
        words.interval(comparison.ci),
        Text(reported, style=STYLES[reported]),
        words.detectable(comparison),
        f"{words.prompt(comparison.prompt.medical)} / {words.prompt(comparison.prompt.base)}",
    )


def _remarks(results: Results) -> Iterator[str]:
    for comparison in results.comparisons:
        if comparison.reported == "not verified":
            yield f"{words.cell(comparison)} is not verified: {words.verification(comparison)}"
    checked = [c for c in results.comparisons if c.equivalence is not None and c.equivalence.verified]
    if checked:
        of_all = f"{len(checked)} of {len(results.comparisons)}"
        yield f"{results.precision}: {of_all} verdicts checked against {_reference(checked[0])}"
    for step in results.ladder:
        yield words.ladder_step(step)
    for comparison in results.comparisons:
        for said in words.counted(comparison):
            yield f"{words.cell(comparison)}, {said}"


def _reference(comparison: Comparison) -> str:
    check = comparison.equivalence
    side = check and (check.medical or check.base)
    name = side.reference_precision if side else "full"
    return "full precision" if name == "full" else f"{name}, standing in for full precision"


def _closing(results: Results, folder: Path) -> Iterator[str]:
    timing = results.timing
    speed = f", {timing.tokens_per_second:,.0f} tokens a second" if timing.tokens_per_second else ""
    yield (
        f"{timing.prompts_scored:,} prompts scored, {timing.prompts_reused:,} known before; "
        f"{timing.tokens_decoded:,} tokens in {timing.seconds:,.0f} s{speed}"
    )
    yield f"files: {folder}"
    yield f"signature: {words.signature(results, __version__)}"


def show_check(found: ModelCheck) -> RenderableType:
    """A check of precisions: task by task, over all, and what it means."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in (
        "task",
        "n",
        "differ",
        "lost/won",
        "accuracy",
        "difference",
        "interval",
        "KL mean",
        "outcome",
    ):
        table.add_column(name, justify="left" if name in ("task", "outcome") else "right", no_wrap=True)
    for check in found.tasks:
        table.add_row(f"{check.task}, {check.shots}-shot", *_check_row(check.equivalence))
    table.add_row("all", *_check_row(found.overall), style="bold")
    verdict = "may stand in for" if found.holds else "may not stand in for"
    reference = "full precision" if found.reference_precision == "full" else found.reference_precision
    overall = found.overall
    why = f"accuracy {words.points(overall.difference)} {words.interval(overall.ci)} points, "
    why += f"margin ±{overall.margin * 100:g}: {overall.outcome}"
    if overall.outcome == "inconclusive" and overall.questions_needed:
        why += f"; about {overall.questions_needed:,} questions would settle it"
    different = [f"{c.task}, {c.shots}-shot" for c in found.tasks if c.equivalence.outcome == "different"]
    if different:
        why += f"; different on {', '.join(different)}"
    return Group(
        Text(f"{found.model}: {found.precision} against {reference}", style="bold"),
        table,
        Text(f"{found.precision} {verdict} {reference} ({why})"),
        Text(f"{overall.near_ties} of {overall.n} questions are near-ties at {reference}", style="dim"),
    )


def _check_row(found: EquivalenceRecord) -> tuple[RenderableType, ...]:
    styles = {"equivalent": "green", "different": "bold red", "inconclusive": "yellow"}
    return (
        f"{found.n:,}",
        str(found.flips),
        f"{found.correct_to_wrong}/{found.wrong_to_correct}",
        f"{words.percent(found.accuracy_full)} → {words.percent(found.accuracy_quantised)}",
        words.points(found.difference),
        words.interval(found.ci),
        "" if found.kl_mean is None else f"{found.kl_mean:.2g}",
        Text(found.outcome, style=styles[found.outcome]),
    )


def show_plan(cost: ComparisonCost) -> RenderableType:
    """What a comparison would fetch, make and compute."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("cell", no_wrap=True)
    for name in ("candidates", "validation prompts", "test prompts", "tokens, up to"):
        table.add_column(name, justify="right", no_wrap=True)
    parts: list[RenderableType] = []
    for model in (cost.medical, cost.base):
        files = model.files
        here = "ready" if files.quantised_here else f"{files.download / 1e9:.2f} GB to fetch"
        parts.append(
            Text(f"{files.name} at {cost.precision}: {here}, {files.room / 1e9:.2f} GB of disk still needed")
        )
    for medical, base in zip(cost.medical.cells, cost.base.cells, strict=True):
        table.add_row(
            f"{medical.task}, {medical.shots}-shot",
            f"{medical.candidates} / {base.candidates}",
            f"{medical.selection_prompts:,} / {base.selection_prompts:,}",
            f"{medical.test_prompts:,}",
            f"{medical.tokens + base.tokens:,}",
        )
    total = cost.medical.tokens + cost.base.tokens
    hours = "; ".join(
        f"{total / speed / 3600:.1f} h at {speed:,} tokens a second" for speed in (200, 500, 2000)
    )
    parts += [table, Text(f"at most {total:,} tokens (estimated from the texts' length): {hours}")]
    parts += [Text(f"warning: {line}", style="yellow") for line in cost.warnings]
    return Group(*parts)
