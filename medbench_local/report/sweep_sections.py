"""The tables of a sweep, described once for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medbench_local.report import words
from medbench_local.report.section import Column, Section
from medbench_local.report.study import beside_the_study, shares
from medbench_local.results.evidence_reading import read_evidence
from medbench_local.results.schema import Comparison
from medbench_local.results.summary import counted
from medbench_local.results.sweep import AblationTable, ShotsSummary, Sweep
from medbench_local.statistics.summary import Rates

ASK_AGAIN = "not scored (ask with --ablation)"


@dataclass(frozen=True)
class Grid:
    """Pairs and tasks with one number of shots.

    Attributes:
        pairs: names of both models of each pair.
        tasks: those that any pair has, in the order of their first mention.
        rows: one comparison a task for each pair; None where the pair lacks the task.
    """

    pairs: tuple[tuple[str, str], ...]
    tasks: tuple[str, ...]
    rows: tuple[tuple[Comparison | None, ...], ...]

    @property
    def comparisons(self) -> list[Comparison]:
        """Those that are there."""
        return [c for row in self.rows for c in row if c is not None]

    def of_task(self, task: str) -> list[Comparison]:
        """Those of one task."""
        return [c for c in self.comparisons if c.task == task]


def grid(found: Sweep, shots: int) -> Grid:
    """The comparisons that rates are over, by pair and task."""
    groups = [[c for c in counted(run.results.comparisons) if c.shots == shots] for run in found.runs]
    tasks = tuple(dict.fromkeys(c.task for group in groups for c in group))
    by_task = [{c.task: c for c in group} for group in groups]
    return Grid(
        tuple(words.names(run.results) for run in found.runs),
        tasks,
        tuple(tuple(own.get(task) for task in tasks) for own in by_task),
    )


def state_of(found: Sweep) -> str:
    """How much of a sweep is finished: "12 pairs", "3 of 12 pairs; not finished: …"."""
    total = len(found.runs) + len(found.missing)
    if not found.missing:
        return words.counted(total, "pair")
    missing = ", ".join(words.plain(label) for label in found.missing)
    return f"partial: {len(found.runs)} of {words.counted(total, 'pair')} finished; not yet {missing}"


def rates(found: Sweep) -> list[Section]:
    """The study's tables, one for each number of shots."""
    columns = (
        Column("pair", name_of_row=True),
        *(Column(name, numeric=True) for name in ("comparisons", "win", "tie", "loss")),
    )
    return [
        Section(f"{summary.shots}-shot", _bounds(found, summary), columns, tuple(_rates_rows(found, summary)))
        for summary in found.summaries
    ]


def _rates_rows(found: Sweep, summary: ShotsSummary) -> Iterator[tuple[str, ...]]:
    """A pair's name says who thinks in the comparisons that its rates are over."""
    thinking = {
        label: words.of_whom(counted(run.results.comparisons))
        for label, run in zip(found.labels, found.runs, strict=True)
    }
    for label, rates in summary.pairs.items():
        yield f"{words.plain(label)}{thinking[label]}", *_rates_row(rates)
    yield "pooled over all comparisons", *_rates_row(summary.pooled)
    yield "mean of the pairs' rates", *_rates_row(summary.mean)


def _rates_row(rates: Rates) -> tuple[str, ...]:
    return str(rates.n), *shares(rates)


def _bounds(found: Sweep, summary: ShotsSummary) -> str:
    """Why rates are ranges, and what they are not over."""
    text = ""
    if summary.not_verified:
        open_ones = [c for c in grid(found, summary.shots).comparisons if not c.verified]
        text = (
            f"{words.counted(summary.not_verified, 'verdict')} {words.open_word(open_ones)}: hence bounds in place of "
            "rates, from the verdicts that are settled to all that full precision may still give."
        )
    if found.missing:
        text += f" Over the {words.counted(len(found.runs), 'pair')} that are finished."
    return text.strip()


def differences(found: Sweep) -> list[Section]:
    """Pairs and tasks, one table for each number of shots: the heat map as text."""
    tables = []
    for summary in found.summaries:
        cells = grid(found, summary.shots)
        columns = (
            Column("pair", name_of_row=True),
            *(Column(words.isolated(words.plain(task)), numeric=True) for task in cells.tasks),
        )
        rows = tuple(
            (f"{medical} against {base}", *(map(_cell, row)))
            for (medical, base), row in zip(cells.pairs, cells.rows, strict=True)
        )
        note = "Accuracy of the medical model minus that of its base model, in percentage points, with the verdict."
        if zero := words.at_zero(cells.comparisons):
            note += f" {zero}"
        if any(not c.verified for c in cells.comparisons):
            note += f" ?: {words.open_word(cells.comparisons)} at full precision."
        tables.append(Section(f"Differences, {summary.shots}-shot", note, columns, rows))
    return tables


def _cell(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return f"{words.points(comparison.difference)} {comparison.verdict}{'' if comparison.verified else '?'}"


def ablations(found: Sweep) -> list[Section]:
    """The study's 2 x 2 for each number of shots."""
    columns = (
        Column("prompts and verdicts", name_of_row=True),
        *(Column(name, numeric=True) for name in ("comparisons", "win", "tie", "loss")),
    )
    return [
        Section(
            f"Ablations, {summary.shots}-shot",
            "Pooled, at the scored precision.",
            columns,
            tuple(
                (name, "", "", "", ASK_AGAIN) if of is None else (name, *_rates_row(of))
                for name, of in ablation_rows(summary.ablation)
            ),
        )
        for summary in found.summaries
    ]


def ablation_rows(ablation: AblationTable) -> tuple[tuple[str, Rates | None], ...]:
    """The rows of the 2 x 2; None for what was not scored."""
    return (
        ("own prompts, paired bootstrap (the method)", ablation.own_bootstrap),
        ("own prompts, raw sign", ablation.own_raw),
        ("the medical model's prompt for both, paired bootstrap", ablation.medical_bootstrap),
        ("the medical model's prompt for both, raw sign", ablation.medical_raw),
    )


def study(found: Sweep) -> Section:
    """What the study published, with this sweep's rates that go with it, and what differs."""
    beside = beside_the_study(found)
    columns = (
        Column("rates", name_of_row=True),
        Column("of"),
        *(Column(name, numeric=True) for name in ("win", "tie", "loss")),
    )
    rows = tuple((row.name, row.whose, *row.shares) for row in beside.rows)
    note = f"What differs from the study: {'; '.join(beside.differences)}."
    return Section("Beside the study", note, columns, rows)


def runs(found: Sweep) -> Section:
    """Which runs it is made of."""
    columns = tuple(
        Column(name, name_of_row=place == 0)
        for place, name in enumerate(
            ("pair", "run", "date", "precision", "protocol", "medbench-local", "llama.cpp")
        )
    )
    rows = tuple(
        (
            words.title(run.results),
            words.plain(run.results.identity or "unknown"),
            words.plain(run.results.timing.started[:10]),
            words.precision(run.results),
            words.plain(run.results.protocol),
            words.plain(run.results.version or "unknown"),
            words.plain((run.results.llama_cpp and run.results.llama_cpp.build) or "unknown"),
        )
        for run in found.runs
    )
    return Section(
        "Runs", "Each has a report with its questions and prompts in its own folder.", columns, rows
    )


def commands(found: Sweep) -> list[str]:
    """The commands that compute the runs again, as far as their folders say them.

    Raises:
        InputError: a manifest is damaged.
    """
    told = (read_evidence(run.folder, run.results, questions=False).command for run in found.runs)
    return [words.plain(command) for command in told if command]
