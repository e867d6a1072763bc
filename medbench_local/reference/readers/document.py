"""JSON files that are one value: a list of rows, or an object with one such list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.rows import Row, SourceFile, listed


def document_rows(file: SourceFile, document: Any) -> Iterator[Row]:
    """The rows of a JSON file that is a list of them, an object with one list of them, or one row.

    Raises:
        InputError: it is something else, or has several such lists.
    """
    if isinstance(document, dict):
        lists = [name for name, value in document.items() if _is_list_of_rows(value)]
        if len(lists) > 1:
            raise InputError(
                str(file),
                "",
                f"several lists of rows: {listed(lists)}",
                advice="Keep the one that is meant in a file of its own.",
            )
        rows, lead = (document[lists[0]], f"key '{lists[0]}', ") if lists else ([document], "")
    elif isinstance(document, list):
        rows, lead = document, ""
    else:
        raise InputError(str(file), "", "expected a list of rows, or an object with one")
    for number, fields in enumerate(rows, 1):
        where = f"{lead}row {number}"
        if not isinstance(fields, dict):
            raise InputError(str(file), where, "expected an object for each row")
        yield Row(file, where, fields)


def _is_list_of_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
