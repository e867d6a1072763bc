"""How far a run and a reference agree: predictions, log-probabilities, accuracies, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from medbench_local.catalog.protocol import BootstrapSettings
from medbench_local.reference.match import Cell, Match, Matches, cell_of
from medbench_local.reference.rows import ResultRow
from medbench_local.reference.validation import Agreement, CellAgreement, LogprobDifferences, VerdictMatch
from medbench_local.statistics.paired import PairedDifference, Verdict, paired_bootstrap, verdict_of_counts
from medbench_local.statistics.significance import wilson

ComparisonKey = tuple[str | None, int | None, str | None, str | None]
Cells = Mapping[Cell, Sequence[Match]]

_VERDICTS: tuple[Verdict, ...] = ("loss", "tie", "win")


def near_tie(match: Match, tolerance: float) -> bool:
    """Whether neither side prefers its prediction by more than ``tolerance`` to what the other side could choose.

    Where the predictions are the same, the two best options must be at most ``tolerance`` nats apart on both
    sides; where they differ, each side must have the other's prediction at most that far below its own. A side
    without log-probabilities, or without a prediction, is never near a tie: nothing shows that it is.
    """
    ours, theirs = match.sample, match.reference
    if (
        ours.logprobs is None
        or theirs.logprobs is None
        or ours.prediction is None
        or theirs.prediction is None
    ):
        return False
    if ours.prediction == theirs.prediction:
        gap = max(_margin(ours.logprobs), _margin(theirs.logprobs))
    else:
        gap = max(
            max(ours.logprobs) - ours.logprobs[theirs.prediction],
            max(theirs.logprobs) - theirs.logprobs[ours.prediction],
        )
    return gap <= tolerance


def _margin(logprobs: Sequence[float]) -> float:
    best, second = sorted(logprobs, reverse=True)[:2]
    return best - second


def same_prompts(matches: Iterable[Match]) -> list[Match]:
    """Those whose prompt is not known to be another one: only the same prompt can confirm or contradict."""
    return [match for match in matches if match.prompt != "other"]


def compared(matches: Iterable[Match]) -> list[Match]:
    """Those with an answer on at least one side, among `same_prompts`: two missing answers confirm nothing."""
    return [m for m in same_prompts(matches) if (m.sample.prediction, m.reference.prediction) != (None, None)]


def by_cell(found: Matches) -> dict[Cell, list[Match]]:
    """The matches of every cell that the reference speaks of."""
    grouped: dict[Cell, list[Match]] = {cell: [] for cell in found.addressed}
    for match in found.matches:
        grouped[cell_of(match.sample)].append(match)
    return grouped


def cell_agreements(
    cells: Cells, samples: Sequence[ResultRow], tolerance: float, bootstrap: BootstrapSettings
) -> tuple[CellAgreement, ...]:
    """What each cell shows; ``samples`` are all of the run's."""
    sizes: dict[Cell, int] = {}
    for row in samples:
        sizes[cell_of(row)] = sizes.get(cell_of(row), 0) + 1
    return tuple(
        _cell_agreement(cell, sizes[cell], matches, tolerance, bootstrap) for cell, matches in cells.items()
    )


def _cell_agreement(
    cell: Cell, questions: int, matches: Sequence[Match], tolerance: float, bootstrap: BootstrapSettings
) -> CellAgreement:
    same_prompt, used = same_prompts(matches), compared(matches)
    different = [m.sample.prediction != m.reference.prediction for m in used]
    near = [near_tie(match, tolerance) for match in used]
    excused = sum(d and n for d, n in zip(different, near, strict=True))
    paired = _paired(*_correct(same_prompt), bootstrap) if same_prompt else None
    return CellAgreement(
        cell=cell,
        questions=questions,
        matched=len(matches),
        other_prompts=len(matches) - len(same_prompt),
        unknown_prompts=sum(match.prompt == "unknown" for match in matches),
        unanswered=len(same_prompt) - len(used),
        compared=len(used),
        differing=sum(different) - excused,
        near_ties=sum(near),
        excused=excused,
        run=paired.accuracy_medical if paired else None,
        reference=paired.accuracy_base if paired else None,
        low=paired.low if paired else None,
        high=paired.high if paired else None,
    )


def agreement(cells: Sequence[CellAgreement]) -> Agreement | None:
    """Of the predictions in ``cells`` together; None if no question was compared."""
    n = sum(cell.compared for cell in cells)
    if not n:
        return None
    differing, excused = sum(cell.differing for cell in cells), sum(cell.excused for cell in cells)
    same = n - differing - excused
    low, high = wilson(same, n)
    return Agreement(
        n=n,
        same=same,
        low=low,
        high=high,
        near_ties=sum(cell.near_ties for cell in cells),
        excused=excused,
        differing=differing,
    )


def logprob_differences(cells: Cells) -> LogprobDifferences | None:
    """On the compared questions of ``cells``; None if none has log-probabilities on both sides."""
    groups = [found for matches in cells.values() if (found := _differences(compared(matches)))]
    if not groups:
        return None
    values = np.array([value for group in groups for question in group for value in question])
    median, p99 = np.quantile(values, (0.5, 0.99), method="higher")
    medians = [np.quantile(np.concatenate(group), 0.5, method="higher") for group in groups]
    return LogprobDifferences(
        n=values.size,
        questions=sum(map(len, groups)),
        median=float(median),
        largest_median=float(max(medians)),
        p99=float(p99),
        largest=float(values.max()),
    )


