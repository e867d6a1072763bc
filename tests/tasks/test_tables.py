"""Messy files of questions, written by hand, and exactly what is made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, QuestionsError, UsageError, import_questions
from medbench_local.catalog.task import expand_tasks
from medbench_local.tasks.load import load_task

ROWS = [
    # question, options, index of the answer
    ("Which nerve raises the eyelid?", ("oculomotor", "facial", "optic", "vagus"), 0),
    ("Was ist ein Ödem?", ("Blutung", "Flüssigkeit im Gewebe", "Geschwür", "Entzündung"), 1),
    ("Which organ makes insulin?", ("liver", "spleen", "pancreas", "kidney"), 2),
    ("Which vitamin prevents scurvy?", ("A", "B", "D", "C"), 3),
    ("How many chambers has the heart?", ("1", "2", "3", "4"), 3),
    ("Which drug lowers cholesterol?", ("statin", "insulin", "heparin", "aspirin"), 0),
    ("What is a low platelet count?", ("anaemia", "thrombocytopenia", "leukopenia", "sepsis"), 1),
    ("Which bone is in the thigh?", ("tibia", "ulna", "femur", "radius"), 2),
    ("Which cell carries oxygen?", ("erythrocyte", "neutrophil", "platelet", "B cell"), 0),
    ("Which gas do lungs remove?", ("oxygen", "carbon dioxide", "nitrogen", "helium"), 1),
]


def in_columns(answer: Any, header: str = "Frage;A;B;C;D;Antwort", separator: str = ";") -> str:
    """The questions with an option a column and ``answer`` of (index, options) at the end."""
    lines = [header.replace(";", separator)]
    lines += [separator.join((text, *options, answer(place, options))) for text, options, place in ROWS]
    return "\n".join(lines) + "\n"


def letters(place: int, options: Sequence[str]) -> str:
    return "aBcD"[place]


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def imported(path: Path, **how: Any) -> list[tuple[str, tuple[str, ...], int]]:
    """Everything that is in the folder made of a file, in the file's order."""
    found = import_questions(path, output=path.parent / "made", **how)
    task = load_task(str(found.task), data_dir=None)
    questions = [q for split in task.splits.values() for q in split.questions]
    texts = [row[0] for row in ROWS]
    return sorted(((q.text, q.options, q.answer) for q in questions), key=lambda q: texts.index(q[0]))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_dialects_and_encodings(tmp_path: Path, separator: str, encoding: str) -> None:
    path = tmp_path / "fragen.csv"
    path.write_bytes(in_columns(letters, separator=separator).replace("\n", "\r\n").encode(encoding))
    assert imported(path) == ROWS


def test_windows_1252_is_said_with_what_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "fragen.csv"
    path.write_bytes(in_columns(letters).encode("cp1252"))
    found = import_questions(path)
    assert found.warnings == (
        "It is not UTF-8 (line 3) and was read as Windows-1252: 'Ödem' stands there. If that is wrong, say "
        "`encoding=`.",
    )
    assert found.task == tmp_path / "fragen"
    again = import_questions(path, encoding="cp1252", force=True)
    assert again.warnings == ()
    assert "Read as cp1252, as was said." in again.notes


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (letters, "labels"),
        (lambda place, options: f"({'ABCD'[place]})", "labels"),
        (lambda place, options: str(place), "numbers from 0: line 2 has 0, with 4 options"),
        (lambda place, options: str(place + 1), "numbers from 1: line 5 has 4, with 4 options"),
        (lambda place, options: f"{place + 1}.0", "numbers from 1: line 5 has 4.0, with 4 options"),
        (lambda place, options: options[place].upper(), "texts"),
    ],
)
def test_notations_are_settled_by_the_rows_and_said(tmp_path: Path, write: Any, said: str) -> None:
    path = tmp_path / "fragen.csv"
    path.write_text(in_columns(write), encoding="utf-8")
    assert imported(path) == ROWS
    found = import_questions(path)
    assert f"Answers in 'Antwort' are read as {said}." in found.notes
    assert found.notes[0] == (
        "Columns: question is 'Frage', options are 'A', 'B', 'C', 'D', answer is 'Antwort'."
    )


