"""What a results.json says of itself: enough to tell whether somebody else's run was the same."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue, field_validator

from medbench_local.catalog.protocol import Scoring
from medbench_local.results.record import Count, Record, Role
from medbench_local.text import whole


class LlamaCpp(Record):
    """What computed the scores.

    Attributes:
        build: llama.cpp's own version.
        bindings: version of llama-cpp-python.
        device: what it computed on ("CPU", "CUDA NVIDIA H200").

    Each is null where the engine does not say.
    """

    build: str | None
    bindings: str | None
    device: str | None


class HashedFile(Record):
    """A file by its content.

    Attributes:
        name: within its repository or folder.
        sha256: of its bytes.
    """

    name: str
    sha256: str


class DataFileRecord(HashedFile):
    """A file that questions were read from; source: "local", "embedded" or "hub:<repository>@<revision>"."""

    source: str


class SplitRecord(Record):
    """The questions of one split.

    Attributes:
        questions: how many were read.
        expected: how many the official split has; null where there is no official number.
        files: what they were read from.
    """

    questions: Count
    expected: Count | None
    files: tuple[DataFileRecord, ...]


class ChatTemplateRecord(Record):
    """What wrote the prompts of a model.

    Attributes:
        source: "study" for the catalog's way, "model" for the template that came with the model, "given" for one that
            was asked for, "none" for plain text.
        sha256: of the template's text; null where none was used.
        day: the date that the template is told, if it asks for one; else null.
    """

    source: Literal["study", "model", "given", "none"]
    sha256: str | None
    day: str | None


class Identification(Record):
    """What decided the result; all of it is null in files of releases that did not write it.

    Attributes:
        identity: eight hexadecimal digits, a hash of everything that decides the result; the end of the run's name.
        version: of this package, that made the file.
        llama_cpp: what computed the scores.
        scoring: how prompts became answers.
        shots: numbers of demonstrations, in the order in which they were compared.
        limit: most test and validation questions of a task that were asked for; null for no limit.
        system_prompt: what replaced every system prompt: of both models, or by "medical" and "base"; null for nothing.
        chat_templates: what wrote the prompts of each model.
        protocol_content: the protocol as it was in force, key by key.
        data: what was read of each task, by its id and split.
    """

    identity: str | None = None
    version: str | None = None
    llama_cpp: LlamaCpp | None = None
    scoring: Scoring | None = None
    shots: tuple[Count, ...] | None = None
    limit: Count | None = None
    system_prompt: str | dict[Role, str] | None = None
    chat_templates: dict[Role, ChatTemplateRecord] | None = None
    protocol_content: dict[str, JsonValue] | None = None
    data: dict[str, dict[str, SplitRecord]] | None = None

    @field_validator("protocol_content", "data", "system_prompt", mode="before")
    @classmethod
    def _nested_texts_are_whole(cls, value: object) -> object:
        _all_whole(value)
        return value


def _all_whole(value: object) -> None:
    """Refuse half of a surrogate pair however deep it lies.

    Raises:
        ValueError: there is one.
    """
    if isinstance(value, str):
        whole(value)
    elif isinstance(value, dict):
        for key, part in value.items():
            _all_whole(key)
            _all_whole(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _all_whole(part)
