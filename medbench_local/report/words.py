"""Numbers, names and sentences as every report writes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medbench_local.results.choices import PromptChoice
from medbench_local.results.partial import PartialResults
from medbench_local.results.record import Thinkers
from medbench_local.results.schema import Comparison, Counts, RatesOfSome, Results, Thinking
from medbench_local.results.summary import counted as counted_comparisons
from medbench_local.scoring.rules import RULES
from medbench_local.statistics.clusters import too_few_clusters
from medbench_local.statistics.doubt import doubt
from medbench_local.text import interval as interval
from medbench_local.text import plain as plain
from medbench_local.text import points as points

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


def at_zero(comparisons: Iterable[Comparison]) -> str:
    """What counts where an interval ends at zero; "" where none does."""
    if not any(0 in c.ci for c in comparisons):
        return ""
    return "An interval that ends at exactly 0 holds it: a tie."


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
    if comparison.verdict != "tie" or value is None:
        return ""
    return f"±{value * 100:.1f}"


def isolated(name: str) -> str:
    """``name`` so that a right-to-left script in it does not turn round the words and numbers after it."""
    if any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in name):
        return f"{FIRST_STRONG_ISOLATE}{name}{POP_ISOLATE}"
    return name


THINKERS: Mapping[Thinkers, str] = {
    "both": "both think",
    "medical": "medical thinks",
    "none": "without thinking",
}
"""Who thinks before it answers."""


def task(comparison: Comparison) -> str:
    """A comparison's task, with who thinks where some models do: "medqa, both think"."""
    return _with_thinkers(isolated(plain(comparison.task)), comparison.thinkers)


def cell(comparison: Comparison) -> str:
    """A comparison's name: "medqa, 3-shot"."""
    return named(comparison.task, comparison.shots, comparison.thinkers)


def named(task: str, shots: int, thinkers: Thinkers | None) -> str:
    """The name of the comparison on a task: "medqa, 3-shot, both think"."""
    return _with_thinkers(f"{isolated(plain(task))}, {shots}-shot", thinkers)


def _with_thinkers(name: str, thinkers: Thinkers | None) -> str:
    return name if thinkers is None else f"{name}, {THINKERS[thinkers]}"


def lines(text: str) -> str:
    """A text of several lines as it can be shown: each line `plain`, none added and none lost."""
    return "\n".join(map(plain, text.replace("\r\n", "\n").split("\n")))


def names(results: Results) -> tuple[str, str]:
    """The medical and the base model."""
    models = results.models
    return isolated(plain(models.medical.name)), isolated(plain(models.base.name))


def title(results: Results) -> str:
    """Who was compared."""
    medical, base = names(results)
    partial = f", {PARTIAL}" if isinstance(results, PartialResults) else ""
    return f"{medical} against {base}{partial}"


PARTIAL = "PARTIAL"
"""Stands beside the name of a run that is not finished."""


def unfinished(results: Results) -> list[str]:
    """What a run that is not finished still lacks; nothing of a finished one."""
    if not isinstance(results, PartialResults):
        return []
    done, missing, open_ones = len(results.comparisons), results.missing, results.provisional
    lines = [
        f"{PARTIAL}: {done} of {counted(done + len(missing), 'comparison')} answered by both models; rates and "
        "adjusted p-values are over these alone and may change"
    ]
    if missing:
        lines.append(f"missing: {'; '.join(named(*one.key) for one in missing)}")
    if open_ones:
        lines.append(
            f"{PROVISIONAL} until held against full precision: {'; '.join(named(*one.key) for one in open_ones)}"
        )
    return lines


def in_full(results: Results) -> list[Comparison]:
    """The comparisons whose numbers are those of full precision although another one was scored."""
    return [c for c in results.comparisons if c.quantised is not None and c.precision == "full"]


def precision(results: Results) -> str:
    """What the numbers are of: "q8_0", or "q4_0, 2 of 3 comparisons reported at full precision"."""
    scored = plain(results.precision)
    count = len(in_full(results))
    if not count:
        return scored
    return (
        f"{scored}, {count} of {counted(len(results.comparisons), 'comparison')} reported at full precision"
    )


def settings(results: Results) -> str:
    """How it was compared: "q8_0, protocol laptop, constrained scoring"."""
    scoring = ", ".join(dict.fromkeys(RULES[c.scoring].title for c in results.comparisons))
    text = f"{precision(results)}, protocol {plain(results.protocol)}"
    return f"{text}, {scoring}" if scoring else text


def headline(results: Results) -> str:
    """Who was compared, and how."""
    return f"{title(results)} ({settings(results)})"


def verdict(comparison: Comparison, confidence: float) -> str:
    """A verdict as a table has it: "win", "win, doubtful" where an exact test stands against it, "win, unverified" or
    "win, not checked" (nobody asked for a check).

    A verdict that another one over pictures stands beside is marked: "win†".

    Args:
        comparison: whose verdict.
        confidence: of its interval.
    """
    return _verdict(comparison, confidence) + UNLIKE_CLUSTERS * unlike_clusters(comparison, confidence)


