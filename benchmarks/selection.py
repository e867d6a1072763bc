"""What prompt selection costs, and what the limited search gives up.

    python benchmarks/selection.py --data DIR [--pair meditron-7b llama-2-7b] [--tables 1200] [--studies 20] [--seed 11]
        [--large] [--margins latent|distorted|none] [--grid whole|formats|sets]

Three tables:

1. Decoded tokens of the 3-shot study of a pair over the 13 tasks, from the real questions and the real Llama-2
   tokenizer: as the study ran it (every prompt from its first token) and with the prefix of each candidate decoded
   once. Both models of the default pair use this tokenizer.
2. The searches on synthetic score tables: how often the winner is another one than the exhaustive search's, what
   that costs in accuracy, and how many prompts were scored.
3. The study with the protocol `laptop`: real token counts, synthetic scores. A candidate that is visited again in a
   later rung has its prefix decoded again (the engine keeps one); prompts that are the same text (two pairs of
   MMLU's demonstration seeds coincide) are scored once. How well a question is answered goes with its length, and
   candidates differ in that, so that asking short ones sooner can be to the harm of a search. The margins that
   candidates are ranked by are as good as can be, or distorted, or there are none. `--large` searches the tasks of
   more than 48 validation questions only: the others are searched without margins, exactly. `--grid` has the 11
   candidates of one set of demonstrations, or the 10 of one format.

DIR is laid out like the data sets' own files, with `weights/llama-2-tokenizer.model` beside them. Where it lacks
the official demonstration or validation pool (MedQA and MedMCQA train, PubMedQA's artificial questions), the
questions that are there stand in for it, repeated up to the official number; the task's warnings say which.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Literal

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from benchmarks.score_tables import SCENARIOS, Scenario, Table, distorted, score_table, without_margins
from medbench_local.catalog.model import models
from medbench_local.catalog.protocol import Protocol, load_protocol
from medbench_local.catalog.task import study_tasks
from medbench_local.prompts.demonstrations import VALIDATION_LIMIT, demonstration_rows, validation_rows
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle, candidates, prompt_style_for
from medbench_local.prompts.rendering import render
from medbench_local.selection import Selection, exhaustive, racing
from medbench_local.selection.costs import Costs
from medbench_local.selection.guaranteed import SMALL
from medbench_local.selection.result import Evaluate, Outcomes
from medbench_local.study.prompt_search import asking_costs
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import Question, Task

SHOTS = 3
OFFICIAL_VALIDATION = {"medqa": 1272, "medqa-4": 1272, "medmcqa": 36565, "pubmedqa": 500}


@dataclass(frozen=True)
class TaskTokens:
    """Token counts of one model's prompts on one task.

    Attributes:
        task: its id.
        candidates: in evaluation order.
        same: for each candidate the first one with the very same prompts.
        prefix: (candidates,) tokens before the question, decoded once a visit.
        question: (candidates, validation questions) the question's own tokens.
        costs: what the search is told of them: lengths of texts.
        test: tokens of all test questions, prefix once; the model's default format.
        test_plain: the same with every prompt decoded from its first token.
    """

    task: str
    candidates: tuple[Candidate, ...]
    same: NDArray[np.intp]
    prefix: NDArray[np.int64]
    question: NDArray[np.int64]
    costs: Costs
    test: int
    test_plain: int

    @property
    def plain(self) -> int:
        """Tokens of the exhaustive search and the test, every prompt from its first token."""
        return int((self.prefix[:, None] + self.question).sum()) + self.test_plain

    @property
    def reused(self) -> int:
        """The same with each candidate's prefix decoded once."""
        return int(self.prefix.sum() + self.question.sum()) + self.test


