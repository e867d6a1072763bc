"""What is kept below a folder of runs: comparisons and checks."""

from __future__ import annotations

import re
from pathlib import Path

from medbench_local.errors import UsageError
from medbench_local.paths import user_path
from medbench_local.results.check_folder import CheckFolder
from medbench_local.results.folder import CHECKS, MANIFEST, RUNS, RunFolder, folders_with, named_runs, the_one
from medbench_local.results.sweep_folder import SweepFolder, list_sweeps

Kept = RunFolder | CheckFolder

_NUMBER = re.compile(r"\d{2,}")
"""What runs of a sweep are called that was given a folder."""


def named(root: Path = RUNS) -> dict[str, Kept]:
    """Comparisons and checks below ``root``, by name; in a folder of both the comparison counts."""
    runs: dict[str, Kept] = dict(named_runs(root))
    checks = {path.relative_to(root).as_posix(): CheckFolder(path) for path in folders_with(CHECKS, root)}
    return dict(sorted((checks | runs).items()))


def find(name: str, root: Path = RUNS) -> Kept:
    """The comparison or check that ``name`` means; see `medbench_local.results.folder.find_run`.

    Raises:
        UsageError: there is none, or more than one.
    """
    return _direct(name) or the_one(name, named(root))


def find_all(name: str, root: Path = RUNS) -> dict[str, Kept]:
    """As `find`; a sweep's folder means all that is in it. By what they are called.

    Raises:
        UsageError: there is none, or it is not clear which is meant.
    """
    if (one := _direct(name)) is not None:
        return {name: one}
    path, known = user_path(name), named(root)
    sweeps = named(path) if path.is_dir() and not path.is_symlink() else {}
    below = {str(path / number): one for number, one in sweeps.items() if _NUMBER.fullmatch(number)}
    before = f"{name.rstrip('/')}/"
    below = below or {
        other: one
        for other, one in known.items()
        if other.startswith(before) and _NUMBER.fullmatch(other.removeprefix(before))
    }
    if below and name not in known:
        return below
    one = the_one(name, known)
    return {next(other for other, each in known.items() if each is one): one}


def find_sweep(name: str, root: Path = RUNS) -> SweepFolder | None:
    """The sweep that ``name`` means: a folder, or a name (or its beginning or end) below ``root``; None for no sweep.

    Raises:
        UsageError: it means more than one thing, of which one is a sweep.
    """
    direct = SweepFolder(user_path(name))
    if direct.file.is_file():
        return direct
    sweeps = {sweep.name: sweep for sweep in list_sweeps(root)}
    if name.rstrip("/") in sweeps:
        return sweeps[name.rstrip("/")]
    known = named(root)
    near = [other for other in sweeps if other.startswith(name) or other.endswith(name)]
    if not near or name in known:
        return None
    others = [
        other
        for other in known
        if (other.startswith(name) or other.endswith(name)) and other.partition("/")[0] not in near
    ]
    if len(near) + len(others) > 1:
        raise UsageError(f"'{name}' means several: {', '.join([*near, *others])}.")
    return sweeps[near[0]]


def _direct(name: str) -> Kept | None:
    """What lies in the folder of that path itself."""
    path = user_path(name)
    if (path / MANIFEST).is_file() or (path / "results.json").is_file():
        return RunFolder(path)
    return CheckFolder(path) if (path / CHECKS).is_file() else None
