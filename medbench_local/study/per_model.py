"""Options that the two models may have different values of: what is given for both, or for each, is read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError, UsageError
from medbench_local.files.json_objects import read_text
from medbench_local.paths import user_path
from medbench_local.prompts.prompting import MODELS, PLAIN_TEXT, PerModel
from medbench_local.text import is_whole


def check_per_model(name: str, value: Any, kinds: tuple[type, ...]) -> None:
    """Refuse what is no text (or path), or is for nobody.

    Args:
        name: of the option.
        value: as a user gave it.
        kinds: what a value may be.

    Raises:
        UsageError: it is something else.
    """
    several = isinstance(value, Mapping)
    if several and not (value and set(value) <= set(MODELS)):
        raise UsageError(
            f"`{name}=` must be for {' or '.join(MODELS)}, not {', '.join(map(str, value)) or 'nobody'}."
        )
    for one in value.values() if several else [value]:
        if not isinstance(one, kinds):
            raise UsageError(f"`{name}=` must be text, not {one!r}.")
        if not is_whole(str(one)):  # a shell's other encoding
            raise UsageError(
                f"`{name}=` is not UTF-8 text.", advice="Give it in the encoding of the terminal."
            )


def resolved(value: Any, read: Callable[[Any], str]) -> PerModel:
    """What is given, with files read; equal values for both models are one value."""
    if value is None or not isinstance(value, Mapping):
        return None if value is None else read(value)
    found = {name: read(value[name]) for name in MODELS if name in value}
    return found["medical"] if len(found) == len(MODELS) and len(set(found.values())) == 1 else found


def need_one_model(**given: PerModel) -> None:
    """Refuse values for one of two models where there is only one.

    Raises:
        UsageError: one is given so.
    """
    for name, value in given.items():
        if isinstance(value, Mapping):
            raise UsageError(
                f"Here is one model only: `{name}=` takes one value, not one for {' or '.join(value)}."
            )


def system_prompt_text(given: str) -> str:
    """A system prompt: the text itself, or after "@" the file that holds it, without a line break at its end.

    Raises:
        UsageError: the text is the name of a file.
        InputError: the file cannot be read.
    """
    if given.startswith("@"):
        return _text_of(user_path(given[1:])).removesuffix("\n")
    if _is_file(given):
        raise UsageError(
            f"`system_prompt=` is the name of a file: {given}.",
            advice=f"Write @{given} for the text in it. A prompt that is just this name can be given in a file, too.",
        )
    return given


def chat_template_text(given: str | Path) -> str:
    """The text of a file with a chat template; "none" stays.

    Raises:
        InputError: the file cannot be read, is empty, or holds no valid template.
    """
    if str(given) == PLAIN_TEXT:
        return PLAIN_TEXT
    from medbench_local.prompts.chat_template import check_template  # slow to import

    path = user_path(given)
    text = _text_of(path)
    if not text.strip():
        raise InputError(path, "", "it is empty; a Jinja chat template is expected")
    check_template(text, origin=str(path))
    return text


def _text_of(path: Path) -> str:
    text = read_text(path).removeprefix("\ufeff")
    if "\0" in text:
        raise InputError(path, "", "it holds a NUL character, so it is no text")
    return text


def _is_file(text: str) -> bool:
    if not text or "\n" in text:
        return False
    try:
        return user_path(text).is_file()
    except (OSError, ValueError, UsageError):  # too long for a name, or none at all
        return False
