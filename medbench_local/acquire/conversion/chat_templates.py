"""The chat templates of a checkpoint: which file has the last word, as in transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medbench_local.acquire.layout import CHAT_TEMPLATES
from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json_object, read_text

DEFAULT = "default"
"""The name of the template that is used unless asked otherwise."""

MAIN_FILE = "chat_template.jinja"


def read_chat_templates(folder: Path, config: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The chat templates by name, and what a person should know of them.

    ``chat_template.jinja`` and ``additional_chat_templates/*.jinja`` go before tokenizer_config.json, and that before
    ``chat_template.json``.

    Args:
        folder: with the tokenizer's files.
        config: tokenizer_config.json, empty if there is none.

    Raises:
        InputError: a file is damaged.
    """
    files = {path.stem: read_text(path) for path in sorted((folder / CHAT_TEMPLATES).glob("*.jinja"))}
    if (folder / MAIN_FILE).is_file():
        files[DEFAULT] = read_text(folder / MAIN_FILE)
        return files, _differing(files[DEFAULT], config.get("chat_template"))
    path, value = folder / "tokenizer_config.json", config.get("chat_template")
    if value is None and not files and (folder / "chat_template.json").is_file():
        path = folder / "chat_template.json"
        value = read_json_object(path).get("chat_template")
    found = _by_name(value)
    if found is None:
        raise InputError(path, "key 'chat_template'", "expected a text, or a list of names and templates")
    found |= files
    warnings = []
    if found and DEFAULT not in found:
        warnings.append(
            f"None of the chat templates ({', '.join(found)}) is the default one: prompts are plain text unless "
            "`chat_template=` gives one."
        )
    return found, warnings


def _differing(used: str, other: Any) -> list[str]:
    """A warning if tokenizer_config.json holds another template; a last line break is not rendered."""
    held = (_by_name(other) or {}).get(DEFAULT)
    if held is None or held.removesuffix("\n") == used.removesuffix("\n"):
        return []
    return [
        f"{MAIN_FILE} and tokenizer_config.json hold different chat templates; that of {MAIN_FILE} is used, as in "
        "transformers."
    ]


def _by_name(value: Any) -> dict[str, str] | None:
    """What a configuration has under "chat_template"; None if it is malformed."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: value}
    if isinstance(value, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("template"), str)
        for entry in value
    ):
        return {entry["name"]: entry["template"] for entry in value}
    return None
