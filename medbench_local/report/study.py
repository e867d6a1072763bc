"""What the study published, beside the rates of a sweep, and what differs between the two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from medbench_local.catalog.model import pairs
from medbench_local.catalog.task import study_tasks
from medbench_local.reference.published import PublishedRate, published_rates
from medbench_local.report import words
from medbench_local.results.pair import pair_label
from medbench_local.results.schema import Results
from medbench_local.results.summary import counted
from medbench_local.results.sweep import ShotsSummary, Sweep
from medbench_local.statistics.summary import Rates


@dataclass(frozen=True)
class RatesRow:
    """Rates of the study, or this sweep's that go with them.

    Attributes:
        name: what the rates are of; "" goes on with the row above.
        whose: "study" with where it was read, or "this sweep" with how it is summed up.
        shares: of wins, ties and losses; "" for what is not known.
        ours: of this sweep.
    """

    name: str
    whose: str
    shares: tuple[str, str, str]
    ours: bool


@dataclass(frozen=True)
class BesideTheStudy:
    """Published rates with those of a sweep.

    Attributes:
        rows: each published one, followed by what goes with it.
        differences: between this sweep and the study.
    """

    rows: tuple[RatesRow, ...]
    differences: tuple[str, ...]


def beside_the_study(found: Sweep) -> BesideTheStudy:
    """Every published rate with the sweep's that go with it, where it has some, and what differs."""
    rows: list[RatesRow] = []
    for rate in published_rates():
        rows.append(RatesRow(_name(rate), _source(rate), _published(rate), ours=False))
        rows += [RatesRow("", f"this sweep, {how}", shares(of), ours=True) for how, of in _ours(rate, found)]
    return BesideTheStudy(tuple(rows), tuple(_differences([run.results for run in found.runs])))


def shares(rates: Rates) -> tuple[str, str, str]:
    """Rates of wins, ties and losses, with both bounds where they are not the same."""
    return (
        words.share(rates.win_rate, rates.win_rate_high),
        words.share(rates.tie_rate, rates.tie_rate_high),
        words.share(rates.loss_rate, rates.loss_rate_high),
    )


def _name(rate: PublishedRate) -> str:
    shots = "" if rate.shots is None or f"{rate.shots}-shot" in rate.name else f", {rate.shots}-shot"
    return rate.name.replace("three-shot", "3-shot") if "three-shot" in rate.name else f"{rate.name}{shots}"


_PAPERS = {"emnlp2024": "EMNLP 2024", "extended-v1": "extended, v1", "extended-v2": "extended, v2"}


def _source(rate: PublishedRate) -> str:
    doubt = "" if rate.certainty == "read" else ", secondary source"
    return f"study ({_PAPERS[rate.paper]}{doubt})"


def _published(rate: PublishedRate) -> tuple[str, str, str]:
    win, tie, loss = (
        "" if share is None else words.percent(share)
        for share in (rate.win_rate, rate.tie_rate, rate.loss_rate)
    )
    return (win if rate.win_rate_above is None else f"> {words.percent(rate.win_rate_above)}"), tie, loss


def _ours(rate: PublishedRate, found: Sweep) -> Iterator[tuple[str, Rates]]:
    for summary in found.summaries:
        if rate.shots not in (None, summary.shots) or rate.counterpart is None:
            continue
        shots = "" if rate.shots is not None else f"{summary.shots}-shot, "
        for how, rates in _counterparts(rate, summary):
            yield shots + how, rates


def _counterparts(rate: PublishedRate, summary: ShotsSummary) -> Iterator[tuple[str, Rates]]:
    if rate.counterpart == "all":
        yield "pooled", summary.pooled
        yield "mean of pairs", summary.mean
    elif rate.counterpart == "shared prompt":
        if summary.ablation.medical_bootstrap is not None:
            yield "by interval", summary.ablation.medical_bootstrap
        if summary.ablation.medical_raw is not None:
            yield "by sign", summary.ablation.medical_raw
    elif rate.pair is not None:
        own = summary.pairs.get(pair_label(*rate.pair.split("-vs-")))
        if own is not None:
            yield "this pair", own


def _differences(several: Sequence[Results]) -> Iterator[str]:
    comparisons = [c for results in several for c in counted(results.comparisons)]
    compared = {(r.models.medical.name, r.models.base.name) for r in several}
    known = {(pair.medical, pair.base) for pair in pairs() if pair.studies and pair.modality == "text"}
    yield f"pairs: {_shared(compared, known)}"
    yield f"tasks: {_shared({c.task for c in comparisons}, set(study_tasks()))}"
    precisions = sorted({c.precision for c in comparisons})
    if precisions and precisions != ["full"]:
        yield f"precision: {_listed(precisions)}, the study's was each checkpoint's own in 16 bits"
    yield "engine: llama.cpp, the study's was vLLM"
    limits = sorted({r.limit for r in several if r.limit is not None})
    if limits:
        yield f"at most {_listed(map(str, limits))} questions of a task, the study asked all"
    methods = sorted({method for r in several if (method := _search(r)) not in (None, "exhaustive")})
    if methods:
        yield f"prompt search: {_listed(methods)}, the study's was exhaustive"
    scoring = sorted({c.scoring for c in comparisons} - {"constrained", "greedy"})
    if scoring:
        yield f"scoring: {_listed(scoring)}, which the study does not have"
    protocols = sorted({r.protocol for r in several} - {"emnlp2024"})
    if protocols:
        yield f"protocol: {_listed(protocols)}, not emnlp2024"
    yield "system prompts: in this project's own words"


def _search(results: Results) -> str | None:
    selection = (results.protocol_content or {}).get("selection")
    method = selection.get("method") if isinstance(selection, dict) else None
    return None if method is None else str(method)


def _shared(ours: set[str] | set[tuple[str, str]], study: set[str] | set[tuple[str, str]]) -> str:
    """How many of the study's are among ours: "2 of the study's 13, and 3 others"."""
    both = len(set(ours) & set(study))
    others = len(ours) - both
    return f"{both} of the study's {len(study)}" + (
        f", and {words.counted(others, 'other')}" if others else ""
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(words.plain(name) for name in names)