UNLIKE_CLUSTERS = "†"
"""Marks a verdict that another one stands beside."""


def unlike_clusters(comparison: Comparison, confidence: float) -> bool:
    """Whether the bootstrap over pictures gives another verdict, or there are too few of them for a win or a loss."""
    beside = comparison.clusters
    if beside is None:
        return False
    alone = comparison.verdict != "tie" and too_few_clusters(beside.n, confidence)
    return alone or beside.verdict != comparison.verdict


def _verdict(comparison: Comparison, confidence: float) -> str:
    said = comparison.verdict
    if comparison.provisional:
        return f"{said}, {PROVISIONAL}"
    if doubt(said, comparison.n, comparison.mcnemar_p, confidence=confidence) is not None:
        return f"{said}, doubtful"
    if comparison.verified:
        return said
    return f"{said}, {NOT_CHECKED if not_checked([comparison]) else 'unverified'}"


PROVISIONAL = "provisional"
"""A verdict of a run that is not finished, whose check is still to come."""

NOT_CHECKED = "not checked"
"""What is said in place of "not verified" where no check was asked for."""


def not_checked(comparisons: Iterable[Comparison]) -> bool:
    """Whether none of the verdicts that are not verified was to be checked: they are no result of a check."""
    open_ones = [c for c in comparisons if not c.verified]
    return bool(open_ones) and all(c.check.state == "none" and not c.provisional for c in open_ones)


def state(text: str) -> str:
    """What decides the colour of a verdict or an outcome in a table: "not verified" of "win, unverified" or "win†"."""
    marks = (", unverified", f", {NOT_CHECKED}", f", {PROVISIONAL}", ", doubtful", UNLIKE_CLUSTERS)
    return "not verified" if text.endswith(marks) else text


def rates(results: Results) -> list[str]:
    """The summary, a line for each number of shots, and one for all if there are several."""
    summary = results.summary
    found = counted_comparisons(results.comparisons)
    lines = [
        f"{part.shots}-shot{of_whom(group)}: {_rates(part, group)}"
        for part in summary.by_shots
        for group in [[c for c in found if c.shots == part.shots]]
    ]
    if len(lines) > 1:
        lines.append(f"all{of_whom(found)}: {_rates(summary, found)}")
    return lines or ["no comparison was made"]


def of_whom(comparisons: Iterable[Comparison]) -> str:
    """Who thinks in the comparisons that rates are over, which are some of those that are shown: ", both think"."""
    who = dict.fromkeys(THINKERS[c.thinkers] for c in comparisons if c.thinkers is not None)
    return "".join(f", {words}" for words in who)


