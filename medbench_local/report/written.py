"""Results as `print` shows them in an interpreter: tables in letters, without colours."""

from __future__ import annotations

import io
import shutil

from medbench_local.report.screen import Screen
from medbench_local.report.terminal import show_check, show_results
from medbench_local.results.folder import Run
from medbench_local.results.model_check import ModelCheck

_COLUMNS = 100
"""Where there is no terminal."""


def written(found: Run | ModelCheck) -> str:
    """The verdicts of a run, or what a check found, and what a careful reader must know."""
    file = io.StringIO()
    console = Screen(
        file=file,
        width=shutil.get_terminal_size((_COLUMNS, 24)).columns,
        highlight=False,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,  # in a notebook rich would show the text instead of writing it
    )
    if isinstance(found, ModelCheck):
        console.print(show_check(found))
    else:
        console.print(show_results(found.results, found.folder.path, brief=True))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
