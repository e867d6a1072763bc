"""A run's folder: what is in it, and how it is found again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from medbench_local.catalog.load import in_words
from medbench_local.catalog.protocol import Protocol
from medbench_local.errors import InputError, UsageError
from medbench_local.files.atomic import disk_error, remove_tree, write_atomic, write_lines
from medbench_local.files.json_objects import read_json_object
from medbench_local.files.rows import SourceFile
from medbench_local.paths import user_path
from medbench_local.results.partial import PartialResults, read_partial
from medbench_local.results.presented import Presented
from medbench_local.results.reading import read_results
from medbench_local.results.record import ROLES, samples_name
from medbench_local.results.schema import Results

RUNS = Path("runs")
"""Where runs lie unless told otherwise, below the current folder."""

MANIFEST = "manifest.json"
"""What makes a folder that of a run."""

CHECKS = "checks.json"
"""What makes a folder that of checks."""

SCORES = "scores.sqlite"
"""The score store of a comparison or check, in its folder."""


@dataclass(frozen=True)
class Folder:
    """A folder in which results are kept.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name, by which `runs list` and `report` know it."""
        return self.path.name


@dataclass(frozen=True)
class RunFolder(Folder):
    """The files of one run."""

    @property
    def manifest_file(self) -> Path:
        """What went into the run: versions, hashes, settings, seeds."""
        return self.path / MANIFEST

    @property
    def results_file(self) -> Path:
        """What came out; present once the run is finished."""
        return self.path / "results.json"

    @property
    def partial_file(self) -> Path:
        """What is finished of it by now; gone once the run is."""
        return self.path / "partial.json"

    @property
    def scores_file(self) -> Path:
        """Every scored prompt."""
        return self.path / SCORES

    @property
    def questions_folder(self) -> Path:
        """One file a task with its questions that were asked; absent in runs of earlier releases, or as asked for."""
        return self.path / "questions"

    def questions_file(self, task: str) -> Path:
        """The questions of one task; see `medbench_local.results.asked`."""
        return self.questions_folder / f"{task}.jsonl"

    @property
    def prompts_file(self) -> Path:
        """The chosen prompts; see `medbench_local.results.asked`."""
        return self.path / "prompts.jsonl"

    @property
    def thumbnails_folder(self) -> Path:
        """Small JPEGs, each named by the hash of its picture; see `medbench_local.vision.thumbnails`."""
        return self.path / "thumbnails"

    def samples_file(self, name: str) -> Path:
        """One line a question of one model in one cell; ``name`` is "[<precision>/]" and a `samples_name`."""
        return self.path / "samples" / f"{name}.jsonl"

    def results(self) -> Results | None:
        """The finished run's results, or None while it is not finished.

        Raises:
            InputError: the file is damaged.
        """
        return read_results(self.results_file) if self.results_file.is_file() else None

    def partial(self) -> PartialResults | None:
        """What a run that is not finished has found by now; None if it is finished or has found nothing yet.

        Raises:
            InputError: the file is damaged.
        """
        there = self.partial_file.is_file() and not self.results_file.is_file()
        return read_partial(self.partial_file) if there else None

    def so_far(self) -> Run:
        """The run as far as it is finished: its results may be `PartialResults`.

        Raises:
            UsageError: no comparison of it is finished.
            InputError: its results are damaged.
        """
        partial = self.partial()
        return self.read() if partial is None else Run(self, partial, computed=False)

    def read(self) -> Run:
        """The finished run.

        Raises:
            UsageError: it is not finished.
            InputError: its results are damaged.
        """
        results = self.results()
        if results is None:
            raise UsageError(
                f"{self.path} is not finished.",
                advice="Run its command again: it resumes. Then ask for the report.",
            )
        return Run(self, results, computed=False)

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            InputError: it is missing or damaged.
        """
        return read_json_object(self.manifest_file)

    def protocol(self) -> Protocol:
        """The protocol that the run was made with.

        Raises:
            InputError: the manifest is missing or damaged, or holds none.
        """
        try:
            return Protocol.model_validate(self.manifest().get("protocol"))
        except ValidationError as error:
            raise InputError(self.manifest_file, "key 'protocol'", in_words(error)) from error

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest."""
        write_atomic(self.manifest_file, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")

    def write_results(self, results: Results) -> None:
        """Write the results; from here on the run counts as finished."""
        write_atomic(self.results_file, results.to_json())
        self.clear_partial()

    def write_partial(self, results: PartialResults) -> None:
        """Write what is finished by now."""
        write_atomic(self.partial_file, results.to_json())

    def clear_partial(self) -> None:
        """Remove what was found before the run was finished.

        Raises:
            StoreError: it cannot be removed.
        """
        _remove(self.partial_file)

    def clear_samples(self, name: str = "") -> None:
        """Remove all samples, or those of one ``samples_name``, at every precision.

        Raises:
            StoreError: they cannot be removed.
        """
        if not name:
            remove_tree(self.path / "samples")
            return
        for file in (self.samples_file(name), *self.path.glob(f"samples/*/{escape(name)}.jsonl")):
            _remove(file)

    def read_samples(self, name: str) -> list[dict[str, Any]]:
        """The rows of ``samples/<name>.jsonl``.

        Raises:
            InputError: the file is missing or damaged.
        """
        from medbench_local.files.readers import json_lines  # only who looks at samples needs it

        return [dict(row.fields) for row in json_lines(SourceFile(self.samples_file(name)))]

    def write_samples(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write ``samples/<name>.jsonl``, one line a question."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_lines(self.samples_file(name), lines)


@dataclass(frozen=True, repr=False)
class Run(Presented):
    """A finished comparison.

    Attributes:
        folder: where everything about it lies.
        results: what it found.
        computed: False if it had been finished before and was only read.
    """

    folder: RunFolder
    results: Results
    computed: bool

    def samples(self) -> list[dict[str, Any]]:
        """One row a question of each model in each comparison, as reported; see `medbench_local.results.samples`.

        Raises:
            InputError: a file of them is missing or damaged.
        """
        return [
            row
            for comparison in self.results.comparisons
            for role in ROLES
            for row in self.folder.read_samples(
                samples_name(role, comparison.task, comparison.shots, comparison.thinkers)
            )
        ]

    def _in_short(self) -> str:
        models = self.results.models
        verdicts = Counter(comparison.reported for comparison in self.results.comparisons)
        found = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items()) or "no comparison"
        return f"{models.medical.name} against {models.base.name}: {found}; {self.folder.path}"


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(file, error) from error


def neighbouring_stores(folder: Path) -> list[Path]:
    """Score stores of the comparisons and checks beside ``folder``."""
    found = sorted(folder.parent.glob(f"*/{SCORES}"))
    return [path for path in found if path.parent.resolve() != folder.resolve()]


def identity(parts: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that stand for everything in ``parts``."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def find_run(name: str, root: Path = RUNS) -> RunFolder:
    """The run that ``name`` means: a folder, or a name (or its unique beginning or end) below ``root``.

    Raises:
        UsageError: there is none, or more than one, or nobody has the home folder that is meant.
    """
    direct = user_path(name)
    if (direct / MANIFEST).is_file() or (direct / "results.json").is_file():
        return RunFolder(direct)
    runs = named_runs(root)
    checks = [path.relative_to(root).as_posix() for path in folders_with(CHECKS, root)]
    if (direct / CHECKS).is_file() or (_meant(name, checks) and not _meant(name, runs)):
        raise UsageError(f"'{name}' is a check, not a comparison.", advice="`check()` shows what it found.")
    return the_one(name, runs)


T = TypeVar("T")


def the_one(name: str, known: Mapping[str, T]) -> T:
    """What of ``known`` a name means, which may be the unique beginning or end of one.

    Raises:
        UsageError: nothing, or more than one.
    """
    if name in known:
        return known[name]
    found = _meant(name, known)
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise UsageError(
            f"'{name}' means {len(found)} runs: {', '.join(found)}.", advice="Name one of them whole."
        )
    raise UsageError(f"No run is called '{name}'.", advice="`list_runs()` has their names.")


def _meant(name: str, known: Iterable[str]) -> list[str]:
    return [one for one in known if one.startswith(name) or one.endswith(name)]


def list_runs(root: Path = RUNS) -> list[RunFolder]:
    """All runs below ``root``, by name; those of a sweep lie in a folder of its own there."""
    return list(named_runs(root).values())


def named_runs(root: Path = RUNS) -> dict[str, RunFolder]:
    """All runs below ``root`` by their names: the folders' own, behind that of a sweep ("sweep/01")."""
    return {path.relative_to(root).as_posix(): RunFolder(path) for path in folders_with(MANIFEST, root)}


def folders_with(name: str, root: Path) -> Iterator[Path]:
    """The folders in ``root``, and in its folders, that hold a file of that name; no link leads further down."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if (path / name).is_file():
            yield path
        elif path.is_dir() and not path.is_symlink():
            with suppress(PermissionError):
                yield from (
                    sub for sub in sorted(path.iterdir()) if not sub.is_symlink() and (sub / name).is_file()
                )
