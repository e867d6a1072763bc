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
    assert "Split at random with seed 42: 11 test, 4 validation, 5 demonstrations." in ended.out
    assert "no such file" in command("tasks", "show", tmp_path / "none.csv").err


def test_a_file_used_at_once_says_the_command_that_settles_it(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "our ward.csv"
    path.write_text(
        "Was,A,B,Nun\n" + "".join(f"Q {n}?,a,b,{'AB'[n % 2]}\n" for n in range(20)), encoding="utf-8"
    )
    said = command("compare", "demo-med", "demo-base", "--tasks", path).err
    assert f"`medbench-local import '{path}' --columns question=… --columns answer=…`" in said.replace(
        "\n", " "
    )
    text = path.read_text(encoding="utf-8").replace("Was", "question").replace("Nun", "answer")
    path.write_text(text.replace(",A\n", ",1\n").replace(",B\n", ",0\n"), encoding="utf-8")
    assert command("tasks", "show", path).code == 0
    path.write_text(
        text.replace(",b,", ",b,c,").replace(",B,", ",B,C,").replace(",A\n", ",1\n").replace(",B\n", ",2\n")
    )
    said = command("compare", "demo-med", "demo-base", "--tasks", path).err
    assert f"`medbench-local import '{path}' --answers 'from 0'` (or \"from 1\")" in said.replace("\n", " ")
    path.write_text("question,A,B,answer\n" + "Q?,a,b,Z\n" * 9, encoding="utf-8")
    said = command("compare", "demo-med", "demo-base", "--tasks", path).err
    assert f"`medbench-local import '{path}'` lists all of them." in said.replace("\n", " ")


def test_fifty_defects_are_printed_and_all_are_in_json(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "ward.csv"
    path.write_text(HEADER + ",yes,no,A\n" * 73, encoding="utf-8")
    ended = command("import", path)
    assert ended.code == 2
    assert ended.err.count("there is no question") == 50
    assert "and 23 more; --json has all of them." in ended.err
    ended = command("import", path, "--json")
    assert ended.code == 2
    found = json.loads(ended.out)
    assert found["file"] == str(path)
    assert len(found["defects"]) == 73


def test_prompts_of_a_run_on_a_file_are_written_anew(command: Command, home: Path) -> None:
    rows = "".join(f"Question {n}?,yes,no,{'ab'[n % 2]}\n" for n in range(20))
    (home / "ward.csv").write_text(HEADER + rows, encoding="utf-8")
    (home / "round.yaml").write_text("files: ward.csv\n", encoding="utf-8")
    asked = ("--shots", "0", "--check", "none", "--limit", "5", "--output")
    for task in ("ward.csv", "round.yaml"):
        folder = f"run-{task}"
        assert command("compare", "demo-med", "demo-base", "--tasks", task, *asked, folder).code == 0
        assert "10 prompts have the hashes" in command("verify", folder).out
