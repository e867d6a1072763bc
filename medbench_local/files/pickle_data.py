"""Pickles as data: the part of the format that describes tensors, texts, lists and mappings, and nothing else.

A pickle is a program. Python's own unpickler, even with an allow-list, lets it set attributes of whatever
it may name and allocate memory at will. The few instructions that PyTorch writes are interpreted here
instead, on plain lists and dictionaries; a global is only ever a name.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class PickleError(ValueError):
    """The pickle is damaged or asks for something that is not allowed."""


@dataclass(frozen=True)
class Global:
    """A name that the pickle mentions, "torch.HalfStorage"."""

    name: str


_MARK = object()
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def load_pickle(
    data: bytes, *, calls: Mapping[str, Callable[..., Any] | None], persistent: Callable[[Any], Any]
) -> Any:
    """Interpret a pickle.

    Args:
        data: the pickle.
        calls: what may be named; what to do in place of calling it, or None if it may only be named. The
            replacements get lists, dictionaries, tuples, numbers, strings, `Global` and what they returned.
        persistent: what a persistent id (PyTorch: a storage) becomes.

    Returns:
        The value that the pickle describes.

    Raises:
        PickleError: damaged, or anything outside what is allowed. Nothing is imported or executed in any
            case.
    """
    machine = _Machine(calls, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except PickleError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise PickleError(f"damaged ({error})") from error
    raise PickleError("damaged (it has no end)")


class _Machine:
    """The stack, and the memory of values to come back to."""

    def __init__(
        self, calls: Mapping[str, Callable[..., Any] | None], persistent: Callable[[Any], Any]
    ) -> None:
        self.calls = calls
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleError("damaged (a mark in place of a value)")
        return value

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise PickleError(f"damaged (no {kind.__name__} to fill)")
        return self.stack[-1]

    def to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def step(self, name: str, argument: Any) -> None:
        if name in ("PROTO", "FRAME"):
            return
        if name == "MARK":
            self.stack.append(_MARK)
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            value = self.pop()
            self.memory[len(self.memory) if argument is None else argument] = value
            self.stack.append(value)
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memory[argument])
        else:
            self.build(name, argument)

    def build(self, name: str, argument: Any) -> None:
        if name in _TUPLES:
            self.stack.append(tuple([self.pop() for _ in range(_TUPLES[name])][::-1]))
        elif name == "TUPLE":
            self.stack.append(tuple(self.to_mark()))
        elif name == "APPEND":
            value = self.pop()
            self.top(list).append(value)
        elif name == "APPENDS":
            values = self.to_mark()
            self.top(list).extend(values)
        elif name == "SETITEM":
            value, key = self.pop(), self.pop()
            self.fill([key, value])
        elif name == "SETITEMS":
            self.fill(self.to_mark())
        elif name == "BUILD":
            # the attribute `_metadata` of a state dict: of no use here
            self.pop()
            self.top(dict)
        elif name == "BINPERSID":
            self.stack.append(self.persistent(self.pop()))
        else:
            self.refer(name, argument)

    def fill(self, values: list[Any]) -> None:
        keys = values[::2]
        # hashing a deeply nested tuple overflows the C stack
        if not all(isinstance(key, str | int) for key in keys):
            raise PickleError("it has a key that is neither a name nor a number")
        self.top(dict).update(zip(keys, values[1::2], strict=True))

    def refer(self, name: str, argument: Any) -> None:
        if name == "GLOBAL":
            self.stack.append(self.allowed(str(argument).replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            self.stack.append(self.allowed(f"{module}.{attribute}"))
        elif name == "REDUCE":
            arguments, function = self.pop(), self.pop()
            replacement = self.calls.get(function.name) if isinstance(function, Global) else None
            if replacement is None or not isinstance(arguments, tuple):
                raise PickleError("it calls what may only be named")
            self.stack.append(replacement(*arguments))
        else:
            raise PickleError(f"it uses the instruction {name}, which plain data does not need")

    def allowed(self, name: str) -> Global:
        if name not in self.calls:
            raise PickleError(f"it refers to {name[:200]!r}, which plain data does not need")
        return Global(name)