def test_numbers_that_may_count_from_0_or_1_are_refused_until_somebody_says_it(tmp_path: Path) -> None:
    lines = ["question,A,B,C,D,answer"]
    lines += [f"Question {n}?,w{n},x{n},y{n},z{n},{1 + n % 3}" for n in range(12)]
    path = tmp_path / "q.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=r"numbers from 0 and as numbers from 1.*no row shows") as caught:
        import_questions(path)
    assert "answers=" in caught.value.advice
    for how, first in (("from 0", "x0"), ("from 1", "w0")):
        found = import_questions(path, answers=how, force=True)  # type: ignore[arg-type]
        rows = [row for file in found.task.glob("*.jsonl") for row in lines_of(file)]
        row = next(row for row in rows if row["question"] == "Question 0?")
        assert row["options"][row["answer"]] == first


def test_numbers_that_count_both_ways_are_refused(tmp_path: Path) -> None:
    lines = ["question,A,B,answer"] + [f"Question {n}?,w{n},x{n},{n % 3}" for n in range(12)]
    path = tmp_path / "q.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=r"can be read as|count from 0 and from 1"):
        import_questions(path)


def test_all_defects_at_once_with_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "fragen.csv"
    more = (
        ";a;b;c;d;A\n"  # no question
        "No answer?;a;b;c;d;\n"
        "No such option?;a;b;c;;D\n"
        "A hole?;a;;c;d;A\n"
        "Twice the same?;a;b;a;d;B\n"
        "One option and no answer?;a;;;;\n"
        "\n"
        "Too; many; cells?;a;b;c;d;A\n"
        "Two answers?;a;b;c;d;A, C\n"
    )
    path.write_text(in_columns(letters) + more, encoding="utf-8")
    with pytest.raises(QuestionsError) as caught:
        import_questions(path)
    assert caught.value.defects == (
        "line 12, column 'Frage': there is no question",
        "line 13, column 'Antwort': there is no answer",
        "line 14, column 'Antwort': expected A to C, found 'D'",
        "line 15: option B is empty, but a later one is not",
        "line 16: options A and C are the same: 'a'",
        "line 17: expected 2 to 26 options, found 1",
        "line 17, column 'Antwort': there is no answer",
        "line 19: 8 cells, but the header has 6; text with separators has to stand in quotes",
        "line 20, column 'Antwort': expected A to D, found 'A, C'",
    )
    assert not (tmp_path / "fragen").exists()


def test_four_and_five_options_a_passage_an_id_and_unused_columns(tmp_path: Path) -> None:
    lines = ["ID,Vignette,Question,Option A,Option B,Option C,Option D,Option E,Correct Answer,Comment"]
    for n in range(10):
        fifth = "e" if n % 2 else ""
        lines.append(f'Q{n},"A man, {n} years.",What now?, a{n} ,b,c,d,{fifth},{"e" if n % 2 else "D"},')
    path = tmp_path / "q.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = import_questions(path)
    rows = {row["id"]: row for f in found.task.glob("*.jsonl") for row in lines_of(f)}
    assert rows["Q3"] == {
        "id": "Q3",
        "question": "A man, 3 years.\n\nWhat now?",
        "options": ["a3", "b", "c", "d", "e"],
        "answer": 4,
    }
    assert rows["Q2"]["options"] == ["a2", "b", "c", "d"]
    assert "Questions have different numbers of options: 5 with 4, 5 with 5." in found.notes
    assert "Not used: 'Comment'." in found.notes


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps,
        repr,
        "\n".join,
        "|".join,
        lambda options: json.dumps(dict(zip("ABCD", options, strict=True))),
        lambda options: json.dumps([f"{letter}) {o}" for letter, o in zip("ABCD", options, strict=True)]),
    ],
)
def test_options_in_one_cell(tmp_path: Path, cell: Any) -> None:
    import csv

    path = tmp_path / "q.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "options", "answer"])
        for text, options, place in ROWS:
            writer.writerow([text, cell(list(options)), "ABCD"[place]])
    assert imported(path) == ROWS


