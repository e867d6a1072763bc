"""A sweep's folder: which runs a sweep is made of, and how they are found again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medbench_local.catalog.load import in_words
from medbench_local.errors import InputError, MedbenchError, UsageError
from medbench_local.files.atomic import write_atomic
from medbench_local.files.json_objects import read_json_object
from medbench_local.paths import user_path
from medbench_local.results.folder import RUNS, Folder, Run, RunFolder, find_run
from medbench_local.results.pair import pair_label
from medbench_local.results.record import Record
from medbench_local.results.sweep import Sweep, summarise

SWEEP_SCHEMA = 1
"""Of ``sweep.json``; a change that a reader of an older file would notice raises it."""

SWEEP_FILE = "sweep.json"


class SweepPair(Record):
    """One pair of a sweep.

    Attributes:
        medical, base: the models, as they were asked for.
        run: the folder of their comparison, relative to that of the sweep, with "/" between its parts; null while it
            is not finished.
        identity: of that run, which also tells it where it was moved; null while it is not finished.
    """

    medical: str
    base: str
    run: str | None = None
    identity: str | None = None

    @property
    def label(self) -> str:
        """For people: "meditron-7b against llama-2-7b"."""
        return pair_label(self.medical, self.base)


class SweepRecord(Record):
    """All of ``sweep.json``; what the runs found stands in their own ``results.json``.

    Attributes:
        identity: eight hexadecimal digits, a hash of the pairs and of every option that decides a result; the end of
            the folder's default name.
        version: of this package, that made the file.
        pairs: in the order asked for.
    """

    schema_version: int = SWEEP_SCHEMA
    identity: str
    version: str
    pairs: tuple[SweepPair, ...]

    def to_json(self) -> str:
        """The file's text: equal sweeps are equal bytes."""
        data = self.model_dump(mode="json")
        data = {"schema": data.pop("schema_version"), **data}
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class SweepFolder(Folder):
    """The files of one sweep."""

    @property
    def file(self) -> Path:
        """Which runs it is made of."""
        return self.path / SWEEP_FILE

    def record(self) -> SweepRecord:
        """What ``sweep.json`` says.

        Raises:
            InputError: it is missing, damaged or of another schema.
        """
        data = read_json_object(self.file)
        found = data.get("schema")
        if type(found) is not int or found != SWEEP_SCHEMA:
            raise InputError(self.file, "key 'schema'", f"expected {SWEEP_SCHEMA}, found {found!r:.40}")
        data = {("schema_version" if key == "schema" else key): value for key, value in data.items()}
        try:
            return SweepRecord.model_validate(data)
        except ValidationError as error:
            where = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
            raise InputError(self.file, f"key '{where}'" if where else "", in_words(error)) from error

    def write(self, record: SweepRecord) -> None:
        """Write ``sweep.json``.

        Raises:
            StoreError: the folder cannot be written.
        """
        write_atomic(self.file, record.to_json())

    def relative(self, run: Path) -> str:
        """The path of a run as ``sweep.json`` has it."""
        return Path(os.path.relpath(run, self.path)).as_posix()

    def run_of(self, pair: SweepPair) -> RunFolder:
        """Where the finished run of a pair lies now: where it was, or else wherever beside it or the sweep it is found.

        Raises:
            UsageError: it is not there any more, or another run took its place.
        """
        assert pair.run is not None
        noted = RunFolder(Path(os.path.normpath(self.path / pair.run)))
        if noted.results_file.is_file() and _identity(noted) == pair.identity:
            return noted
        for place in (noted.path.parent, self.path.parent, self.path):
            for run in _runs_in(place):
                if pair.identity is not None and _identity(run) == pair.identity:
                    return run
        there = "holds another run" if noted.results_file.is_file() else "is not there"
        raise UsageError(
            f"{self.path}: the run of {pair.label} is missing: {noted.path} {there}, and no run beside it is "
            f"{pair.identity}.",
            advice="Move it back, or run the sweep's command again, which computes it.",
        )

    def so_far(self) -> Sweep:
        """As `read`: a sweep is of finished runs."""
        return self.read()

    def read(self) -> Sweep:
        """The sweep as far as it is finished.

        Raises:
            InputError: a file is damaged.
            UsageError: a run is missing, or no pair is finished.
        """
        record = self.record()
        runs, labels, missing = [], [], []
        for pair in record.pairs:
            if pair.run is None:
                missing.append(pair.label)
                continue
            folder = self.run_of(pair)
            results = folder.results()
            assert results is not None  # `run_of` has read it
            runs.append(Run(folder, results, computed=False))
            labels.append(pair.label)
        if not runs:
            raise UsageError(
                f"No pair of {self.path} is finished.", advice="Run its command again: it resumes."
            )
        return made_of(self, record.identity, runs, labels, missing)


def made_of(
    folder: SweepFolder,
    identity: str,
    runs: Sequence[Run],
    labels: Sequence[str],
    missing: Sequence[str],
) -> Sweep:
    """A sweep of finished runs.

    Args:
        folder: the sweep's.
        identity: see `SweepRecord`.
        runs: those that are finished.
        labels: of their pairs.
        missing: labels of the pairs that are not finished.
    """
    summaries = summarise(labels, [run.results.comparisons for run in runs])
    return Sweep(tuple(runs), tuple(labels), summaries, tuple(missing), folder.path, identity)


def find_report(name: str, root: Path = RUNS) -> RunFolder | SweepFolder:
    """The run or the sweep that ``name`` means: a folder, or a name (or its unique beginning or end) below ``root``.

    Raises:
        UsageError: there is none, or more than one.
    """
    direct = SweepFolder(user_path(name))
    if direct.file.is_file():
        return direct
    sweeps = [
        sweep for sweep in list_sweeps(root) if sweep.name.startswith(name) or sweep.name.endswith(name)
    ]
    exact = [sweep for sweep in sweeps if sweep.name == name]
    try:
        run = find_run(name, root)
    except UsageError as error:
        if len(exact or sweeps) == 1 and (exact or "means" not in str(error)):
            return (exact or sweeps)[0]
        if sweeps:
            names = ", ".join(sweep.name for sweep in sweeps)
            raise UsageError(f"'{name}' means {len(sweeps)} sweeps: {names}.") from None
        raise
    if sweeps and run.name != name:
        names = ", ".join([run.name, *(sweep.name for sweep in sweeps)])
        raise UsageError(f"'{name}' means a run and a sweep: {names}.")
    return run


def list_sweeps(root: Path = RUNS) -> list[SweepFolder]:
    """All sweeps below ``root``, by name."""
    return [SweepFolder(file.parent) for file in sorted(root.glob(f"*/{SWEEP_FILE}"))]


def _runs_in(place: Path) -> Iterator[RunFolder]:
    """The finished runs in a folder."""
    return (RunFolder(file.parent) for file in sorted(place.glob("*/results.json")))


def _identity(run: RunFolder) -> Any:
    """What a finished run says of itself; None for one that is not finished or cannot be read."""
    if not run.results_file.is_file():
        return None
    try:
        return read_json_object(run.results_file).get("identity")
    except MedbenchError:
        return None