def verdict_matches(
    cells: Cells, samples: Sequence[ResultRow], bootstrap: BootstrapSettings
) -> tuple[VerdictMatch, ...]:
    """The verdicts of the comparisons of which both cells are in ``cells``; ``samples`` are all of the run's."""
    known: dict[ComparisonKey, dict[str, dict[str, bool]]] = {}
    for cell, matches in cells.items():
        if cell.role in ("medical", "base"):
            used = same_prompts(matches)
            named = zip([m.sample.id for m in used], _correct(used)[1], strict=True)
            known.setdefault(_comparison(cell), {})[cell.role] = {i: c for i, c in named if i is not None}
    asked = _asked_of_both(samples)
    found = []
    for key, roles in known.items():
        questions = asked.get(key)
        if len(roles) < 2 or not questions:
            continue
        medical, base = ([roles[role].get(id) for id in questions] for role in ("medical", "base"))
        run = [(m.prediction == m.answer, b.prediction == b.answer) for m, b in questions.values()]
        found.append(
            VerdictMatch(
                *key,
                n=sum(None not in pair for pair in zip(medical, base, strict=True)),
                of=len(questions),
                run=_paired([m for m, _ in run], [b for _, b in run], bootstrap).verdict,
                reference=possible_verdicts(medical, base, bootstrap.confidence),
            )
        )
    return tuple(found)


def possible_verdicts(
    medical: Sequence[bool | None], base: Sequence[bool | None], confidence: float
) -> tuple[Verdict, ...]:
    """The verdicts that results with gaps can have once the gaps are filled, from loss to win.

    The verdict is monotone in both counts of discordant questions, so that the two extreme ways of filling bound it;
    where they are a loss and a win, some way between gives equal counts, a tie.

    Args:
        medical: whether the medical model is right, for each question, at least one; None where it is not known.
        base: the same of the base model, shape as ``medical``.
        confidence: coverage of the interval, between 0 and 1.
    """
    worst, best = (
        _verdict_filled(medical, base, medical_right, confidence) for medical_right in (False, True)
    )
    return _VERDICTS[_VERDICTS.index(worst) : _VERDICTS.index(best) + 1]


def _verdict_filled(
    medical: Sequence[bool | None], base: Sequence[bool | None], medical_right: bool, confidence: float
) -> Verdict:
    """The verdict if every gap is right for the medical model and wrong for the base model, or the other way round."""
    filled = [
        (medical_right if m is None else m, not medical_right if b is None else b)
        for m, b in zip(medical, base, strict=True)
    ]
    return verdict_of_counts(
        len(filled), filled.count((True, False)), filled.count((False, True)), confidence
    )


def comparison_sizes(samples: Sequence[ResultRow]) -> dict[ComparisonKey, int]:
    """Questions of each of the run's comparisons: those that both models were asked."""
    return {key: len(questions) for key, questions in _asked_of_both(samples).items()}


def _asked_of_both(
    samples: Sequence[ResultRow],
) -> dict[ComparisonKey, dict[str, tuple[ResultRow, ResultRow]]]:
    """The medical and the base model's row of each question, by id, of each of the run's comparisons."""
    asked: dict[ComparisonKey, dict[str, dict[str, ResultRow]]] = {}
    for row in samples:
        if row.role in ("medical", "base") and row.id is not None:
            asked.setdefault(_comparison(cell_of(row)), {}).setdefault(row.role, {})[row.id] = row
    return {
        key: {id: (row, roles["base"][id]) for id, row in roles["medical"].items() if id in roles["base"]}
        for key, roles in asked.items()
        if len(roles) == 2
    }


def _comparison(cell: Cell) -> ComparisonKey:
    """What both of its cells have in common; where one model thinks, the two are asked by different rules."""
    return cell.task, cell.shots, None if cell.thinkers else cell.scoring, cell.thinkers


def _paired(medical: Sequence[bool], base: Sequence[bool], bootstrap: BootstrapSettings) -> PairedDifference:
    return paired_bootstrap(medical, base, confidence=bootstrap.confidence)


def _correct(matches: Sequence[Match]) -> tuple[list[bool], list[bool]]:
    """Of the run and of the reference, by the run's own notion of the correct option."""
    return (
        [m.sample.prediction == m.sample.answer for m in matches],
        [m.reference.prediction == m.sample.answer for m in matches],
    )


def _differences(matches: Sequence[Match]) -> list[list[float]]:
    """Of each question with log-probabilities on both sides, one for each option."""
    # equal infinities differ by nothing, though their difference is not a number
    return [
        [0.0 if a == b else abs(a - b) for a, b in zip(m.sample.logprobs, m.reference.logprobs, strict=True)]
        for m in matches
        if m.same_context and m.sample.logprobs is not None and m.reference.logprobs is not None
    ]
