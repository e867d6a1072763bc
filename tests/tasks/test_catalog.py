"""The catalog of tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from medbench_local.catalog import task
from medbench_local.catalog.load import read_yaml
from medbench_local.catalog.task import (
    FILE,
    TaskFile,
    demo_tasks,
    expand_tasks,
    study_tasks,
    task_entry,
    task_names,
    visual_tasks,
)
from medbench_local.cli.tasks import list_command
from medbench_local.errors import InputError, UsageError
from medbench_local.tasks.parts import PARTS
from medbench_local.tasks.reading import part_reader_of, reader_of


def test_the_thirteen_tasks_of_the_study() -> None:
    assert len(study_tasks()) == 13
    assert study_tasks()[:4] == ("medqa", "medqa-4", "medmcqa", "pubmedqa")
    assert task_names() == study_tasks() + visual_tasks() + demo_tasks()


def test_the_eight_about_pictures_are_a_group_of_their_own() -> None:
    assert visual_tasks() == expand_tasks(["visual"])
    assert visual_tasks()[:3] == ("vqa-rad", "slake", "pathvqa")
    assert expand_tasks(["mmmu"]) == visual_tasks()[3:]
    assert len(expand_tasks(["mmmu"])) == 5
    assert (
        task_entry("mmmu-diagnostics-and-laboratory-medicine").config == "Diagnostics_and_Laboratory_Medicine"
    )
    assert {name for name in task_names() if task_entry(name).images} == set(visual_tasks())


@pytest.fixture
def fourteenth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A catalog with one task more, of a known form: its lines in the one file, and nothing else."""
    text = FILE.read_text(encoding="utf-8")
    more = "title: MMLU astronomy\n    source: mmlu\n    config: astronomy\n    options: 4\n    sizes: [5, 16, 152]"
    first = "  mmlu-anatomy:\n"
    assert text.count(first) == 1
    (tmp_path / "tasks.yaml").write_text(
        text.replace(first, f"  mmlu-astronomy:\n    {more}\n{first}"), encoding="utf-8"
    )
    monkeypatch.setattr(task, "FILE", tmp_path / "tasks.yaml")
    task._catalog.cache_clear()
    study_tasks.cache_clear()
    visual_tasks.cache_clear()
    yield "mmlu-astronomy"
    task._catalog.cache_clear()
    study_tasks.cache_clear()
    visual_tasks.cache_clear()


def test_a_fourteenth_task_is_known_and_leaves_the_study_alone(
    fourteenth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(expand_tasks(["all"])) == 13
    assert fourteenth not in (*expand_tasks(["all"]), *expand_tasks(["mmlu"]))
    assert expand_tasks(["mmlu-anatomy", fourteenth]) == ("mmlu-anatomy", fourteenth)
    assert task_names() == (*study_tasks(), fourteenth, *visual_tasks(), *demo_tasks())
    entry = task_entry(fourteenth)
    assert entry.source is not None
    assert (entry.title, entry.config, entry.source.format) == ("MMLU astronomy", "astronomy", "mmlu")
    list_command(json=True)
    assert fourteenth in [row["id"] for row in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize("name", study_tasks() + visual_tasks())
def test_every_entry_is_complete(name: str) -> None:
    entry = task_entry(name)
    assert entry.source
    assert not entry.embedded
    assert entry.licence
    of_text = part_reader_of(entry.source.format) is None
    assert entry.images is not of_text
    assert not of_text or callable(reader_of(entry.source.format))
    assert entry.source.hub
    for layout in (*entry.source.local, *entry.source.hub):
        for split in (layout.demonstrations, layout.validation, layout.test):
            assert (split.part in PARTS) is of_text
            for path in split.files:
                assert not Path(path).is_absolute()
                assert ".." not in Path(path).parts
                assert ("{config}" in path) <= bool(entry.config)


def test_groups_expand_in_order_and_once() -> None:
    assert expand_tasks(["all"]) == study_tasks()
    assert expand_tasks(["mmlu"]) == study_tasks()[4:]
    assert expand_tasks(["pubmedqa", " medqa ", "", "pubmedqa"]) == ("pubmedqa", "medqa")
    assert expand_tasks(["mmlu-virology", "mmlu"])[0] == "mmlu-virology"
    assert len(expand_tasks(["mmlu-virology", "mmlu"])) == 9
    assert expand_tasks(["./mine"]) == ("./mine",)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("medqua", "medqa"),
        ("mmlu_anatomy", "mmlu-anatomy"),
        ("PubMedQA", "pubmedqa"),
        ("al", "Did you mean all"),
        ("zzz", "and the groups all, mmlu, visual, mmmu, demo"),
    ],
)
def test_unknown_names_get_the_nearest(name: str, advice: str) -> None:
    for ask in (task_entry, lambda name: expand_tasks([name])):
        with pytest.raises(UsageError) as refused:
            ask(name)
        assert advice in refused.value.advice
    with pytest.raises(UsageError, match="No task is named"):
        expand_tasks(["", " "])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("options: 5", "options: 1", "greater than or equal to 2"),
        ("sizes: [10178, 1272, 1273]", "sizes: [10178, 1272]", "required"),
        ("source: pubmedqa", "source: pubmed", "not among the sources"),
        ("part: one-fifth", "part: a-fifth", "'a-fifth'"),
        ("study: emnlp2024", "study: emnlp", "'emnlp'"),
        ("title: MMLU virology", "name: MMLU virology", "key"),
        ("{files: [medmcqa/dev.json]}", "{files: []}", "at least 1"),
    ],
)
def test_a_wrong_catalog_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "tasks.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        read_yaml(path, TaskFile)
