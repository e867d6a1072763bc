"""PathVQA (He et al., 2020), the questions answered yes or no: official pickles, the hub's parquet, and a JSON list.

The JSON list has the hub's rows of validation and test, one behind the other, without pictures; it names each by its
number in its split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from medbench_local.errors import InputError
from medbench_local.files.pickle_data import PickleError, load_pickle
from medbench_local.files.readers import json_list
from medbench_local.files.rows import Row, SourceFile
from medbench_local.files.streams import open_bytes
from medbench_local.tasks.album import Album
from medbench_local.tasks.picture import Picture, refuse_control_text
from medbench_local.tasks.question import SplitRead, question_of

YES_NO = ("yes", "no")
VALIDATION_ROWS = 6259
"""Rows of the JSON list that are validation questions; the others are test questions."""

LARGEST_PICKLE = 64 << 20


class _Item(NamedTuple):
    row: Row
    image: str
    pictures: tuple[Picture, ...]


def read_part(files: Sequence[SourceFile], part: str, options: int | None, album: Album) -> SplitRead:
    """The questions of a split that are answered yes or no, in the order of its files.

    Args:
        files: of the split, or the JSON list of two.
        part: "all-closed"; of the JSON list "pathvqa-validation" or "pathvqa-test".
        options: how many each question must have, or None.
        album: where the pictures are.

    Raises:
        InputError: with the item or row.
    """
    questions = []
    for file in files:
        for row, image, pictures in _items(file, part, album):
            text, answer = row.text("question").capitalize(), row.text("answer").strip()
            refuse_control_text(row, (text,))
            questions.append(
                question_of(
                    row,
                    text=text,
                    options=YES_NO,
                    answer=YES_NO.index(answer),
                    expected=options,
                    pictures=pictures or (album.named(row, image, key="image"),),
                )
            )
    return SplitRead(questions)


def _items(file: SourceFile, part: str, album: Album) -> Iterator[_Item]:
    """The closed questions of a file, with their pictures or the name of one."""
    if file.kind == ".parquet":
        columns = ("question", "answer")
        found = album.rows(
            file, columns, ("image",), _is_closed, lambda row, _: f"{file.path.name} {row.where}"
        )
        for row, pictures in found:
            yield _Item(row, "", pictures)
    elif file.kind == ".pkl":
        for row in filter(_is_closed, _pickled(file)):
            yield _Item(row, f"{_split_of(file)}/{row.text('image')}.jpg", ())
    else:
        for number, row in enumerate(json_list(file)):
            split = "validation" if number < VALIDATION_ROWS else "test"
            if part == f"pathvqa-{split}" and _is_closed(row):
                name = PurePosixPath(row.text("image_path").replace("\\", "/")).name
                yield _Item(row, f"{split}/{name}", ())


def _is_closed(row: Row) -> bool:
    return row.text("answer").strip() in YES_NO


def _split_of(file: SourceFile) -> str:
    """The split that an official file is of, as the folders of pictures are called: "val_qa.pkl" is of "val"."""
    return Path(file.path.name.removesuffix(".gz")).stem.removesuffix("_qa")


def _pickled(file: SourceFile) -> Iterator[Row]:
    """The rows of an official file: a list of mappings, read without running anything that is in it."""
    with open_bytes(file) as stream:
        data = stream.read(LARGEST_PICKLE + 1)
    if len(data) > LARGEST_PICKLE:
        raise InputError(str(file), "", f"larger than {LARGEST_PICKLE >> 20} MiB")
    try:
        content = load_pickle(data, calls={}, persistent=_refuse)
    except PickleError as error:
        raise InputError(str(file), "", f"not a pickle of plain data: {error}") from error
    if not isinstance(content, list):
        raise InputError(str(file), "", "expected a pickled list of mappings")
    for number, item in enumerate(content, start=1):
        if not isinstance(item, dict):
            raise InputError(str(file), f"item {number}", "expected a mapping")
        yield Row(file, f"item {number}", item)


def _refuse(_: object) -> None:
    raise PickleError("it refers to something outside itself")
