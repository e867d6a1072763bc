"""The command line in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from medbench_local.cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and what it wrote where."""

    code: int
    out: str
    err: str


class Command:
    """Runs commands as the installed program does, without starting one.

    Args:
        capsys: of the test.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: object) -> Ended:
        """Run the command with these words after the program's name."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        written = self._capsys.readouterr()
        assert "Traceback" not in written.err
        code: Any = ended.value.code
        return Ended(code, written.out, written.err)

    def fails(self, *words: object) -> str:
        """Run a command that must be refused: exit code 2, nothing on stdout; what it says on stderr."""
        ended = self(*words)
        assert (ended.code, ended.out) == (2, "")
        return ended.err


def lines(text: str) -> Sequence[str]:
    """The lines of ``text`` that are not empty."""
    return [line for line in text.splitlines() if line.strip()]
