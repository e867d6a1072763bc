"""Several comparisons and the study's summary of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace

from medbench_local._version import __version__
from medbench_local.catalog.model import Modality, models, pairs
from medbench_local.catalog.names import Partner
from medbench_local.errors import MedbenchError, UsageError
from medbench_local.files.atomic import need_place
from medbench_local.results.folder import RUNS, Run
from medbench_local.results.folder import identity as identity_of
from medbench_local.results.pair import pair_label
from medbench_local.results.sweep import Sweep
from medbench_local.results.sweep_folder import SweepFolder, SweepPair, SweepRecord, made_of
from medbench_local.study.compare import run_comparison
from medbench_local.study.options import CompareOptions, ResolvedOptions, about
from medbench_local.study.partners import catalog_pairs, pair_of
from medbench_local.study.planner import sources_of
from medbench_local.study.tools import Tools

_LOOK = 0.5
"""Seconds between two looks at whether somebody wants to interrupt."""

PAIR_FORMS = "a medical model of the catalog, MEDICAL-vs-BASE, or MEDICAL=BASE for models of your own"


@dataclass(frozen=True)
class PairNames:
    """Two models to compare, as a user names them."""

    medical: str
    base: str

    @property
    def label(self) -> str:
        """For people: "meditron-7b against llama-2-7b"."""
        return pair_label(self.medical, self.base)


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

    The sweep's folder is written after every pair that was computed, so that what is finished can be reported at any
    time.

    Raises:
        UsageError: no pair, or a name that means no model: nothing is computed then.
        MedbenchError: of a comparison; those before it are kept.
    """
    wanted = each_once(wanted)
    identity = sweep_identity(wanted, options)
    folder = SweepFolder(options.output or RUNS / f"sweep-{identity}")
    for pair in wanted:
        sources_of(
            pair.medical, pair.base, options
        )  # a name that means nothing ends it before the first night
    need_place(folder.path)
    pairs = _noted(folder, identity, wanted)
    folder.write(SweepRecord(identity=identity, version=__version__, pairs=tuple(pairs)))
    runs: dict[int, Run] = {}
    labels = [pair.label for pair in wanted]
    found: Sweep | None = None
    for number, run in _run_all(wanted, options, tools):
        pair = wanted[number - 1]
        runs[number] = run
        pairs[number - 1] = _finished(pair, folder, run)
        folder.write(SweepRecord(identity=identity, version=__version__, pairs=tuple(pairs)))
        found = made_of(
            folder,
            identity,
            [runs[one] for one in sorted(runs)],
            [labels[one - 1] for one in sorted(runs)],
            [label for one, label in enumerate(labels, start=1) if one not in runs],
        )
        if run.computed or len(runs) == len(wanted):
            tools.write_sweep_reports(folder.path, found)
    assert found is not None
    return found


def _run_all(
    wanted: Sequence[PairNames], options: ResolvedOptions, tools: Tools
) -> Iterator[tuple[int, Run]]:
    """The run of each pair with its number, from 1, as it is finished; on a cluster all at once.

    Raises:
        MedbenchError: the first that went wrong; on a cluster once the other pairs are done.
    """

    def run(number: int) -> Run:
        pair = wanted[number - 1]
        tools.progress.note(f"pair {number} of {len(wanted)}: {pair.label}")
        return run_comparison(pair.medical, pair.base, own_options(options, number), tools)

    numbers = range(1, len(wanted) + 1)
    if tools.engines is None:
        yield from ((number, run(number)) for number in numbers)
        return
    failed: list[BaseException] = []
    with ThreadPoolExecutor(len(wanted)) as threads:
        waiting = {threads.submit(run, number): number for number in numbers}
        try:
            while waiting:
                done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=waiting.__getitem__):
                    number = waiting.pop(future)
                    error = future.exception()
                    if error is None:
                        yield number, future.result()
                        continue
                    failed.append(error)
                    if isinstance(error, MedbenchError) and waiting:
                        tools.progress.note(
                            f"warning: {wanted[number - 1].label}: {error} The other pairs go on."
                        )
        except BaseException:
            tools.engines.stop()
            raise
    if failed:
        raise failed[0]


def own_options(options: ResolvedOptions, number: int) -> ResolvedOptions:
    """The options of the pair with this number, from 1: its run has a folder of its own in a sweep's that was named."""
    return replace(options, output=options.output / f"{number:02d}") if options.output else options


def sweep_identity(wanted: Sequence[PairNames], options: ResolvedOptions) -> str:
    """Eight hexadecimal digits: the same pairs with the same options are the same sweep, whatever its runs are made of.

    Paths, threads and memory are not in it. Data and weights are not, either: they are in the identities of the runs.
    """
    asked = {
        one.name: getattr(options, one.name)
        for one in fields(CompareOptions)
        if about(one).decides != "nothing" and one.name != "protocol"
    }
    protocol = options.protocol.model_dump(mode="json")
    return identity_of(
        {"pairs": [[pair.medical, pair.base] for pair in wanted], **asked, "protocol": protocol}
    )


def _noted(folder: SweepFolder, identity: str, wanted: Sequence[PairNames]) -> list[SweepPair]:
    """What is known of the pairs before they are looked at: nothing is forgotten of a sweep that goes on.

    Raises:
        InputError: the folder holds another file of this name, which would be lost.
    """
    fresh = [SweepPair(medical=pair.medical, base=pair.base) for pair in wanted]
    if not folder.file.is_file():
        return fresh
    before = folder.record()
    return list(before.pairs) if before.identity == identity else fresh


def _finished(pair: PairNames, folder: SweepFolder, run: Run) -> SweepPair:
    return SweepPair(
        medical=pair.medical,
        base=pair.base,
        run=folder.relative(run.folder.path),
        identity=run.results.identity,
    )
