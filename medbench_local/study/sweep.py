"""Several comparisons and the study's summary of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from medbench_local.catalog.model import Modality, models, pairs
from medbench_local.catalog.names import Partner
from medbench_local.errors import UsageError
from medbench_local.results.sweep import Sweep, summarise
from medbench_local.study.compare import run_comparison
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.partners import catalog_pairs, pair_of
from medbench_local.study.tools import Tools

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


def parse_pair(text: str, partner: Partner = "origin") -> PairNames:
    """What a user means by PAIR.

    Args:
        text: one of `PAIR_FORMS`.
        partner: which one a medical model alone is compared with, where there are two.

    Raises:
        UsageError: nothing known.
    """
    for mark in ("=", "-vs-"):
        medical, found, base = text.partition(mark)
        if found and medical and base:
            return PairNames(medical, base)
    if any(pair.medical == text for pair in pairs()):
        return PairNames(text, pair_of(text, partner).base)
    if text in models():
        raise UsageError(
            f"{text} is not the medical model of a pair.", advice="`model_names()` has all models and pairs."
        )
    raise UsageError(f"'{text}' is not a pair.", advice=f"Write {PAIR_FORMS}.")


def study_pairs(modality: Modality = "text") -> tuple[PairNames, ...]:
    """The study's pairs: ten of language models, or two with pictures."""
    return tuple(
        PairNames(pair.medical, pair.base) for pair in pairs() if pair.studies and pair.modality == modality
    )


def all_pairs(partner: Partner) -> tuple[PairNames, ...]:
    """Every medical model of the catalog, each with one partner."""
    return tuple(PairNames(pair.medical, pair.base) for pair in catalog_pairs(partner))


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


def run_sweep(wanted: Sequence[PairNames], options: ResolvedOptions, tools: Tools) -> Sweep:
    """Compare every pair and summarise; finished comparisons are read, interrupted ones resume.

    Raises:
        UsageError: no pair, or a folder for a single run was given.
        MedbenchError: of a comparison; those before it are kept.
    """
    wanted = each_once(wanted)
    runs = []
    for number, pair in enumerate(wanted, start=1):
        tools.progress.note(f"pair {number} of {len(wanted)}: {pair.label}")
        own = replace(options, output=options.output / f"{number:02d}") if options.output else options
        runs.append(run_comparison(pair.medical, pair.base, own, tools))
    labels = tuple(pair.label for pair in wanted)
    return Sweep(tuple(runs), labels, summarise(labels, [run.results.comparisons for run in runs]))
