"""JSON from outside: one set of rules for every file.

UTF-8, with or without a byte order mark; gzipped if the name ends in ".gz"; no key twice in one object; no deeper and
no longer numbers than Python takes. ``NaN`` and ``Infinity``, which JSON does not know but Python programs write, are
read unless ``constants`` is False.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from medbench_local.errors import InputError
from medbench_local.files.limits import MAX_VALUES
from medbench_local.files.rows import SourceFile, plain
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.streams import open_file, read_whole

LARGEST = 256 << 20
"""Bytes; the largest tokenizer.json in use is below 40 MB."""

BOM = b"\xef\xbb\xbf"


def read_text(path: Path) -> str:
    """The UTF-8 text of ``path``.

    Raises:
        InputError: it does not exist, is no file, may not be read, is implausibly large, or is not
            UTF-8.
    """
    refuse_stand_in_at(path)
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise InputError(path, "", "no such file") from error
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start}", "not UTF-8 text") from error
    except (OSError, ValueError) as error:
        raise InputError(path, "", f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(text) > LARGEST:
        raise InputError(path, "", f"larger than {LARGEST >> 20} MiB, too large for what it should be")
    return text


def read_json(file: Path | SourceFile, *, constants: bool = True) -> Any:
    """What a JSON file holds.

    Args:
        file: read as a whole; see `medbench_local.files.readers` for what is read piece by piece.
        constants: whether ``NaN`` and ``Infinity`` are read.

    Raises:
        InputError: it does not exist, cannot be read, is implausibly large, is not UTF-8 or not JSON, or repeats a
            key.
    """
    source = file if isinstance(file, SourceFile) else SourceFile(file)
    data = read_whole(source, LARGEST, f"larger than {LARGEST >> 20} MiB, too large for what it should be")
    return parse_json(data, source, constants=constants)


def read_json_object(file: Path | SourceFile, *, constants: bool = True) -> dict[str, Any]:
    """Read a JSON file whose outermost value is an object.

    Raises:
        InputError: as `read_json`, or it is not an object.
    """
    return _object(read_json(file, constants=constants), file, "")


def parse_json(
    data: bytes,
    file: Path | SourceFile,
    where: str = "",
    *,
    constants: bool = True,
    most_keys: int | None = None,
) -> Any:
    """The value that ``data``, found at ``where`` in ``file``, stands for.

    Args:
        data: JSON.
        file: what it is from.
        where: its place in there, or "".
        constants: whether ``NaN`` and ``Infinity`` are read.
        most_keys: of one object; None for as many as there are.

    Raises:
        InputError: with the place; as `read_json`.
    """
    lead = f"{where}, " if where else ""
    if len(data) > MAX_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        problem = f"more than {MAX_VALUES:,} values, too many for what it should be"
        raise InputError(str(file), where, problem)
    try:
        return json_decoder(constants=constants, most_keys=most_keys).decode(
            data.removeprefix(BOM).decode("utf-8")
        )
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 text (byte {error.start + 1}{' of the ' + where.split()[0] if where else ''})"
        raise InputError(str(file), where, problem) from error
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if not where or error.lineno > 1 else ""
        place = f"{lead}{line}column {error.colno}"
        raise InputError(str(file), place, f"not valid JSON: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(str(file), where or "line 1", f"not valid JSON: {reason(error)}") from error


def parse_json_object(data: bytes, file: Path | SourceFile, where: str = "") -> dict[str, Any]:
    """The object that ``data``, found at ``where`` in ``file``, stands for.

    Raises:
        InputError: as `parse_json`, or it is not an object.
    """
    return _object(parse_json(data, file, where), file, where)


class RepeatedKey(ValueError):
    """A JSON object gives one key twice."""


class TooManyKeys(ValueError):
    """A JSON object has more keys than it should."""


@lru_cache
def json_decoder(*, constants: bool = True, most_keys: int | None = None) -> json.JSONDecoder:
    """Python's decoder with the rules above; it raises ValueError and RecursionError, see `reason`."""

    def few(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if most_keys is not None and len(pairs) > most_keys:
            raise TooManyKeys(f"{len(pairs):,} keys in one object; at most {most_keys:,} are read")
        return _without_repeats(pairs)

    return json.JSONDecoder(
        object_pairs_hook=_without_repeats if most_keys is None else few,
        parse_constant=None if constants else _refuse_constant,
    )


def reason(error: ValueError | RecursionError) -> str:
    """Why a `json_decoder` refused, in words."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if "int_max_str_digits" in str(error):  # Python's own advice is for programs
        return "a whole number of thousands of digits"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _object(value: Any, file: Path | SourceFile, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(str(file), where or "line 1", "expected a JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise RepeatedKey(f"the key '{plain(twice)}' is given twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
