"""YAML files into typed objects, with the line of whatever is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import Self

from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_text

Model = TypeVar("Model", bound=BaseModel)

_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader of libyaml, ten times as fast, where this PyYAML was built with it."""

LARGEST = 256 << 10
"""Characters; protocols and descriptions of data sets have some thousand."""

MOST_NODES = 100_000
"""Values of a file, each counted wherever it is referred to."""

DATA = Path(__file__).parent / "data"
"""The catalog's own YAML files."""


_EXPECTED = {
    **dict.fromkeys(["tuple_type", "list_type"], "a list"),
    **dict.fromkeys(["dict_type", "model_type", "model_attributes_type"], "a mapping of keys to values"),
    "string_type": "a text",
    **dict.fromkeys(["int_type", "int_parsing", "int_from_float"], "a whole number"),
    **dict.fromkeys(["float_type", "float_parsing"], "a number"),
    **dict.fromkeys(["bool_type", "bool_parsing"], "true or false"),
}
"""What pydantic's kinds of mistakes come down to."""


class StrictModel(BaseModel):
    """Base of everything read from YAML: immutable, unknown keys refused, as is one key under two of its names.

    Attributes:
        RETIRED: keys that older files hold and nothing reads any more, with the reason; they are accepted and ignored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    RETIRED: ClassVar[Mapping[str, str]] = {}
    _ignored: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _read_older_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        _refuse_two_names(cls, data)
        if not cls.RETIRED:
            return handler(data)
        made = handler({key: value for key, value in data.items() if key not in cls.RETIRED})
        made._ignored = tuple(f"'{key}' is ignored: {why}" for key, why in cls.RETIRED.items() if key in data)
        return made

    @property
    def ignored(self) -> tuple[str, ...]:
        """One sentence for each key of an older file that no longer means anything."""
        return self._ignored


def _refuse_two_names(model: type[BaseModel], data: Mapping[Any, Any]) -> None:
    for field in model.model_fields.values():
        names = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else ()
        given = [str(name) for name in names if name in data]
        if len(given) > 1:
            error = PydanticCustomError(
                "two_names",
                "this is the old name of '{name}', which is given too: keep one of them",
                {"name": given[0]},
            )
            raise ValidationError.from_exception_data(
                model.__name__, [InitErrorDetails(type=error, loc=(given[1],), input=None)]
            )


def read_yaml(path: Path, model: type[Model]) -> Model:
    """Read ``path`` as an object of type ``model``.

    Raises:
        InputError: the file cannot be read, is not YAML, repeats a key, or a value does not fit; the error
            names the line and the key.
    """
    text = read_text(path)
    if len(text) > LARGEST:
        raise InputError(path, "", f"larger than {LARGEST >> 10} KiB, too large for what it should be")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _expanded(node, {}) > MOST_NODES:
            raise InputError(
                path, "", f"more than {MOST_NODES:,} values, by references to other places of it"
            )
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}" if mark else ""
        raise InputError(path, line, f"not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(path, "", f"not valid YAML: {error}") from error
    if not isinstance(node, yaml.MappingNode):
        raise InputError(path, "line 1", "expected a mapping of keys to values")
    _refuse_repeated_keys(path, node, set())
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _as_input_error(path, node, error, model) from error


def read_built_in(path: Path, model: type[Model]) -> Model:
    """`read_yaml` for a file that comes with the package: fast, and without the search for repeated keys.

    Raises:
        InputError: the package is damaged.
    """
    try:
        return model.model_validate(_FAST(read_text(path)).get_single_data())  # safe: plain data only
    except (yaml.YAMLError, ValueError):
        return read_yaml(path, model)


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a part of a file stands for, if each reference to another part is replaced by that."""
    if id(node) not in known:
        known[id(node)] = 0  # while it is counted: one that refers to itself is refused for what it is
        parts = node.value if isinstance(node.value, list) else []
        inner = (part for item in parts for part in (item if isinstance(item, tuple) else (item,)))
        known[id(node)] = 1 + sum(_expanded(part, known) for part in inner)
    return known[id(node)]


def _refuse_repeated_keys(path: Path, node: yaml.Node, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if name in keys:
                raise InputError(path, f"line {line}, key '{name}'", f"already given on line {keys[name]}")
            keys[name] = line
            _refuse_repeated_keys(path, value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(path, item, seen)


def _as_input_error(
    path: Path, node: yaml.Node, error: ValidationError, model: type[BaseModel]
) -> InputError:
    errors = error.errors(include_url=False)
    # An unknown key is often why another one is missing.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    location = tuple(part for part in first["loc"] if part != "[key]")
    place = f"line {_line_of(node, location)}"
    if location:
        place += f", key '{'.'.join(str(part) for part in location)}'"
    if first["type"] == "extra_forbidden":
        problem = "unknown key" + _known_keys(model, location)
    elif first["type"] == "missing":
        problem = "this key is required"
    else:
        problem = in_words(error)
    return InputError(path, place, problem)


def in_words(error: ValidationError) -> str:
    """The first thing that does not fit, in the words of YAML and JSON rather than Python's."""
    first = error.errors(include_url=False)[0]
    expected = _EXPECTED.get(first["type"])
    if expected is not None:
        problem = f"expected {expected}"
    else:
        problem = first["msg"].removeprefix("Value error, ")
        problem = problem[:1].lower() + problem[1:]
    given = first.get("input")
    if given is None:
        return f"{problem}, not nothing" if expected is not None else problem
    if isinstance(given, str | int | float | bool):
        shown = repr(given)
        problem += f", not {shown if len(shown) <= 80 else shown[:80] + '…'}"
    return problem


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> str:
    if len(location) != 1:
        return ""
    return f"; known are {', '.join(model.model_fields)}"


def _line_of(node: yaml.Node, location: Sequence[int | str]) -> int:
    """The line of the deepest part of ``location`` that the file has."""
    line = node.start_mark.line + 1
    current: Any = node
    for part in location:
        if isinstance(current, yaml.MappingNode):
            found = next(((k, v) for k, v in current.value if str(k.value) == str(part)), None)
            if found is None:
                break
            line, current = found[0].start_mark.line + 1, found[1]
        elif isinstance(current, yaml.SequenceNode) and isinstance(part, int) and part < len(current.value):
            current = current.value[part]
            line = current.start_mark.line + 1
        else:
            break
    return line
