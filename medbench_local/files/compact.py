"""Fields of values that are held by the ten thousand, kept in fewer bytes than Python's objects take.

A text takes about 50 bytes beside its characters and a float 32 with its place in a tuple: the options of a question
and their log-probabilities are mostly that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)


def kept_as(name: str, pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> Callable[[Kind], Kind]:
    """A decorator of frozen dataclasses: the field ``name`` is packed when it is set, unpacked when it is read.

    It stands above `dataclasses.dataclass`. The packed value is the attribute ``_<name>``, which a class with
    ``__slots__`` must have in place of the field.

    Args:
        name: the field; without a default.
        pack: from its value to what is kept.
        unpack: the inverse.
    """
    attribute = f"_{name}"

    def get(instance: Any) -> Any:
        return unpack(getattr(instance, attribute))

    def put(instance: Any, value: Any) -> None:
        object.__setattr__(instance, attribute, pack(value))

    def decorate(kind: Kind) -> Kind:
        setattr(kind, name, property(get, put))
        return kind

    return decorate


def joined(texts: Sequence[str]) -> str | tuple[str, ...]:
    """Several texts as one; as they are where one of them holds a NUL character, or there are none."""
    text = "\0".join(texts)
    return _once(text) if text.count("\0") + 1 == len(texts) else tuple(texts)


@lru_cache(maxsize=256)
def _once(text: str) -> str:
    """The same object for the same text: many questions have the same options."""
    return text


def divided(kept: str | tuple[str, ...]) -> tuple[str, ...]:
    """The inverse of `joined`."""
    return tuple(kept.split("\0")) if isinstance(kept, str) else kept


def doubles(values: Sequence[float]) -> bytes:
    """Float64 numbers, without loss."""
    return struct.pack(f"<{len(values)}d", *values)


def floats(kept: bytes) -> tuple[float, ...]:
    """The inverse of `doubles`."""
    return struct.unpack(f"<{len(kept) // 8}d", kept)
