"""PubMedQA (Jin et al., EMNLP 2019): the official JSON mappings and the hub's parquet."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.files.readers import json_mapping, parquet_rows
from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.question import Question, question_of

LABELS = ("yes", "no", "maybe")
COLUMNS = ("pubid", "question", "context.contexts", "final_decision")


def read(file: SourceFile, options: int | None) -> Iterator[Question]:
    """The questions of one file, in its order; ids are PubMed's.

    A question is the abstract without its conclusion (sections joined by one blank), a blank line, and the
    question proper.

    Raises:
        InputError: with the key or row.
    """
    if file.kind == ".parquet":
        for row in parquet_rows(file, COLUMNS):
            context = row.value("context")
            if not isinstance(context, dict):
                raise row.error("expected a mapping with 'contexts'", name="context")
            id = str(row.integer("pubid", 0, 2**63 - 1))
            sections = row.readables(context.get("contexts"), "context.contexts")
            yield _question(row, id, sections, row.text("question"), row.text("final_decision"), options)
    else:
        for row in json_mapping(file):
            id = row.readable(row.key, row.key)
            sections = row.texts("CONTEXTS")
            yield _question(row, id, sections, row.text("QUESTION"), row.text("final_decision"), options)


def _question(
    row: Row, id: str, sections: tuple[str, ...], question: str, label: str, options: int | None
) -> Question:
    if label not in LABELS:
        raise row.error(f"expected yes, no or maybe, found {label[:40]!r}", name="final_decision")
    context = " ".join(sections).strip()
    return question_of(
        row,
        text=f"{context}\n\n{question.strip()}",
        options=LABELS,
        answer=LABELS.index(label),
        expected=options,
        id=id,
    )
