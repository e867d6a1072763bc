"""The demo's questions: sizes, balance, and nothing shared where nothing may be."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medbench_local.demo.questions import SIZES, kept_wordings, training_wordings
from medbench_local.demo.train import write_tasks
from medbench_local.demo.world import SUBJECTS, Subject, facts

TASKS = Path(__file__).parents[2] / "medbench_local" / "demo" / "tasks"


def rows(subject: Subject, split: str) -> list[dict[str, Any]]:
    text = (TASKS / f"demo-{subject.name}" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_files_are_what_the_script_writes(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    assert written == {path.relative_to(TASKS): path.read_bytes() for path in TASKS.rglob("*.jsonl")}


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
class TestTask:
    def test_sizes(self, subject: Subject) -> None:
        assert {split: len(rows(subject, split)) for split in SIZES} == SIZES
        assert SIZES["test"] >= 300
        assert SIZES["validation"] >= 100
        assert SIZES["demonstrations"] >= 20

    def test_the_answer_is_the_fact_and_no_other_option_is(self, subject: Subject) -> None:
        values = {
            wording.format(fact.thing): fact.value
            for fact in facts(subject)
            for wording in fact.relation.questions
        }
        for split in SIZES:
            for row in rows(subject, split):
                assert len(set(row["options"])) == len(row["options"]) == subject.options
                assert row["options"][row["answer"]] == values[row["question"]]

    def test_every_place_is_correct_equally_often(self, subject: Subject) -> None:
        for split in SIZES:
            counts = Counter(row["answer"] for row in rows(subject, split))
            assert max(counts.values()) - min(counts.values()) <= 1
            assert len(counts) == subject.options

    def test_no_question_is_asked_twice(self, subject: Subject) -> None:
        asked = [row["question"] for split in SIZES for row in rows(subject, split)]
        assert len(set(asked)) == len(asked)
        ids = [row["id"] for split in SIZES for row in rows(subject, split)]
        assert len(set(ids)) == len(ids)

    def test_facts_of_demonstrations_are_asked_nowhere_else(self, subject: Subject) -> None:
        about = {
            wording.format(fact.thing): fact for fact in facts(subject) for wording in fact.relation.questions
        }
        shown = {about[row["question"]] for row in rows(subject, "demonstrations")}
        asked = {about[row["question"]] for split in ("validation", "test") for row in rows(subject, split)}
        assert not shown & asked

    def test_training_uses_other_wordings(self, subject: Subject) -> None:
        trained = {
            wording.format(fact.thing) for fact in facts(subject) for wording in training_wordings(fact)
        }
        assert not trained & {row["question"] for split in SIZES for row in rows(subject, split)}
        assert all(len(training_wordings(fact)) + len(kept_wordings(fact)) == 9 for fact in facts(subject))

    def test_the_longest_option_is_not_the_answer(self, subject: Subject) -> None:
        """A guesser that only looks at lengths does no better than chance (six standard errors allowed)."""
        asked = rows(subject, "test")
        hits = sum(
            row["answer"] == max(range(subject.options), key=lambda i: len(row["options"][i]))
            for row in asked
        )
        chance = 1 / subject.options
        assert abs(hits / len(asked) - chance) < 6 * (chance * (1 - chance) / len(asked)) ** 0.5
