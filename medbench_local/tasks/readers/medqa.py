"""MedQA (Jin et al., 2021), with five or four options: JSON Lines and the hub's parquet."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.files.readers import json_lines, parquet_rows
from medbench_local.files.rows import Row, SourceFile, listed, plain
from medbench_local.tasks.question import Question, question_of

COLUMNS = ("question", "answer", "answer_idx", "options")


def read(file: SourceFile, options: int | None) -> Iterator[Question]:
    """The questions of one file, in its order, options in the file's order.

    The correct option is the one whose text is ``answer``; some answers carry stray characters, and then it
    is the one whose key is ``answer_idx``. Where both name an option, and not the same one, the question notes it:
    other readers go by ``answer_idx``.

    Raises:
        InputError: with the line or row.
    """
    rows = parquet_rows(file, COLUMNS) if file.kind == ".parquet" else json_lines(file)
    for row in rows:
        keys, texts = _options(row)
        answer, contradiction = row.text("answer"), ""
        if answer in texts:
            index = texts.index(answer)
            contradiction = _contradiction(row, keys, texts, index)
        else:
            key = row.text("answer_idx")
            if key not in keys:
                raise row.error(
                    f"expected the key of an option ({listed(keys)}), found {key[:40]!r}",
                    name="answer_idx",
                )
            index = keys.index(key)
        yield question_of(
            row,
            text=row.text("question"),
            options=texts,
            answer=index,
            expected=options,
            contradiction=contradiction,
        )


def _contradiction(row: Row, keys: list[str], texts: list[str], index: int) -> str:
    """How ``answer_idx`` names another option than the one at ``index``, which ``answer`` names; "" if it does not."""
    key = row.fields.get("answer_idx")
    if key is None or (key in keys and texts[keys.index(str(key))] == texts[index]):
        return ""
    return f"answer is option {plain(keys[index])}, answer_idx says {plain(str(key))}"


def _options(row: Row) -> tuple[list[str], list[str]]:
    """Keys and texts: JSON has a mapping, parquet a list of mappings with ``key`` and ``value``."""
    value = row.value("options")
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list) and all(
        isinstance(one, dict) and {"key", "value"} <= set(one) for one in value
    ):
        pairs = [(one["key"], one["value"]) for one in value]
    else:
        raise row.error("expected a mapping of letters to texts", name="options")
    keys = [row.readable(key, "options") for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise row.error("the same key is given twice", name="options")
    return keys, [row.readable(text, "options") for _, text in pairs]
