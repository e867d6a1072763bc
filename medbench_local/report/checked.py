"""A check of a precision: its table, and what it means in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medbench_local.report import words
from medbench_local.report.section import Column, Section
from medbench_local.results.checks import EquivalenceRecord
from medbench_local.results.model_check import STANDING, ModelCheck

_NUMBERS = ("n", "flips", "correct→wrong", "wrong→correct", "accuracy", "difference", "interval", "mean KL")


def headline(found: ModelCheck) -> str:
    """What was held against what."""
    return f"{words.plain(found.model)}: {found.precision} against {_reference(found)}"


def section(found: ModelCheck) -> Section:
    """One row a task, and one over all."""
    columns = (
        Column("task", name_of_row=True),
        *(Column(name, numeric=True) for name in _NUMBERS),
        Column("outcome", state=True),
    )
    named = [(f"{words.plain(c.task)}, {c.shots}-shot", c.equivalence) for c in found.tasks]
    rows = tuple((name, *_row(record)) for name, record in [*named, ("all", found.overall)])
    return Section("", "", columns, rows)


def meaning(found: ModelCheck) -> list[str]:
    """What it says of the precision, why, and how many answers are others."""
    overall = found.overall
    why = f"accuracy {words.points(overall.difference)} {words.interval(overall.ci)} points, "
    why += f"margin ±{overall.margin * 100:g}: {overall.outcome}"
    moved = [
        f"{words.plain(c.task)}, {c.shots}-shot"
        for c in found.tasks
        if c.equivalence.outcome == "different" or abs(c.equivalence.difference) > c.equivalence.margin
    ]
    if moved:
        why += f"; moved by more than the margin on {', '.join(moved)}"
    return [
        f"{found.precision} {STANDING[found.outcome]} {_reference(found)} ({why})",
        *_to_settle(found),
        f"{overall.flips} of {overall.n} answers differ "
        f"({words.percent(overall.flip_ci[0])} to {words.percent(overall.flip_ci[1])}): equal accuracy is not "
        "equal answers",
        f"{overall.near_ties} of {overall.n} questions are near-ties at {_reference(found)}",
    ]


def _to_settle(found: ModelCheck) -> Iterator[str]:
    """How many questions would tell; nothing where it is told."""
    asked = {"all": found.overall.n} | {f"{c.task}, {c.shots}-shot": c.equivalence.n for c in found.tasks}
    for name, needed in found.to_settle:
        whose = "" if name == "all" else f" of {words.plain(name)}"
        if needed is None:
            yield (
                f"no reasonable number of questions{whose} would settle it: the difference is about the margin itself"
            )
        else:
            yield f"to settle it: about {needed:,} questions{whose} in place of {asked[name]:,}"


def rows(found: ModelCheck) -> Iterator[Mapping[str, Any]]:
    """The same with every number, as a data frame has it."""
    run = {
        "model": found.model,
        "precision": found.precision,
        "reference_precision": found.reference_precision,
    }
    for task, shots, record in [
        *((c.task, c.shots, c.equivalence) for c in found.tasks),
        ("all", None, found.overall),
    ]:
        yield run | {"task": task, "shots": shots} | record.model_dump()


def _reference(found: ModelCheck) -> str:
    return "full precision" if found.reference_precision == "full" else found.reference_precision


def _row(found: EquivalenceRecord) -> tuple[str, ...]:
    return (
        f"{found.n:,}",
        str(found.flips),
        f"{found.correct_to_wrong:,}",
        f"{found.wrong_to_correct:,}",
        f"{words.percent(found.accuracy_full)} → {words.percent(found.accuracy_quantised)}",
        words.points(found.difference),
        words.interval(found.ci),
        "" if found.kl_mean is None else f"{found.kl_mean:.2g}",
        found.outcome,
    )
