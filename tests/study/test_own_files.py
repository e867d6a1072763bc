"""A file of questions of one's own in comparisons, checks and sweeps: told once how it was read, never mixed up."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from medbench_local import StoreError, UsageError, WorkerDied, import_questions
from medbench_local.catalog.protocol import load_protocol
from medbench_local.progress import Silent
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.plan import load_cells
from tests.study.conftest import KEYS, Fakes, knowing, model_of

Row = tuple[Any, ...]


def rows(count: int = 90) -> list[Row]:
    return [
        (
            f"What does item {i} point to? It is {KEYS[i % 4]}.",
            *(f"place {i} {j}" for j in range(4)),
            "ABCD"[i % 4],
        )
        for i in range(count)
    ]


HEADER: Row = ("question", "A", "B", "C", "D", "answer")


def as_csv(path: Path, table: Sequence[Row]) -> Path:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([HEADER, *table])
    path.parent.mkdir(exist_ok=True)
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")
    return path


def as_jsonl(path: Path, table: Sequence[Row]) -> Path:
    lines = [{"question": row[0], "options": list(row[1:5]), "answer": row[5]} for row in table]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def as_xlsx(path: Path, table: Sequence[Row]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (HEADER, *table):
        book.active.append(row)
    book.save(path)
    return path


class Heard(Silent):
    """What is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_file_is_compared_as_the_folder_that_is_made_of_it(fakes: Fakes, tmp_path: Path) -> None:
    path = as_csv(tmp_path / "own.csv", rows())
    run = fakes.compare(tasks="own.csv", check="none")
    (comparison,) = run.results.comparisons
    assert (comparison.task, comparison.n, comparison.verdict) == ("own", 63, "win")
    assert not any("Columns" in warning or "Split" in warning for warning in run.results.warnings)
    import_questions(path, output=tmp_path / "own")
    folder = fakes.compare(tasks=["./own"], check="none")
    assert folder.results.comparisons == run.results.comparisons
    assert not fakes.compare(tasks=["own.csv"], check="none").computed, "a text and a list name the same run"


def test_a_file_that_was_changed_is_another_run(fakes: Fakes, tmp_path: Path) -> None:
    path = as_csv(tmp_path / "own.csv", rows())
    first = fakes.compare(tasks="own.csv", check="none", limit=20)
    changed = rows()
    changed[7] = (*changed[7][:5], "A")
    as_csv(path, changed)
    second = fakes.compare(tasks="own.csv", check="none", limit=20)
    assert second.computed
    assert second.folder != first.folder
    as_csv(path, changed[:-1])
    with pytest.raises(StoreError, match="holds another run"):
        fakes.compare(tasks="own.csv", check="none", limit=20, output=str(first.folder.path))


def test_an_interrupted_run_goes_on_with_the_same_questions(fakes: Fakes, tmp_path: Path) -> None:
    as_csv(tmp_path / "own.csv", rows())
    asked: dict[str, Any] = {"tasks": "own.csv", "check": "none"}
    fakes.make = lambda path: knowing(model_of(path), die_after=3)
    with pytest.raises(WorkerDied):
        fakes.compare(**asked, output=str(tmp_path / "one" / "cut"))
    fakes.make = lambda path: knowing(model_of(path))
    resumed = fakes.compare(**asked, output=str(tmp_path / "one" / "cut"))
    whole = fakes.compare(**asked, output=str(tmp_path / "other" / "whole"))  # where nothing is known yet
    assert resumed.results.comparisons == whole.results.comparisons
    assert resumed.results.timing.prompts_scored < whole.results.timing.prompts_scored


def test_a_workbook_is_checked_and_jsonl_swept_beside_a_task_of_the_catalog(
    fakes: Fakes, tmp_path: Path
) -> None:
    as_xlsx(tmp_path / "own.xlsx", rows(30))
    assert fakes.check("demo-med", quant="q8_0", tasks=("own.xlsx",)).overall.n == 19
    as_jsonl(tmp_path / "lines.jsonl", rows(40))
    protocol = load_protocol("laptop")
    few = protocol.selection.model_copy(update={"formats": (0,), "demonstration_seeds": (0,)})
    sweep = fakes.sweep(
        [("demo-med", "demo-base"), ("demo-base", "demo-med")],
        tasks=("lines.jsonl", "demo-anatomy"),
        protocol=protocol.model_copy(update={"selection": few, "name": "few"}),
        limit=10,
        check="none",
    )
    assert [one.task for run in sweep.runs for one in run.results.comparisons] == [
        "lines",
        "demo-anatomy",
    ] * 2


@pytest.mark.parametrize("write", [as_csv, as_jsonl])
def test_how_a_file_was_read_is_said_once(
    fakes: Fakes, tmp_path: Path, write: Callable[[Path, Sequence[Row]], Path]
) -> None:
    path = write(tmp_path / "own.csv" if write is as_csv else tmp_path / "own.jsonl", rows(30))
    heard = Heard()
    for _ in range(2):  # as the pairs of a sweep have their questions read
        load_cells(resolve(CompareOptions(tasks=(str(path),))), (), heard)
    columns = [note for note in heard.notes if note.startswith("own: Columns: question is 'question'")]
    split = [note for note in heard.notes if "Split at random with seed 42" in note]
    assert (len(columns), len(split)) == (1, 1)


def test_names(fakes: Fakes, tmp_path: Path) -> None:
    as_csv(tmp_path / "a" / "own.csv", rows(20))
    as_csv(tmp_path / "b" / "own.csv", rows(20))
    with pytest.raises(UsageError, match=r"a/own.csv and b/own.csv are both called own"):
        fakes.compare(tasks="a/own.csv,b/own.csv")
    as_csv(tmp_path / "one, two.csv", rows(20))
    asked = resolve(CompareOptions(tasks="one, two.csv,demo-anatomy"))
    assert asked.tasks == ("one, two.csv", "demo-anatomy")
    assert resolve(CompareOptions(tasks="a, b,")).tasks == ("a", "b")
