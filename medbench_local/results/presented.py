"""What a notebook makes of results: a table, a data frame. The room of reports draws; it registers itself here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from medbench_local.errors import UsageError


@dataclass(frozen=True)
class Drawing:
    """How results are drawn.

    Attributes:
        html: a piece of a page, every name escaped.
        text: a table in letters, as wide as the terminal.
        rows: one mapping a comparison or task, with the same keys each.
    """

    html: Callable[[Any], str]
    text: Callable[[Any], str]
    rows: Callable[[Any], Sequence[Mapping[str, Any]]]


_drawing: Drawing | None = None


def draw_with(drawing: Drawing) -> None:
    """Let results draw themselves; called by who knows the room of reports."""
    global _drawing
    _drawing = drawing


class Brief:
    """Results of which an interpreter shows one line; `print` shows all."""

    def _in_short(self) -> str:
        return str(self).partition("\n")[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._in_short()}>"


class Presented(Brief):
    """Results that show themselves as a table, also in a notebook, and become a data frame."""

    def __str__(self) -> str:
        return self._in_short() if _drawing is None else _drawing.text(self)

    def _repr_html_(self) -> str | None:
        return None if _drawing is None else _drawing.html(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame, one row a comparison (of a check: a task), columns as of the CSV report.

        Raises:
            UsageError: pandas, the extra ``pandas``, is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise UsageError(
                "A data frame needs pandas, which is not installed.",
                advice='Run `pip install "medbench-local[pandas]"`; without it, `.samples()` has rows.',
            ) from error
        return pandas.DataFrame(list(_drawing.rows(self)) if _drawing else [])
