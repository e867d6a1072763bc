"""CSV files of results: a header with the names of JSON Lines rows, then text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.json_objects import parse_json
from medbench_local.files.readers import csv_rows
from medbench_local.files.rows import Row, SourceFile, listed

_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_JSON = ("options", "logprobs", "images")


def csv_records(file: SourceFile) -> Iterator[Row]:
    """One row a line: ``correct`` is true, false, 1 or 0 in any case, an empty cell is nothing, all else stays text.

    ``options``, ``logprobs`` and ``images`` are read as JSON where they start with a bracket.

    Raises:
        InputError: a name stands twice in the header, a line has more or fewer cells, or a cell is not what its name
            says.
    """
    lines = csv_rows(file)
    first = next(lines, None)
    if first is None:
        return
    where, header = first
    names = [name.strip() for name in header]
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(str(file), where, f"the header has '{name}' twice")
    for where, cells in lines:
        if len(cells) != len(names):
            raise InputError(
                str(file),
                where,
                f"{len(cells)} cells, but the header has {len(names)}: {listed(names)}",
                advice="Cells are separated by commas; text with commas or line breaks stands in double quotes.",
            )
        yield Row(file, where, _fields(file, where, dict(zip(names, cells, strict=True))))


def _fields(file: SourceFile, where: str, cells: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: cell for name, cell in cells.items() if name and cell.strip()}
    if "prediction" in cells:
        fields.setdefault("prediction", None)
    for name in ("correct", "is_correct"):
        if name in fields:
            fields[name] = _TRUTH.get(fields[name].strip().lower(), fields[name])
    for name in _JSON:
        if name in fields and fields[name].lstrip()[0] in "[{":
            fields[name] = parse_json(fields[name].encode("utf-8"), file, f"{where}, key '{name}'")
    if "shots" in fields and fields["shots"].isascii() and fields["shots"].isdigit():
        fields["shots"] = int(fields["shots"])
    return fields
