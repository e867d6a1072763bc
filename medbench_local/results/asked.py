"""What a run's folder keeps of what was asked: ``questions/<task>.jsonl`` and ``prompts.jsonl``.

The questions of a task are kept once, whichever models answered them; of the prompts the one that was chosen for each
model in each comparison, as it was sent for the first test question. The first line of each file is a mapping with the
number of its layout and how many lines follow, so that a file that was cut off is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.atomic import disk_error, remove_tree, write_lines
from medbench_local.files.hashes import parts_sha256, text_sha256
from medbench_local.files.rows import Row, SourceFile
from medbench_local.prompts.prompt import Parts
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import ROLES, THINKERS, Role, Thinkers
from medbench_local.tasks.question import MAX_OPTIONS, Question

LAYOUT = 1
"""Of both files; to be raised when a reader of an older file would notice a change."""

MOST_SHOTS = 10_000
"""More demonstrations than any prompt holds."""

_PICTURE = "<image>"
_ADVICE = "It is not what the run wrote: take it from where the run was made, or leave the questions out."


@dataclass(frozen=True)
class KeptQuestion:
    """One test question as it was asked.

    Attributes:
        row: where it stands, for errors.
        id, subject, text, options, answer: as `medbench_local.tasks.question.Question`.
        pictures: SHA-256 of each of its pictures' files.
    """

    row: Row
    id: str
    subject: str
    text: str
    options: tuple[str, ...]
    answer: int
    pictures: tuple[str, ...]

    @property
    def text_sha256(self) -> str:
        """Hash of its text and options, as in samples."""
        return text_sha256(self.text, self.options)


@dataclass(frozen=True)
class KeptPrompt:
    """One model's chosen prompt in one comparison, for the first test question.

    Attributes:
        role, task, shots, thinkers: of which model and comparison.
        question: id of the question.
        parts: what the model saw, in order: texts, and tuples of the hashes of the pictures at a place.
        where: the place in its file, for people; "" for one that was not read.
    """

    role: Role
    task: str
    shots: int
    thinkers: Thinkers | None
    question: str
    parts: tuple[str | tuple[str, ...], ...]
    where: str = ""

    @property
    def text(self) -> str:
        """The whole prompt for people; each place of a picture is written as "<image>"."""
        return "".join(part if isinstance(part, str) else _PICTURE for part in self.parts)

    @property
    def sha256(self) -> str:
        """Its hash, as in samples."""
        return parts_sha256(self.parts)


def kept_parts(parts: Parts) -> tuple[str | tuple[str, ...], ...]:
    """The parts of a rendered prompt, pictures by their hashes."""
    return tuple(
        part if isinstance(part, str) else tuple(picture.sha256 for picture in part.pictures)
        for part in parts
    )


def write_questions(folder: RunFolder, task: str, questions: Sequence[Question]) -> None:
    """Keep the questions of a task that are asked.

    Raises:
        StoreError: the file cannot be written.
    """
    rows = (
        {
            "id": question.id,
            "subject": question.subject,
            "text": question.text,
            "options": list(question.options),
            "answer": question.answer,
            "images": [picture.sha256 for picture in question.pictures],
        }
        for question in questions
    )
    _write(folder.questions_file(task), {"task": task, "questions": len(questions)}, rows)


def write_prompts(folder: RunFolder, prompts: Sequence[KeptPrompt]) -> None:
    """Keep the chosen prompts.

    Raises:
        StoreError: the file cannot be written.
    """
    rows = (
        {
            "role": prompt.role,
            "task": prompt.task,
            "shots": prompt.shots,
            "thinkers": prompt.thinkers,
            "id": prompt.question,
            "prompt_sha256": prompt.sha256,
            "parts": [part if isinstance(part, str) else list(part) for part in prompt.parts],
        }
        for prompt in prompts
    )
    _write(folder.prompts_file, {"prompts": len(prompts)}, rows)


def clear_asked(folder: RunFolder) -> None:
    """Remove all questions, prompts and thumbnails of a run.

    Raises:
        StoreError: they cannot be removed.
    """
    clear_thumbnails(folder)
    remove_tree(folder.questions_folder)
    try:
        folder.prompts_file.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(folder.prompts_file, error) from error


def clear_thumbnails(folder: RunFolder) -> None:
    """Remove all thumbnails of a run.

    Raises:
        StoreError: they cannot be removed.
    """
    remove_tree(folder.thumbnails_folder)


def has_questions(folder: RunFolder) -> bool:
    """Whether a run's folder holds any question."""
    return folder.questions_folder.is_dir() and any(folder.questions_folder.glob("*.jsonl"))


