"""``import`` and ``--tasks FILE`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command import Command

HEADER = "question,A,B,answer\n"


def test_import_says_what_it_understood_and_every_defect(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    path.write_text(
        HEADER + "".join(f"Question {n}?,yes,no,{'ab'[n % 2]}\n" for n in range(20)), encoding="utf-8"
    )
    ended = command("import", path)
    assert ended.code == 0
    assert "Columns: question is 'question', options are 'A', 'B', answer is 'answer'." in ended.out
    assert f"--tasks {tmp_path / 'ward'}" in ended.out
    assert command("import", path).code == 2
    data = json.loads(command("import", path, "--force", "--json").out)
    assert data["sizes"] == {"demonstrations": 5, "validation": 4, "test": 11}
    path.write_text(HEADER + ",yes,no,A\n" * 12, encoding="utf-8")
    ended = command("import", path, "--force")
    assert ended.code == 2
    assert "12 defects; nothing was written" in ended.err
    assert "  line 13, column 'question': there is no question" in ended.err


def test_columns_and_answers_are_said(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    path.write_text(
        "Was,A,B,C,Nun\n" + "".join(f"Q {n}?,a,b,c,{1 + n % 2}\n" for n in range(20)), encoding="utf-8"
    )
    named = ("--columns", "question=Was", "--columns", "answer=Nun")
    ended = command("import", path, *named)
    assert ended.code == 2
    assert "--answers 'from 0'" in ended.err
    assert command("import", path, *named, "--answers", "from 1").code == 0
    assert "Roles: question" in command("import", path, "--columns", "what=Was").err


def test_a_file_is_shown_as_a_task(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    path.write_text(HEADER + "".join(f"Question {n}?,yes,no,B\n" for n in range(20)), encoding="utf-8")
    ended = command("tasks", "show", path)
    assert ended.code == 0
    assert "test: 11 questions" in ended.out
    assert "no such file" in command("tasks", "show", tmp_path / "none.csv").err
