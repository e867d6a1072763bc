"""A Jinja environment for chat templates that come with models.

Templates are programs from outside. Jinja's immutable sandbox refuses private attributes and changes to what
is passed in; beyond that, loops, calls and the texts they make are bounded here, so that a template can
neither hang nor fill the memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, NoReturn

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from medbench_local.prompts.day import written_day

MAX_STEPS = 200_000
"""Most rounds of loops, calls and hundreds of items filtered in one rendering."""

MAX_SIZE = 10_000_000
"""Most characters of a rendering, and most characters or items of anything put together on the way."""


class _GenerationBlock(Extension):
    """`{% generation %}` marks what the assistant says, for training; it changes nothing in the text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


class _Bound(NodeTransformer):
    """Sends what loops run over, and what is concatenated, through filters that count and measure."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        self.generic_visit(node)
        if node.recursive:
            raise SecurityError("recursive loops are refused")
        node.iter = nodes.Filter(node.iter, "counted", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "concatenated", [], [], None, None, lineno=node.lineno)


class _Names(Namespace):
    """`namespace()`, without names that Python gives a meaning of its own."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # so that a name may be "self"
        names = dict(*args[1:], **kwargs)
        for name in names:
            _refuse_own_names(name)
        Namespace.__init__(args[0], names)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_own_names(name)
        Namespace.__setitem__(self, name, value)


class _Dict:
    """`dict()`, without the methods of the class, which would change the dictionaries that are passed in."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """As `dict.fromkeys`."""
        return dict.fromkeys(*args)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox with the helpers that chat templates expect, and with bounds; for one thread."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationBlock]
        )
        self._steps = 0
        self.filters = {name: self._bounded(function) for name, function in self.filters.items()}
        self.filters |= {"tojson": _to_json, "counted": self._counted, "concatenated": self._concatenated}
        del self.filters["format"]
        self.globals = {
            "range": self._range,
            "namespace": _Names,
            "dict": _Dict(),
            "cycler": Cycler,
            "joiner": Joiner,
            "raise_exception": _raise_exception,
            "strftime_now": written_day,
        }

    def template(self, source: str) -> Template:
        """A template ready to render.

        Raises:
            TemplateSyntaxError: it is not valid Jinja.
            SecurityError: it does what templates may not.
        """
        tree = _Bound().visit(self.parse(source))
        return Template.from_code(self, self.compile(tree), self.make_globals(None))

    def text(self, template: Template, names: Mapping[str, Any]) -> str:
        """What a template makes of the names it is given.

        Raises:
            Exception: any; the template's own, or a SecurityError where it went too far.
        """
        self._steps = 0
        written: list[str] = []
        size = 0
        for part in template.generate(names):
            size += len(part)
            if size > MAX_SIZE:
                raise SecurityError(f"more than {MAX_SIZE} characters are written")
            written.append(part)
        return "".join(written)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Calls count; numbers handed over and results are measured."""
        self._spend(1)
        _refuse_large_numbers(args, kwargs)
        return _measured(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Sums and products are measured before they are made; "%" does not format texts."""
        if operator == "+" and _size(left) + _size(right) > MAX_SIZE:
            raise SecurityError("a sum grows too large")
        if operator == "*" and max(_size(left) * _number(right), _number(left) * _size(right)) > MAX_SIZE:
            raise SecurityError("a repetition grows too large")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("formatting a text with % is refused")
        if operator in ("*", "**") and max(_number(left), _number(right)) > MAX_SIZE:
            raise SecurityError("a product grows too large")
        if operator == "**" and _number(right) > 64:
            raise SecurityError("a power grows too large")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Formatting texts is refused beside what the sandbox refuses: widths are not bounded."""
        if isinstance(obj, str) and attribute in ("format", "format_map"):
            return self.unsafe_undefined(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """See `getattr`: x["format"] is x.format."""
        if isinstance(obj, str) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise SecurityError(f"more than {MAX_STEPS} rounds of loops and calls")

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._spend(1)
            yield item

    def _range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        self._spend(1 + len(numbers))
        return numbers

    def _concatenated(self, parts: Sequence[Any]) -> str:
        texts = [str(part) for part in parts]
        if sum(map(len, texts)) > MAX_SIZE:
            raise SecurityError("a concatenation grows too large")
        return "".join(texts)

    def _bounded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            self._spend(1 + sum(_size(argument) for argument in args) // 100)
            _refuse_large_numbers(args, kwargs)
            return _measured(function(*args, **kwargs))

        return bounded


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict) else 0


def _number(value: Any) -> float:
    return abs(value) if isinstance(value, int | float) else 0


def _measured(value: Any) -> Any:
    if _size(value) > MAX_SIZE:
        raise SecurityError("a text or list grows too large")
    return value


def _refuse_large_numbers(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if any(_number(value) > MAX_SIZE for value in (*args, *kwargs.values())):
        raise SecurityError(f"a number above {MAX_SIZE} is passed on")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as chat templates expect it: not escaped for HTML, unlike Jinja's own."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse_own_names(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace holds no name that begins with an underscore, such as {name!r:.40}")


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