class Counter:
    """Counts the tokens of prompts with a real tokenizer."""

    def __init__(self, data: Path, pair: Sequence[str]) -> None:
        path = data / "weights" / "llama-2-tokenizer.model"
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.data = data
        self.pair = tuple(pair)

    def study(self) -> dict[str, list[TaskTokens]]:
        """Token counts of every task, for both models of the pair."""
        found: dict[str, list[TaskTokens]] = {}
        for task_id in study_tasks():
            task = load_task(task_id, data_dir=self.data, offline=True)
            for warning in task.warnings:
                print(f"note: {warning}")
            found[task_id] = [self._task(prompt_style_for(models()[name]), task) for name in self.pair]
        return found

    def _task(self, prompt_style: PromptStyle, task: Task) -> TaskTokens:
        pool, test = task.questions("demonstrations"), task.questions("test")
        asked = _validation(task)
        options = candidates(prompt_style, SHOTS)
        prefix, question = [], []
        by_format: dict[int | None, NDArray[np.int64]] = {}
        rows = [demonstration_rows(seed_of(option), len(pool), SHOTS) for option in options]
        for option, shown in zip(options, rows, strict=True):
            demonstrations = [pool[row] for row in shown]
            if option.format not in by_format:
                head = self._head(prompt_style, task.id, asked, demonstrations, option.format)
                tails = self._tails(prompt_style, task.id, asked, demonstrations, option.format, head)
                by_format[option.format] = tails
            head = self._head(prompt_style, task.id, asked[:20], demonstrations, option.format)
            prefix.append(self._tokens([head])[0])
            question.append(by_format[option.format])
        demonstrations = [pool[row] for row in rows[0]]
        head = self._head(prompt_style, task.id, test, demonstrations, None)
        tails = self._tails(prompt_style, task.id, test, demonstrations, None, head)
        in_head = int(self._tokens([head])[0])
        texts = [(option.format, shown) for option, shown in zip(options, rows, strict=True)]
        return TaskTokens(
            task=task.id,
            candidates=options,
            same=np.array([texts.index(text) for text in texts], dtype=np.intp),
            prefix=np.array(prefix, dtype=np.int64),
            question=np.stack(question),
            costs=asking_costs(options, pool, asked, SHOTS),
            test=in_head + int(tails.sum()),
            test_plain=in_head * len(test) + int(tails.sum()),
        )

    def _head(
        self,
        prompt_style: PromptStyle,
        task_id: str,
        asked: Sequence[Question],
        shown: Sequence[Question],
        format: int | None,
    ) -> str:
        """The text that all prompts of a candidate begin with."""
        texts = [render(prompt_style, task_id, question, shown, format).text for question in asked]
        low, high = min(texts), max(texts)
        return low[: next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))]

    def _tails(
        self,
        prompt_style: PromptStyle,
        task_id: str,
        asked: Sequence[Question],
        shown: Sequence[Question],
        format: int | None,
        head: str,
    ) -> NDArray[np.int64]:
        """Tokens of what follows ``head``, for each question; off by at most one where a token straddles it."""
        texts = (render(prompt_style, task_id, question, shown, format).text for question in asked)
        return self._tokens([text[len(head) :] for text in texts])

    def _tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self._processor.encode(list(texts))], dtype=np.int64)


def seed_of(option: Candidate) -> int:
    """The seed of a few-shot candidate's demonstrations."""
    assert option.demonstrations is not None
    return option.demonstrations


def _validation(task: Task) -> list[Question]:
    """The validation questions prompts are chosen on, in the official number."""
    there = task.questions("validation")
    wanted = min(OFFICIAL_VALIDATION.get(task.id, len(there)), VALIDATION_LIMIT)
    chosen = [there[row] for row in validation_rows(len(there))]
    return list(islice(chain.from_iterable(repeat(chosen)), wanted))


