"""Options of questions about pictures that their data sets do not give.

Two data sets have closed questions with the answer alone. For SLAKE the study fixed the options of some in its code;
for VQA-RAD it wrote them by hand and did not publish them: those in the file are our own, judged one by one. Questions
are named by hashes, because the texts are not ours to pass on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, StrictStr

from medbench_local.catalog.load import DATA, StrictModel, read_built_in

FILE = DATA / "visual_options.yaml"
"""The table."""

DataSet = Literal["vqa-rad", "slake"]
Key = Annotated[StrictStr, Field(pattern="^[0-9a-f]{64}$")]
Option = Annotated[StrictStr, Field(min_length=1)]
Options = Annotated[tuple[Option, ...], Field(min_length=2, max_length=26)]


class OptionFile(StrictModel):
    """The whole of visual_options.yaml: by data set, the options of a question by the hash of its text."""

    questions: dict[DataSet, dict[Key, Options]]


class OptionTable:
    """The options of one data set's questions, by their text."""

    def __init__(self, by_hash: Mapping[str, tuple[str, ...]]) -> None:
        self._by_hash = by_hash

    def __len__(self) -> int:
        return len(self._by_hash)

    def get(self, text: str) -> tuple[str, ...] | None:
        """The options of a question; case and blanks around it do not matter. None if the table has none."""
        return self._by_hash.get(question_key(text))


def question_key(text: str) -> str:
    """What a question is called in the file: SHA-256 of its text in lower case, stripped."""
    return hashlib.sha256(text.lower().strip().encode()).hexdigest()


@cache
def options_by_question(data_set: DataSet) -> OptionTable:
    """The table of a data set."""
    return OptionTable(read_built_in(FILE, OptionFile).questions[data_set])
