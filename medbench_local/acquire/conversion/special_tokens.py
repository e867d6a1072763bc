"""Which tokens begin and end a text, whether they are added to it, and what chat templates are told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.acquire.conversion.chat_templates import read_chat_templates
from medbench_local.acquire.conversion.token import Token
from medbench_local.files.json_objects import read_json_object

KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class SpecialTokens:
    """What a tokenizer's configuration says beside its tokens.

    Attributes:
        ids: by kind, one of ``KINDS``; kinds without a token are absent.
        add: "bos" and "eos": whether the tokenizer puts the token before or after a text; absent if it does
            not say.
        chat_templates: by name; the one that is used unless asked otherwise is "default".
        named: texts of special tokens by the names that the tokenizer gives them ("image_token"); None for a name that
            it gives to no token.
        warnings: what a person should know.
    """

    ids: dict[str, int]
    add: dict[str, bool]
    chat_templates: dict[str, str]
    named: dict[str, str | None]
    warnings: tuple[str, ...]


def read_special_tokens(
    folder: Path,
    config: dict[str, Any],
    tokenizer: dict[str, Any],
    tokens: Sequence[Token],
    model: Mapping[str, Any],
    own: Mapping[str, int],
) -> SpecialTokens:
    """Resolve the special tokens: the tokenizer's files decide, as in transformers; config.json fills what they leave.

    Args:
        folder: with the tokenizer's files.
        config: tokenizer_config.json, empty if there is none.
        tokenizer: tokenizer.json, empty if there is none.
        tokens: the vocabulary as it will be written.
        model: config.json; of a model with several parts, its "text_config" counts too.
        own: ids that the tokenizer's own file gives by kind, for where no file names a token.

    Raises:
        InputError: a file is damaged.
    """
    names = _names(folder, config)
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
        name, configured = names.get(kind, ""), _configured(model, kind)
        found = _first_id(listed.get(name))
        if found is None and kind in ("bos", "eos"):
            found = _first_id(texts.get(name))
            if found is None and not name and f"{kind}_token" not in config:
                found = _first_id(own.get(kind))
        if kind == "bos" and found is not None and _first_id(configured) not in (None, found):
            warnings.append(
                f"config.json says that the bos token is {configured}, the tokenizer's files say {found} "
                f"({name!r}); theirs is used."
            )
        if found is None:
            found = _first_id(configured)
        if found is not None and found < len(tokens):
            ids[kind] = found
        elif found is not None:
            warnings.append(
                f"The {kind} token has the id {found}, beyond the vocabulary of {len(tokens)}; ignored."
            )
    templates, odd = read_chat_templates(folder, config)
    return SpecialTokens(ids, add, templates, _named(folder, config), (*warnings, *odd))


def _named(folder: Path, config: dict[str, Any]) -> dict[str, str | None]:
    """The special tokens by their names, as transformers hands them to chat templates.

    Every key that ends in "_token", and the entries of "extra_special_tokens"; where the configuration lists no added
    tokens, as in older checkpoints, special_tokens_map.json has the last word.
    """
    said = config
    older = folder / "special_tokens_map.json"
    if "added_tokens_decoder" not in config and older.is_file():
        said = config | read_json_object(older)
    extra = said.get("extra_special_tokens")
    listed = [(key, value) for key, value in said.items() if key.endswith("_token")]
    listed += extra.items() if isinstance(extra, dict) else []
    return {key: _name(value) for key, value in listed if value is None or _name(value) is not None}


def _names(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The text of each special token; of older models special_tokens_map.json decides, as in transformers."""
    names = {kind: name for kind in KINDS if (name := _name(config.get(f"{kind}_token")))}
    path = folder / "special_tokens_map.json"
    if "added_tokens_decoder" not in config and path.is_file():
        older = read_json_object(path)
        names |= {kind: name for kind in KINDS if (name := _name(older.get(f"{kind}_token")))}
    return names


def _configured(model: Mapping[str, Any], kind: str) -> Any:
    """What config.json says of a special token's id."""
    key, text = f"{kind}_token_id", model.get("text_config")
    if model.get(key) is None and isinstance(text, Mapping):
        return text.get(key)
    return model.get(key)


def _first_id(*candidates: Any) -> int | None:
    return next((i for i in candidates if type(i) is int and i >= 0), None)


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
