"""Several comparisons and the study's summary of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from medbench_local.catalog.model import models, pairs, vision_pairs
from medbench_local.errors import UsageError
from medbench_local.progress import Progress
from medbench_local.results.schema import Comparison
from medbench_local.statistics.paired import Verdict
from medbench_local.statistics.summary import Rates, mean_rates, pooled_rates, verdict_rates
from medbench_local.study.compare import Run, WriteReports, run_comparison
from medbench_local.study.options import ResolvedOptions

PAIR_FORMS = "a medical model of the catalog, MEDICAL-vs-BASE, or MEDICAL=BASE for models of your own"


@dataclass(frozen=True)
class PairNames:
    """Two models to compare, as a user names them."""

    medical: str
    base: str

    @property
    def label(self) -> str:
        """For people: "meditron-7b against llama-2-7b"."""
        return f"{self.medical} against {self.base}"


@dataclass(frozen=True)
class ShotsSummary:
    """The study's table for one number of shots; rates are bounds where verdicts are not verified.

    Attributes:
        shots: demonstrations in the prompt.
        pairs: rates of each pair, by its label.
        pooled: over all comparisons of all pairs.
        mean: mean of the pairs' rates.
        not_verified: comparisons whose verdict is not verified: they count in the upper bounds only.
        ablation: the 2 x 2 of the study, pooled, at the scored precision: whose prompts, and how the verdict is drawn.
    """

    shots: int
    pairs: Mapping[str, Rates]
    pooled: Rates
    mean: Rates
    not_verified: int
    ablation: AblationTable


@dataclass(frozen=True)
class AblationTable:
    """Win, tie and loss rates under the study's two ablations.

    Attributes:
        own_bootstrap: each model with its own prompt, verdict by the interval: the study's method.
        own_raw: verdict by the sign of the difference.
        medical_bootstrap: both models with the medical model's prompt; None if that was not scored.
        medical_raw: both ablations at once; None likewise.
    """

    own_bootstrap: Rates
    own_raw: Rates
    medical_bootstrap: Rates | None
    medical_raw: Rates | None


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        runs: one for each pair, in the order asked for.
        labels: of the pairs, in the same order.
        summaries: one for each number of shots.
    """

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    summaries: tuple[ShotsSummary, ...]

    def __str__(self) -> str:
        lines = [str(run) for run in self.runs]
        for summary in self.summaries:
            rows = (*summary.pairs.items(), ("pooled", summary.pooled))
            lines += [f"{summary.shots}-shot, {label}: {rates} of {rates.n}" for label, rates in rows]
        return "\n".join(lines)


def parse_pair(text: str) -> PairNames:
    """What a user means by PAIR.

    Raises:
        UsageError: nothing known.
    """
    for mark in ("=", "-vs-"):
        medical, found, base = text.partition(mark)
        if found and medical and base:
            return PairNames(medical, base)
    for pair in pairs():
        if pair.medical == text:
            return PairNames(pair.medical, pair.base)
    for vision in vision_pairs():
        if text in (vision.medical, vision.base):
            raise UsageError(f"{text} is known but cannot be run yet: {vision.reason}")
    if text in models():
        known = ", ".join(pair.medical for pair in pairs())
        raise UsageError(f"{text} is not the medical model of a pair.", advice=f"Those are {known}.")
    raise UsageError(f"'{text}' is not a pair.", advice=f"Write {PAIR_FORMS}.")


def study_pairs() -> tuple[PairNames, ...]:
    """The ten pairs of language models of the study."""
    return tuple(PairNames(pair.medical, pair.base) for pair in pairs() if pair.studies)


def each_once(wanted: Sequence[PairNames]) -> tuple[PairNames, ...]:
    """The pairs asked for, each once, in the order of their first mention.

    Raises:
        UsageError: no pair.
    """
    if not wanted:
        raise UsageError(
            "No pair is named.", advice=f"Name pairs ({PAIR_FORMS}), or all for the study's ten."
        )
    return tuple(dict.fromkeys(wanted))


def run_sweep(
    wanted: Sequence[PairNames], options: ResolvedOptions, progress: Progress, write_reports: WriteReports
) -> Sweep:
    """Compare every pair and summarise; finished comparisons are read, interrupted ones resume.

    Raises:
        UsageError: no pair, or a folder for a single run was given.
        MedbenchError: of a comparison; those before it are kept.
    """
    wanted = each_once(wanted)
    runs = []
    for number, pair in enumerate(wanted, start=1):
        progress.note(f"pair {number} of {len(wanted)}: {pair.label}")
        own = replace(options, output=options.output / f"{number:02d}") if options.output else options
        runs.append(run_comparison(pair.medical, pair.base, own, progress, write_reports))
    labels = tuple(pair.label for pair in wanted)
    return Sweep(tuple(runs), labels, summarise(labels, [run.results.comparisons for run in runs]))


def summarise(labels: Sequence[str], comparisons: Sequence[Sequence[Comparison]]) -> tuple[ShotsSummary, ...]:
    """The study's table for each number of shots.

    Args:
        labels: of the pairs.
        comparisons: of each pair, in the same order.
    """
    all_shots = sorted({c.shots for group in comparisons for c in group})
    return tuple(_summary(shots, labels, comparisons) for shots in all_shots)


def _summary(shots: int, labels: Sequence[str], comparisons: Sequence[Sequence[Comparison]]) -> ShotsSummary:
    groups = {
        label: own
        for label, group in zip(labels, comparisons, strict=True)
        if (own := [c for c in group if c.shots == shots])
    }
    everything = [c for group in groups.values() for c in group]
    possible = {label: [c.possible for c in group] for label, group in groups.items()}
    return ShotsSummary(
        shots=shots,
        pairs={label: verdict_rates(own) for label, own in possible.items()},
        pooled=pooled_rates(possible),
        mean=mean_rates(possible),
        not_verified=sum(not c.verified for c in everything),
        ablation=_ablation(everything),
    )


def _ablation(comparisons: Sequence[Comparison]) -> AblationTable:
    """From the scores at the scored precision, as the ablations themselves are."""
    found = [c.ablation for c in comparisons if c.ablation is not None]
    shared = [a.shared_prompt for a in found if a.shared_prompt]
    shared_raw = [a.shared_prompt_raw for a in found if a.shared_prompt_raw]
    complete = len(shared) == len(comparisons)
    return AblationTable(
        own_bootstrap=_rates([c.quantised.verdict if c.quantised else c.verdict for c in comparisons]),
        own_raw=_rates([a.raw for a in found]),
        medical_bootstrap=_rates(shared) if complete else None,
        medical_raw=_rates(shared_raw) if complete else None,
    )


def _rates(verdicts: Sequence[Verdict]) -> Rates:
    return verdict_rates([(verdict,) for verdict in verdicts])
