"""Which column of a table is what, by their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase

from medbench_local.files.limits import MAX_KEYS

ROLES = ("question", "options", "answer", "id", "subject", "passage", "images", "split")
"""What a column may be; the first three are needed."""

_SINGLE = ("question", *ROLES[3:])

_NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "question": (
        ("question", "frage", "question text", "question stem", "fragetext", "fragestellung", "pregunta", "domanda"),
        ("stem", "prompt", "query", "text", "item", "input", "sentence"),
    ),
    "options": (
        (
            "options", "choices", "answer options", "answer choices", "answers", "optionen", "antworten",
            "alternatives", "antwortmöglichkeiten", "antwortmoeglichkeiten", "antwortoptionen", "endings", "candidates",
        ),
    ),
    "answer": (
        (
            "answer", "correct answer", "correct", "correct option", "correct choice", "answer idx", "answer index",
            "answer key", "answer letter", "right answer", "antwort", "richtige antwort", "korrekte antwort", "lösung",
            "loesung", "richtig", "richtige lösung", "solution", "respuesta", "réponse", "correct idx", "correct index",
        ),
        ("label", "gold", "target", "key", "cop"),
    ),
    "id": (
        ("id", "question id", "qid", "uid", "item id", "frage id", "fragen id", "nr", "no", "number", "nummer", "#"),
    ),
    "subject": (
        (
            "subject", "subject name", "topic", "category", "specialty", "speciality", "fach", "fachgebiet", "thema",
            "kategorie",
        ),
    ),
    "passage": (
        ("passage", "context", "vignette", "case", "abstract", "kontext", "fall", "fallbeschreibung"),
    ),
    "images": (("images", "image", "picture", "pictures", "image file", "image files", "bild", "bilder", "figure"),),
    "split": (("split", "partition", "aufteilung"),),
}  # fmt: skip
"""Names by role, in lower case with single blanks: the usual ones, then those that do if none of these is there."""

_OPTION = re.compile(
    r"(?P<stem>option|opt|op|choice|answer option|answer choice|answer|ans|antwortoption|antwortmöglichkeit|antwort"
    r"|auswahl|alternative|ending)? ?(?P<label>[a-z]|\d{1,2})"
)


class UnclearColumns(Exception):
    """The columns are not found; the text says which and what there is.

    Args:
        problem: a sentence.
        roles: what would have to be said.
    """

    def __init__(self, problem: str, roles: Sequence[str] = ROLES[:3]) -> None:
        super().__init__(problem)
        self.settles = {role: ["…", "…"] if role == "options" else "…" for role in roles}


@dataclass(frozen=True)
class Columns:
    """The names of the columns.

    Attributes:
        question, id, subject, passage, images, split: one name each; "" for none.
        options: one name for each option, in their order; or one that holds all of them.
        answers: one name, or several that have to agree.
    """

    question: str
    options: tuple[str, ...]
    answers: tuple[str, ...]
    id: str = ""
    subject: str = ""
    passage: str = ""
    images: str = ""
    split: str = ""

    def __str__(self) -> str:
        parts = [f"question is '{self.question}'", f"options are {_quoted(self.options)}"]
        parts.append(f"answer is {_quoted(self.answers)}")
        parts += [f"{role} is '{name}'" for role in ROLES[3:] if (name := getattr(self, role))]
        return ", ".join(parts)

    def with_those_of(self, other: Columns) -> Columns | None:
        """The columns of two files together, of which either may lack what is not needed; None if they differ."""
        both = {
            role: (getattr(self, role), getattr(other, role)) for role in ("options", "answers", *_SINGLE)
        }
        if any(own and others and own != others for own, others in both.values()):
            return None
        return replace(self, **{role: own or others for role, (own, others) in both.items()})

    def used(self) -> set[str]:
        """All columns that mean something."""
        return {self.question, *self.options, *self.answers, *(getattr(self, role) for role in ROLES[3:])} - {
            ""
        }


def find_columns(names: Sequence[str], named: Mapping[str, Sequence[str]]) -> Columns:
    """What each column is.

    Args:
        names: the columns, in order; "" for those without a name.
        named: columns by role, where somebody says so.

    Raises:
        UnclearColumns: one that is needed is missing, several may be meant, or a name that is said is not there.
    """
    here = [name for name in names if name]
    if len(here) > MAX_KEYS:
        raise UnclearColumns(f"There are {len(here):,} columns; at most {MAX_KEYS:,} are read.")
    for role, said in named.items():
        for name in said:
            if name not in here:
                raise UnclearColumns(
                    f"There is no column '{name}' for {role}; there are {_quoted(here)}.", [role]
                )
    found: dict[str, tuple[str, ...]] = {}
    taken = {name for said in named.values() for name in said}
    free = [name for name in here if name not in taken]
    for role in ROLES:
        found[role] = tuple(named[role]) if role in named else _by_name(role, free)
    if "options" not in named:
        apart = _options_apart(free)
        if apart and found["options"]:
            problem = f"Options may be {_quoted(found['options'])} or {_quoted(apart)}."
            raise UnclearColumns(problem, ["options"])
        found["options"] = found["options"] or apart
    missing = [role for role in ROLES[:3] if not found[role]]
    if missing:
        problem = f"No column is found for {' and '.join(missing)}; there are {_quoted(here) or 'none'}."
        raise UnclearColumns(problem, missing)
    for role in ROLES:
        single = role not in ("options", "answer")
        repeated = next((name for name in found[role] if here.count(name) > 1), None)
        if repeated is not None:
            raise UnclearColumns(f"The column '{repeated}' is there {here.count(repeated)} times.", [role])
        if len(found[role]) > 1 and (single or (role == "options" and _listed(found[role]))):
            raise UnclearColumns(f"The {role} may be any of {_quoted(found[role])}.", [role])
    one = {role: found[role][0] if found[role] else "" for role in ROLES}
    return Columns(
        question=one["question"],
        options=found["options"],
        answers=found["answer"],
        id=one["id"],
        subject=one["subject"],
        passage=one["passage"],
        images=one["images"],
        split=one["split"],
    )


def tidy_name(name: str) -> str:
    """A column's name in lower case, in words with single blanks: "answerIdx" and "Answer_IDX" are "answer idx"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return " ".join(re.sub(r"[^\w#]|_", " ", apart).casefold().split())


