"""The name that a file of questions gives its task."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from medbench_local.catalog.task import task_names
from medbench_local.errors import UsageError

LONGEST = 80
"""Characters of a task's name: run folders and sample files are named after it."""


def table_name(path: Path) -> str:
    """The file's name without its ending, as letters, digits, dots, hyphens and underscores.

    Raises:
        UsageError: nothing is left, or a known task is called so.
    """
    stem = Path(path.name.removesuffix(".gz")).stem
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._]+", "-", plain).strip("-._")[:LONGEST]
    if not name:
        raise UsageError(f"The file's name {path.name!r} cannot name a task.", advice="Rename the file.")
    if name in task_names():
        raise UsageError(f"The file {path} has the name of a known task.", advice="Rename the file.")
    return name
