"""The rows of a table as questions of one's own: what each says, how that was read, and all that is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medbench_local.tasks.labels import Options, Value
from medbench_local.tasks.question import LETTERS, SplitName
from medbench_local.tasks.tables.answers import Asked, Notation, Settled, UnclearAnswers, settle
from medbench_local.tasks.tables.columns import Columns
from medbench_local.tasks.tables.items import (
    BadCell,
    as_options,
    options_apart,
    options_listed,
    picture_names,
    without_labels,
)
from medbench_local.tasks.tables.table import Defect, Record, Table, text_of
from medbench_local.text import is_whole

SPLIT_NAMES: Mapping[str, SplitName] = {
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "demonstrations": "demonstrations",
    "demonstration": "demonstrations",
    "train": "demonstrations",
    "training": "demonstrations",
}
"""What a column "split" may say."""

MANY = 5
"""Questions that do not have their answer at the same place by chance."""

_NOT_LOOKED_AT = "this row and those after it were not looked at"

_GARBLED = re.compile("\ufffd|Ã[\x80-\xbf¤¶¼Ÿ„–œ©¨]|â€")
"""Signs of a text that was once read in a wrong encoding."""


@dataclass(frozen=True)
class OwnRow:
    """One question as a JSON Lines file of one's own has it.

    Attributes:
        where: its place in the table.
        fields: id, question, options, answer (index) and, where there are any, subject and images.
        split: where the table says which it belongs to.
        passage: what the question is about, which its text begins with; "" for nothing.
        part: as of its `Record`.
    """

    where: str
    fields: dict[str, object]
    split: SplitName | None = None
    passage: str = ""
    part: str = ""


@dataclass(frozen=True)
class Understood:
    """What was made of a table.

    Attributes:
        rows: those without a defect.
        notes: how it was read, one sentence each.
        warnings: what whoever reads results has to know.
        defects: all that are wrong, in the order of the rows.
    """

    rows: tuple[OwnRow, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    defects: tuple[Defect, ...]


def understand(
    table: Table, columns: Columns, notation: Notation | None, most_defects: int | None = None
) -> Understood:
    """The questions of a table.

    Args:
        table: its rows.
        columns: what its columns are.
        notation: how answers are written, where somebody says so.
        most_defects: after which no more rows are looked at; None for as many as there are.

    Raises:
        UnclearAnswers: nothing in the file shows how its answers are to be read.
    """
    defects = list(table.defects)
    cells = {defect.where for defect in table.defects}
    records = [record for record in table.records if record.where not in cells]
    options: dict[str, Options] = {}
    looked_at = []
    for record in _until_too_many(records, defects, most_defects):
        _options(record, columns, options, defects)
        looked_at.append(record)
    records = looked_at
    stripped, notes = _labels_off(options)
    settled = _answers(records, columns, stripped, notation, defects)
    rows, ids = [], dict[tuple[str, str], str]()
    for record in _until_too_many(records, defects, most_defects):
        fields, passage = _fields(record, columns, defects)
        id = record.part, str(fields["id"])
        if id in ids:
            defects.append(
                Defect(record.where, columns.id, f"the id {id[1][:40]!r} is that of {ids[id]}, too")
            )
        ids.setdefault(id, record.where)
        split = _split(record, columns, defects)
        if record.where in settled.places:
            fields |= {
                "options": list(stripped[record.where].texts or ()),
                "answer": settled.places[record.where],
            }
            rows.append(OwnRow(record.where, fields, split, passage, record.part))
    bad = {defect.where for defect in defects}
    good = tuple(row for row in rows if row.where not in bad)
    said = [f"Columns: {columns}.", *table.notes, *settled.notes, *notes, *_about(table, columns, good)]
    warnings = (*_garbled(good), *_always_the_same(good))
    return Understood(good, tuple(said), warnings, tuple(sorted(defects, key=place_in_file)))


def place_in_file(defect: Defect) -> tuple[str, int]:
    """Its file, where there are several, and the number of its row: "line 12" is 12, so is "line 12, column 3"."""
    found = re.match(r"(.*?)(?:line|row|item) (\d+)", defect.where)
    return (found[1], int(found[2])) if found else ("", 0)


@dataclass(frozen=True)
class _Answers:
    places: dict[str, int]
    notes: tuple[str, ...]


def _until_too_many(records: Sequence[Record], defects: list[Defect], most: int | None) -> Iterator[Record]:
    """The rows, as long as what is wrong with them does not fill a book; a last defect says where that ends."""
    for record in records:
        if most is not None and len(defects) >= most:
            if defects[-1].problem != _NOT_LOOKED_AT:
                defects.append(Defect(record.where, "", _NOT_LOOKED_AT))
            return
        yield record


def _options(record: Record, columns: Columns, found: dict[str, Options], defects: list[Defect]) -> None:
    one = len(columns.options) == 1
    cells = [record.cells.get(name) for name in columns.options]
    try:
        texts, labels = options_listed(cells[0]) if one else (options_apart(cells), None)
        found[record.where] = as_options(texts, labels)
    except BadCell as error:
        defects.append(Defect(record.where, columns.options[0] if one else "", str(error)))


def _labels_off(found: dict[str, Options]) -> tuple[dict[str, Options], tuple[str, ...]]:
    """The options without the letters before them, if all questions of the file have these."""
    bare = {where: without_labels(options.texts or ()) for where, options in found.items()}
    if not found or not all(texts is not None and len({*texts}) == len(texts) for texts in bare.values()):
        return found, ()
    shorter = {where: Options(found[where].labels, tuple(texts or ())) for where, texts in bare.items()}
    return shorter, ("The letters before the options were taken off: prompts write their own.",)


def _answers(
    records: Sequence[Record],
    columns: Columns,
    options: Mapping[str, Options],
    notation: Notation | None,
    defects: list[Defect],
) -> _Answers:
    """The places of the correct options; several columns have to agree."""
    settled: dict[str, dict[str, int]] = {}
    notes, unclear = [], None
    for column in columns.answers:
        rows = [
            Asked(record.where, _value(record.cells.get(column)), options[record.where])
            for record in records
            if record.where in options and text_of(record.cells.get(column))
        ]
        try:
            found: Settled = settle(column, rows, notation)
        except UnclearAnswers as error:
            unclear = unclear or error
            continue
        notes.append(found.note)
        defects += found.defects
        settled[column] = {
            row.where: place for row, place in zip(rows, found.places, strict=True) if place is not None
        }
    if not any(settled.values()) and unclear is not None:
        raise unclear
    places: dict[str, int] = {}
    source: dict[str, str] = {}
    for column, answers in settled.items():
        for where, place in answers.items():
            if places.setdefault(where, place) != place:
                letters = f"{LETTERS[place]}, but '{source[where]}' says {LETTERS[places[where]]}"
                defects.append(Defect(where, column, f"the answer is {letters}"))
            source.setdefault(where, column)
    for record in records:
        if not any(text_of(record.cells.get(column)) for column in columns.answers):
            defects.append(Defect(record.where, columns.answers[0], "there is no answer"))
        elif unclear is not None and record.where in options and record.where not in places:
            defects.append(Defect(record.where, "", f"its answer is not clear: {unclear}"))
    return _Answers(places, tuple(notes))


def _value(cell: object) -> Value:
    return cell if isinstance(cell, int | float) and not isinstance(cell, bool) else text_of(cell)


def _fields(record: Record, columns: Columns, defects: list[Defect]) -> tuple[dict[str, object], str]:
    """What a row says beside its options and answer, and the passage that its question begins with."""
    texts = {}
    for role in ("question", "passage", "id", "subject"):
        name = getattr(columns, role)
        cell = record.cells.get(name)
        if isinstance(cell, dict | list):
            defects.append(Defect(record.where, name, f"expected text, found {type(cell).__name__}"))
        texts[role] = text_of(cell)
        if "\0" in texts[role] or not is_whole(texts[role]):
            defects.append(Defect(record.where, name, "characters that are no text"))
    if not texts["question"]:
        defects.append(Defect(record.where, columns.question, "there is no question"))
    question = "\n\n".join(part for part in (texts["passage"], texts["question"]) if part)
    fields: dict[str, object] = {"id": texts["id"] or re.sub(r"\W+", "-", record.where), "question": question}
    if texts["subject"]:
        fields["subject"] = texts["subject"]
    images = picture_names(record.cells.get(columns.images)) if columns.images else []
    return fields | ({"images": images} if images else {}), texts["passage"]


def _split(record: Record, columns: Columns, defects: list[Defect]) -> SplitName | None:
    if not columns.split:
        return None
    said = text_of(record.cells.get(columns.split))
    found = SPLIT_NAMES.get(said.casefold())
    if found is None:
        problem = f"expected test, validation or demonstrations, found {said[:40]!r}"
        defects.append(Defect(record.where, columns.split, problem))
    return found


def _about(table: Table, columns: Columns, rows: Sequence[OwnRow]) -> list[str]:
    counts = Counter(len(options) for row in rows if isinstance(options := row.fields["options"], list))
    found = []
    if len(counts) > 1:
        parts = [f"{count:,} with {options}" for options, count in sorted(counts.items())]
        found.append(f"Questions have different numbers of options: {', '.join(parts)}.")
    unused = [name for name in table.columns if name and name not in columns.used()]
    if unused:
        found.append(f"Not used: {', '.join(repr(name) for name in unused)}.")
    if not columns.id:
        found.append("There is no column of ids; questions are named after their places in the file.")
    return found


def _garbled(rows: Sequence[OwnRow]) -> list[str]:
    bad = [row.where for row in rows if any(map(_GARBLED.search, _texts(row)))]
    if not bad:
        return []
    return [
        f"{len(bad):,} questions hold characters that were lost or garbled in a wrong encoding, first {bad[0]}."
    ]


def _always_the_same(rows: Sequence[OwnRow]) -> list[str]:
    """A warning if the answer is always at the same place: a model that always says A would know them all."""
    answers = {row.fields["answer"] for row in rows}
    if len(rows) < MANY or len(answers) > 1 or not isinstance(place := next(iter(answers)), int):
        return []
    return [
        f"The answer of all {len(rows):,} questions is option {LETTERS[place]}: a model that always says so is never "
        "wrong. Is that the column of the answers? If so, put the options into another order."
    ]


def _texts(row: OwnRow) -> list[str]:
    options = row.fields["options"]
    return [str(row.fields["question"]), *(options if isinstance(options, list) else [])]