def counted(count: int, what: str) -> str:
    """A number of things: "1 comparison", "2 comparisons"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def share(low: float, high: float | None) -> str:
    """A rate with both bounds where they differ: "33.3 %", "33.3 to 66.7 %"."""
    if high is None or high == low:
        return percent(low)
    return f"{low * 100:.1f} to {percent(high)}"


def _rates(rates: RatesOfSome, comparisons: Sequence[Comparison]) -> str:
    text = ", ".join(
        f"{name} {share(getattr(rates, f'{name}_rate'), getattr(rates, f'{name}_rate_high'))}"
        for name in ("win", "tie", "loss")
    )
    text += f" of {counted(rates.comparisons, 'comparison')}"
    if not rates.not_verified_rate:
        return text
    return f"{text} ({percent(rates.not_verified_rate)} {open_word(comparisons)})"


def open_word(comparisons: Iterable[Comparison]) -> str:
    """What the verdicts are that are not verified: "not checked" if that was not asked for."""
    return NOT_CHECKED if not_checked(comparisons) else "not verified"


def verification(results: Results) -> list[str]:
    """How far the verdicts are known to be those of full precision, and what settles those that are not."""
    quantised = [c for c in results.comparisons if c.quantised is not None or c.check.state != "full"]
    lines = [
        f"{counted(len(group), 'verdict')} of {len(results.comparisons)} {text}"
        for group, text in (
            (_with_state(quantised, "full"), "verified: every question was answered at full precision"),
            (_with_state(quantised, "certain"), "verified: the unchecked questions cannot change it"),
            (_with_state(quantised, "confident"), "verified, each with at least 95 % confidence"),
        )
        if group
    ]
    lines += [
        f"{cell(c)}: {c.quantised.verdict} at {plain(c.quantised.precision)}, {c.verdict} at full precision"
        for c in quantised
        if c.verified and c.quantised is not None and c.quantised.verdict != c.verdict
    ]
    for reason, text in _UNCHECKED.items():
        group = [c for c in quantised if reason == (c.check.obstacle or c.check.state) and not c.provisional]
        if group:
            against = group[0].check.against
            said = text.format(fuller="full precision" if against == "full" else plain(against))
            lines.append(f"{counted(len(group), 'verdict')} of {len(results.comparisons)} {said}")
    return lines + [
        f"{cell(c)} is not verified: {_open(c)}" for c in quantised if not c.verified and c.check.checked
    ]


_UNCHECKED = {
    "none": "not checked against {fuller} (--check sample does that)",
    "no-fuller-file": (
        "not verified: a model was given quantised and there is nothing fuller to check against; name its "
        "checkpoint, or a GGUF in f16, bf16 or f32"
    ),
    "does-not-fit": (
        "not verified: {fuller} does not fit into this machine's memory; --check-precision compares with a stand-in "
        "that does, --check full on a larger machine settles it"
    ),
}
"""Why nothing was checked, by state or obstacle, and what to do about it."""


def _with_state(comparisons: Sequence[Comparison], name: str) -> list[Comparison]:
    return [c for c in comparisons if c.check.state == name and c.check.verified]


def _open(comparison: Comparison) -> str:
    """What is known of a comparison that was checked and is not verified."""
    check = comparison.check
    asked = f"{check.checked:,} of {counted(check.of, 'question')}"
    if check.against != "full":
        fuller = plain(check.against)
        if not check.settled:
            return f"{fuller}, standing in for full precision, leaves it open after {asked}"
        agrees = check.possible_verdicts == (comparison.verdict,)
        found = f"it agrees with {fuller}" if agrees else f"{fuller} gives {check.possible_verdicts[0]}"
        return f"{found}, which stood in for full precision ({asked})"
    may = " or ".join(check.possible_verdicts)
    if check.checked == check.of:
        return f"full precision gives {may}, and its numbers are not in this file; --check full computes them again"
    return f"after {asked} full precision may still give {may}; --check full settles it"


def notes(results: Results) -> list[str]:
    """What happened to prompts that a careful reader should know of, gathered over the comparisons."""
    medical, base = names(results)
    comparisons = results.comparisons
    # Whole texts are always improbable.
    labelled = [c for c in comparisons if not RULES[c.scoring].scores_option_texts]
    thought = [(cell(c), c.thinking) for c in comparisons if c.thinking is not None]
    return [
        *_truncated(medical, [(name, both.medical) for name, both in thought]),
        *_truncated(base, [(name, both.base) for name, both in thought]),
        *_notes_on_prompts(medical, [(cell(c), c.counts.medical) for c in comparisons]),
        *_unexpected(medical, [c.counts.medical for c in labelled]),
        *_notes_on_search(medical, [(cell(c), c.prompt.medical) for c in comparisons]),
        *_notes_on_prompts(base, [(cell(c), c.counts.base) for c in comparisons]),
        *_unexpected(base, [c.counts.base for c in labelled]),
        *_notes_on_search(base, [(cell(c), c.prompt.base) for c in comparisons]),
    ]


MOST_TRUNCATED = 0.05
"""Share of truncated thinking above which a verdict is said to be about the budget as well."""


def _truncated(model: str, found: Sequence[tuple[str, Thinking | None]]) -> Iterator[str]:
    """Comparisons in which the budget ended much of a model's thinking."""
    many = [
        f"{name}: {percent(thinking.truncated / thinking.questions)}"
        for name, thinking in found
        if thinking is not None and thinking.truncated > MOST_TRUNCATED * thinking.questions
    ]
    if many:
        yield (
            f"{model}: the budget ended its thinking about more than {percent(MOST_TRUNCATED)} of the questions "
            f"({'; '.join(many)}); with a larger one (thinking.budget of the protocol) the verdict may be another"
        )


def _notes_on_search(model: str, found: Sequence[tuple[str, PromptChoice]]) -> Iterator[str]:
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


def _notes_on_prompts(model: str, found: Sequence[tuple[str, Counts]]) -> Iterator[str]:
    kinds = (
        *((field, "prompt", what) for field, what in _UNFIT),
        ("exact_ties", "question", "with equal best options, the first one taken"),
        (
            "near_ties",
            "question",
            "whose two best options are no further apart than the noise of the engine's mode",
        ),
    )
    for field, thing, what in kinds:
        yield from _where(model, [(name, getattr(counts, field)) for name, counts in found], thing, what)


def _unexpected(model: str, found: Sequence[Counts]) -> Iterator[str]:
    """Labels that a model hardly expects: it may be a slip at the token boundary."""
    low = [mass for counts in found if (mass := counts.median_mass) is not None and mass < LOW_MASS]
    if low:
        span = f"{min(low):.2g}" if min(low) == max(low) else f"{min(low):.2g} to {max(low):.2g}"
        yield (
            f"{model} hardly expects a label: in {len(low)} of {counted(len(found), 'comparison')} the options "
            f"together get a median probability of only {span}"
        )


def work(results: Results) -> str:
    """What was computed, and how fast."""
    timing = results.timing
    speed = (
        f", {timing.tokens_per_second:,.0f} tokens a second while decoding"
        if timing.tokens_per_second
        else ""
    )
    return (
        f"{counted(timing.prompts_scored, 'prompt')} scored, {timing.prompts_reused:,} known before; "
        f"{timing.tokens_decoded:,} tokens in {timing.seconds:,.0f} s{speed}"
    )
