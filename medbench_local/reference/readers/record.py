"""What a file of results, of any format, says about one question."""

from __future__ import annotations

from dataclasses import dataclass

from medbench_local.files.rows import Row

EXACT_BELOW = 2**53
"""Whole numbers that a float holds exactly are below this."""


@dataclass(frozen=True)
class Selection:
    """What the caller chooses of files that hold several things.

    Attributes:
        metric: which metric of an lm-evaluation-harness log, or which scorer of an inspect_ai log, says what is
            correct; None where there is only one.
        filter: which filter's lines of an lm-evaluation-harness log are read; None where there is only one.
        task: task id of rows that do not say theirs.
        likelihoods: whether the log-likelihoods of the options decide: then ``acc``, which follows them, is taken
            where no metric is given, and need not be there.
    """

    metric: str | None = None
    filter: str | None = None
    task: str | None = None
    likelihoods: bool = False


EVERYTHING = Selection()
"""Nothing to choose from, or an error."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one model answered to one question.

    Attributes:
        row: where it stands, and the fields by the names of our own rows, as the file writes them: ``id``, ``task``,
            ``prediction``, ``answer``, ``correct``, ``options``, ``logprobs``, ``prompt`` or ``prompt_sha256``,
            ``question``, ``text_sha256``, ``document_sha256``, ``model``, ``role``, ``shots``, ``scoring`` ...
        scored_by: the metric or scorer of another tool's log that says what is correct; None where the row itself does.
        log_task: the task's name in another tool's log or in the name of its file, or None.
        log_line: the line of an lm-evaluation-harness log that the fields were taken from, or None.
    """

    row: Row
    scored_by: str | None = None
    log_task: str | None = None
    log_line: Row | None = None

    @property
    def id(self) -> str | None:
        """The question's id; None where the row has none.

        Raises:
            InputError: it is something else than text or a whole number.
        """
        value = self.row.fields.get("id")
        return None if value is None else id_text(self.row, value)

    @property
    def task(self) -> str | None:
        """The task's id; None where neither row nor caller says it.

        Raises:
            InputError: it is no text.
        """
        return self.row.text("task") if self.row.fields.get("task") is not None else None

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is right; None where the row does not say.

        Raises:
            InputError: it is neither true nor false.
        """
        value = self.row.fields.get("correct")
        if value not in (None, 0, 1):  # true and false are equal to 1 and 0
            raise self.row.error(f"expected true or false, found {value!r:.40}", name="correct")
        return None if value is None else bool(value)


def id_text(row: Row, value: object, name: str = "id") -> str:
    """An id as text: 7, 7.0 and "7" are one id, for JSON has one kind of number.

    Raises:
        InputError: it is something else than text or a whole number.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_BELOW:
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return row.readable(value, name)
