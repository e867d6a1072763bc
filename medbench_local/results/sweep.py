"""Several comparisons: each pair's run, and the study's tables over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.results.folder import Run
from medbench_local.results.pair import pair_label
from medbench_local.results.presented import Presented
from medbench_local.results.record import Verdict
from medbench_local.results.schema import Comparison
from medbench_local.results.summary import counted
from medbench_local.statistics.summary import Rates, mean_rates, pooled_rates, verdict_rates


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


@dataclass(frozen=True, repr=False)
class Sweep(Presented):
    """What a sweep found.

    Attributes:
        runs: one for each pair that is finished, in the order asked for.
        labels: of these pairs, in the same order.
        summaries: one for each number of shots.
        missing: labels of the pairs that are not finished: the rates are not over them.
        folder: where the summary lies; None for one that was not written.
        identity: eight hexadecimal digits, a hash of what decides the sweep.
    """

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    summaries: tuple[ShotsSummary, ...]
    missing: tuple[str, ...] = ()
    folder: Path | None = None
    identity: str | None = None

    def samples(self) -> list[dict[str, Any]]:
        """The rows of every run; ``pair`` says of which. Raises as `Run.samples`."""
        pairs = zip(self.labels, self.runs, strict=True)
        return [{"pair": label, **row} for label, run in pairs for row in run.samples()]

    def _in_short(self) -> str:
        more = len(self.labels) - 3
        return "; ".join([*self.labels[:3], *([f"{more} more"] if more > 0 else [])])

    def __str__(self) -> str:
        lines = [str(run) for run in self.runs]
        for summary in self.summaries:
            rows = (*summary.pairs.items(), ("pooled", summary.pooled))
            lines += [f"{summary.shots}-shot, {label}: {rates} of {rates.n}" for label, rates in rows]
        lines += [f"not finished: {label}" for label in self.missing]
        lines += [f"summary: {self.folder}"] if self.folder else []
        return "\n".join(lines)


def of_one(run: Run) -> Sweep:
    """A run as a sweep of one pair."""
    models = run.results.models
    labels = (pair_label(models.medical.name, models.base.name),)
    return Sweep((run,), labels, summarise(labels, [run.results.comparisons]))


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
        if (own := [c for c in counted(group) if c.shots == shots])
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
