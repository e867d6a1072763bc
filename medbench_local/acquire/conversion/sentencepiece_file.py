"""What a SentencePiece file says that the sentencepiece library does not tell: the type of every piece."""

from __future__ import annotations

from collections.abc import Iterator

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""As in sentencepiece_model.proto."""


def piece_types(model: bytes) -> Iterator[int]:
    """The type of each piece of a serialised model.

    Field 1 of a ModelProto is a piece, field 3 of a piece its type, normal if it is not there
    (sentencepiece_model.proto). The library tells all types but that of symbols that users defined.
    """
    for number, piece in _fields(model):
        if number == 1 and isinstance(piece, bytes):
            yield next(
                (value for field, value in _fields(piece) if field == 3 and type(value) is int), NORMAL
            )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message in the format of protocol buffers."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at
