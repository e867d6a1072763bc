"""A run as CSV: one row a comparison, every number as results.json has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from medbench_local.report import words
from medbench_local.results.schema import Comparison, Results

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

PAIRS = {"ci": ("low", "high"), "flip_ci": ("low", "high")}
"""Fields that are two numbers, and the names of their columns."""


def columns() -> list[str]:
    """The names of the columns: those of the run, the reported verdict, then results.json's keys joined by "_"."""
    return [*OF_THE_RUN, "reported", *_columns(Comparison, "")]


def as_csv(results: Results) -> str:
    """The table, with a heading; lists (candidates, margins of flipped questions) are left to the JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    run = {name: _cell(value) for name, value in of_run(results).items()}
    for comparison in results.comparisons:
        cells = {name: _cell(value) for name, value in raw_cells(comparison)}
        writer.writerow(run | {"reported": comparison.reported} | cells)
    return text.getvalue()


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
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return value


def _without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        return parts[0] if len(parts) == 1 else annotation
    return annotation
