"""What a run has found before it is finished: ``partial.json``, which nothing takes for results.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json
from medbench_local.results.reading import checked_results
from medbench_local.results.record import THINKERS, Record, Thinkers
from medbench_local.results.schema import Comparison, Results

PARTIAL = "partial 1"
"""In place of the number of a schema: whatever reads results.json, of any release, refuses it."""


class ComparisonName(Record):
    """Which comparison of a run: task, demonstrations in a prompt, and who thinks where models do."""

    task: str
    shots: int
    thinkers: Thinkers | None = None

    @property
    def key(self) -> tuple[str, int, Thinkers | None]:
        """As of a cell."""
        return self.task, self.shots, self.thinkers

    def __str__(self) -> str:
        who = "" if self.thinkers is None else f", {THINKERS[self.thinkers]}"
        return f"{self.task}, {self.shots}-shot{who}"


class PartialResults(Results):
    """The comparisons of a run that both models have finished; rates and adjusted p-values are over these alone.

    Attributes:
        missing: comparisons that are not finished.
        provisional: those of ``comparisons`` whose check is still to come: their verdicts may change.
    """

    missing: tuple[ComparisonName, ...]
    provisional: tuple[ComparisonName, ...]

    def to_dict(self) -> dict[str, Any]:
        """The file's content, keys in a fixed order."""
        data = self.model_dump(mode="json")
        del data["schema_version"]
        return {"schema": PARTIAL, **data}


def named(comparison: Comparison) -> ComparisonName:
    """The name of a comparison."""
    return ComparisonName(task=comparison.task, shots=comparison.shots, thinkers=comparison.thinkers)


def read_partial(path: Path) -> PartialResults:
    """Read a ``partial.json``.

    Raises:
        InputError: it is missing, damaged, of another release's layout, or contradicts itself.
    """
    data = read_json(path, constants=False)
    found = data.get("schema") if isinstance(data, dict) else type(data).__name__
    if found != PARTIAL:
        raise InputError(path, "key 'schema'", f"expected '{PARTIAL}', found {found!r:.40}")
    del data["schema"]
    results = checked_results(path, data, PartialResults)
    if problem := _contradiction(results):
        raise InputError(path, problem[0], problem[1], advice="The run's command writes it anew.")
    return _marked(results)


def _contradiction(results: PartialResults) -> tuple[str, str] | None:
    """Where a file calls a comparison missing that it has, or provisional that it lacks or that was checked."""
    open_ones = {named(c).key: not c.check.settled for c in results.comparisons}
    for name, names in (("missing", results.missing), ("provisional", results.provisional)):
        if len({one.key for one in names}) < len(names):
            return f"key '{name}'", "it names a comparison twice"
    for one in results.missing:
        if one.key in open_ones:
            return "key 'missing'", f"'{one!s:.80}' is among the comparisons"
    for one in results.provisional:
        if not open_ones.get(one.key, False):
            return (
                "key 'provisional'",
                f"'{one!s:.80}' is not among the comparisons whose check is still to come",
            )
    return None


def _marked(results: PartialResults) -> PartialResults:
    open_ones = {name.key for name in results.provisional}
    comparisons = tuple(c.as_provisional(named(c).key in open_ones) for c in results.comparisons)
    return results.model_copy(update={"comparisons": comparisons})
