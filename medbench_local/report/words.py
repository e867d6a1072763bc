"""Numbers, names and sentences as every report writes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from medbench_local.study.results import Comparison, Counts, LadderStep, PromptChoice, Results
from medbench_local.text import plain as plain

LOW_MASS = 0.01
"""Median probability of the options below which a report says so: it may be a slip at the token boundary."""

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"


def shortened(text: str, length: int) -> str:
    """``text`` in at most ``length`` characters, its middle left out: the ends of names tell them apart."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[-(length - 1 - head) :]}"


def percent(value: float) -> str:
    """A share: 0.4567 as "45.7 %"."""
    return f"{value * 100:.1f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign: "+3.1"."""
    text = f"{value * 100:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


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


def selection_error(choice: PromptChoice) -> str:
    """How likely the exhaustive search would have chosen otherwise: "none", "≤ 0.05", "≈ 0.01"."""
    if choice.error_bound is None:
        return ""
    if choice.error_bound == 0:
        return "none"
    if choice.error_estimate is not None:
        return f"≈ {choice.error_estimate:.2g}"
    return f"≤ {choice.error_bound:.2g}"


def gain(choice: PromptChoice) -> str:
    """Points that the chosen prompt is expected to be better than the default one on other questions: "+3.0".

    Where an old file has no such estimate, the difference on the questions it was chosen by: "+26.1*".
    """
    if choice.estimated_gain is not None:
        return points(choice.estimated_gain)
    return "" if choice.spread is None else f"{points(choice.spread)}*"


def detectable(comparison: Comparison) -> str:
    """For a tie, the difference that would have been found: "±3.9"; else nothing."""
    value = comparison.minimum_detectable_difference
    if comparison.reported != "tie" or value is None:
        return ""
    return f"±{value * 100:.1f}"


def isolated(name: str) -> str:
    """``name`` so that a right-to-left script in it does not turn round the words and numbers after it."""
    if any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in name):
        return f"{FIRST_STRONG_ISOLATE}{name}{POP_ISOLATE}"
    return name


def cell(comparison: Comparison) -> str:
    """A comparison's name: "medqa, 3-shot"."""
    return f"{isolated(plain(comparison.task))}, {comparison.shots}-shot"


def names(results: Results) -> tuple[str, str]:
    """The medical and the base model."""
    models = results.models
    return isolated(plain(models.medical.name)), isolated(plain(models.base.name))


def title(results: Results) -> str:
    """Who was compared."""
    medical, base = names(results)
    return f"{medical} against {base}"


def settings(results: Results) -> str:
    """How it was compared: "q8_0, protocol laptop, constrained scoring"."""
    scoring = ", ".join(dict.fromkeys(c.scoring for c in results.comparisons))
    text = f"{plain(results.precision)}, protocol {plain(results.protocol)}"
    return f"{text}, {scoring} scoring" if scoring else text


def headline(results: Results) -> str:
    """Who was compared, and how."""
    return f"{title(results)} ({settings(results)})"


def rates(results: Results) -> list[str]:
    """The summary, a line for each number of shots, and one for all if there are several."""
    summary = results.summary
    lines = [
        f"{part.shots}-shot: {_rates(part.win_rate, part.tie_rate, part.loss_rate, part.not_verified_rate)} "
        f"of {counted(part.comparisons, 'comparison')}"
        for part in summary.by_shots
    ]
    if len(lines) > 1:
        text = _rates(summary.win_rate, summary.tie_rate, summary.loss_rate, summary.not_verified_rate)
        lines.append(f"all: {text} of {counted(summary.comparisons, 'comparison')}")
    return lines or ["no comparison was made"]


