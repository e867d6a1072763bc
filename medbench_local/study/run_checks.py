"""What a verification has found of a run so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from medbench_local.results.folder import RunFolder
from medbench_local.results.record import THINKERS, Role
from medbench_local.results.run_verification import Checked, State
from medbench_local.results.schema import Comparison, Results
from medbench_local.study.sampled_answers import SampledSide

MOST_SAID = 5
"""Defects of one kind that are told one by one."""


@dataclass
class RunChecks:
    """A run with what was found so far.

    Attributes:
        folder, results: of the run.
        manifest: of the run; empty if there is none.
        checks: in the order in which they were made.
        sides: the samples of each comparison that could be read, by its place.
        computed: each comparison that was computed again, likewise.
    """

    folder: RunFolder
    results: Results
    manifest: Mapping[str, Any]
    checks: list[Checked] = field(default_factory=list)
    sides: dict[int, Mapping[Role, SampledSide]] = field(default_factory=dict)
    computed: dict[int, Comparison] = field(default_factory=dict)

    def add(self, what: str, state: State, said: str) -> None:
        """Note a check."""
        self.checks.append(Checked(what, state, said))

    def judge(self, what: str, defects: Iterator[str], sound: str) -> bool:
        """Note what is wrong, or that nothing is."""
        found = list(defects)
        if found:
            more = f"; and {len(found) - MOST_SAID:,} more" if len(found) > MOST_SAID else ""
            self.add(what, "does not hold", "; ".join(found[:MOST_SAID]) + more)
        else:
            self.add(what, "holds", sound)
        return not found


def label_of(comparison: Comparison) -> str:
    """For people: "medqa, 3-shot"."""
    label = f"{comparison.task}, {comparison.shots}-shot"
    return label if comparison.thinkers is None else f"{label}, {THINKERS[comparison.thinkers]}"