def _by_name(role: str, names: Sequence[str]) -> tuple[str, ...]:
    for tier in _NAMES[role]:
        found = tuple(name for name in names if tidy_name(name) in tier)
        if found:
            return found
    return ()


def _listed(names: Sequence[str]) -> bool:
    """Whether columns are several that each hold all options."""
    return all(tidy_name(name) in _NAMES["options"][0] for name in names)


def _options_apart(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of one option each, in the order of their letters or numbers; empty if there are none.

    Raises:
        UnclearColumns: one is missing between others, or there are two sets of them.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        match = _OPTION.fullmatch(tidy_name(name))
        if match:
            groups.setdefault(match["stem"] or "", {})[match["label"].lstrip("0") or "0"] = name
    sets = []
    for group in groups.values():
        for labels in (list(ascii_lowercase), [str(n) for n in range(1, 27)], [str(n) for n in range(26)]):
            there = [label for label in labels if label in group]
            if len(there) < 2 or there[0] != labels[0]:
                continue
            if there != labels[: len(there)]:
                missing = next(label for label in labels if label not in group)
                columns = _quoted([group[label] for label in there])
                problem = f"Option {missing.upper()} has no column, but there are {columns}."
                raise UnclearColumns(problem, ["options"])
            sets.append(tuple(group[label] for label in there))
            break
    if "0" in groups.get("", {}) and len(sets) > 1:
        sets = sets[:1]
    if len(sets) > 1:
        raise UnclearColumns(f"Options may be {' or '.join(_quoted(one) for one in sets)}.", ["options"])
    return sets[0] if sets else ()


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:26])
