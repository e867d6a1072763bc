"""Results in a notebook: a table whose texts are escaped, rows for a data frame, the samples."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medbench_local import Run, RunFolder, Silent, Sweep, UsageError, check, compare
from medbench_local.report.tabular import as_csv
from medbench_local.results.sweep import summarise


class _Page(HTMLParser):
    """The tags of a page, and the texts in its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def run(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(demo_home))
        return compare("demo-med", "demo-base", tasks="demo-anatomy", shots=[0], limit=5, output=folder)


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Any]]:
    """What a library of the name pandas is given to make data frames of."""
    made: list[Sequence[Any]] = []

    def frame(rows: Sequence[Any]) -> Sequence[Any]:
        made.append(rows)
        return rows

    pandas = SimpleNamespace(DataFrame=frame)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    return made


def test_a_text_is_a_list_of_one_task(run: Run) -> None:
    assert [c.task for c in run.results.comparisons] == ["demo-anatomy"]


def test_the_table_is_there_and_every_name_is_escaped(run: Run) -> None:
    shown = run._repr_html_()
    assert shown is not None
    page = _Page(shown)
    assert {"table", "th", "td"} <= set(page.tags)
    assert "demo-anatomy" in page.texts
    models = run.results.models
    evil = models.medical.model_copy(update={"name": '<script>alert(1)</script>&"'})
    results = run.results.model_copy(
        update={"models": models.model_copy(update={"medical": evil}), "warnings": ("<img src=x>",)}
    )
    spoiled = Run(RunFolder(Path("<b>runs</b>")), results, computed=False)._repr_html_()
    assert spoiled is not None
    assert set(_Page(spoiled).tags) == set(page.tags)
    assert "<script" not in spoiled
    assert any("<script>alert(1)</script>" in text for text in _Page(spoiled).texts)


def test_rows_are_those_of_the_csv_report(run: Run, frames: list[Sequence[Any]]) -> None:
    (row,) = run.to_pandas()
    (expected,) = csv.DictReader(io.StringIO(as_csv(run.results)))
    assert set(row) == set(expected) - {name for name in expected if name not in row}
    assert row["difference"] == run.results.comparisons[0].difference
    assert {str(row[name]) for name in ("task", "n", "verdict")} == {
        expected[name] for name in ("task", "n", "verdict")
    }


def test_without_pandas_it_is_said_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pandas") as caught:
        run.to_pandas()
    assert 'pip install "medbench-local[pandas]"' in caught.value.advice


def test_a_real_data_frame(run: Run) -> None:
    pandas = pytest.importorskip("pandas")
    frame = run.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["task"]) == ["demo-anatomy"]


def test_samples_are_those_of_the_files(run: Run) -> None:
    found = run.samples()
    comparison = run.results.comparisons[0]
    assert len(found) == 2 * comparison.n
    written = [
        json.loads(line)
        for file in sorted((run.folder.path / "samples").glob("*.jsonl"), reverse=True)
        for line in file.read_text().splitlines()
    ]
    assert found == written
    for role in ("medical", "base"):
        right = [row["correct"] for row in found if row["role"] == role]
        assert sum(right) / len(right) == getattr(comparison.accuracy, role)


def test_a_sweep_shows_pairs_and_says_of_which_a_row_is(run: Run, frames: list[Sequence[Any]]) -> None:
    sweep = Sweep(
        (run, run), ("one <i>", "two"), summarise(("one <i>", "two"), [run.results.comparisons] * 2)
    )
    shown = sweep._repr_html_()
    assert shown is not None
    assert "<i>" not in shown
    assert {"one <i>", "two", "pooled over all comparisons"} <= set(_Page(shown).texts)
    assert [row["pair"] for row in sweep.to_pandas()] == ["one <i>", "two"]
    assert len(sweep.samples()) == 2 * len(run.samples())


def test_a_check_shows_its_tasks_and_what_was_answered(
    demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: list[Sequence[Any]]
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.chdir(tmp_path)
    found = check("demo-med", quant="q4_0", tasks="demo-anatomy", shots=[0], limit=8, progress=Silent())
    shown = found._repr_html_()
    assert shown is not None
    assert "demo-anatomy, 0-shot" in _Page(shown).texts
    assert [row["task"] for row in found.to_pandas()] == ["demo-anatomy", "all"]
    rows = found.samples()
    by_precision = {p: [r["prediction"] for r in rows if r["precision"] == p] for p in ("full", "q4_0")}
    assert [len(one) for one in by_precision.values()] == [found.overall.n] * 2
    flips = sum(a != b for a, b in zip(*by_precision.values(), strict=True))
    assert flips == found.overall.flips
