"""The command that computes a run anew, as it would be typed: one line, quoted for a POSIX shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

from medbench_local.catalog.protocol import Protocol, load_protocol, protocol_names
from medbench_local.paths import without_home
from medbench_local.study.options import CompareOptions, ResolvedOptions, about, described_fields

_HOME = f"~{os.sep}"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def command_of(medical: str, base: str, options: ResolvedOptions, *, quant: str | None = None) -> str:
    """The command of a comparison; "" where it cannot be typed: a protocol that is in no file was handed over.

    Args:
        medical, base: as they were named.
        options: of the comparison; its ``output`` and its data's folder count as they are now.
        quant: the precision that was chosen because none was asked for, which another machine may not choose.
    """
    given = options.asked
    words = ["medbench-local", "compare", medical, base]
    for one in described_fields(CompareOptions):
        value = getattr(given, one.name)
        if one.name in ("output", "data_dir"):
            value = getattr(options, one.name)
        if one.name == "quant" and value is None:
            value = quant
        if isinstance(value, Protocol):
            if value.name not in protocol_names() or load_protocol(value.name) != value:
                return ""
            value = value.name
        if value is not None and value != one.default:
            words += _typed(one, value)
    return " ".join(map(quoted, words))


def _typed(one: Field[Any], value: Any) -> Iterator[str]:
    """An option and its value."""
    name = one.name.replace("_", "-")
    flag = f"--{name}"
    if isinstance(value, bool):
        yield flag if value or not about(one).switch else f"--{'no-'}{name}"
    elif isinstance(value, Mapping):
        for model, each in value.items():
            yield from (flag, f"{model}={each}")
    elif isinstance(value, Iterable) and not isinstance(value, str):
        yield from (flag, ",".join(map(str, value)))
    else:
        yield from (flag, str(value))


def quoted(word: str | Path) -> str:
    """A word as a POSIX shell reads it back, in one line; the user's home folder in front is ``~``."""
    text: str = without_home(str(word))
    if _CONTROL.search(text):
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return "$'" + _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", escaped) + "'"
    if text.startswith(_HOME):  # which a shell knows unless it is quoted
        return _HOME + shlex.quote(text.removeprefix(_HOME)) if len(text) > len(_HOME) else text
    return shlex.quote(text)
