"""The tables of a report, described once for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.report import clusters, identity, words
from medbench_local.report.section import Column, Section
from medbench_local.results.choices import PromptChoice
from medbench_local.results.schema import Comparison, Results, Thinking


def _number(name: str, full: str = "") -> Column:
    return Column(name, numeric=True, full=full)


def verdicts(results: Results) -> list[Section]:
    """One table for each number of shots, as the study keeps them."""
    columns = (
        Column("task", name_of_row=True),
        _number("n", "questions"),
        _number("medical", "medical, % right"),
        _number("base", "base, % right"),
        _number("difference", f"difference [{results.confidence * 100:g} % interval], points"),
        Column("verdict", state=True),
    )
    note = f"Accuracies in %, differences in percentage points with their {results.confidence * 100:g} % interval."
    if zero := words.at_zero(results.comparisons):
        note += f" {zero}"
    full = words.in_full(results)
    if full and len(full) < len(results.comparisons):
        others = words.plain(results.precision)
        note += f" At full precision: {'; '.join(map(words.cell, full))}; the others at {others}."
    if any(words.unlike_clusters(c, results.confidence) for c in results.comparisons):
        note += f" {words.UNLIKE_CLUSTERS}: over pictures it is another one, or there are too few of them."
    return [
        Section(
            f"{shots}-shot",
            note,
            columns,
            tuple(_verdict_row(c, results.confidence) for c in results.comparisons if c.shots == shots),
        )
        for shots in sorted({c.shots for c in results.comparisons})
    ]


def _verdict_row(comparison: Comparison, confidence: float) -> tuple[str, ...]:
    return (
        words.task(comparison),
        f"{comparison.n:,}",
        f"{comparison.accuracy.medical * 100:.1f}",
        f"{comparison.accuracy.base * 100:.1f}",
        f"{words.points(comparison.difference):>5} {words.interval(comparison.ci):<14}",
        words.verdict(comparison, confidence),
    )


def evidence(results: Results) -> list[Section]:
    """What stands beside each verdict: discordant questions, p-values, the detectable difference of a tie."""
    if not results.comparisons:
        return []
    columns = (
        Column("comparison", name_of_row=True),
        _number("medical only", "only medical right"),
        _number("base only", "only base right"),
        _number("McNemar p", "p (exact McNemar)"),
        _number("Holm p", "p, adjusted (Holm)"),
        _number("detectable", "detectable difference, points"),
    )
    rows = tuple(
        (
            words.cell(c),
            f"{c.discordant.medical_only:,}",
            f"{c.discordant.base_only:,}",
            words.p_value(c.mcnemar_p),
            words.p_value(c.holm_p),
            words.detectable(c),
        )
        for c in results.comparisons
    )
    note = (
        "Questions that only one model answers correctly; p adjusted over all comparisons (Holm); for a tie, the "
        "smallest difference that would have been found with 80 % power."
    )
    return [Section("Evidence", note, columns, rows)]


def details(results: Results) -> list[Section]:
    """Everything behind the verdicts but where it came from."""
    return [
        *evidence(results),
        *clusters.sections(results),
        *thinking(results),
        *prompts(results),
        *ablations(results),
        *checks(results),
        *ladder(results),
    ]


def thinking(results: Results) -> list[Section]:
    """How much was thought, and how it ended."""
    rows: list[tuple[str, ...]] = []
    for comparison in results.comparisons:
        both = comparison.thinking
        sides = () if both is None else (("medical", both.medical), ("base", both.base))
        name = words.cell(comparison)
        for model, found in sides:
            if found is not None:
                rows.append((name, model, *_thinking_row(found)))
                name = ""
    if not rows:
        return []
    columns = (
        Column("comparison", name_of_row=True),
        Column("model"),
        _number("questions"),
        _number("median tokens", "tokens of thinking, median"),
        *map(_number, ("truncated", "not closed", "loops")),
    )
    note = (
        "Tokens that a model wrote before it answered. Truncated: the budget was used up, and the thinking was closed "
        "for the model. Not closed: its text ended without the marker that closes the thinking, which a model that was "
        "not trained to think does not have. Loops: the thinking ends in a repetition."
    )
    return [Section("Thinking", note, columns, tuple(rows))]


def _thinking_row(found: Thinking) -> tuple[str, ...]:
    tokens = "" if found.median_tokens is None else f"{found.median_tokens:,.0f}"
    shares = (
        f"{count / max(found.questions, 1) * 100:.1f} %"
        for count in (found.truncated, found.ended, found.loops)
    )
    return f"{found.questions:,}", tokens, *shares


def prompts(results: Results) -> list[Section]:
    """The prompt chosen for each model, and what choosing it took."""
    if not results.comparisons:
        return []
    columns = (
        Column("comparison", name_of_row=True),
        Column("model"),
        Column("prompt"),
        _number("validation*", "validation accuracy*, %"),
        _number("estimated gain", "estimated gain, points"),
        _number("prompts scored"),
        _number("selection error"),
    )
    rows: list[tuple[str, ...]] = []
    for comparison in results.comparisons:
        rows += [
            (words.cell(comparison), "medical", *_prompt_row(comparison.prompt.medical)),
            ("", "base", *_prompt_row(comparison.prompt.base)),
        ]
    footnote = (
        "*: on the questions that the prompt was chosen by, where the best of many looks better than it is."
    )
    note = (
        f"Validation: accuracy in %. {footnote} Gain: points over the default prompt to expect on other questions, "
        "estimated with that luck taken out. Prompts scored: of those an exhaustive search needs. Selection error: "
        "probability that that search would have chosen another prompt."
    )
    return [Section("Prompts", note, columns, tuple(rows), footnote)]


def _prompt_row(choice: PromptChoice) -> tuple[str, ...]:
    if choice.method == "none":
        return words.prompt(choice), "not selected", "", "", ""
    scored = f"{choice.prompts_scored:,}/{choice.prompts_exhaustive:,}"
    return (
        words.prompt(choice),
        "" if choice.validation_accuracy is None else f"{choice.validation_accuracy * 100:.1f}",
        words.gain(choice),
        scored,
        words.selection_error(choice),
    )


def checks(results: Results) -> list[Section]:
    """What full precision says of each verdict, and of each model's answers; nothing if nothing was checked."""
    checked = [c for c in results.comparisons if c.quantised is not None and c.check.checked]
    if not checked:
        return []
    precision = words.plain(results.precision)
    against = words.plain(checked[0].check.against)
    fuller = "full precision" if against == "full" else f"{against}, standing in for full precision"
    columns = (
        Column("comparison", name_of_row=True),
        _number("checked", "questions checked"),
        Column("status"),
        Column(precision, state=True, full=f"verdict at {precision}"),
        _number(f"difference at {precision}", f"difference at {precision}, points"),
        Column(
            "full precision" if against == "full" else against,
            state=True,
            full=f"verdict at {'full precision' if against == 'full' else against}",
        ),
    )
    return [
        Section(
            f"Check against {fuller}",
            f"How many test questions both models were asked again at {fuller}, with the same prompts, and which "
            "verdicts it may give. The questions with the closest choice come first, then a random order; checking "
            "ends where the verdict is settled.",
            columns,
            tuple(_check_row(c) for c in checked),
        ),
        *_changes(checked, precision, fuller),
    ]


