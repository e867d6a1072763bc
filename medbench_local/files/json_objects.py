"""JSON from outside: read whole, refused clearly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError

LARGEST = 256 << 20
"""Bytes; the largest tokenizer.json in use is below 40 MB."""


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file whose outermost value is an object.

    Raises:
        InputError: it does not exist, cannot be read, is implausibly large, is not UTF-8 or not JSON,
            repeats a key, or is not an object.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(path, "", f"larger than {LARGEST >> 20} MB, too large for what it should be")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(path, "", "no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(path, "", f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_json_object(data, path)


def parse_json_object(data: bytes, path: Path, where: str = "") -> dict[str, Any]:
    """Parse ``data``, found at ``where`` in ``path``.

    Raises:
        InputError: as `read_json_object`.
    """
    lead = f"{where}, " if where else ""
    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        raise InputError(path, f"{lead}byte {error.start}", "not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise InputError(path, f"{lead}line {error.lineno}", f"not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(path, where, f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(path, where, "expected a JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key!r:.80} is given twice")
        result[key] = value
    return result