def part_of(counts: TaskTokens, grid: Literal["whole", "formats", "sets"]) -> TaskTokens:
    """The candidates of one set of demonstrations or of one format alone, as models with fewer of them have."""
    first = counts.candidates[0]
    kept = [
        index
        for index, one in enumerate(counts.candidates)
        if grid == "whole"
        or (one.demonstrations == first.demonstrations if grid == "formats" else one.format == first.format)
    ]
    return replace(
        counts,
        candidates=tuple(counts.candidates[index] for index in kept),
        same=np.array([kept.index(first) for first in counts.same[kept]], dtype=np.intp),
        prefix=counts.prefix[kept],
        question=counts.question[kept],
        costs=Costs(counts.costs.prefix[kept], counts.costs.question),
    )


def laptop(
    protocol: Protocol,
    table: Table,
    evaluate: Evaluate,
    seed: int,
    costs: Costs | None = None,
) -> Selection:
    """The search as a protocol sets it."""
    settings = protocol.selection
    if settings.method == "exhaustive":
        return exhaustive(evaluate, table.candidates, table.correct.shape[1])
    return racing(
        evaluate,
        table.candidates,
        table.correct.shape[1],
        error_rate=settings.error_rate,
        max_fraction=settings.max_fraction,
        max_prompts=settings.max_prompts,
        min_gain=settings.min_gain,
        costs=costs,
        seed=seed,
    )


class Meter:
    """Adds up the tokens that a search has decoded."""

    def __init__(self, tokens: TaskTokens, table: Table) -> None:
        self.tokens = tokens
        self.table = table
        self.decoded = 0
        self.visits = 0
        self._done = np.zeros(table.correct.shape, dtype=np.bool_)
        self._prefix = -1

    def evaluate(self, candidate: int, questions: NDArray[np.intp]) -> Outcomes:
        """The search's callback."""
        same = int(self.tokens.same[candidate])
        fresh = questions[~self._done[same, questions]]
        if fresh.size:
            if self._prefix != same:
                self.decoded += int(self.tokens.prefix[same])
                self.visits += 1
                self._prefix = same
            self.decoded += int(self.tokens.question[same, fresh].sum())
            self._done[same, fresh] = True
        return self.table.evaluate(candidate, questions)


def varied(rng: np.random.Generator) -> Scenario:
    """A plausible table: how much formats and demonstrations matter is itself drawn at random.

    So is how long questions are answered: of published results on MedQA (three large models, and one of 7B before
    and after it was tuned) a standard deviation of the length costs 1 to 6 points, and models differ in it by 1 to 5;
    here it costs up to 6 and brings 1 at most, and candidates of one model differ by up to 1.5.
    """
    return Scenario(
        accuracy=rng.uniform(0.3, 0.65),
        formats=rng.uniform(0.05, 0.35),
        demonstrations=rng.uniform(0.03, 0.15),
        interaction=rng.uniform(0.02, 0.1),
        questions=rng.uniform(0.8, 1.8),
        format_questions=rng.uniform(0.3, 0.8),
        demonstration_questions=rng.uniform(0.2, 0.6),
        length=rng.uniform(-0.25, 0.05),
        format_length=rng.uniform(0, 0.06),
        demonstration_length=rng.uniform(0, 0.03),
    )


def print_tokens(study: dict[str, list[TaskTokens]]) -> None:
    """Table 1."""
    print("\n1. Decoded tokens of the 3-shot study, both models (millions)\n")
    print(
        f"{'task':28s} {'candidates':>10s} {'questions':>9s} {'prefix':>7s} {'question':>8s} "
        f"{'as run':>8s} {'reuse':>8s}"
    )
    total = np.zeros(2)
    for task, tokens in study.items():
        costs = np.array([sum(t.plain for t in tokens), sum(t.reused for t in tokens)])
        total += costs
        shape = tokens[0].question.shape
        means = np.mean([t.prefix.mean() for t in tokens]), np.mean([t.question.mean() for t in tokens])
        print(
            f"{task:28s} {shape[0]:10d} {shape[1]:9d} {means[0]:7.0f} {means[1]:8.0f} "
            f"{costs[0] / 1e6:8.2f} {costs[1] / 1e6:8.2f}"
        )
    print(f"{'total':28s} {'':10s} {'':9s} {'':7s} {'':8s} {total[0] / 1e6:8.1f} {total[1] / 1e6:8.1f}")
    test = sum(t.test for tokens in study.values() for t in tokens)
    print(f"of which the test questions with prefix reuse: {test / 1e6:.2f}")


