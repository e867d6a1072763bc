"""The command line's parameters of the options that `CompareOptions` describes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from rich.markup import escape

from medbench_local.cli import complete, parse
from medbench_local.study.options import (
    MODEL,
    CompareOptions,
    about,
    described_fields,
    is_per_model,
    is_several,
    types_of,
    without_none,
)

MODEL_HELP = escape(f"{MODEL[0].upper()}{MODEL[1:]}.")
"""What a model's name may be."""

_PLACE = "asked"
"""The parameter of a command that the options are put in the place of."""

Json = Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")]

C = TypeVar("C", bound=CompareOptions)


def takes(kind: type[C], *names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of ``kind``, which arrive as one value in its parameter ``asked``.

    Args:
        kind: the dataclass whose fields are the options.
        names: those that the command has; all if none is named.
    """
    types = types_of(kind)
    chosen = [one for one in described_fields(kind) if not names or one.name in names]
    assert len(chosen) == len(names) or not names, names

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            if parameter.name == _PLACE:
                parameters += [_parameter(one, types[one.name]) for one in chosen]
            else:
                parameters.append(parameter)

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {one.name: _given(one, types[one.name], values.pop(one.name)) for one in chosen}
            command(**values, **{_PLACE: kind(**given)})

        keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        run.__signature__ = own.replace(parameters=keyword)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in keyword}
        return run

    return wrap


def given(asked: CompareOptions) -> dict[str, Any]:
    """The keywords of the Python function that takes the same options."""
    return {one.name: getattr(asked, one.name) for one in described_fields(type(asked))}


def flag(name: str) -> str:
    """How the command line writes an argument: "--data-dir" for "data_dir"."""
    return f"--{name.replace('_', '-')}"


def _parameter(one: Field[Any], type_: Any) -> inspect.Parameter:
    known = about(one)
    help = known.help
    if is_several(type_):
        help = f"{help.rstrip('.')}, separated by commas."
    if known.unset and one.default is None:
        help += escape(f"  [default: {known.unset}]")
    if is_per_model(type_):
        help += f" Two models: {flag(one.name)} medical=… {flag(one.name)} base=…, or one of them."
    names = f"{flag(one.name)}/--no-{flag(one.name)[2:]}" if known.switch else flag(one.name)
    shown = _written(type_)
    default: Any = inspect.Parameter.empty if one.default is MISSING else one.default
    if isinstance(shown, type) and issubclass(shown, Enum) and isinstance(default, str):
        default = shown(default)
    if one.default is None:
        shown = shown | None
    return inspect.Parameter(
        one.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[
            shown,
            typer.Option(
                names,
                help=help,
                metavar="<str>" if is_per_model(type_) else None,
                autocompletion=complete.OPTIONS.get(one.name),
            ),
        ],
    )


@functools.cache
def _choices(values: tuple[str, ...]) -> Any:
    """The values of an option that has only these, as an enumeration."""
    return Enum("Choice", {value: value for value in values}, type=str)


def _written(type_: Any) -> Any:
    """The type of an option as the command line reads it."""
    if is_per_model(type_):
        return list[str]
    type_ = without_none(type_)
    if get_origin(type_) is Literal:
        return _choices(get_args(type_))
    return type_ if type_ in (bool, int, float, Path) else str


def _given(one: Field[Any], type_: Any, value: Any) -> Any:
    """The value of an option as the dataclass has it."""
    if is_per_model(type_):
        return parse.per_model(value, flag(one.name))
    if is_several(type_):
        numbers = get_args(without_none(type_)) == (int,)
        return parse.numbers(value, flag(one.name)) if numbers else parse.names(value)
    return value.value if isinstance(value, Enum) else value
