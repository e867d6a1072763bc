"""A run or a sweep as CSV: one row a comparison, every number as results.json has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from medbench_local.report import words
from medbench_local.report.identity import signature
from medbench_local.results.schema import Comparison, Results
from medbench_local.results.sweep import Sweep
from medbench_local.statistics.summary import Rates

OF_THE_RUN = (
    "identity",
    "version",
    "llama_cpp",
    "medical",
    "base",
    "precision",
    "mode",
    "protocol",
    "limit",
    "confidence",
)
"""Columns of the run; empty where the file does not say."""

FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a formula begins with, also behind blanks and in the full width of East Asian keyboards."""

PAIRS = {"ci": ("low", "high"), "flip_ci": ("low", "high")}
"""Fields that are two numbers, and the names of their columns."""


def columns() -> list[str]:
    """The names of the columns: those of the run, the reported verdict, then results.json's keys joined by "_", and the
    run's signature.
    """
    return [*OF_THE_RUN, "reported", *_columns(Comparison, ""), "signature"]


def as_csv(results: Results) -> str:
    """The table, with a heading; lists (candidates, margins of flipped questions) are left to the JSON."""
    return _table(columns(), _rows(results))


def sweep_csv(found: Sweep) -> str:
    """The same of all pairs, which the first column names."""
    pairs = zip(found.labels, found.runs, strict=True)
    rows = ({"pair": _cell(label), **row} for label, run in pairs for row in _rows(run.results))
    return _table(["pair", *columns()], rows)


def rates_csv(found: Sweep) -> str:
    """Rates of each pair, pooled, and as the mean of the pairs' rates, as fractions; both bounds of each."""
    names = [field.name for field in fields(Rates)]
    rows = (
        {"shots": summary.shots, "of": of, "pair": _cell(pair), **asdict(rates)}
        for summary in found.summaries
        for of, pair, rates in (
            *(("pair", label, rates) for label, rates in summary.pairs.items()),
            ("pooled", "", summary.pooled),
            ("mean of pairs", "", summary.mean),
        )
    )
    return _table(["shots", "of", "pair", *names], rows)


def _table(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    run = {name: _cell(value) for name, value in of_run(results).items()} | {"signature": signature(results)}
    for comparison in results.comparisons:
        cells = {name: _cell(value) for name, value in raw_cells(comparison)}
        yield run | {"reported": comparison.reported} | cells


def of_run(results: Results) -> dict[str, Any]:
    """The columns `OF_THE_RUN`."""
    models = results.models
    found = {name: getattr(results, name, None) for name in OF_THE_RUN}
    build = results.llama_cpp.build if results.llama_cpp else None
    return found | {"medical": models.medical.name, "base": models.base.name, "llama_cpp": build}


def raw_cells(comparison: Comparison) -> Iterator[tuple[str, Any]]:
    """The columns of a comparison: numbers and texts as results.json has them, without lists."""
    known = set(_columns(Comparison, ""))
    return ((name, value) for name, value in _cells(comparison, "") if name in known)


def _columns(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _without_none(field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _columns(inner, f"{prefix}{name}_")
        elif name in PAIRS:
            yield from (f"{prefix}{name}_{end}" for end in PAIRS[name])
        elif get_origin(inner) is not tuple:
            yield prefix + name


def _cells(value: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in type(value).model_fields:
        part = getattr(value, name)
        if isinstance(part, BaseModel):
            yield from _cells(part, f"{prefix}{name}_")
        elif name in PAIRS:
            yield from (
                (f"{prefix}{name}_{end}", bound) for end, bound in zip(PAIRS[name], part, strict=True)
            )
        else:
            yield prefix + name, part


def _cell(value: Any) -> Any:
    """A value as a cell: truth in lower case; text that a spreadsheet would take for a formula gets a "'"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = words.plain(value)
        return f"'{text}" if text.lstrip().startswith(FORMULA) else text
    return value


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        return parts[0] if len(parts) == 1 else annotation
    return annotation
