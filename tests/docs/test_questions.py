"""The tables, commands and examples of docs/questions.md, and the row in README.md, work as they stand."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from medbench_local import import_questions
from medbench_local.catalog.described import Description
from tests.acquire.conftest import hub as hub
from tests.cli.command import Command
from tests.cli.conftest import command as command
from tests.hub_server import HubServer

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


def with_more_rows(block: str, count: int = 40) -> str:
    """The table and as many rows more, each another question."""
    header, *rows = csv.reader(block.splitlines())
    at = header.index("question")
    lines = [header, *rows]
    for n in range(count):
        row = list(rows[n % len(rows)])
        row[at] = f"{row[at]} In case {n}"
        for name in ("id", "vignette"):
            if name in header:
                row[header.index(name)] += f" {n}"
        lines.append(row)
    return "\n".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in lines)


@pytest.fixture
def place(tmp_path: Path, demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the first table, made longer, as the file that the document speaks of."""
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.chdir(tmp_path)
    table = with_more_rows(blocks("csv")[0])
    (tmp_path / "questions.csv").write_text(table, encoding="utf-8")
    return tmp_path


def test_there_is_something_to_run() -> None:
    assert len(COMMANDS) == 4
    assert len(blocks("csv")) == 2


def test_the_commands_run_one_after_the_other(place: Path, command: Command) -> None:
    for line in COMMANDS:
        program, *words = shlex.split(line)
        assert program == "medbench-local"
        ended = command(*words)
        assert ended.code == 0, f"{line}: {ended.err}"
        if words[0] == "compare":
            assert re.search(r"(questions|cardiology) +\d+ ", ended.out)


def test_the_python_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(example, "example", "exec"), names)  # noqa: S102
    assert "{'demonstrations': 5, 'validation': 8, 'test': 28}" in capsys.readouterr().out
    assert (place / "cardiology-2" / "test.jsonl").is_file()


def test_every_table_is_read(place: Path) -> None:
    readme = blocks("csv", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(readme) == 1
    for number, block in enumerate([*readme, *blocks("csv")]):
        path = place / f"table-{number}.csv"
        path.write_text(with_more_rows(block), encoding="utf-8")
        found = import_questions(path)
        rows = [
            json.loads(line) for file in found.task.glob("*.jsonl") for line in file.read_text().splitlines()
        ]
        first = next(csv.DictReader(block.splitlines()))
        row = next(row for row in rows if row["question"].endswith(first["question"]))
        assert row["options"][row["answer"]] == first[first["answer"].upper()]


def test_the_yaml_reads_a_data_set(place: Path, hub: HubServer) -> None:
    (text,) = blocks("yaml")
    for split, count in (("test", 9), ("validation", 4), ("train", 6)):
        rows = [
            {"sent": f"{split} {n}?", "choices": [f"a{n}", f"b{n}", f"c{n}"], "gold": n % 3}
            for n in range(count)
        ]
        file = place / "repo" / "hard" / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    hub.add("clinic/cardio", place / "repo", kind="dataset")
    (place / "cardio.yaml").write_text(text, encoding="utf-8")
    assert import_questions("cardio.yaml").sizes == {"demonstrations": 6, "validation": 4, "test": 9}


def test_the_list_of_keys_is_whole() -> None:
    listed = set(re.findall(r"`(\w+)", "".join(re.findall(r"^\| (`.*?) \|", TEXT, flags=re.MULTILINE))))
    assert listed == {*Description.model_fields}
    assert {*yaml.safe_load(blocks("yaml")[0])} <= {*Description.model_fields}