def counted(count: int, what: str) -> str:
    """A number of things: "1 comparison", "2 comparisons"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def _rates(win: float, tie: float, loss: float, not_verified: float) -> str:
    text = f"win {percent(win)}, tie {percent(tie)}, loss {percent(loss)}"
    return f"{text}, not verified {percent(not_verified)}" if not_verified else text


def verification(results: Results) -> list[str]:
    """Which verdicts were checked against full precision, and why each one that is not verified is not."""
    lines = []
    verified = [c for c in results.comparisons if c.equivalence is not None and c.equivalence.verified]
    for reference in dict.fromkeys(_reference(c) for c in verified):
        count = sum(_reference(c) == reference for c in verified)
        lines.append(
            f"{plain(results.precision)}: {count} of {counted(len(results.comparisons), 'verdict')} "
            f"verified against {reference}"
        )
    unchecked = sum(c.equivalence is None for c in results.comparisons)
    if unchecked and results.precision != "full":
        of_all = f"{unchecked} of {counted(len(results.comparisons), 'verdict')}"
        lines.append(f"{plain(results.precision)}: {of_all} not checked against full precision")
    lines += [
        f"{cell(c)} is not verified: {plain(c.equivalence.reason) or 'no reason was recorded'}"
        for c in results.comparisons
        if c.equivalence is not None and not c.equivalence.verified
    ]
    return lines


def _reference(comparison: Comparison) -> str:
    check = comparison.equivalence
    side = check and (check.medical or check.base)
    name = plain(side.reference_precision) if side else "full"
    return "full precision" if name == "full" else f"{name}, standing in for full precision"


def noticed(results: Results) -> list[str]:
    """What happened to prompts that a careful reader should know of, gathered over the comparisons."""
    medical, base = names(results)
    comparisons = results.comparisons
    return [
        *_noticed(medical, [(cell(c), c.counts.medical) for c in comparisons]),
        *_noticed_in_search(medical, [(cell(c), c.prompt.medical) for c in comparisons]),
        *_noticed(base, [(cell(c), c.counts.base) for c in comparisons]),
        *_noticed_in_search(base, [(cell(c), c.prompt.base) for c in comparisons]),
    ]


def _noticed_in_search(model: str, found: Sequence[tuple[str, PromptChoice]]) -> Iterator[str]:
    """Prompts that did not fit: the search then prefers shorter formats and demonstrations."""
    for field, what in _UNFIT:
        counts = [(name, getattr(choice, field)) for name, choice in found]
        yield from _where(model, counts, "prompt", f"of the search {what}")


def _where(model: str, counts: Sequence[tuple[str, int]], thing: str, what: str) -> Iterator[str]:
    """How often something happened, and where; nothing if it never did."""
    each = "; ".join(f"{name}: {count:,}" for name, count in counts if count)
    if each:
        yield f"{model}: {counted(sum(count for _, count in counts), thing)} {what} ({each})"


_UNFIT = (
    ("overlong", "longer than the context and counted as wrong"),
    ("dropped_demonstrations", "cut by demonstrations to fit the context"),
)
"""What happens to prompts that do not fit; names of fields of `Counts` and of `PromptChoice`."""


def _noticed(model: str, found: Sequence[tuple[str, Counts]]) -> Iterator[str]:
    kinds = (
        *((field, "prompt", what) for field, what in _UNFIT),
        ("exact_ties", "question", "with equal best options, the first one taken"),
        ("near_ties", "question", "whose two best options are closer than the noise of the engine's mode"),
    )
    for field, thing, what in kinds:
        yield from _where(model, [(name, getattr(counts, field)) for name, counts in found], thing, what)
    low = [mass for _, counts in found if (mass := counts.median_mass) is not None and mass < LOW_MASS]
    if low:
        span = f"{min(low):.2g}" if min(low) == max(low) else f"{min(low):.2g} to {max(low):.2g}"
        yield (
            f"{model} hardly expects a label: in {len(low)} of {counted(len(found), 'comparison')} the options "
            f"together get a median probability of only {span}"
        )


def ladder_step(step: LadderStep) -> str:
    """One precision of ``--quant auto``."""
    return f"{plain(step.precision)}: {step.verified} of {counted(step.comparisons, 'comparison')} verified"


def work(results: Results) -> str:
    """What was computed, and how fast."""
    timing = results.timing
    speed = f", {timing.tokens_per_second:,.0f} tokens a second" if timing.tokens_per_second else ""
    return (
        f"{counted(timing.prompts_scored, 'prompt')} scored, {timing.prompts_reused:,} known before; "
        f"{timing.tokens_decoded:,} tokens in {timing.seconds:,.0f} s{speed}"
    )


def signature(results: Results, version: str) -> str:
    """A line to paste beside a published figure: everything that identifies the run."""
    models = results.models
    return "|".join(
        [
            f"medbench-local:{version}",
            f"medical:{plain(models.medical.name)}@{plain(models.medical.sha256[:12])}",
            f"base:{plain(models.base.name)}@{plain(models.base.sha256[:12])}",
            f"precision:{plain(results.precision)}",
            f"protocol:{plain(results.protocol)}",
            f"engine:{plain(results.mode)}",
        ]
    )
