"""The real command line, run in this process, and what every refusal has in common."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from medbench_local.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command left behind.

    Attributes:
        code: its exit code.
        out: what it wrote to stdout.
        err: what it wrote to stderr.
    """

    code: int
    out: str
    err: str


def run(*words: str | Path) -> Outcome:
    """Run ``medbench-local`` with these words."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["medbench-local", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


def refusal(*words: str | Path) -> str:
    """Run a command that must be refused and return the one line that says why.

    Whatever is wrong, the exit code is 2, stdout stays empty, nothing surprises, nothing shows a traceback,
    and the line is printable and no page.
    """
    ended = run(*words)
    assert ended.code == 2, f"exit code {ended.code}: {ended.out}{ended.err}"
    assert ended.out == ""
    for word in ("Traceback", "should not have happened", "pydantic", "valid tuple", "valid dictionary"):
        assert word not in ended.err, ended.err
    lines = [line for line in ended.err.splitlines() if re.match(r"error: |Error: ", line)]
    assert len(lines) == 1, ended.err
    assert len(lines[0]) < 900, lines[0]
    assert lines[0].isprintable()
    return lines[0]


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content: a refused command must leave them as they were."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
