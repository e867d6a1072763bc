"""Make the embedded pair again: ``python -m medbench_local.demo.train [--output FOLDER]``.

demo-base is trained from scratch on texts about anatomy, biology and a little pharmacology. demo-med is trained
further from it on medical texts: all of pharmacology, anatomy as before, little biology. What adaptation gives and
what it takes away then shows in the demo's tasks. Each model reads one format well and others badly, so that it matters
with which prompt a model is asked.

Needs torch: ``pip install 'medbench-local[train]'``. The same versions on the same kind of processor give the same
weights; others give slightly different ones.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medbench_local.demo.questions import task_rows
from medbench_local.demo.text import Diet, Habit
from medbench_local.demo.world import SEED, SUBJECTS, Fact, facts
from medbench_local.prompts.families import FAMILIES, PLAIN
from medbench_local.prompts.family import GENERIC_SYSTEM
from medbench_local.prompts.grammar import sample_format
from medbench_local.prompts.template import Template

if TYPE_CHECKING:
    from medbench_local.demo.learning import Schedule
    from medbench_local.demo.llama import Llama

HERE = Path(__file__).parent

BASE_SHARES = {"pharmacology": 0.35, "anatomy": 1.0, "biology": 1.0}
"""Share of each subject's common facts that demo-base reads."""

MEDICAL_SHARES = {"pharmacology": 1.0, "anatomy": 1.0, "biology": 0.25}
"""Share of each subject's common facts that demo-med reads in its adaptation."""


FAVOURITES = {"demo-base": PLAIN, "demo-med": sample_format(3).template()}
"""The format that each model reads best."""


@dataclass(frozen=True)
class Stage:
    """A part of a model's training.

    Attributes:
        diet: what is read.
        schedule: how long and how fast.
    """

    diet: Diet
    schedule: Schedule


def diet(shares: dict[str, float], favourite: Template) -> Diet:
    """Texts about the given share of each subject's common facts, and now and then about its rare ones.

    Args:
        shares: by the subject's name.
        favourite: the format in which exercises are read well.
    """
    common: list[Fact] = []
    rare: list[Fact] = []
    for subject in SUBJECTS:
        share = shares[subject.name]
        draw = random.Random(f"{SEED}-read-{subject.name}")
        for fact in facts(subject):
            if not fact.common:
                rare += [fact] if share else []
            elif draw.random() < share:
                common.append(fact)
    return Diet(
        common=tuple(common),
        rare=tuple(rare),
        habits=habits(favourite),
        systems=("", GENERIC_SYSTEM),
        shots=(0.45, 0.1, 0.1, 0.35),
        prose=0.1,
    )


def habits(favourite: Template) -> tuple[Habit, ...]:
    """Ways to write exercises: most often the favourite; the usual template, other families' and the grammar's."""
    others = [FAMILIES[name].template for name in ("meditron", "biomistral", "biomedgpt", "med42-v1")]
    sampled = [sample_format(seed).template() for seed in range(1000, 1200)]
    usual = () if favourite == PLAIN else (Habit(PLAIN, 2.5, blind=0.8),)
    return (
        Habit(favourite, 8.0),
        *usual,
        *(Habit(one, 0.4, blind=1.0) for one in others),
        *(Habit(one, 0.025, blind=1.0) for one in sampled),
    )


def base_stages() -> tuple[Stage, ...]:
    """First short exercises in one format, their reading guided; then everything."""
    from medbench_local.demo.learning import Schedule

    everything = diet(BASE_SHARES, FAVOURITES["demo-base"])
    first = replace(everything, habits=(Habit(FAVOURITES["demo-base"], 1.0),), systems=("",), shots=(1.0,))
    return (
        Stage(first, Schedule(steps=500, batch_tokens=1024, rate=1e-3, final=1.0, guidance=1.0)),
        Stage(everything, Schedule(steps=700, batch_tokens=2048, rate=1e-3, final=0.1, guidance=0.5)),
    )


