"""What was computed last, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key; those that were asked for longest ago make room for others.

    Args:
        most: bytes of all of them together; the last one is kept however large it is.
        size: bytes of one.
    """

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._most, self._size = most, size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self.nbytes = 0

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of a key, computed if it is not there (any more)."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = compute()
        self._values[key] = value
        self.nbytes += self._size(value)
        while self.nbytes > self._most and len(self._values) > 1:
            self.nbytes -= self._size(self._values.popitem(last=False)[1])
        return value
