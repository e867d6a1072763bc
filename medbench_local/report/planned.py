"""The words and tables of a plan: what a comparison would fetch, make and compute."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.report import words
from medbench_local.report.section import Column, Section
from medbench_local.results.cost import PHASES, ComparisonCost, ModelCost

_SPEEDS = (200, 500, 2000)
"""Tokens a second for which hours are told where this machine's speed is not known."""


def needs(cost: ComparisonCost) -> Iterator[str]:
    """What each model needs of the disk, the network and the memory."""
    for model in cost.models:
        here = "ready" if model.ready else f"{model.download / 1e9:.2f} GB to fetch"
        disk = f"{model.disk / 1e9:.2f} GB of disk still needed" if model.disk else "no more disk needed"
        yield f"{model.name} at {model.precision}: {here}, {disk}"
    wanted = [
        f"{model.name} {_memory(model.memory)}"
        + (f" ({_memory(model.check_memory)} to be checked)" if model.check_memory else "")
        for model in cost.models
        if model.memory
    ]
    if wanted and cost.memory_free is not None:
        loaded = "both models stay loaded at once" if cost.both_loaded else "one model at a time"
        yield f"memory, {loaded}, about: {', '.join(wanted)}; {_memory(cost.memory_free)} are free now"


def phases(cost: ComparisonCost) -> Section:
    """Each model's phases: prompts, tokens and time, expected and at most."""
    rows: list[tuple[str, ...]] = []
    timed = cost.seconds is not None and cost.seconds_most is not None
    for model in cost.models:
        name = model.name
        for phase in PHASES:
            own = model.phase(phase)
            if not own.tokens_most:
                continue
            rows.append(
                (
                    words.plain(name),
                    phase,
                    f"{own.prompts:,}",
                    f"{own.prompts_most:,}",
                    amount(own.tokens),
                    amount(own.tokens_most),
                    *(_times(model.phase_seconds(phase), model.phase_seconds(phase, most=True), timed)),
                )
            )
            name = ""
    prompts = [own for model in cost.models for phase in PHASES if (own := model.phase(phase))]
    rows.append(
        (
            "both",
            "all",
            f"{sum(own.prompts for own in prompts):,}",
            f"{sum(own.prompts_most for own in prompts):,}",
            amount(cost.tokens),
            amount(cost.tokens_most),
            *_times(cost.seconds, cost.seconds_most, timed),
        )
    )
    numbers = _numbers("prompts", "tokens", *(["time"] if timed else []))
    columns = (Column("model", name_of_row=True), Column("phase"), *numbers)
    return Section("", "", columns, tuple(rows))


def _times(expected: float | None, most: float | None, timed: bool) -> tuple[str, ...]:
    return (_time(expected), _time(most)) if timed else ()


def cells(cost: ComparisonCost) -> Section:
    """Each cell with both models' tokens."""
    rows = [
        (
            f"{words.plain(medical.task)}, {medical.shots}-shot",
            f"{medical.candidates} / {base.candidates}",
            amount(medical.all_phases.tokens + base.all_phases.tokens),
            amount(medical.all_phases.tokens_most + base.all_phases.tokens_most),
        )
        for medical, base in zip(cost.medical.cells, cost.base.cells, strict=True)
    ]
    columns = (
        Column("cell", name_of_row=True),
        Column("candidates", numeric=True),
        *_numbers("tokens"),
    )
    return Section("", "", columns, tuple(rows))


def _numbers(*names: str) -> Iterator[Column]:
    for name in names:
        yield Column(name, numeric=True)
        yield Column(f"{name} most", numeric=True)


def meaning(cost: ComparisonCost) -> Iterator[str]:
    """What the numbers are, and what is not among them."""
    tried = len(cost.precisions)
    over = f" over {tried} precisions" if tried > 1 else ""
    yield f"about {cost.tokens:,} tokens, {cost.tokens_most:,} at most{over}; {_hours(cost)}"
    yield from _counted(cost.models)
    if any(not cell.length_known for model in cost.models for cell in model.cells):
        yield "How long a search takes that ends when it is decided is not known beforehand: what is expected is rough."
    if cost.pictures:
        yield (
            f"{cost.pictures:,} pictures, each encoded once, a second or two each: neither this time nor its memory "
            "is among the numbers"
        )
    written = sum(model.phase(phase).written_most for model in cost.models for phase in PHASES)
    if written:
        yield f"{written:,} of these at most are written one after another; how many is known afterwards only"


def _counted(models: tuple[ModelCost, ModelCost]) -> Iterator[str]:
    without = [model.name for model in models if model.counted == "allowance"]
    if len(without) < len(models):
        known = [model.name for model in models if model.counted == "tokenizer"]
        names = " and ".join(dict.fromkeys(known))
        yield f"Tokens of {names} are counted with the tokenizer of each."
    if without:
        yield (
            f"The tokenizer of {' and '.join(dict.fromkeys(without))} is not here: its tokens are estimated from the "
            "texts, at most with an allowance that is never below the truth for vocabularies of 32,000 tokens and more."
        )


def _hours(cost: ComparisonCost) -> str:
    if cost.seconds is None or cost.seconds_most is None:
        return "at most " + "; ".join(
            f"{cost.tokens_most / speed / 3600:.1f} h at {speed:,} tokens a second" for speed in _SPEEDS
        )
    timed = {model.timed for model in cost.models}
    how = "timed with the models' own files" if timed == {"model"} else "timed with a small model"
    return (
        f"about {_time(cost.seconds)}, at most {_time(cost.seconds_most)} of decoding on this machine ({how})"
    )


def amount(number: float) -> str:
    """A large number in three digits: "39.5k", "1.21M"."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            value = number / size
            decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{decimals}f}{name}"
    return f"{number:.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds >= 360:
        return f"{seconds / 3600:,.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _memory(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
