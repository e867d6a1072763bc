"""Numbers and names as every report writes them."""

from __future__ import annotations

from medbench_local.study.results import Comparison, LadderStep, PromptChoice, Results


def percent(value: float) -> str:
    """A share: 0.4567 as "45.7 %"."""
    return f"{value * 100:.1f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign: "+3.1"."""
    text = f"{value * 100:+.1f}"
    return text.replace("+0.0", "0.0").replace("-0.0", "0.0") if abs(value) < 0.0005 else text


def interval(bounds: tuple[float, float]) -> str:
    """Bounds in percentage points: "[-1.2, +4.0]"."""
    return f"[{points(bounds[0])}, {points(bounds[1])}]"


def p_value(p: float) -> str:
    """A p-value with two digits that matter: "0.032", "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def prompt(choice: PromptChoice) -> str:
    """A prompt's name: "default", "format 3", "format 3, demonstrations 7"."""
    name = "default" if choice.format == "default" else f"format {choice.format}"
    return name if choice.demonstrations is None else f"{name}, demonstrations {choice.demonstrations}"


def detectable(comparison: Comparison) -> str:
    """For a tie, the difference that would have been found: "±3.9"; else nothing."""
    value = comparison.minimum_detectable_difference
    if comparison.reported != "tie" or value is None:
        return ""
    return f"±{value * 100:.1f}"


def cell(comparison: Comparison) -> str:
    """A comparison's name: "medqa, 3-shot"."""
    return f"{comparison.task}, {comparison.shots}-shot"


def headline(results: Results) -> str:
    """Who was compared, and how."""
    models = results.models
    scoring = ", ".join(dict.fromkeys(c.scoring for c in results.comparisons))
    return (
        f"{models.medical.name} against {models.base.name} "
        f"({results.precision}, protocol {results.protocol}, {scoring} scoring)"
    )


def rates(results: Results) -> list[str]:
    """The summary, a line for each number of shots, and one for all if there are several."""
    summary = results.summary
    lines = [
        f"{part.shots}-shot: {_rates(part.win_rate, part.tie_rate, part.loss_rate, part.not_verified_rate)} "
        f"of {part.comparisons} comparison{'s' * (part.comparisons != 1)}"
        for part in summary.by_shots
    ]
    if len(lines) > 1:
        text = _rates(summary.win_rate, summary.tie_rate, summary.loss_rate, summary.not_verified_rate)
        lines.append(f"all: {text} of {summary.comparisons} comparisons")
    return lines


def _rates(win: float, tie: float, loss: float, not_verified: float) -> str:
    text = f"win {percent(win)}, tie {percent(tie)}, loss {percent(loss)}"
    return f"{text}, not verified {percent(not_verified)}" if not_verified else text


def verification(comparison: Comparison) -> str:
    """What the check of precisions found, in one line; "" if none was made."""
    check = comparison.equivalence
    if check is None:
        return ""
    if not check.verified:
        return check.reason
    sides = [side for side in (check.medical, check.base) if side is not None]
    if not sides:
        return "scored at full precision"
    flips = " and ".join(f"{side.flips} of {side.n}" for side in sides)
    return (
        f"same verdict at {sides[0].reference_precision} on {sides[0].n} questions; "
        f"answers that differ: {flips}"
    )


def counted(comparison: Comparison) -> list[str]:
    """What happened to prompts that a careful reader should know of."""
    said = []
    for role, counts in (("medical", comparison.counts.medical), ("base", comparison.counts.base)):
        if counts.overlong:
            said.append(f"{role}: {counts.overlong} prompts longer than the context, counted as wrong")
        if counts.dropped_demonstrations:
            said.append(
                f"{role}: {counts.dropped_demonstrations} prompts lost demonstrations to fit the context"
            )
        if counts.exact_ties:
            said.append(f"{role}: {counts.exact_ties} questions with equal best options, the first taken")
        if counts.median_mass is not None and counts.median_mass < LOW_MASS:
            said.append(
                f"{role}: the options together get {counts.median_mass:.2g} of the probability (median): "
                "the model hardly expects a letter here"
            )
    return said


LOW_MASS = 0.01
"""Median probability of the options below which a report says so: it may be a slip at the token boundary."""


def ladder_step(step: LadderStep) -> str:
    """One precision of ``--quant auto``."""
    return f"{step.precision}: {step.verified} of {step.comparisons} comparisons verified"


def signature(results: Results, version: str) -> str:
    """A line to paste beside a published figure: everything that identifies the run."""
    models = results.models
    return "|".join(
        [
            f"medbench-local:{version}",
            f"medical:{models.medical.name}@{models.medical.sha256[:12]}",
            f"base:{models.base.name}@{models.base.sha256[:12]}",
            f"precision:{results.precision}",
            f"protocol:{results.protocol}",
            f"engine:{results.mode}",
        ]
    )
