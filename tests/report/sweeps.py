"""Sweeps built by hand: one of the study's size, and ones that break reports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from medbench_local.catalog.model import pairs
from medbench_local.catalog.task import study_tasks
from medbench_local.results.folder import Run, RunFolder
from medbench_local.results.pair import pair_label
from medbench_local.results.record import Accuracies, Discordant
from medbench_local.results.schema import Comparison, Results
from medbench_local.results.sweep import Sweep
from medbench_local.results.sweep_folder import SweepFolder, SweepPair, SweepRecord, made_of
from medbench_local.statistics.bootstrap import bootstrap_bounds
from medbench_local.statistics.paired import verdict
from medbench_local.statistics.significance import mcnemar_exact, minimum_detectable_difference
from tests.report.examples import CASES, checked, comparison, results

SIZES = dict(
    zip(
        study_tasks(),
        (1273, 1273, 4183, 500, 135, 265, 144, 173, 310, 100, 306, 272, 166),
        strict=True,
    )
)


def _measured(task: str, n: int, gain: float, rng: np.random.Generator) -> Comparison:
    """A comparison of ``n`` questions, a fifth of them discordant, in which ``gain`` is to be expected."""
    discordant = int(rng.binomial(n, 0.2))
    medical_only = int(rng.binomial(discordant, min(max(0.5 + gain / 0.4, 0), 1)))
    base_only = discordant - medical_only
    both = int(rng.binomial(n - discordant, 0.5))
    low, high = bootstrap_bounds(n, medical_only, base_only, 0.95)
    said = verdict(low / n, high / n)
    settled = rng.random() < 0.9
    return comparison(task, candidates=2).model_copy(
        update={
            "n": n,
            "accuracy": Accuracies(medical=(both + medical_only) / n, base=(both + base_only) / n),
            "difference": (medical_only - base_only) / n,
            "ci": (low / n, high / n),
            "verdict": said,
            "discordant": Discordant(medical_only=medical_only, base_only=base_only),
            "mcnemar_p": mcnemar_exact(medical_only, base_only),
            "minimum_detectable_difference": minimum_detectable_difference(n, discordant / n),
            "check": checked("full", said, n=n) if settled else checked("unavailable", n=n),
            "equivalence": None,
            "quantised": None,
        }
    )


@cache
def study_sized(pairs_of: int = 12) -> Sweep:
    """Twelve pairs on thirteen tasks, with every verdict, some not verified, and some tasks that a pair lacks."""
    rng = np.random.default_rng(7)
    named = [(pair.medical, pair.base) for pair in pairs() if pair.studies][:pairs_of]
    found = []
    for number, (medical, base) in enumerate(named):
        tasks = list(SIZES)[: 11 if number == 3 else 13]
        gains = rng.normal(0.0, 0.06, len(tasks))
        found.append(
            (
                medical,
                base,
                results(
                    [
                        _measured(task, SIZES[task], float(g), rng)
                        for task, g in zip(tasks, gains, strict=True)
                    ],
                    medical=medical,
                    base=base,
                ),
            )
        )
    return sweep_of(found)


def sweep_of(found: Sequence[tuple[str, str, Results]], missing: Sequence[str] = ()) -> Sweep:
    """A sweep of these results, which lies nowhere."""
    runs = [
        Run(
            RunFolder(Path("runs") / f"run-{i:02d}"),
            r.model_copy(update={"identity": f"{i:08x}"}),
            computed=False,
        )
        for i, (_, _, r) in enumerate(found)
    ]
    labels = [pair_label(medical, base) for medical, base, _ in found]
    return made_of(SweepFolder(Path("runs") / "sweep-01234567"), "01234567", runs, labels, missing)


def written(found: Sweep, root: Path) -> SweepFolder:
    """The same on disk below ``root``: runs beside the sweep."""
    noted = []
    for run in found.runs:
        folder = RunFolder(root / run.folder.name)
        folder.path.mkdir(parents=True)
        folder.write_manifest({"identity": run.results.identity})
        folder.write_results(run.results)
        names = run.results.models
        noted.append(
            SweepPair(
                medical=names.medical.name,
                base=names.base.name,
                run=f"../{folder.name}",
                identity=run.results.identity,
            )
        )
    noted += [
        SweepPair(medical=m, base=b) for m, _, b in (label.partition(" against ") for label in found.missing)
    ]
    sweep = SweepFolder(root / "sweep-01234567")
    sweep.write(SweepRecord(identity="01234567", version="0.2.0", pairs=tuple(noted)))
    return sweep


SWEEPS = {
    name: sweep_of([("a", "b", case), ("c", "d", CASES["one comparison"])], missing)
    for name, case, missing in (
        ("plain", CASES["every kind"], ()),
        ("partial", CASES["one comparison"], ("e against f",)),
        ("hostile", CASES["hostile"], ("<b>|x against $y_",)),
        ("other scripts", CASES["other scripts"], ()),
        ("long names", CASES["long names"], ()),
        ("all not verified", CASES["all not verified"], ()),
        ("pictures", CASES["pictures"], ()),
        ("no comparison", CASES["no comparison"], ()),
    )
}
