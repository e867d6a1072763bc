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
from medbench_local.prompts.template_limits import COSTLY, TemplateLimits


@dataclass
class _Loaded:
    """A template, and the seconds it may still take."""

    template: Template
    left: float


def main() -> None:
    """Answer until the parent is gone; its first message has the limits."""
    channel = Channel()
    limits = TemplateLimits(**channel.receive())
    _limit_memory(limits.memory)
    environment = ChatEnvironment()
    loaded: dict[str, _Loaded] = {}
    while True:
        channel.send(_answer(channel.receive(), limits, environment, loaded))


def _limit_memory(most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent looks from time to time
        return
    for kind, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, most)):
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # macOS refuses that of addresses; likewise
            continue


def _limit_time(until: float) -> None:
    """End in the middle of a rendering whose parent was killed: nobody else would end it."""
    try:
        import resource
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(until) + 1
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if most == resource.RLIM_INFINITY else min(soft, most), most)
    )


def _answer(
    message: Mapping[str, Any],
    limits: TemplateLimits,
    environment: ChatEnvironment,
    loaded: dict[str, _Loaded],
) -> dict[str, Any]:
    """A rendering, or why there is none."""
    began = time.process_time()
    _limit_time(began + 2 * limits.credit)
    name: str = message["template"]
    try:
        if name not in loaded:
            loaded[name] = _Loaded(environment.template(message["source"]), limits.credit)
        text = "" if message["names"] is None else environment.text(loaded[name].template, message["names"])
    except MemoryError:
        answer: dict[str, Any] = {"error": COSTLY, "message": "it takes too much memory", "line": None}
    except Exception as error:  # whatever a template runs into is the template's error
        answer = {"error": type(error).__name__, "message": str(error)[:300]}
        answer["line"] = getattr(error, "lineno", None)
    else:
        answer = {"text": text}
    if name in loaded:
        one = loaded[name]
        one.left += limits.each - (time.process_time() - began)
        if one.left < 0:
            return {"error": COSTLY, "message": "its renderings take too long", "line": None}
    return answer
