"""MedMCQA (Pal et al., 2022): JSON Lines with answers 1 to 4, the hub's parquet with answers 0 to 3."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.files.readers import json_lines, parquet_rows
from medbench_local.files.rows import SourceFile
from medbench_local.tasks.question import Question, question_of

OPTIONS = ("opa", "opb", "opc", "opd")

LABELLED = frozenset(
    {
        "c)\tCannot be separated by probe",
        "d)\tIs marginal gingiva",
        "a)\tTo balance the denture",
        "b)\tTo act as a direct retainer",
        "c)\tTo counteract the movement of denture which is caused during engagement of retentive arm",
        "d)\tNone of the above",
    }
)
"""Options of three official validation questions that carry a letter of their own, beside the prompt's."""

MATCHED = {
    "A. ii) B. ii) C. i) D. i) E. i)": "A: (ii), B: (ii), C: (i), D: (i), E: (i)",
    "A. i) B. ii) C. ii) D. i) E. i)": "A: (i), B: (ii), C: (ii), D: (i), E: (i)",
    "A. i) B. ii) C. i) D. i) E. ii)": "A: (i), B: (ii), C: (i), D: (i), E: (ii)",
    "A. i) B. ii) C. i) D. i) E. i)": "A: (i), B: (ii), C: (i), D: (i), E: (i)",
}
"""Options of one official validation question that look like option labels."""


def read(file: SourceFile, options: int | None) -> Iterator[Question]:
    """The questions of one file, in its order.

    Raises:
        InputError: with the line or row.
    """
    parquet = file.kind == ".parquet"
    columns = ("question", *OPTIONS, "cop", "id", "subject_name")
    first = 0 if parquet else 1
    for row in parquet_rows(file, columns) if parquet else json_lines(file):
        yield question_of(
            row,
            text=row.text("question"),
            options=[clean_option(row.text(name)) for name in OPTIONS],
            answer=row.integer("cop", first, first + len(OPTIONS) - 1) - first,
            expected=options,
            id=row.optional_text("id"),
            subject=row.optional_text("subject_name"),
        )


def clean_option(text: str) -> str:
    """Rewrite the ten malformed options that the study rewrites, by exact match; leave all others alone.

    Other options begin with a letter too ("a)Zone of decomposed dentin"); the study shows them as they are.
    """
    return text[3:] if text in LABELLED else MATCHED.get(text, text)
