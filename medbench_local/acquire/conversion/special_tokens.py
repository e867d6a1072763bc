"""Which tokens begin and end a text, whether they are added to it, and the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.acquire.conversion.token import Token
from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json_object, read_text

KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class SpecialTokens:
    """What a tokenizer's configuration says beside its tokens.

    Attributes:
        ids: by kind, one of ``KINDS``; kinds without a token are absent.
        add: "bos" and "eos": whether the tokenizer puts the token before or after a text; absent if it does
            not say.
        chat_templates: by name; the one that is used unless asked otherwise is "default".
        warnings: what a person should know.
    """

    ids: dict[str, int]
    add: dict[str, bool]
    chat_templates: dict[str, str]
    warnings: tuple[str, ...]


def read_special_tokens(
    folder: Path,
    config: dict[str, Any],
    tokenizer: dict[str, Any],
    tokens: Sequence[Token],
    model: Mapping[str, Any],
) -> SpecialTokens:
    """Resolve the special tokens: tokenizer files first, then config.json, as llama.cpp's converter does.

    Args:
        folder: with the tokenizer's files.
        config: tokenizer_config.json, empty if there is none.
        tokenizer: tokenizer.json, empty if there is none.
        tokens: the vocabulary as it will be written.
        model: config.json.

    Raises:
        InputError: a file is damaged.
    """
    names = {kind: name for kind in KINDS if (name := _name(config.get(f"{kind}_token")))}
    add, warnings = _added_by_template(tokenizer, names)
    for kind in ("bos", "eos"):
        if isinstance(value := config.get(f"add_{kind}_token"), bool):
            add.setdefault(kind, value)
    listed = {
        entry["content"]: entry["id"]
        for entry in reversed(tokenizer.get("added_tokens") or [])
        if isinstance(entry, dict) and {"content", "id"} <= entry.keys()
    }
    texts = {token.text: i for i, token in enumerate(tokens)}
    ids: dict[str, int] = {}
    for kind in KINDS:
        name = names.get(kind, "")
        candidates = [listed.get(name), model.get(f"{kind}_token_id")]
        if kind in ("bos", "eos"):
            candidates.append(texts.get(name))
        found = next((i for i in candidates if type(i) is int and i >= 0), None)
        if found is not None and found < len(tokens):
            ids[kind] = found
        elif found is not None:
            warnings.append(
                f"The {kind} token has the id {found}, beyond the vocabulary of {len(tokens)}; ignored."
            )
    return SpecialTokens(ids, add, _chat_templates(folder, config), tuple(warnings))


def _name(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _added_by_template(tokenizer: dict[str, Any], names: dict[str, str]) -> tuple[dict[str, bool], list[str]]:
    """What tokenizer.json puts around a text; names that nothing else gives are learnt from it."""
    add: dict[str, bool] = {}
    warnings: list[str] = []
    whole = tokenizer.get("post_processor")
    steps = whole.get("processors", [whole]) if isinstance(whole, dict) else []
    for step in steps if isinstance(steps, list) else []:
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "ByteLevel":
            add.setdefault("bos", False)
            add.setdefault("eos", False)
        single = step.get("single") if kind == "TemplateProcessing" else None
        if not isinstance(single, list) or len(single) < 2:
            continue
        for end, entry in (("bos", single[0]), ("eos", single[-1])):
            special = entry.get("SpecialToken") if isinstance(entry, dict) else None
            text = special.get("id") if isinstance(special, dict) else None
            if isinstance(text, str):
                add[end] = names.setdefault(end, text) == text
                if not add[end]:
                    warnings.append(
                        f"The tokenizer puts {text!r} around a text, which is not its {end} token."
                    )
    return add, warnings


def _chat_templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    path, value = folder / "tokenizer_config.json", config.get("chat_template")
    if value is None and (folder / "chat_template.jinja").is_file():
        return {"default": read_text(folder / "chat_template.jinja")}
    if value is None and (folder / "chat_template.json").is_file():
        path = folder / "chat_template.json"
        value = read_json_object(path).get("chat_template")
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    if isinstance(value, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("template"), str)
        for entry in value
    ):
        return {entry["name"]: entry["template"] for entry in value}
    raise InputError(path, "key 'chat_template'", "expected a text, or a list of names and templates")
