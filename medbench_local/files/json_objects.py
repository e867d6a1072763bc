"""JSON from outside: read whole, refused clearly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.readers import open_bytes
from medbench_local.files.rows import SourceFile

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


def read_json(file: SourceFile) -> Any:
    """What a JSON file, gzipped if its name ends in ".gz", holds.

    Raises:
        InputError: it does not exist, cannot be read, is implausibly large, is not UTF-8 or not JSON, or repeats a
            key.
    """
    with open_bytes(file) as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InputError(str(file), "", f"larger than {LARGEST >> 20} MiB, too large for what it should be")
    return parse_json(data, file)


def parse_json_object(data: bytes, path: Path, where: str = "") -> dict[str, Any]:
    """Parse ``data``, found at ``where`` in ``path``.

    Raises:
        InputError: as `read_json_object`.
    """
    value = parse_json(data, path, where)
    if not isinstance(value, dict):
        raise InputError(path, where, "expected a JSON object")
    return value


def parse_json(data: bytes, path: Path | SourceFile, where: str = "") -> Any:
    """The value that ``data``, found at ``where`` in ``path``, stands for.

    Raises:
        InputError: it is not UTF-8 or not JSON, or repeats a key.
    """
    lead = f"{where}, " if where else ""
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"{lead}byte {error.start}", "not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise InputError(str(path), f"{lead}line {error.lineno}", f"not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), where, f"not valid JSON: {error}") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key!r:.80} is given twice")
        result[key] = value
    return result
