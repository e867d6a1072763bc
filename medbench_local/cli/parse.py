"""Values of options that are more than one word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medbench_local.errors import UsageError
from medbench_local.prompts.prompting import MODELS


def names(text: str | None) -> tuple[str, ...] | None:
    """``a,b`` as ("a", "b"); None stays None. A comma in the name of a file that is there is part of it.

    Raises:
        UsageError: nothing is named.
    """
    if text is None:
        return None
    from medbench_local.catalog.task import names_apart

    found = names_apart(text)
    if not found:
        raise UsageError(f"'{text}' names nothing.", advice="Separate names by commas, without blanks.")
    return found


def per_model(values: Sequence[str] | None, option: str) -> str | dict[str, str] | None:
    """``X`` for both models; ``medical=X``, ``base=Y`` or both, each given with the option, for each.

    Raises:
        UsageError: one model has two values, or there is one for both and another.
    """
    if not values:
        return None
    found: dict[str, str] = {}
    for value in values:
        model, mark, text = value.partition("=")
        if not mark or model not in MODELS:
            if len(values) > 1:
                raise UsageError(
                    f"{option} is given {len(values)} times, and not each time for another model.",
                    advice=f"Give it once for both models, or {option} medical=… and {option} base=….",
                )
            return value
        if model in found:
            raise UsageError(f"{option} is given twice for the {model} model.")
        found[model] = text
    return found


def numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """``0,3`` as (0, 3); None stays None.

    Raises:
        UsageError: something else than whole numbers of at most nine digits.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"\d{1,9}", part) for part in parts):
        raise UsageError(f"{option} needs whole numbers such as 0,3, not '{text}'.")
    return tuple(int(part) for part in parts)


def rows(text: str | None, option: str) -> tuple[int, ...] | slice | None:
    """``0,5,7`` as numbers, ``10:20`` (or ``:20``, ``10:``) as a slice; None stays None.

    Raises:
        UsageError: neither of the two.
    """
    if text is None:
        return None
    span = re.fullmatch(r"(\d{0,9}):(\d{0,9})", text.strip())
    if span is None:
        return numbers(text, option)
    first, last = (int(part) if part else None for part in span.groups())
    return slice(first, last)
