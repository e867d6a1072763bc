"""Functions whose arguments are the fields of a dataclass: in their signature, for type checkers, and in their help."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from textwrap import wrap as wrap_text
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from medbench_local.catalog.protocol import Protocol
from medbench_local.study.options import about, described_fields, types_of

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")

_WIDTH = 110
_PLACE = "{arguments}"
"""Where a docstring has the texts of the arguments."""


def arguments_of(kind: Callable[P, A]) -> Callable[[Callable[[A], R]], Callable[P, R]]:
    """Let a function of one value of the dataclass ``kind`` be called with the arguments that make one.

    The function's docstring has a line ``{arguments}``: there the texts of the fields are put.
    """

    def wrap(work: Callable[[A], R]) -> Callable[P, R]:
        signature = _signature(kind, get_type_hints(work)["return"])

        @functools.wraps(work)
        def function(*given: P.args, **named: P.kwargs) -> R:
            try:
                signature.bind(*given, **named)
            except TypeError as error:
                meant = _meant(named, signature)
                raise TypeError(f"{work.__name__}() {error}{meant}") from None
            return work(kind(*given, **named))

        del function.__wrapped__  # whose arguments are others
        function.__signature__ = signature  # type: ignore[attr-defined]
        function.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        function.__annotations__["return"] = signature.return_annotation
        if work.__doc__:
            function.__doc__ = work.__doc__.replace(f"    {_PLACE}\n", _texts(kind))
        return function

    return wrap


def _signature(kind: Any, returned: Any) -> inspect.Signature:
    types = types_of(kind, Protocol=Protocol)
    parameters = [
        one.replace(annotation=types[one.name]) for one in inspect.signature(kind).parameters.values()
    ]
    return inspect.Signature(parameters, return_annotation=returned)


def _meant(named: Mapping[str, Any], signature: inspect.Signature) -> str:
    """Which argument may be meant by a name that none has; "" if all have theirs, or none is like it."""
    for name in named:
        if name not in signature.parameters:
            near = difflib.get_close_matches(name, signature.parameters, n=2)
            return f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return ""


def _texts(kind: Any) -> str:
    """The section Args of a docstring; positional arguments first, as in the signature."""
    lines = []
    types = types_of(kind, Protocol=Protocol)
    for one in sorted(described_fields(kind), key=lambda one: bool(one.kw_only)):
        known = about(one)
        text = known.help.rstrip(".")
        if known.unset and one.default is None:
            text += f"; None for {known.unset}" if ";" not in known.unset else f" (None: {known.unset})"
        indent = " " * 8
        name = f"{one.name} ({_type_in_words(types[one.name])})"
        lines += wrap_text(
            f"{name}: {text}.",
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + " " * 4,
        )
    return "\n".join(["    Args:", *lines, ""])


def _type_in_words(type_: Any) -> str:
    """A type as a person writes it: "str or list of str"; that it may be None, its text says."""
    if get_origin(type_) is Literal:
        return " or ".join(map(repr, get_args(type_)))
    if get_origin(type_) in (Union, UnionType):
        parts = [_type_in_words(part) for part in get_args(type_) if part is not NoneType]
        return " or ".join(dict.fromkeys(parts))
    if get_origin(type_) is Sequence:
        (of,) = get_args(type_)
        return f"{'str or ' if of is str else ''}list of {_type_in_words(of)}"
    if get_origin(type_) is Mapping:
        return "dict of both"
    return getattr(get_origin(type_) or type_, "__name__", str(type_))
