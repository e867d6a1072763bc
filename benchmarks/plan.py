"""A plan's tokens against those that a real run decodes, by the engine's own count, for each model and phase.

    python -m benchmarks.plan [--data FOLDER] [--checkpoint FOLDER] [--only WORDS]

The models are the embedded pair; a checkpoint of another vocabulary, if one is named, against itself at another
precision; and GGUF files that are made of the pair. ``--data`` is laid out as for `data_dir`. Each run is made in a
folder of its own, so that nothing is known from another one. Printed are the tokens decoded, the plan's expected number
as a share of them, and its bound as a multiple of them: below 1.00 it would be broken.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from medbench_local.catalog.protocol import Protocol, SelectionSettings
from medbench_local.engine.remote import start_engine
from medbench_local.progress import Advance, Silent
from medbench_local.prompts.prompt import Candidate
from medbench_local.results.cost import PHASES, ComparisonCost, PhaseName
from medbench_local.scoring.answers import Answer, CellScorer
from medbench_local.study.compare import run_comparison
from medbench_local.study.cost import plan_comparison
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.tools import Tools
from medbench_local.tasks.question import SplitName

Decoded = Counter[tuple[str, PhaseName]]
"""Tokens by model and phase."""


@dataclass
class Tally(Silent):
    """Counts the tokens of a run while it listens to it."""

    decoded: Decoded = field(default_factory=Counter)
    label: str = ""

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """Remember what is going on: steps are named by the model and what it does."""
        self.label = label
        with super().step(label, total=total, unit=unit) as advance:
            yield advance

    def count(self, scorer: CellScorer, split: SplitName, before: int) -> None:
        """Take note of what a scorer has had decoded."""
        model = self.label.partition(" (")[0].partition(" with the prompts of ")[0]
        scored: PhaseName = "search" if split == "validation" else "test"
        phase: PhaseName = "check" if self.label.endswith("checking") else scored
        self.decoded[model, phase] += scorer._meter.engine.tokens - before


def tokens_of_run(medical: str, base: str, options: CompareOptions) -> Decoded:
    """What a run really decodes."""
    tally, answers = Tally(), CellScorer.answers

    def counted(
        self: CellScorer, candidate: Candidate, split: SplitName, rows: Sequence[int]
    ) -> list[Answer]:
        before = self._meter.engine.tokens
        found = answers(self, candidate, split, rows)
        tally.count(self, split, before)
        return found

    with patch.object(CellScorer, "answers", counted):
        run_comparison(medical, base, resolve(options), Tools(start_engine, tally))
    return tally.decoded


def planned(medical: str, base: str, options: CompareOptions) -> ComparisonCost:
    """The plan of the same run."""
    return plan_comparison(medical, base, resolve(options), Tools(start_engine))


@dataclass(frozen=True)
class Case:
    """A comparison that is planned and made."""

    name: str
    medical: str
    base: str
    options: dict[str, Any]


def protocol(method: str, formats: int, sets: int, questions: int, **more: Any) -> Protocol:
    """A protocol with a search of this size."""
    search = {"max_fraction": 0.33} if method == "limited" else {}
    selection = SelectionSettings.model_validate(
        {
            "method": "racing" if method == "limited" else method,
            "formats": tuple(range(formats)),
            "demonstration_seeds": tuple(range(sets)),
            "validation_questions": questions,
            **search,
        }
    )
    return Protocol(name=method, summary="Of the benchmark.", selection=selection, **more)


def cases(data: Path | None, checkpoint: Path | None, made: Path) -> Iterator[Case]:
    """Every case: each differs from the first one in something."""
    usual: dict[str, Any] = {"tasks": ("demo-anatomy",), "shots": (3,), "check": "sample"}
    pair = ("demo-med", "demo-base")
    exhaustive, limited = protocol("exhaustive", 4, 2, 60), protocol("limited", 4, 2, 100)
    small = protocol("exhaustive", 1, 1, 20)
    variants: dict[str, dict[str, Any]] = {
        "exhaustive": {"protocol": exhaustive},
        "exhaustive, 0-shot": {"protocol": exhaustive, "shots": (0,)},
        "limited race": {"protocol": limited},
        "limited race, 0-shot": {"protocol": limited, "shots": (0,)},
        "race": {"protocol": protocol("racing", 4, 2, 100)},
        "race of few questions": {"protocol": protocol("racing", 4, 2, 40)},
        "no search": {"protocol": protocol("none", 4, 2, 60)},
        "label": {"protocol": exhaustive, "scoring": "label"},
        "cloze": {"protocol": exhaustive, "scoring": "cloze"},
        "greedy": {"protocol": small, "scoring": "greedy", "limit": 40},
        "greedy, 0-shot": {"protocol": small, "scoring": "greedy", "shots": (0,), "limit": 40},
        "thinking": {
            "protocol": protocol("none", 4, 2, 60, thinking={"budget": 64}),
            "scoring": "thinking",
            "shots": (0,),
            "limit": 40,
        },
        "check full": {"protocol": limited, "check": "full"},
        "check none": {"protocol": limited, "check": "none"},
        "ablation": {"protocol": exhaustive, "ablation": True},
        "exact": {"protocol": exhaustive, "mode": "exact"},
        "fast": {"protocol": exhaustive, "mode": "fast"},
        "auto": {"protocol": small, "quant": "auto"},
        "all tasks": {"protocol": small, "tasks": ("demo",), "shots": (0, 3)},
    }
    for name, asked in variants.items():
        yield Case(f"demo, {name}", *pair, usual | asked)
    for scoring in ("constrained", "cloze"):
        medical, base = (str(made / f"{name}.gguf") for name in pair)
        yield Case(
            f"GGUF files, {scoring}",
            medical,
            base,
            usual | {"protocol": exhaustive, "scoring": scoring},
        )
    if checkpoint is None:
        return
    one: dict[str, Any] = {
        "tasks": ("demo-anatomy",),
        "protocol": exhaustive,
        "scoring": "cloze",
        "shots": (0,),
    }
    yield Case(f"{checkpoint.name}, cloze", str(checkpoint), "demo-base", one)
    yield Case(
        f"{checkpoint.name}, label, 3-shot",
        str(checkpoint),
        "demo-base",
        one | {"scoring": "label", "shots": (3,)},
    )
    if data is not None:
        real = one | {"tasks": ("mmlu-anatomy", "medmcqa"), "data_dir": data, "limit": 60}
        yield Case("real questions, cloze", str(checkpoint), "demo-base", real)
        long = real | {"tasks": ("medqa-4", "pubmedqa"), "limit": 30, "shots": (0, 3)}
        yield Case("real questions, dropped demonstrations", str(checkpoint), "demo-base", long)


def measured(case: Case, folder: Path) -> Iterator[str]:
    """Lines of the table."""
    options = CompareOptions(**case.options, output=folder / "run")
    cost = planned(case.medical, case.base, options)
    decoded = tokens_of_run(case.medical, case.base, options)
    for model in cost.models:
        for name in PHASES:
            phase, true = model.phase(name), decoded[model.name, name]
            if true or phase.tokens_most:
                yield (
                    f"{case.name:40} {model.name:12} {name:7} {true:10,} {_ratio(phase.tokens, true):>9} "
                    f"{_ratio(phase.tokens_most, true):>8}"
                )
    true = sum(decoded.values())
    ratios = f"{_ratio(cost.tokens, true):>9} {_ratio(cost.tokens_most, true):>8}"
    yield f"{case.name:40} {'both':12} {'all':7} {true:10,} {ratios}"


def _ratio(planned_tokens: int, true: int) -> str:
    return f"{planned_tokens / true:.2f}" if true else "-"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--only", default="", help="cases whose names hold these words")
    asked = parser.parse_args()
    print(f"{'case':40} {'model':12} {'phase':7} {'decoded':>10} {'expected':>9} {'at most':>8}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["MEDBENCH_HOME"] = str(place / "home")
        made = place / "made"
        made.mkdir()
        from medbench_local import api

        for name in ("demo-med", "demo-base"):
            api.convert(name, made / f"{name}.gguf")
        for number, case in enumerate(cases(asked.data, asked.checkpoint, made)):
            if asked.only in case.name:
                for line in measured(case, place / str(number)):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
