"""What belongs together stays in one split of a table, and too few questions are refused with a way out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medbench_local import InputError, QuestionsError, import_questions
from medbench_local.tasks.load import load_task


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def asked(n: int, **more: Any) -> dict[str, Any]:
    return {"question": f"Question {n}?", "A": f"a{n}", "B": f"b{n}", "answer": "AB"[n % 2], **more}


def members(task: Path, what: Any) -> dict[object, set[str]]:
    """The splits in which each of something is."""
    found: dict[object, set[str]] = {}
    for file in task.glob("*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            for one in what(json.loads(line)):
                found.setdefault(one, set()).add(file.stem)
    return found


def test_no_picture_is_in_two_splits_whatever_it_is_called(tmp_path: Path) -> None:
    for n in range(20):
        for copy in "ab":
            Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / f"{n}{copy}.png")
    rows = [asked(n, image=f"{n % 20}{'ab'[n // 20 % 2]}.png") for n in range(70)]
    found = import_questions(write(tmp_path / "q.csv", rows))
    content = {file.name: file.read_bytes() for file in tmp_path.glob("*.png")}
    splits = members(found.task, lambda row: [content[name] for name in row["images"]])
    assert len(splits) == 20
    assert all(len(names) == 1 for names in splits.values())
    assert {name for names in splits.values() for name in names} == {"test", "validation", "demonstrations"}
    assert 5 <= found.sizes["demonstrations"] <= 11
    assert not found.warnings


def test_a_question_about_two_pictures_ties_the_others_together(tmp_path: Path) -> None:
    for n in range(30):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / f"{n}.png")
    rows = [asked(n, images=f"{n}.png;{n - n % 3}.png") for n in range(30)]
    found = import_questions(write(tmp_path / "q.csv", rows))
    groups = members(found.task, lambda row: {int(name.split(".")[0]) // 3 for name in row["images"]})
    assert len(groups) == 10
    assert all(len(names) == 1 for names in groups.values())


def test_a_passage_stays_in_one_split_and_a_dash_is_none(tmp_path: Path) -> None:
    rows = [
        asked(n, passage=f"A man of {n // 4} years has had a cough since  May." if n < 40 else "-")
        for n in range(80)
    ]
    found = import_questions(write(tmp_path / "q.csv", rows))
    groups = members(found.task, lambda row: [row["question"].partition("\n")[0]])
    assert len(groups) == 11
    assert [names for text, names in groups.items() if text != "-" and len(names) > 1] == []
    assert len(groups["-"]) == 3
    assert "40 questions that are the same" in " ".join(found.notes)


def test_the_split_is_the_same_each_time_and_that_of_the_file_used_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", [asked(n) for n in range(40)])
    sizes = import_questions(path, output=tmp_path / "one").sizes
    import_questions(path, output=tmp_path / "two")
    texts = [
        {name: [q.text for q in load_task(str(task), data_dir=None).questions(name)] for name in sizes}
        for task in (tmp_path / "one", tmp_path / "two", path)
    ]
    assert texts[0] == texts[1] == texts[2]
    assert sizes == {"demonstrations": 5, "validation": 8, "test": 27}


def test_the_same_question_with_two_answers_is_said(tmp_path: Path) -> None:
    rows = [asked(n) for n in range(20)]
    rows += [{**asked(3), "question": "  question 3 "}, {**asked(4), "answer": "B"}]
    warnings = import_questions(write(tmp_path / "q.csv", rows)).warnings
    assert "2 questions repeat an earlier one" in warnings[0]
    assert "line 5 and line 22; line 6 and line 23" in warnings[0]
    assert warnings[1] == "The same question has different answers: line 6 and line 23. One of them is wrong."


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "there are no questions in it"), (1, "1 question is too few"), (3, "3 questions are too few")],
)
def test_too_few(tmp_path: Path, count: int, said: str) -> None:
    path = tmp_path / "q.csv"
    lines = ["question,A,B,C,answer", *(f"Question {n}?,a{n},b{n},c{n},C" for n in range(count))]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        import_questions(path)


def test_a_table_that_says_its_splits_may_have_few(tmp_path: Path) -> None:
    rows = [asked(n, split=name) for n, name in enumerate(["test", "validation", "demonstrations"])]
    sizes = import_questions(write(tmp_path / "q.csv", rows)).sizes
    assert sizes == {"demonstrations": 1, "validation": 1, "test": 1}


def test_one_picture_for_all_questions_leaves_no_test(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="none is left for test") as caught:
        import_questions(write(tmp_path / "q.csv", [asked(n, image="x.png") for n in range(30)]))
    assert 'A column "split"' in caught.value.advice


def test_answers_that_are_all_the_same_option_are_warned_of(tmp_path: Path) -> None:
    rows = [{**asked(n), "answer": "A"} for n in range(30)]
    path = write(tmp_path / "q.csv", rows)
    (warning,) = import_questions(path).warnings
    assert "The answer of all 30 questions is option A" in warning
    assert any("option A" in said for said in load_task(str(path), data_dir=None).warnings)
    rows[7]["answer"] = "B"
    assert import_questions(write(path, rows), force=True).warnings == ()


def test_two_and_twenty_six_options_and_one_more(tmp_path: Path) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    rows = [
        {"question": f"Question {n}?", "options": " | ".join(f"{n} {letter}x" for letter in letters[: 2 + n]),
         "answer": letters[n % 2]}
        for n in range(25)
    ]  # fmt: skip
    found = import_questions(write(tmp_path / "q.csv", rows))
    assert sum(found.sizes.values()) == 25
    rows[4]["options"] = " | ".join(f"option {n}" for n in range(27))
    rows[5]["options"] = "only one"
    with pytest.raises(QuestionsError) as caught:
        import_questions(write(tmp_path / "q.csv", rows), force=True)
    assert caught.value.defects == (
        "line 6, column 'options': expected 2 to 26 options, found 27",
        'line 7, column \'options\': expected a list of options, such as ["yes", "no"], or one a line',
    )


@pytest.mark.parametrize(
    "cell",
    [
        "A) aspirin; B) heparin (a vitamin K antagonist is another); C) no; D) yes",
        "a. aspirin b. heparin (a vitamin K antagonist is another) c. no d. yes",
        "(A) aspirin\n(B) heparin (a vitamin K antagonist is another)\n(C) no\n(D) yes",
        "1) aspirin, 2) heparin (a vitamin K antagonist is another), 3) no, 4) yes",
        "aspirin; heparin (a vitamin K antagonist is another); no; yes",
    ],
)
def test_options_behind_letters_in_one_cell(tmp_path: Path, cell: str) -> None:
    rows = [{"question": f"Question {n}?", "options": cell, "answer": "heparin (a vitamin K antagonist is another)"}
            for n in range(12)]  # fmt: skip
    options = import_questions(write(tmp_path / "q.csv", rows)).example.options
    assert options == ("aspirin", "heparin (a vitamin K antagonist is another)", "no", "yes")


def test_every_broken_line_is_listed_with_the_other_defects(tmp_path: Path) -> None:
    good = {"question": "Q", "options": ["a", "b"], "answer": "A"}
    lines = [json.dumps({**good, "question": f"Q{n}"}) for n in range(12)]
    lines[3] = lines[3][:-5]
    lines[5] = "[1, 2]"
    lines[7] = json.dumps({**good, "answer": "C"})
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(QuestionsError) as caught:
        import_questions(path)
    assert [defect.split(":")[0] for defect in caught.value.defects] == [
        "line 4, column 52",
        "line 6",
        "line 8, column 'answer'",
    ]
    table = ["question,A,B,answer", *(f"Question {n}?,yes,no,{'AB'[n % 2]}" for n in range(12))]
    table[2] = 'The "first" one?,yes,no,A'  # good: quotation marks inside of text that is not quoted
    table[3] = '"The "second" one?",yes,no,A'
    table[6] = '"Never closed,yes,no,B'
    table[9] = "Question?,yes,no,maybe"
    path = tmp_path / "q.csv"
    path.write_text("\n".join(table), encoding="utf-8")
    with pytest.raises(QuestionsError) as caught:
        import_questions(path)
    assert [defect.split(":")[0] for defect in caught.value.defects] == [
        "line 4",
        "line 7",
        "line 10, column 'answer'",
    ]
    assert "never closed" in caught.value.defects[1]


def test_dialects_that_are_read(tmp_path: Path) -> None:
    lines = ["Frage;A;B;Antwort", '"Wie viel,\nin mg?";0,5;"1,5";A']
    lines += [f"Frage {n}?;0,{n};1,{n};{'AB'[n % 2]}" for n in range(11)]
    for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes("\r\n".join(lines).replace("Frage 1?", "Größe?").encode(encoding))
        task = load_task(str(path), data_dir=None)
        found = {q.text.replace("\r", ""): q.options for name in task.splits for q in task.questions(name)}
        assert found["Wie viel,\nin mg?"] == ("0,5", "1,5")
        assert found["Größe?"] == ("0,1", "1,1")
    path.write_bytes("\n".join(lines).encode("utf-16-le"))
    with pytest.raises(InputError, match="NUL") as caught:
        load_task(str(path), data_dir=None)
    assert "encoding=" in caught.value.advice


@pytest.mark.parametrize("ending", [".xls", ".ods", ".numbers", ".docx", ".pdf"])
def test_what_is_not_read_says_what_to_save_it_as(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"q{ending}"
    path.write_bytes(b"\xd0\xcf\x11\xe0 or anything")
    for read in (lambda: import_questions(path), lambda: load_task(str(path), data_dir=None)):
        with pytest.raises(InputError) as caught:
            read()
        assert caught.value.advice == "Save it as .xlsx or .csv, one question in a row."


def test_a_link_out_of_the_folder_is_no_picture(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    try:
        (own / "x.png").symlink_to(tmp_path / "secret.png")
    except OSError:
        pytest.skip("this system gives no links")
    rows = [asked(n) for n in range(12)] + [
        asked(12, image="x.png"),
        asked(13, image=str(tmp_path / "secret.png")),
    ]
    with pytest.raises(QuestionsError) as caught:
        import_questions(write(own / "q.csv", rows))
    first, second = caught.value.defects
    assert first == "line 14, column 'image': the picture x.png is a link that leads out of its folder"
    assert second.startswith("line 15, column 'image': the name of a picture leads out of its folder: ")
