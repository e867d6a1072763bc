"""Messages of the library on the command line: its arguments are flags, its functions are commands.

The library writes arguments and functions as Python does, in backquotes: `limit=`, `scoring="label"`, `force=True`,
`convert()`; see `medbench_local.errors`.
"""

from __future__ import annotations

import ast
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
    "verify": "verify",
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
_CALL = re.compile(r"`([a-z][a-z_]*)\(([^`\n]+)\)`")
_FUNCTION = re.compile(r"`([a-z][a-z_]*)\(\)`")


def on_command_line(text: str) -> str:
    """``text`` with flags and commands in place of arguments and functions."""
    return _FUNCTION.sub(_command, _CALL.sub(_whole_command, _ARGUMENT.sub(_flag, text)))


def _flag(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name not in ARGUMENTS:
        return found[0]
    if value in ("", "True"):
        return flag(name)
    if value == "False":
        return flag(f"no_{name}")
    try:
        return _option(name, ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return f"{flag(name)} {shlex.quote(value)}"


def _option(name: str, value: object) -> str:
    """An argument with its value; a mapping is one flag for each of its keys: ``--columns question=Frage``."""
    if isinstance(value, dict):
        pairs = [f"{key}={','.join(one) if isinstance(one, list) else one}" for key, one in value.items()]
        return " ".join(f"{flag(name)} {_quoted(pair)}" for pair in pairs)
    return f"{flag(name)} {_quoted(str(value))}"


def _quoted(word: str) -> str:
    """A word for a shell; a placeholder in it is to be replaced anyway."""
    return word if re.fullmatch(r"[\w=,.…/-]+", word) else shlex.quote(word)


def _whole_command(found: re.Match[str]) -> str:
    """`import_questions("a.csv", answers="from 1")` as it is typed."""
    known = COMMANDS.get(found[1])
    try:
        call = ast.parse(found[0].strip("`"), mode="eval").body
        if known is None or not isinstance(call, ast.Call):
            return found[0]
        words = [_quoted(str(ast.literal_eval(one))) for one in call.args]
        words += [_option(one.arg, ast.literal_eval(one.value)) for one in call.keywords if one.arg]
    except (ValueError, SyntaxError):
        return found[0]
    return f"`{' '.join(['medbench-local', known, *words])}`"


def _command(found: re.Match[str]) -> str:
    known = COMMANDS.get(found[1])
    return f"`medbench-local {known}`" if known else found[0]