def print_searches(protocol: Protocol, tables: int) -> None:
    """Table 2."""
    cases = [(name, scenario, n) for name, scenario in SCENARIOS.items() for n in (11, 30, 500)]
    each = max(1, tables // len(cases))
    print(
        f"\n2. Searches on {each * len(cases)} synthetic tables of 11 x 10 candidates (points of accuracy)\n"
    )
    print(
        f"{'scenario':14s} {'questions':>9s} {'search':10s} {'other':>6s} {'stated':>7s} {'prompts':>8s} "
        f"{'visits':>6s} {'regret':>7s} {'90 %':>6s} {'true':>6s}"
    )
    for name, scenario, n in cases:
        rng = np.random.default_rng([7, n, len(name)])
        drawn = [score_table(scenario, rng, questions=n) for _ in range(each)]
        guaranteed = replace_selection(protocol, max_fraction=None, max_prompts=None)
        for label, rules in (("guaranteed", guaranteed), (protocol.name, protocol)):
            if label != "guaranteed" and n <= SMALL:
                continue  # no limit bites: the same search
            rows = []
            for seed, table in enumerate(drawn):
                found = laptop(rules, table, table.evaluate, seed)
                stated = found.error_bound if found.error_estimate is None else found.error_estimate
                rows.append(
                    (
                        found.winner != table.winner,
                        stated,
                        found.prompts_scored / found.prompts_exhaustive,
                        sum(rung.candidates for rung in found.rungs),
                        100 * table.validation_regret(found.winner),
                        100 * table.true_regret(found.winner),
                    )
                )
            other, stated, prompts, visits, regret, true = np.mean(rows, axis=0)
            high = np.quantile([row[4] for row in rows], 0.9)
            print(
                f"{name:14s} {n:9d} {label:10s} {other:6.1%} {stated:7.1%} {prompts:8.1%} {visits:6.0f} "
                f"{regret:7.2f} {high:6.2f} {true:+6.2f}",
                flush=True,
            )


def replace_selection(protocol: Protocol, **changes: object) -> Protocol:
    """The protocol with other selection settings."""
    return protocol.model_copy(update={"selection": protocol.selection.model_copy(update=changes)})


def print_study(
    protocol: Protocol,
    study: dict[str, list[TaskTokens]],
    studies: int,
    tables_seed: int,
    margins: str = "latent",
    large_only: bool = False,
) -> None:
    """Table 3."""
    rng, distortion = np.random.default_rng(tables_seed), np.random.default_rng([tables_seed, 1])
    large = [task for task in study if study[task][0].question.shape[1] > SMALL]
    shown = large if large_only else list(study)
    tokens: dict[str, list[float]] = defaultdict(list)
    regrets: dict[str, list[float]] = defaultdict(list)
    truths: dict[str, list[float]] = defaultdict(list)
    others: dict[str, list[float]] = defaultdict(list)
    prompts: dict[str, list[float]] = defaultdict(list)
    stated: dict[str, list[float]] = defaultdict(list)
    for seed in range(studies):
        for task, counted in study.items():
            for counts in counted:
                table = _table_for(counts, varied(rng), rng)
                if task not in shown:
                    continue
                if margins == "distorted":
                    table = distorted(table, distortion)
                elif margins == "none":
                    table = without_margins(table)
                meter = Meter(counts, table)
                found = laptop(protocol, table, meter.evaluate, seed, counts.costs)
                tokens[task].append(meter.decoded)
                stated[task].append(
                    found.error_bound if found.error_estimate is None else found.error_estimate
                )
                regrets[task].append(100 * table.validation_regret(found.winner))
                truths[task].append(100 * table.true_regret(found.winner))
                others[task].append(found.winner != table.winner)
                prompts[task].append(found.prompts_scored / found.prompts_exhaustive)
    print(f"\n3. The study of a pair with the protocol {protocol.name}, {studies} times, synthetic scores")
    print(f"   margins: {margins}")
    print("   (tokens in millions; other: winner than the exhaustive search's; regret in points)\n")
    print(
        f"{'task':28s} {'prompts':>8s} {'search':>7s} {'test':>6s} {'both':>6s} {'stated':>7s} {'other':>7s} "
        f"{'regret':>7s} {'true':>7s}"
    )
    search = {task: 2 * float(np.mean(tokens[task])) / 1e6 for task in shown}
    test = {task: sum(counts.test for counts in study[task]) / 1e6 for task in shown}
    kinds = (stated, others, regrets, truths)
    groups = [([task], task) for task in shown]
    groups.append((large, "large"))
    if not large_only:
        groups.append((shown, "all"))
    for members, name in groups:
        values = [list(chain.from_iterable(kind[task] for task in members)) for kind in (prompts, *kinds)]
        share, said, other, regret, true = map(np.mean, values)
        tested, searched = sum(test[task] for task in members), sum(search[task] for task in members)
        error = np.std(values[-1]) / np.sqrt(len(values[-1]))
        print(
            f"{name:28s} {share:8.1%} {searched:7.2f} {tested:6.2f} {searched + tested:6.2f} {said:7.1%} "
            f"{other:7.1%} {regret:7.2f} {true:+7.2f}" + (f" ± {error:.2f}" if len(members) > 1 else "")
        )


def _table_for(counts: TaskTokens, scenario: Scenario, rng: np.random.Generator) -> Table:
    """A table for a task's real grid, with equal rows for equal prompts."""
    formats = len({option.format for option in counts.candidates})
    sets = len(counts.candidates) // formats
    drawn = score_table(
        scenario,
        rng,
        formats=formats,
        demonstrations=sets,
        questions=counts.question.shape[1],
        lengths=counts.question[0].astype(np.float64),
    )
    return replace(
        drawn,
        candidates=counts.candidates,
        correct=drawn.correct[counts.same],
        margins=drawn.margins[counts.same],
        truth=drawn.truth[counts.same],
    )


def main(arguments: Iterable[str] | None = None) -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(
        description="What prompt selection costs, and what the limited search gives up."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets' official files")
    parser.add_argument("--pair", nargs=2, default=("meditron-7b", "llama-2-7b"), metavar=("MEDICAL", "BASE"))
    parser.add_argument("--protocol", default="laptop", help="protocol of the limited search")
    parser.add_argument("--tables", type=int, default=1200, help="synthetic tables of table 2")
    parser.add_argument("--studies", type=int, default=20, help="repetitions of table 3")
    parser.add_argument("--seed", type=int, default=11, help="of the synthetic tables of table 3")
    parser.add_argument(
        "--large", action="store_true", help="table 3 of tasks that are not searched exactly only"
    )
    parser.add_argument(
        "--grid",
        choices=("whole", "formats", "sets"),
        default="whole",
        help="all candidates, those with one set of demonstrations, or those with one format",
    )
    parser.add_argument(
        "--margins",
        choices=("latent", "distorted", "none"),
        default="latent",
        help="of the tables of table 3",
    )
    options = parser.parse_args(None if arguments is None else list(arguments))
    started = time.monotonic()
    protocol = load_protocol(options.protocol)
    study = {
        task: [part_of(counts, options.grid) for counts in counted]
        for task, counted in Counter(options.data, options.pair).study().items()
    }
    print_tokens(study)
    if options.tables:
        print_searches(protocol, options.tables)
    if options.studies:
        print_study(protocol, study, options.studies, options.seed, options.margins, options.large)
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