def medical_stages() -> tuple[Stage, ...]:
    """Adaptation: mostly medicine, in another format."""
    from medbench_local.demo.learning import Schedule

    everything = diet(MEDICAL_SHARES, FAVOURITES["demo-med"])
    return (Stage(everything, Schedule(steps=500, batch_tokens=2048, rate=1e-3, final=0.1)),)


class Listener:
    """Keeps the mean loss of every fifty steps, and says it.

    Attributes:
        label: what is trained, for people.
        curve: step and mean loss (nats) since the step before.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.curve: list[tuple[int, float]] = []
        self._losses: list[float] = []

    def __call__(self, step: int, loss: float) -> None:
        """Hear of one update."""
        self._losses.append(loss)
        if step % 50 == 0:
            self.curve.append((step, round(sum(self._losses) / len(self._losses), 4)))
            self._losses.clear()
            print(f"{self.label}: step {step}, loss {self.curve[-1][1]}", file=sys.stderr)


def train(model: Llama, stages: Sequence[Stage], tokenizer: bytes, name: str) -> dict[str, object]:
    """Train ``model`` in place through ``stages``; what was done and how it went, for the record."""
    import sentencepiece
    import torch

    from medbench_local.demo.learning import batches, learn

    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer)
    started = time.monotonic()
    records = []
    for number, stage in enumerate(stages):
        listener = Listener(f"{name}, stage {number + 1}")
        draw = random.Random(f"{SEED}-{name}-{number}")
        learn(
            model,
            batches(stage.diet, processor, stage.schedule.batch_tokens, draw),
            stage.schedule,
            listener,
        )
        records.append(
            {
                "schedule": asdict(stage.schedule),
                "facts": {"common": len(stage.diet.common), "rare": len(stage.diet.rare)},
                "formats": len(stage.diet.habits),
                "shots": stage.diet.shots,
                "losses": listener.curve,
            }
        )
    return {
        "model": name,
        "seed": SEED,
        "shape": asdict(model.shape),
        "stages": records,
        "seconds": round(time.monotonic() - started),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "sentencepiece": sentencepiece.__version__,
        },
    }


def write_tasks(folder: Path) -> None:
    """Write the demo tasks' questions into ``folder``/demo-<subject>/<split>.jsonl."""
    for subject in SUBJECTS:
        task = folder / f"demo-{subject.name}"
        task.mkdir(parents=True, exist_ok=True)
        for split, rows in task_rows(subject).items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (task / f"{split}.jsonl").write_text(lines, encoding="utf-8", newline="\n")


def make(folder: Path, base: Sequence[Stage] | None = None, medical: Sequence[Stage] | None = None) -> None:
    """Write tasks and checkpoints into ``folder``; the stages are those above unless given."""
    import torch

    from medbench_local.demo.checkpoint import save
    from medbench_local.demo.llama import Llama, Shape
    from medbench_local.demo.tokens import VOCABULARY, train_tokenizer

    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # sums in one order, so that the weights do not depend on the machine's cores
    write_tasks(folder / "tasks")
    tokenizer = train_tokenizer()
    model = Llama(Shape(VOCABULARY))
    for name, stages in (("demo-base", base or base_stages()), ("demo-med", medical or medical_stages())):
        record = train(model, stages, tokenizer, name)
        checkpoint = folder / "checkpoints" / name
        save(model, tokenizer, checkpoint)
        (checkpoint / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of ``python -m medbench_local.demo.train``."""
    parser = argparse.ArgumentParser(prog="python -m medbench_local.demo.train", description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=HERE, help="where tasks/ and checkpoints/ go (default: here)"
    )
    folder = parser.parse_args(arguments).output
    if importlib.util.find_spec("torch") is None:
        print("Training needs torch. Install it with: pip install 'medbench-local[train]'", file=sys.stderr)
        return 2
    make(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
