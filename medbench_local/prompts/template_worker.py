"""The process in which chat templates of models are rendered; `medbench_local.prompts.template_process` is its parent.

The sandbox keeps a template from files, attributes and other programs. What it costs cannot be kept small from
inside: one method of a text can take gigabytes, or minutes, in a single step. Hence a process of its own, which may
have so much memory and no more, and which its parent ends when one rendering takes too long.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Template

from medbench_local.engine.channel import Channel
from medbench_local.prompts.sandbox import ChatEnvironment

MEMORY = 1 << 30
"""Bytes of addresses this process may have, where the system can hold it to that; it starts with about a quarter."""

CREDIT, EACH = 4.0, 0.02
"""Seconds of processor that a template may take: so many at first, and so many more for each rendering."""

COSTLY = "TooCostly"
"""What stands in place of an exception's name where a template takes too much."""


@dataclass
class _Loaded:
    """A template, and the seconds it may still take."""

    template: Template
    left: float = CREDIT


def main() -> None:
    """Answer until the parent is gone."""
    _limit_memory()
    channel = Channel()
    environment = ChatEnvironment()
    loaded: dict[str, _Loaded] = {}
    while True:
        channel.send(_answer(channel.receive(), environment, loaded))


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent looks from time to time
        return
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ValueError, OSError):  # macOS refuses; likewise
        return


def _limit_time(used: float) -> None:
    """End in the middle of a rendering whose parent was killed: nobody else would end it."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = int(used + 2 * CREDIT) + 1
    resource.setrlimit(
        resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most)
    )


def _answer(
    message: Mapping[str, Any], environment: ChatEnvironment, loaded: dict[str, _Loaded]
) -> dict[str, Any]:
    """A rendering, or why there is none."""
    began = time.process_time()
    _limit_time(began)
    name: str = message["template"]
    try:
        if name not in loaded:
            loaded[name] = _Loaded(environment.template(message["source"]))
        text = "" if message["names"] is None else environment.text(loaded[name].template, message["names"])
    except Exception as error:  # whatever a template runs into is the template's error
        answer: dict[str, Any] = {"error": type(error).__name__, "message": str(error)[:2000]}
        answer["line"] = getattr(error, "lineno", None)
    else:
        answer = {"text": text}
    if name in loaded:
        one = loaded[name]
        one.left += EACH - (time.process_time() - began)
        if one.left < 0:
            return {"error": COSTLY, "message": "its renderings take too long", "line": None}
    return answer


if __name__ == "__main__":
    main()
