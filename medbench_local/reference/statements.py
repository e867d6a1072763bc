"""What a validation rests on and what it leaves out, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from medbench_local.reference.agreement import comparison_sizes, same_prompts
from medbench_local.reference.match import By, Matches
from medbench_local.reference.rows import ResultRow
from medbench_local.reference.validation import (
    LEAST_COMPARED,
    CellAgreement,
    LogprobDifferences,
    VerdictMatch,
)

_HOW: tuple[tuple[By, str], ...] = (
    ("id and prompt", "by id and prompt hash"),
    ("prompt", "by prompt hash only"),
    ("text", "by the text of the question"),
    ("id", "by id only"),
)
_CELLS_NAMED = 3


def statements(
    found: Matches,
    cells: Sequence[CellAgreement],
    logprobs: LogprobDifferences | None,
    verdicts: Sequence[VerdictMatch],
    samples: Sequence[ResultRow],
) -> tuple[str, ...]:
    """What was matched and how, what was not compared, and why a cell was not judged; a sentence each."""
    return (
        *_matching(found, cells),
        *_coverage(found, cells),
        *_thoughts(found),
        *_numbers(cells, logprobs),
        *_verdicts(cells, verdicts, samples),
    )


def _matching(found: Matches, cells: Sequence[CellAgreement]) -> list[str]:
    counts = Counter(match.by for match in found.matches)
    how = ", ".join(f"{counts[by]:,} {text}" for by, text in _HOW if counts[by])
    said = [
        f"{len(found.matches):,} of the run's {len(found.matches) + found.unmatched_samples:,} questions have a "
        f"reference row{f': {how}' if how else ''}."
    ]
    if other := sum(cell.other_prompts for cell in cells):
        said.append(
            f"The prompts of {other:,} of these differ: they can neither confirm nor contradict the run and were "
            "not compared."
        )
    if unknown := sum(cell.unknown_prompts for cell in cells):
        said.append(
            f"Whether the prompts of {unknown:,} of these are the same is not known, as one side does not name "
            "them; they were compared all the same."
        )
    if unanswered := sum(cell.unanswered for cell in cells):
        said.append(f"{unanswered:,} of these have no answer on either side and were not compared.")
    for count, text in (
        (found.unmatched_reference, "belong to no question of the run, or to another prompt"),
        (found.duplicates, "repeat an earlier one"),
        (found.conflicting, "contradict an earlier one"),
        (
            found.ambiguous,
            "could belong to several cells, as they do not name their model, task, shots or scoring",
        ),
    ):
        if count:
            said.append(f"Reference rows that {text}: {count:,}.")
    return said


def _coverage(found: Matches, cells: Sequence[CellAgreement]) -> list[str]:
    said = []
    if missing := len(found.cells) - len(cells):
        said.append(f"{missing:,} of the run's {len(found.cells):,} cells are not in the reference.")
    thin = [cell for cell in cells if not cell.judged]
    said += [
        f"{cell.cell}: {cell.compared:,} of {cell.answerable:,} questions compared; at least "
        f"{LEAST_COMPARED * 100:.0f} % are needed."
        for cell in thin[:_CELLS_NAMED]
    ]
    if len(thin) > _CELLS_NAMED:
        said.append(f"Of {len(thin) - _CELLS_NAMED:,} more cells too few questions were compared.")
    return said


def _thoughts(found: Matches) -> list[str]:
    """How far what was thought before the answers is the same."""
    thought = [
        m for m in same_prompts(found.matches) if (m.sample.thought, m.reference.thought) != (None, None)
    ]
    if not thought:
        return []
    same = sum(m.same_context for m in thought)
    return [
        f"Of {len(thought):,} questions that were thought about, {same:,} have the same thinking on both sides. Greedy "
        "texts part at the first near-tie of two tokens, so that thinking is compared by its outcome, the prediction; "
        "log-probabilities are compared where the thinking is the same."
    ]


def _numbers(cells: Sequence[CellAgreement], logprobs: LogprobDifferences | None) -> list[str]:
    judged = sum(cell.compared for cell in cells if cell.judged)
    if not judged:
        return []
    if logprobs is None:
        return ["No log-probability was compared: no question has them on both sides."]
    if logprobs.questions < judged:
        return [f"Log-probabilities were compared on {logprobs.questions:,} of {judged:,} questions."]
    return []


def _verdicts(
    cells: Sequence[CellAgreement], verdicts: Sequence[VerdictMatch], samples: Sequence[ResultRow]
) -> list[str]:
    if verdicts:
        of = len(comparison_sizes(samples))
        compared = sum(v.same is not None for v in verdicts)
        said = [f"Verdicts were compared in {compared:,} of the run's {of:,} comparisons."]
        if undecided := len(verdicts) - compared:
            said.append(
                f"In {undecided:,} more the verdict of the reference may be the run's or another, depending on "
                "questions without comparable rows of both models."
            )
        return said
    models = {cell.cell.role: cell.cell.model for cell in cells}
    if len(models) == 1:
        (model,) = models.values()
        return [f"No verdict was compared: the reference has results of one model only, {model}."]
    return ["No verdict was compared: no comparison has enough questions of both models."]
