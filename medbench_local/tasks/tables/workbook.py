"""Excel workbooks as rows of cells; needs openpyxl, the extra "excel"."""

from __future__ import annotations

import datetime
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from medbench_local.errors import InputError, UsageError
from medbench_local.files.rows import SourceFile, plain
from medbench_local.files.streams import open_file
from medbench_local.tasks.tables.table import OLE, Defect, GridRow, text_of
from medbench_local.tasks.tables.workbook_size import TooLarge, weigh

MOST_CELLS = 1_000_000
"""Cells of the rectangle that a sheet fills, also empty ones: one cell far down and right would make billions."""

_SAVE = "Save it again as .xlsx or CSV; a password has to be taken off."


@dataclass(frozen=True)
class Sheet:
    """One sheet that holds something.

    Attributes:
        name: in the workbook.
        hidden: whether Excel does not show it.
        letters: of its columns, as Excel has them.
        rows: those that are not blank.
        notes: how it was read, one sentence each.
        defects: its cells that are no text or number, by these letters.
    """

    name: str
    hidden: bool
    letters: tuple[str, ...]
    rows: tuple[GridRow, ...]
    notes: tuple[str, ...]
    defects: tuple[Defect, ...]


def sheets(file: SourceFile) -> list[Sheet]:
    """The sheets of a workbook that hold anything.

    Raises:
        InputError: it is no such workbook, or far too large.
        UsageError: openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise UsageError(
            "Excel files are read with openpyxl, which is not installed.",
            advice="Run `pip install openpyxl` (or install medbench-local[excel]), or save the sheet as CSV.",
        ) from error
    _refuse_others(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that hold no text
            values = openpyxl.load_workbook(file.path, data_only=True)
            formulas = openpyxl.load_workbook(file.path)
    except MemoryError:
        raise
    except Exception as error:  # of any kind: what openpyxl raises on a damaged workbook has no common base
        problem = f"not a readable .xlsx file: {plain(str(error) or type(error).__name__, 120)}"
        raise InputError(file.path, "", problem, advice=_SAVE) from error
    found = [_sheet(file, sheet, formulas[sheet.title]) for sheet in values.worksheets]
    return [sheet for sheet in found if sheet.rows]


def _refuse_others(file: SourceFile) -> None:
    """Refuse what is no workbook, or one that would not fit into memory, before it is unpacked."""
    try:
        with open_file(file.path) as stream:
            if stream.read(len(OLE)) == OLE:
                problem = "protected by a password, or an old .xls file under another name"
                raise InputError(file.path, "", problem, advice=_SAVE)
            with zipfile.ZipFile(stream) as archive:
                weigh(archive, file.path.stat().st_size)
    except TooLarge as error:
        advice = "Save the sheet with the questions as CSV."
        raise InputError(file.path, "", str(error), advice=advice) from error
    except FileNotFoundError as error:
        raise InputError(file.path, "", "no such file") from error
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError),
        expat.ExpatError,
    ) as error:
        problem = f"not a readable .xlsx file: {plain(str(error), 120)}"
        raise InputError(file.path, "", problem, advice=_SAVE) from error
    except OSError as error:
        raise InputError(file.path, "", f"cannot be read: {error.strerror or error}") from error


def _sheet(file: SourceFile, values: Any, formulas: Any) -> Sheet:
    from openpyxl.utils import get_column_letter

    height, width = max(values.max_row, formulas.max_row), max(values.max_column, formulas.max_column)
    if height * width > MOST_CELLS:
        problem = f"{height:,} rows and {width:,} columns; at most {MOST_CELLS:,} cells are read"
        advice = "Delete what stands far below or right of the questions, or save the sheet as CSV."
        raise InputError(file.path, f"sheet '{plain(values.title)}'", problem, advice=advice)
    above = _merged_down(file, values, height)
    rows, defects, hidden, merged = [], [], 0, 0
    bounds = {"max_row": height, "max_col": width}
    for cells, written in zip(values.iter_rows(**bounds), formulas.iter_rows(**bounds), strict=True):
        number = cells[0].row
        where = f"row {number}"
        found = [_value(cell, formula.value) for cell, formula in zip(cells, written, strict=True)]
        if not any(text_of(value) for value, _ in found):
            continue
        for place, (value, problem) in enumerate(found):
            if problem:
                defects.append(Defect(where, str(cells[place].column_letter), problem))
            if value is None and (number, place + 1) in above:
                found[place] = _value(values.cell(above[number, place + 1], place + 1), None)
                merged += 1
        rows.append(GridRow(where, tuple(value for value, _ in found)))
        hidden += bool(values.row_dimensions[number].hidden)
    notes = [f"{merged:,} cells that are merged with the one above say what it says."] if merged else []
    if hidden:
        notes.append(f"{hidden:,} hidden rows are read, too.")
    letters = tuple(get_column_letter(place + 1) for place in range(width))
    return Sheet(
        values.title, values.sheet_state != "visible", letters, tuple(rows), tuple(notes), tuple(defects)
    )


def _merged_down(file: SourceFile, values: Any, height: int) -> dict[tuple[int, int], int]:
    """Of cells (row and column, from 1) that are merged with those above, the row that holds what they say.

    Raises:
        InputError: there are more of them than a sheet has cells.
    """
    ranges = [(area.min_row, min(area.max_row, height), area.min_col) for area in values.merged_cells.ranges]
    if sum(bottom - top for top, bottom, _ in ranges) > MOST_CELLS:
        raise InputError(file.path, f"sheet '{plain(values.title)}'", "too many merged cells", advice=_SAVE)
    return {(row, column): top for top, bottom, column in ranges for row in range(top + 1, bottom + 1)}


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
    if isinstance(value, float):
        return float(f"{value:.15g}"), ""  # as Excel shows it: 0.3 for 0.1 + 0.2
    return value, ""