def _check_row(comparison: Comparison) -> tuple[str, ...]:
    check, scored = comparison.check, comparison.quantised
    return (
        words.cell(comparison),
        f"{check.checked:,}/{check.of:,}",
        check.state,
        scored.verdict if scored else "",
        f"{words.points(scored.difference)} {words.interval(scored.ci)}" if scored else "",
        " or ".join(check.possible_verdicts),
    )


def _changes(checked: Sequence[Comparison], precision: str, fuller: str) -> list[Section]:
    columns = (
        Column("comparison", name_of_row=True),
        Column("model"),
        _number("questions"),
        _number("flips", "other predictions (flips)"),
        _number("correct→wrong", "right became wrong"),
        _number("wrong→correct", "wrong became right"),
        _number("mean KL", "mean divergence (KL), nats"),
    )
    rows: list[tuple[str, ...]] = []
    for comparison in checked:
        name = words.cell(comparison)
        changes = comparison.check.changes
        for role, side in (("medical", changes.medical), ("base", changes.base)) if changes else ():
            if side is not None:
                kl = "" if side.kl_mean is None else f"{side.kl_mean:.2g}"
                counts = (side.n, side.flips, side.correct_to_wrong, side.wrong_to_correct)
                rows.append((name, role, *(f"{count:,}" for count in counts), kl))
                name = ""
    if not rows:
        return []
    note = (
        f"The checked questions, at {fuller} and at {precision}; flips are other predictions. Unless all were checked "
        "they are no random sample: those with the closest choice come first."
    )
    return [Section("Changes by quantisation", note, columns, tuple(rows))]


def ablations(results: Results) -> list[Section]:
    """What the verdicts would have been with one prompt for both, or by the raw sign; nothing if not scored."""
    scored = [
        c for c in results.comparisons if c.ablation is not None and c.ablation.shared_prompt is not None
    ]
    if not scored:
        return []
    columns = (
        Column("comparison", name_of_row=True),
        Column("own, interval", state=True, full="own prompts, by interval"),
        Column("own, sign", state=True, full="own prompts, by sign"),
        Column("shared, interval", state=True, full="shared prompt, by interval"),
        Column("shared, sign", state=True, full="shared prompt, by sign"),
        _number("base, shared", "base with shared prompt, % right"),
    )
    rows = tuple(
        (
            words.cell(c),
            c.quantised.verdict if c.quantised else c.verdict,
            c.ablation.raw,
            c.ablation.shared_prompt or "",
            c.ablation.shared_prompt_raw or "",
            ""
            if c.ablation.shared_prompt_accuracy is None
            else f"{c.ablation.shared_prompt_accuracy * 100:.1f}",
        )
        for c in scored
        if c.ablation is not None
    )
    note = (
        "Verdicts with each model's own prompt, or with the medical model's prompt shared by both; by the "
        "bootstrap interval, or by the raw sign of the difference. The last column is the base model's accuracy in % "
        "with the shared prompt. All at the scored precision."
    )
    return [Section("Ablations", note, columns, rows)]


def provenance(results: Results) -> list[Section]:
    """What made the results, and of what."""
    columns = (Column("item", name_of_row=True), Column("value"))
    rows = tuple((fact.name, fact.text) for fact in identity.facts(results))
    return [Section("Provenance", "", columns, rows)]


def ladder(results: Results) -> list[Section]:
    """The precisions that were tried, if they were climbed; nothing for another choice."""
    if not results.ladder:
        return []
    columns = (Column("precision", name_of_row=True), _number("settled"), _number("questions checked"))
    rows = tuple(
        (
            words.plain(step.precision),
            f"{step.verified} of {step.comparisons}",
            "" if step.checked is None or step.questions is None else f"{step.checked:,}/{step.questions:,}",
        )
        for step in results.ladder
    )
    return [Section("Precisions tried", "The ladder ends where every comparison is settled.", columns, rows)]