@pytest.mark.parametrize("kind", ["jsonl", "list", "nested", "keys"])
def test_json(tmp_path: Path, kind: str) -> None:
    rows = [
        {
            "question": text,
            "choices": {"text": list(options), "label": list("1234")},
            "answerKey": str(place + 1),
        }
        for text, options, place in ROWS
    ]
    path = tmp_path / ("q.jsonl" if kind == "jsonl" else "q.json")
    value: Any = {
        "list": rows,
        "nested": {"version": 1, "data": rows},
        "keys": {f"q{n}": row for n, row in enumerate(rows)},
    }.get(kind)
    text = "\n".join(map(json.dumps, rows)) if kind == "jsonl" else json.dumps(value)
    path.write_text(text, encoding="utf-8")
    assert imported(path) == ROWS


def test_a_text_and_a_letter_have_to_agree(tmp_path: Path) -> None:
    rows = [
        {"question": q, "options": dict(zip("ABCD", o, strict=True)), "answer": o[p], "answer_idx": "ABCD"[p]}
        for q, o, p in ROWS
    ]
    rows[6]["answer_idx"] = "D"
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(QuestionsError) as caught:
        import_questions(path)
    assert caught.value.defects == ("line 7, column 'answer_idx': the answer is D, but 'answer' says B",)


def test_a_file_is_a_task_and_has_the_questions_of_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "Meine Fragen (2).csv"
    path.write_text(in_columns(letters), encoding="utf-8")
    assert expand_tasks([str(path)]) == (str(path),)
    direct = load_task(str(path), data_dir=None)
    assert direct.id == "Meine-Fragen-2"
    found = import_questions(path)
    folder = load_task(str(found.task), data_dir=None)
    assert {n: s.questions for n, s in direct.splits.items()} == {
        n: s.questions for n, s in folder.splits.items()
    }
    assert found.sizes == {"demonstrations": 5, "validation": 2, "test": 3}
    assert "Split at random with seed 42: 3 test, 2 validation, 5 demonstrations." in found.notes
    assert "with 3 questions of Meine-Fragen-2" in found.detectable
    with pytest.raises(UsageError, match="already"):
        import_questions(path)


