"""Excel workbooks as rows of cells; needs openpyxl, the extra "excel"."""

from __future__ import annotations

import datetime
import warnings
import zipfile
from dataclasses import dataclass
from typing import Any

from medbench_local.errors import InputError, UsageError
from medbench_local.files.rows import SourceFile, plain
from medbench_local.tasks.tables.table import Defect, GridRow


@dataclass(frozen=True)
class Sheet:
    """One sheet: its name, its rows that are not blank, and its cells that are no text or number."""

    name: str
    rows: tuple[GridRow, ...]
    defects: tuple[Defect, ...]


def sheets(file: SourceFile) -> list[Sheet]:
    """The sheets of a workbook that hold anything.

    Raises:
        InputError: it is no such workbook.
        UsageError: openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError as error:
        advice = "Install medbench-local[excel], or save the sheet as CSV."
        raise UsageError(
            "Excel files are read with openpyxl, which is not installed.", advice=advice
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that hold no text
            values = openpyxl.load_workbook(file.path, data_only=True)
            formulas = openpyxl.load_workbook(file.path)
    except FileNotFoundError as error:
        raise InputError(file.path, "", "no such file") from error
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        advice = "Save it as .xlsx or CSV; a password has to be taken off."
        problem = f"not a readable .xlsx file: {plain(str(error), 120)}"
        raise InputError(file.path, "", problem, advice=advice) from error
    found = [_sheet(sheet, formulas[sheet.title]) for sheet in values.worksheets]
    return [sheet for sheet in found if sheet.rows]


def _sheet(values: Any, formulas: Any) -> Sheet:
    rows, defects = [], []
    for cells, written in zip(values.iter_rows(), formulas.iter_rows(), strict=True):
        found: list[object] = []
        where = f"row {cells[0].row}" if cells else ""
        for cell, formula in zip(cells, written, strict=True):
            value, problem = _value(cell, formula.value)
            found.append(value)
            if problem:
                defects.append(Defect(where, str(cell.column_letter), problem))
        row = GridRow(where, tuple(found))
        if not row.blank:
            rows.append(row)
    return Sheet(values.title, tuple(rows), tuple(defects))


def _value(cell: Any, formula: object) -> tuple[object, str]:
    """What a cell says, and what is wrong with it."""
    value = cell.value
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return "?", f"Excel has made a date of it ({value}); format the cell as text and write it again"
    if cell.data_type == "e":
        return "?", f"the error {value}"
    if value is None and isinstance(formula, str) and formula.startswith("="):
        return "?", "a formula without a value; open the file in Excel and save it again"
    if isinstance(value, int | float) and not isinstance(value, bool) and "%" in str(cell.number_format):
        return f"{value * 100:.12g}%", ""
    return value, ""
