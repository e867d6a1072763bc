"""What a verification of a run found: do its results follow from what its folder holds, and from what is at hand?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["holds", "does not hold", "not checked"]
Outcome = Literal["holds", "does not hold", "not settled"]


@dataclass(frozen=True)
class Checked:
    """One thing that was to be checked.

    Attributes:
        what: for people.
        state: what came of it.
        said: what was looked at; what does not hold, with the place; or why it could not be checked.
    """

    what: str
    state: State
    said: str


@dataclass(frozen=True)
class Verification:
    """What was checked of a finished run, and what could not be.

    Attributes:
        run: the folder's name.
        identity: of the run; None where its results do not say.
        comparisons: that its results have; recomputed: those that follow, whole, from samples that are there.
        checks: in the order in which they were made.
    """

    run: str
    identity: str | None
    comparisons: int
    recomputed: int
    checks: tuple[Checked, ...]

    @property
    def outcome(self) -> Outcome:
        """One thing that does not hold is enough; to hold, all verdicts must have been computed again."""
        if any(check.state == "does not hold" for check in self.checks):
            return "does not hold"
        return "holds" if 0 < self.recomputed == self.comparisons else "not settled"

    def __str__(self) -> str:
        lines = [f"{check.state}: {check.what}: {check.said}" for check in self.checks]
        return "\n".join([*lines, self.conclusion])

    @property
    def conclusion(self) -> str:
        """The outcome, for people."""
        done = f"{self.recomputed} of {self.comparisons} comparisons follow from the samples"
        if self.outcome == "does not hold":
            wrong = sum(check.state == "does not hold" for check in self.checks)
            return f"does not hold: {wrong} of {len(self.checks)} checks failed; {done}"
        left = sum(check.state == "not checked" for check in self.checks)
        rest = f"; {left} could not be checked" if left else ""
        return f"{self.outcome}: {done}{rest}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"outcome": self.outcome, **asdict(self), "conclusion": self.conclusion}