def test_a_hundred_questions_are_told_what_they_can_find(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    lines = ["question,A,B,answer"] + [f"Question {n}?,yes,no,{'AB'[n % 2]}" for n in range(143)]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = import_questions(path)
    assert found.sizes == {"demonstrations": 14, "validation": 29, "test": 100}
    assert "12.5 to 19.8 points with 100 questions of q" in found.detectable


def test_what_stands_twice_stays_in_one_split(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    lines = ["id,question,A,B,answer"]
    lines += [f"{n},Question {n % 30}{'?' if n < 30 else ' ?'},yes,no,{'AB'[n % 2]}" for n in range(60)]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = import_questions(path)
    seen: dict[int, set[str]] = {}
    for file in found.task.glob("*.jsonl"):
        for row in lines_of(file):
            seen.setdefault(int(row["id"]) % 30, set()).add(file.name)
    assert len(seen) == 30
    assert all(len(files) == 1 for files in seen.values())
    (warning,) = found.warnings
    assert warning.startswith("30 questions repeat an earlier one")
    assert ": line 2 and line 32; line 3 and line 33; line 4 and line 34 and 27 more." in warning
    assert "60 questions that are the same" in " ".join(found.notes)
    # Used at once, the report says it of those that were asked; how the file was read is no warning of the data.
    task = load_task(str(path), data_dir=None)
    (said,) = task.warnings
    assert "test questions repeat an earlier one" in said
    assert any(note.startswith("warning: 30 questions repeat") for note in task.notes)


def test_the_split_that_a_table_says(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    said = ["train", "dev", "Test", "test"]
    lines = ["question,A,B,answer,split"] + [f"Question {n}?,yes,no,A,{said[n]}" for n in range(4)]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert import_questions(path).sizes == {"demonstrations": 1, "validation": 1, "test": 2}
    path.write_text("\n".join(lines[:1] + lines[3:]), encoding="utf-8")
    with pytest.raises(InputError, match="no question belongs to demonstrations and validation"):
        import_questions(path, force=True)


def test_columns_that_are_not_found_are_named_by_somebody(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(in_columns(letters, header="Was;A;B;C;D;Nun"), encoding="utf-8")
    with pytest.raises(
        InputError, match="No column is found for question and answer; there are 'Was', 'A', 'B'"
    ):
        import_questions(path)
    assert imported(path, columns={"question": "Was", "answer": "Nun"}) == ROWS


def test_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Fragen"
    sheet.append(["Questions of our ward, 2024"])
    sheet.append([])
    sheet.append(["Nr.", "Frage", "A", "B", "C", "D", "Lösung"])
    for n, (text, options, place) in enumerate(ROWS, start=1):
        cells = [int(o) if o.isdigit() else o for o in options]
        sheet.append([n, f" {text} ", *cells, float(place + 1)])
    book.create_sheet("Notizen").append(["nothing to see"])
    path = tmp_path / "fragen.xlsx"
    book.save(path)
    assert imported(path) == ROWS
    notes = import_questions(path).notes
    assert "The sheet 'Fragen' is read, of 'Fragen', 'Notizen'." in notes
    assert "The names of the columns stand in row 3; what is above is not read." in notes


def test_excel_dates_percentages_and_errors(tmp_path: Path) -> None:
    import datetime

    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["question", "A", "B", "answer"])
    for text, _, _ in ROWS:
        sheet.append([text, 0.05, 0.5, "A"])
    for row in sheet.iter_rows(min_row=2, min_col=2, max_col=3):
        for cell in row:
            cell.number_format = "0%"
    path = tmp_path / "q.xlsx"
    book.save(path)
    assert import_questions(path).example.options == ("5%", "50%")
    sheet["B3"] = datetime.datetime(2024, 2, 1)
    sheet["C4"] = "=1+1"
    book.save(path)
    with pytest.raises(QuestionsError) as caught:
        import_questions(path, force=True)
    assert [defect.split(":")[0] for defect in caught.value.defects] == [
        "row 3, column 'B'",
        "row 4, column 'C'",
    ]


def test_pictures_are_taken_along(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "x").mkdir()
    for n in range(10):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / "x" / f"{n}.png")
    path = tmp_path / "q.csv"
    lines = ["question,A,B,answer,image"] + [
        f"Question {n}?,yes,no,{'AB'[n % 2]},x/{n}.png" for n in range(10)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = import_questions(path)
    question = load_task(str(found.task), data_dir=None).questions("test")[0]
    (picture,) = question.pictures
    assert (
        picture.path == found.task / "x" / f"{question.text.removeprefix('Question ').removesuffix('?')}.png"
    )
    (tmp_path / "x" / "8.png").write_bytes(b"no picture")
    bad = ["Question 9?,yes,no,A,x/b.png", "Again?,yes,no,A,x/b.png", "Out?,yes,no,A,../b.png"]
    path.write_text("\n".join([*lines[:-1], *bad]), encoding="utf-8")
    with pytest.raises(QuestionsError) as caught:
        import_questions(path, force=True)
    assert [defect.partition("; ")[0] for defect in caught.value.defects] == [
        "line 10, column 'image': x/8.png: no picture of a known kind (PNG, JPEG, GIF, BMP, TIFF, WEBP, PPM, JPEG2000)",
        "line 11, column 'image': there is no picture x/b.png",
        "line 12, column 'image': there is no picture x/b.png",
        "line 13, column 'image': the name of a picture leads out of its folder: ../b.png",
    ]


def test_blood_groups_among_letters(tmp_path: Path) -> None:
    """ "A" is the first option where the other answers are letters, whatever its text; alone it may be either."""
    path = tmp_path / "q.csv"
    asked = "Universal donor?,0,A,B,AB,A\n"
    others = "".join(f"Question {n}?,w{n},x{n},y{n},z{n},{'ABCD'[n % 4]}\n" for n in range(9))
    path.write_text("question,A,B,C,D,answer\n" + asked + others, encoding="utf-8")
    found = import_questions(path)
    rows = [row for file in found.task.glob("*.jsonl") for row in lines_of(file)]
    (row,) = (row for row in rows if row["question"] == "Universal donor?")
    assert row["answer"] == 0
    path.write_text("question,A,B,C,D,answer\n" + asked * 9, encoding="utf-8")
    with pytest.raises(InputError, match="can be read as labels and as texts"):
        import_questions(path, force=True)
