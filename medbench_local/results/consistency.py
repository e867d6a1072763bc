"""Numbers of a ``results.json`` that contradict each other: whoever wrote the file, none of them is believed then.

What follows from the counts of questions is computed again from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from typing import Protocol

from medbench_local.catalog.names import Scoring
from medbench_local.results.checks import Check, ComparisonEquivalence, EquivalenceRecord, PrecisionChanges
from medbench_local.results.clusters_consistency import contradictions_of_clusters
from medbench_local.results.contradiction import ROUNDING, Contradiction
from medbench_local.results.record import ROLES, THINKERS, Accuracies, Discordant
from medbench_local.results.schema import Comparison, Results
from medbench_local.statistics.paired import raw_verdict
from medbench_local.statistics.recount import (
    detectable_difference,
    interval_ranges,
    mcnemar_p,
    wilson_interval,
)
from medbench_local.statistics.significance import holm

THINKING: Scoring = "thinking"
"""The scoring in whose comparisons somebody thinks."""

_OF_P_VALUES = 1e-6
"""The same of a p-value, as a share of it."""

_DRAWN = 0.2, 1.8
"""How far the tails of intervals may be off that were drawn, not computed, as multiples.

Version 0.1.0 drew a thousand resamples or more: four standard deviations of a tail of 2.5 %. It did not write which
version it was; those that do compute intervals exactly.
"""

_MOST = 10**7
"""Questions up to which intervals are computed again; no data set has so many."""


class _Numbers(Protocol):
    """What a comparison says, at one precision."""

    @property
    def accuracy(self) -> Accuracies: ...
    @property
    def difference(self) -> float: ...
    @property
    def ci(self) -> tuple[float, float]: ...
    @property
    def discordant(self) -> Discordant: ...


def contradictions(results: Results) -> Iterator[Contradiction]:
    """What contradicts itself in a file; nothing, if it is sound.

    Args:
        results: as read, each value of its own kind.
    """
    if not 0 < results.confidence < 1:
        yield Contradiction("confidence", f"expected a number between 0 and 1, found {results.confidence}")
        return
    seen: dict[tuple[str, int, str, str | None], int] = {}
    for index, comparison in enumerate(results.comparisons):
        place = f"comparisons.{index}"
        named = (comparison.task, comparison.shots, comparison.scoring, comparison.thinkers)
        first = seen.setdefault(named, index)
        if first != index:
            yield Contradiction(
                place, f"comparisons.{first} has the same task, number of shots and scoring already"
            )
        for key, problem in _of_comparison(comparison, results):
            yield Contradiction(f"{place}.{key}", problem)
    adjusted = holm([comparison.mcnemar_p for comparison in results.comparisons])
    for index, (comparison, p) in enumerate(zip(results.comparisons, adjusted, strict=True)):
        if not isclose(comparison.holm_p, p, rel_tol=_OF_P_VALUES, abs_tol=ROUNDING):
            yield Contradiction(
                f"comparisons.{index}.holm_p",
                f"expected {p:.6g}, which Holm's adjustment makes of all 'mcnemar_p', found {comparison.holm_p}",
            )
    for index, step in enumerate(results.ladder):
        if step.verified > step.comparisons:
            yield Contradiction(
                f"ladder.{index}.verified", f"expected at most {step.comparisons} comparisons"
            )
        if step.checked is not None and step.questions is not None and step.checked > step.questions:
            yield Contradiction(f"ladder.{index}.checked", f"expected at most {step.questions} questions")


def _of_comparison(comparison: Comparison, results: Results) -> Iterator[Contradiction]:
    n = comparison.n
    drawn = results.version is None
    yield from _of_numbers(comparison, n, results.confidence, drawn=drawn)
    if n <= _MOST:
        yield from _of_tests(comparison, results.confidence, drawn=drawn)
    for role in ROLES:
        counts = getattr(comparison.counts, role)
        for name in ("dropped_demonstrations", "overlong", "exact_ties", "near_ties"):
            if getattr(counts, name) > n:
                yield Contradiction(
                    f"counts.{role}.{name}", f"expected at most {n} questions, found {getattr(counts, name)}"
                )
    yield from _of_thinking(comparison)
    yield from _below("check", _of_check(comparison.check, n))
    if comparison.clusters is not None:
        yield from _below("clusters", contradictions_of_clusters(comparison, results.confidence))
    if comparison.quantised is not None:
        yield from _of_quantised(comparison, results.confidence, drawn=drawn)
    if comparison.equivalence is not None:
        yield from _below("equivalence", _of_equivalence(comparison.equivalence, comparison, drawn=drawn))
    if comparison.ablation is not None:
        scored = comparison.quantised or comparison
        if comparison.ablation.raw != (raw := raw_verdict(scored.difference)):
            yield Contradiction("ablation.raw", f"the difference {scored.difference} gives '{raw}'")
        shared = comparison.ablation.shared_prompt_accuracy
        if shared is not None and _whole(shared, n) is None:
            yield Contradiction("ablation.shared_prompt_accuracy", _no_share(shared, n))


def _of_thinking(comparison: Comparison) -> Iterator[Contradiction]:
    """Who thinks, and how often it ended in which way."""
    thinks = comparison.thinkers in ("both", "medical")
    if thinks != (comparison.scoring == THINKING):
        who = "null" if comparison.thinkers is None else f"'{comparison.thinkers}'"
        yield Contradiction("thinkers", f"the scoring '{comparison.scoring}' does not go with {who}")
    for role in ROLES:
        found = None if comparison.thinking is None else getattr(comparison.thinking, role)
        key = f"thinking.{role}"
        asked = comparison.n - getattr(comparison.counts, role).overlong
        if found is None:
            if asked > 0 and comparison.thinkers in ("both", role):
                yield Contradiction(key, f"by key 'thinkers' {THINKERS[comparison.thinkers]}, found null")
            continue
        if comparison.thinkers not in ("both", role):
            who = "nobody thinks" if comparison.thinkers is None else THINKERS[comparison.thinkers]
            yield Contradiction(key, f"by key 'thinkers' {who}")
        if found.questions != asked:
            yield Contradiction(
                f"{key}.questions",
                f"expected {asked} questions by keys 'n' and 'counts', found {found.questions}",
            )
        if found.truncated + found.ended > found.questions:
            yield Contradiction(
                f"{key}.truncated",
                f"expected at most {found.questions} questions that were truncated or ended without a marker, found "
                f"{found.truncated} + {found.ended}",
            )
        if found.loops > found.questions:
            yield Contradiction(
                f"{key}.loops", f"expected at most {found.questions} questions, found {found.loops}"
            )
        if (found.median_tokens is None) != (found.questions == 0):
            yield Contradiction(
                f"{key}.median_tokens", f"of {found.questions} questions, found {found.median_tokens}"
            )


def _below(key: str, found: Iterator[Contradiction]) -> Iterator[Contradiction]:
    for inner, problem in found:
        yield Contradiction(f"{key}.{inner}", problem)


def _of_numbers(found: _Numbers, n: int, confidence: float, *, drawn: bool) -> Iterator[Contradiction]:
    """Accuracies, their difference and its interval, against the counts."""
    medical_only, base_only = found.discordant.medical_only, found.discordant.base_only
    if medical_only + base_only > n:
        yield Contradiction(
            "discordant", f"expected at most {n} questions, found {medical_only} + {base_only}"
        )
        return
    right = [_whole(getattr(found.accuracy, role), n) for role in ROLES]
    for role, count, own in zip(ROLES, right, (medical_only, base_only), strict=True):
        share = getattr(found.accuracy, role)
        if count is None:
            yield Contradiction(f"accuracy.{role}", _no_share(share, n))
        elif count < own:
            yield Contradiction(
                f"accuracy.{role}", f"{count} of {n} are right, but {own} are that the other model has wrong"
            )
    follows = (medical_only - base_only) / n
    between = found.accuracy.medical - found.accuracy.base
    if abs(between - follows) > ROUNDING:
        yield Contradiction(
            "accuracy",
            f"expected a difference of ({medical_only} - {base_only}) / {n} = {follows:.6g} by key 'discordant', "
            f"found {between:.6g}",
        )
    elif None not in right and sum(filter(None, right)) + medical_only + base_only > 2 * n:
        yield Contradiction("accuracy", f"expected no more right answers than {n} questions allow")
    if abs(found.difference - follows) > ROUNDING:
        yield Contradiction(
            "difference",
            f"expected ({medical_only} - {base_only}) / {n} = {follows:.6g}, found {found.difference}",
        )
    if n <= _MOST:
        yield from _of_interval(found, n, confidence, drawn=drawn)


def _of_interval(found: _Numbers, n: int, confidence: float, *, drawn: bool) -> Iterator[Contradiction]:
    tail = (1 - confidence) / 2
    slack = ROUNDING + 1e-14 * n  # of the transform
    tails = (tail * _DRAWN[0], min(tail * _DRAWN[1], 0.5)) if drawn else (tail - slack, tail + slack)
    counts = found.discordant.medical_only, found.discordant.base_only
    wider = 1 if drawn else ROUNDING * n
    ranges = interval_ranges(n, *counts, tails)
    if all(
        lowest - wider <= bound * n <= highest + wider
        and (drawn or abs(bound * n - round(bound * n)) <= ROUNDING * n)
        for bound, (lowest, highest) in zip(found.ci, ranges, strict=True)
    ):
        return
    low, high = (of[0] / n for of in interval_ranges(n, *counts, (tail, tail)))
    yield Contradiction(
        "ci",
        f"expected [{low:.6g}, {high:.6g}], the {confidence:.0%} interval of {counts[0]} and {counts[1]} "
        f"discordant of {n} questions, found {list(found.ci)}",
    )


def _of_tests(comparison: Comparison, confidence: float, *, drawn: bool) -> Iterator[Contradiction]:
    n, counts = comparison.n, comparison.discordant
    discordant = counts.medical_only + counts.base_only
    p = mcnemar_p(counts.medical_only, counts.base_only)
    if not isclose(comparison.mcnemar_p, p, rel_tol=_OF_P_VALUES, abs_tol=1e-300):
        yield Contradiction(
            "mcnemar_p", f"expected {p:.6g} by key 'discordant', found {comparison.mcnemar_p}"
        )
    found = comparison.minimum_detectable_difference
    levels = (confidence, 0.95) if drawn else (confidence,)  # version 0.1.0 knew one level only
    expected = [detectable_difference(n, discordant, level) if discordant else None for level in levels]
    if not any(
        found is one or (found is not None and one is not None and _same(found, one)) for one in expected
    ):
        said = "null" if expected[0] is None else f"{expected[0]:.6g}"
        yield Contradiction(
            "minimum_detectable_difference", f"expected {said} by keys 'n' and 'discordant', found {found}"
        )


def _of_check(check: Check, n: int) -> Iterator[Contradiction]:
    if check.of != n:
        yield Contradiction("of", f"expected the {n} questions of key 'n', found {check.of}")
    confidence, state = check.confidence, check.state
    if state in ("full", "certain"):
        sound, expected = confidence == 1, "1"
    elif state == "confident":
        sound, expected = confidence is not None and 0 < confidence < 1, "a number between 0 and 1"
    else:
        sound, expected = confidence is None, "null"
    if not sound:
        yield Contradiction("confidence", f"the state '{state}' has {expected}, found {confidence}")
    if state in ("none", "unavailable") and check.checked:
        yield Contradiction("checked", f"the state '{state}' has 0, found {check.checked}")
    if len(set(check.possible_verdicts)) < len(check.possible_verdicts):
        yield Contradiction("possible_verdicts", "a verdict stands there twice")
    if check.changes is not None:
        for role in ROLES:
            changes: PrecisionChanges | None = getattr(check.changes, role)
            if changes is not None:
                yield from _below(f"changes.{role}", _of_flips(changes, check.checked))


def _of_flips(found: PrecisionChanges | EquivalenceRecord, most: int) -> Iterator[Contradiction]:
    if found.n > most:
        yield Contradiction("n", f"expected at most the {most} questions that were checked, found {found.n}")
    if found.flips > found.n:
        yield Contradiction("flips", f"expected at most {found.n} questions, found {found.flips}")
    if (turned := found.correct_to_wrong + found.wrong_to_correct) > found.flips:
        yield Contradiction(
            "flips", f"expected at least the {turned} that changed what is right, found {found.flips}"
        )


def _of_quantised(comparison: Comparison, confidence: float, *, drawn: bool) -> Iterator[Contradiction]:
    """The numbers at the scored precision, which are the reported ones unless full precision replaced them."""
    scored, check = comparison.quantised, comparison.check
    assert scored is not None
    yield from _below("quantised", _of_numbers(scored, comparison.n, confidence, drawn=drawn))
    if check.state == "full" and check.against == "full":
        return
    for name in ("accuracy", "difference", "ci", "discordant"):
        if getattr(scored, name) != getattr(comparison, name):
            yield Contradiction(
                f"quantised.{name}", f"expected what key '{name}' has: full precision is not what is reported"
            )


def _of_equivalence(
    found: ComparisonEquivalence, comparison: Comparison, *, drawn: bool
) -> Iterator[Contradiction]:
    for role in ROLES:
        one: EquivalenceRecord | None = getattr(found, role)
        if one is not None:
            yield from _below(role, _of_equivalence_record(one, comparison.n))
    if drawn:  # version 0.1.0 said something else of verdicts
        return
    if found.verified != comparison.verified:
        said = "true" if comparison.verified else "false"
        yield Contradiction("verified", f"expected {said} by key 'check'")
    if comparison.quantised is not None and found.verdict_quantised not in (
        None,
        comparison.quantised.verdict,
    ):
        yield Contradiction("verdict_quantised", f"the key 'quantised' has '{comparison.quantised.verdict}'")


def _of_equivalence_record(found: EquivalenceRecord, n: int) -> Iterator[Contradiction]:
    yield from _of_flips(found, n)
    for name in ("accuracy_full", "accuracy_quantised"):
        if _whole(share := getattr(found, name), found.n) is None:
            yield Contradiction(name, _no_share(share, found.n))
    if 0 < found.confidence < 1 and found.flips <= found.n:
        low, high = wilson_interval(found.flips, found.n, found.confidence)
        if not (_same(found.flip_ci[0], low) and _same(found.flip_ci[1], high)):
            yield Contradiction(
                "flip_ci",
                f"expected [{low:.6g}, {high:.6g}], Wilson's interval of {found.flips} of {found.n}, found "
                f"{list(found.flip_ci)}",
            )
    follows = (found.wrong_to_correct - found.correct_to_wrong) / found.n
    for name, value in (
        ("difference", found.difference),
        ("accuracy_quantised", found.accuracy_quantised - found.accuracy_full),
    ):
        if abs(value - follows) > ROUNDING:
            yield Contradiction(
                name,
                f"expected a difference of ({found.wrong_to_correct} - {found.correct_to_wrong}) / {found.n} = "
                f"{follows:.6g}, found {value:.6g}",
            )


def _whole(share: float, n: int) -> int | None:
    """The count of n questions that a share is; None if it is none."""
    count = round(share * n)
    return count if _same(share, count / n) else None


def _no_share(share: float, n: int) -> str:
    return f"expected a whole number of {n} questions, divided by {n}; found {share}, which would be {share * n:.6g}"


def _same(found: float, expected: float) -> bool:
    return abs(found - expected) <= ROUNDING