def read_questions(folder: RunFolder, task: str) -> tuple[KeptQuestion, ...]:
    """The questions of a task that were asked, in their order.

    Raises:
        InputError: the file is missing, damaged, cut off, or of another layout; with the line.
    """
    rows = _read(folder.questions_file(task), "questions")
    found = tuple(map(_question, rows))
    if len({question.id for question in found}) < len(found):
        raise InputError(folder.questions_file(task), "", "an id stands there twice", advice=_ADVICE)
    return found


def read_prompts(folder: RunFolder) -> tuple[KeptPrompt, ...]:
    """The chosen prompts, in the order of the comparisons.

    Raises:
        InputError: the file is missing, damaged, cut off, or of another layout; with the line.
    """
    return tuple(map(_prompt, _read(folder.prompts_file, "prompts")))


def _question(row: Row) -> KeptQuestion:
    options = row.texts("options")
    if not 2 <= len(options) <= MAX_OPTIONS:
        raise row.error(f"expected 2 to {MAX_OPTIONS} options, found {len(options)}", name="options")
    return KeptQuestion(
        row,
        row.text("id"),
        row.text("subject"),
        row.text("text"),
        options,
        row.integer("answer", 0, len(options) - 1),
        tuple(_hash(row, one, "images") for one in row.texts("images")),
    )


def _prompt(row: Row) -> KeptPrompt:
    roles: Mapping[str, Role] = {role: role for role in ROLES}
    thinkers: Mapping[str, Thinkers] = {one: one for one in THINKERS}
    role, who = row.text("role"), row.value("thinkers")
    if role not in roles:
        raise row.error(f"expected one of {', '.join(roles)}", name="role")
    if who is not None and who not in thinkers:
        raise row.error(f"expected null or one of {', '.join(thinkers)}", name="thinkers")
    parts = row.value("parts")
    if not isinstance(parts, list):
        raise row.error("expected a list", name="parts")
    found = KeptPrompt(
        roles[role],
        row.text("task"),
        row.integer("shots", 0, MOST_SHOTS),
        None if who is None else thinkers[str(who)],
        row.text("id"),
        tuple(
            tuple(_hash(row, one, "parts") for one in row.readables(part, "parts"))
            if isinstance(part, list)
            else row.readable(part, "parts")
            for part in parts
        ),
        row.where,
    )
    if found.sha256 != row.text("prompt_sha256"):
        raise row.error("the prompt is not the one of this hash", name="prompt_sha256")
    return found


def _hash(row: Row, text: str, name: str) -> str:
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise row.error("expected 64 hexadecimal digits in lower case", name=name)
    return text


def _write(path: Path, head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    def lines() -> Iterable[str]:
        yield json.dumps({"schema": LAYOUT, **head}, ensure_ascii=False) + "\n"
        yield from (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    write_lines(path, lines())


def _read(path: Path, what: str) -> list[Row]:
    """The lines behind the first one, which says how many they are."""
    from medbench_local.files.readers import json_lines  # only who looks at them needs it

    rows = json_lines(SourceFile(path))
    head = next(rows, None)
    if head is None:
        raise InputError(path, "", f"it is empty; expected {what}", advice=_ADVICE)
    layout = head.value("schema")
    if layout != LAYOUT or isinstance(layout, bool):
        raise head.error(f"expected {LAYOUT}: it is of another version", name="schema")
    count = head.integer(what, 0, 2**53)
    found = list(rows)
    if len(found) != count:
        raise InputError(
            path,
            "",
            f"expected {count:,} {what} as its first line says, found {len(found):,}",
            advice=_ADVICE,
        )
    return found
