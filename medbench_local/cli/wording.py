"""Messages of the library on the command line: its arguments are flags, its functions are commands.

The library writes arguments and functions as Python does, in backquotes: `limit=`, `scoring="label"`, `force=True`,
`convert()`; see `medbench_local.errors`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import fields

from medbench_local.cli.options import flag
from medbench_local.study.options import CompareOptions

COMMANDS = {
    "check": "check",
    "compare": "compare",
    "convert": "convert",
    "export_prompts": "prompts export",
    "fetch_model": "models fetch",
    "import_questions": "import",
    "list_runs": "runs list",
    "model_names": "models list",
    "plan": "compare --dry-run",
    "quant_names": "quants list",
    "quantize": "quantize",
    "run_reference": "reference run",
    "score_requests": "score",
    "sweep": "sweep",
    "task_names": "tasks list",
    "task_prompts": "prompts export",
    "validate": "validate",
    "verdict": "verdict",
}
"""The command that does what a Python function does."""

ARGUMENTS = {one.name for one in fields(CompareOptions)} | {
    "answers",
    "base",
    "confidence",
    "columns",
    "device",
    "dtype",
    "encoding",
    "family",
    "filter",
    "gpu_rate",
    "images",
    "items",
    "metric",
    "model",
    "sheet",
    "task",
    "type",
    "vision_tower",
}
"""The arguments that are flags."""

_ARGUMENT = re.compile(r"`([a-z][a-z_]*)=([^`\n]*)`")
_FUNCTION = re.compile(r"`([a-z][a-z_]*)\(\)`")


def on_command_line(text: str) -> str:
    """``text`` with flags and commands in place of arguments and functions."""
    return _FUNCTION.sub(_command, _ARGUMENT.sub(_flag, text))


def _flag(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name not in ARGUMENTS:
        return found[0]
    if value in ("", "True"):
        return flag(name)
    if value == "False":
        return flag(f"no_{name}")
    return f"{flag(name)} {shlex.quote(value.strip(chr(34)))}"


def _command(found: re.Match[str]) -> str:
    known = COMMANDS.get(found[1])
    return f"`medbench-local {known}`" if known else found[0]
