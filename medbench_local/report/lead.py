"""A run in one plain sentence, and how much hung on the choice of its prompts."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.report import words
from medbench_local.results.partial import PartialResults
from medbench_local.results.record import Thinkers
from medbench_local.results.schema import Comparison, Results
from medbench_local.results.summary import counted as counted_comparisons
from medbench_local.statistics.doubt import doubt
from medbench_local.text import listed

_WHO: dict[Thinkers, str] = {
    "both": "With both models thinking, ",
    "medical": "With the medical model thinking, ",
    "none": "Without thinking, ",
}


def lead(results: Results) -> str:
    """What the run found, for somebody who reads one sentence.

    One comparison is told with its size; of several it is told how many turned out which way. Where models think, the
    comparisons that count are told (see `medbench_local.results.summary.counted`).
    """
    comparisons = counted_comparisons(results.comparisons)
    if not comparisons:
        return "No comparison was made."
    said = _one(comparisons[0], results) if len(comparisons) == 1 else _several(comparisons, results)
    who = {c.thinkers for c in comparisons}
    thinkers = who.pop() if len(who) == 1 else None
    said = said if thinkers is None else f"{_WHO[thinkers]}{said[0].lower()}{said[1:]}"
    return (
        f"Not finished; so far: {said[0].lower()}{said[1:]}" if isinstance(results, PartialResults) else said
    )


def _one(c: Comparison, results: Results) -> str:
    asked = f"on {words.counted(c.n, 'question')}"
    low, high = (words.points(bound) for bound in c.ci)
    interval = f"{results.confidence * 100:g} % interval {low} to {high}"
    size = words.points(abs(c.difference)).lstrip("+")
    why = doubt(c.verdict, c.n, c.mcnemar_p, confidence=results.confidence)
    if why == "too few questions":
        return f"Nothing can be shown {asked}: no outcome of so few would be a result."
    if why == "exact test":
        side = "medical" if c.verdict == "win" else "base"
        return (
            f"The {side} model looks better by {size} points {asked} ({interval}), but an exact test does not support "
            "it: treat it as no verdict."
        )
    if c.verdict == "tie":
        said = f"No difference shown {asked}{_missed([c])}"
    else:
        model = "medical" if c.verdict == "win" else "base"
        said = f"The {model} model is better by {size} points {asked} ({interval})"
    return f"{said}{_unsure([c], results)}."


def _several(comparisons: Sequence[Comparison], results: Results) -> str:
    sound = [
        c for c in comparisons if doubt(c.verdict, c.n, c.mcnemar_p, confidence=results.confidence) is None
    ]
    total, doubtful = len(comparisons), len(comparisons) - len(sound)
    by = {name: [c for c in sound if c.verdict == name] for name in ("win", "loss", "tie")}
    if len(by["tie"]) == total:
        said = f"No difference shown in any of {total} comparisons{_missed(by['tie'])}"
    else:
        said_of = {"win": "better in", "loss": "worse in", "tie": "not shown to differ in"}
        parts = [f"{text} {len(by[name])}" for name, text in said_of.items() if by[name]]
        parts += [f"without a sound result in {doubtful}"] if doubtful else []
        said = f"Of {total} comparisons, the medical model is {listed(parts)}"
        said += f"; in a tie{_missed(by['tie'])[1:]}" if by["tie"] else ""
    return f"{said}{_unsure(comparisons, results)}."


def _missed(ties: Sequence[Comparison]) -> str:
    """The differences that ties would not have shown."""
    sizes = [c.minimum_detectable_difference for c in ties]
    known = [size * 100 for size in sizes if size is not None]
    if not known:
        return "; both got the same questions right" if len(ties) == 1 else ""
    low, high = f"{min(known):.1f}", f"{max(known):.1f}"
    size = low if low == high else f"{low} to {high}"
    return f"; anything under {size} points could have been missed"


def _unsure(comparisons: Sequence[Comparison], results: Results) -> str:
    """What stands between the verdicts and full precision; nothing where all are verified."""
    unsure = [c for c in comparisons if not c.verified]
    if not unsure:
        return ""
    checked = any(c.check.checked for c in unsure)
    at = f"scored at {words.plain(results.precision)}"
    missing = (
        f"{words.PROVISIONAL} until held against full precision"
        if all(c.provisional for c in unsure)
        else "not verified at full precision"
        if checked
        else "not checked against full precision"
    )
    if len(unsure) == len(comparisons):
        return f" ({at}, {missing})"
    return f" ({len(unsure)} of these {at} and {missing})"


def how_chosen(results: Results) -> list[str]:
    """How the prompts were chosen, in one sentence; nothing where there is no comparison."""
    choices = [one for c in results.comparisons for one in (c.prompt.medical, c.prompt.base)]
    searched = [one for one in choices if one.method != "none" and one.candidates]
    if not choices:
        return []
    if not searched:
        return ["No prompt was chosen: every model got the default one"]
    counts = sorted({len(one.candidates) for one in searched})
    number = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    methods = " or ".join(dict.fromkeys(words.plain(one.method) for one in searched))
    rest = len(choices) - len(searched)
    exception = (
        f"; {words.counted(rest, 'time')} nothing was chosen, and the default prompt used" if rest else ""
    )
    return [
        "Each model has its own prompt in each comparison, the best on validation questions, which are none of the "
        f"test questions: of {number} candidates, formats with sets of demonstrations, by {methods} search{exception}"
    ]


def choice_mattered(results: Results) -> list[str]:
    """How much hung on the choice of the prompts, in sentences; nothing where none was chosen."""
    gains = [
        (choice.estimated_gain, words.cell(c), role)
        for c in results.comparisons
        for role, choice in (("medical", c.prompt.medical), ("base", c.prompt.base))
        if choice.estimated_gain is not None
    ]
    said = []
    if gains:
        most, where, role = max(gains, key=lambda gain: gain[0])
        typical = sorted(gain for gain, _, _ in gains)[len(gains) // 2]
        said.append(
            f"A chosen prompt is expected to beat the default one by {words.points(typical)} points (median of "
            f"{words.counted(len(gains), 'choice')}; {words.points(most)} at most: {where}, {role})"
        )
    shared = [c for c in results.comparisons if c.ablation and c.ablation.shared_prompt]
    if shared:
        other = [
            words.cell(c)
            for c in shared
            if c.ablation and c.ablation.shared_prompt != (c.quantised.verdict if c.quantised else c.verdict)
        ]
        where = f" ({'; '.join(other)})" if other else ""
        said.append(
            f"With the medical model's prompt for both models, {len(other)} of "
            f"{words.counted(len(shared), 'verdict')} would have been another one{where}"
        )
    return said
