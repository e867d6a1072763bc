"""Excel files as people and programs leave them: read right, or refused with a line that says why."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, QuestionsError, UsageError, import_questions
from medbench_local.tasks.load import load_task

openpyxl = pytest.importorskip("openpyxl")

HEADER = ["question", "A", "B", "answer"]


def book(count: int = 12) -> tuple[Any, Any]:
    """A workbook, and its sheet with so many questions."""
    found = openpyxl.Workbook()
    sheet = found.active
    sheet.append(HEADER)
    for n in range(count):
        sheet.append([f"Question {n}?", f"a{n}", f"b{n}", "AB"[n % 2]])
    return found, sheet


def read(path: Path) -> list[str]:
    task = load_task(str(path), data_dir=None)
    return sorted(question.text for name in task.splits for question in task.questions(name))


def test_formulas_without_values_are_defects_where_they_are_needed(tmp_path: Path) -> None:
    found, sheet = book()
    sheet["E1"] = "comment"
    sheet["E4"] = "=1/0"
    found.save(tmp_path / "q.xlsx")
    assert len(read(tmp_path / "q.xlsx")) == 12
    sheet["C5"] = "=A1"
    found.save(tmp_path / "q.xlsx")
    with pytest.raises(QuestionsError) as caught:
        read(tmp_path / "q.xlsx")
    (defect,) = caught.value.defects
    assert defect.startswith("row 5, column 'C': a formula without a value")


def test_merged_cells_count_for_each_row(tmp_path: Path) -> None:
    found = openpyxl.Workbook()
    sheet = found.active
    sheet.append(["vignette", *HEADER])
    for n in range(15):
        vignette = f"A woman of {n} years comes with a cough." if n % 3 == 0 else None
        sheet.append([vignette, f"Question {n}?", f"a{n}", f"b{n}", "AB"[n % 2]])
    for row in range(2, 17, 3):
        sheet.merge_cells(f"A{row}:A{row + 2}")
    sheet.merge_cells("A17:A30")  # of empty rows
    found.save(tmp_path / "q.xlsx")
    texts = read(tmp_path / "q.xlsx")
    assert len(texts) == 15
    assert "A woman of 3 years comes with a cough.\n\nQuestion 5?" in texts
    assert any(
        "10 cells that are merged" in note
        for note in load_task(str(tmp_path / "q.xlsx"), data_dir=None).notes
    )


def test_hidden_sheets_are_left_alone_until_they_are_named(tmp_path: Path) -> None:
    found, _ = book()
    other = found.create_sheet("Old")
    other.append(HEADER)
    for n in range(9):
        other.append([f"Old {n}?", "a", "b", "AB"[n % 2]])
    path = tmp_path / "q.xlsx"
    found.save(path)
    with pytest.raises(InputError, match="2 sheets hold questions, of 'Sheet', 'Old'") as caught:
        import_questions(path)
    assert caught.value.advice == 'Say it: `sheet="Sheet"` (or "Old").'
    other.sheet_state = "hidden"
    found.save(path)
    assert all(text.startswith("Question") for text in read(path))
    assert import_questions(path, sheet="Old").example.text.startswith("Old")
    found.active.sheet_state = "visible"
    with pytest.raises(InputError, match=r"there is no sheet 'New'; there are 'Sheet', 'Old' \(hidden\)"):
        import_questions(path, sheet="New", force=True)


def test_numbers_are_those_that_excel_shows(tmp_path: Path) -> None:
    found, sheet = book()
    for row in range(2, 14):
        sheet.cell(row, 2).value = 0.1 + 0.2
        sheet.cell(row, 3).value = 7.0
    found.save(tmp_path / "q.xlsx")
    assert import_questions(tmp_path / "q.xlsx").example.options == ("0.3", "7")


def test_a_password_a_broken_file_and_other_files_under_this_name(tmp_path: Path) -> None:
    path = tmp_path / "q.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputError, match=r"protected by a password, or an old \.xls"):
        import_questions(path)
    found, _ = book()
    found.save(path)
    whole = path.read_bytes()
    for data in (b"", b"question,A,B,answer\n", whole[:-200], whole[:2000], bytes(len(whole))):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"not a readable \.xlsx file") as caught:
            import_questions(path)
        assert "Save it again as .xlsx or CSV" in caught.value.advice
    for place in range(
        40, len(whole), 97
    ):  # damage in whichever part: refused in words, or of no consequence
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            import_questions(path, force=True)
        except InputError:
            continue
    csv = tmp_path / "q.csv"
    csv.write_bytes(whole)
    with pytest.raises(InputError, match="it begins as Excel workbooks do"):
        import_questions(csv, force=True)


def _with_part(path: Path, *pieces: bytes) -> None:
    """Add a part to a workbook, each piece of it a hundred times."""
    found, _ = book()
    found.save(path)
    info = zipfile.ZipInfo("xl/worksheets/more.xml")
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as archive, archive.open(info, "w") as member:
        member.write(b"<worksheet>")
        for piece in pieces:
            for _ in range(100):
                member.write(piece)
        member.write(b"</worksheet>")


@pytest.mark.parametrize(
    ("piece", "problem"),
    [
        (b"<!-- -->" * 2**17, r"unpacked it would be \d+ MiB; at most \d+ MiB are read"),
        (b"<c/>" * 2_000, "more than 15[0-9],[0-9]+ cells, too many for a file so small"),
        (b"<x:c/>" * 2_000, "more than 15[0-9],[0-9]+ cells"),
        (b"<si><t/></si>" * 4_000, "more than 15[0-9],[0-9]+ cells"),
        (b'<mergeCell ref="A1:B$9999"/>', "cover more than 1,000,000 cells"),
        (b'<hyperlink ref="A1:XFD1048576"/>', "cover more than 1,000,000 cells"),
        (b'<f t="shared">' + b"x" * 600_000 + b"</f>", "share formulas that are too long"),
        (b"<nothing", "not a readable .xlsx file"),
    ],
)
def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, piece: bytes, problem: str) -> None:
    _with_part(tmp_path / "q.xlsx", piece)
    with pytest.raises(InputError, match=problem):
        import_questions(tmp_path / "q.xlsx")


def test_a_workbook_declares_no_entities(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "q.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY y "z">]><x>&y;</x>')
    with pytest.raises(InputError, match="declares a document type"):
        import_questions(tmp_path / "q.xlsx")


def test_a_cell_far_away_is_refused(tmp_path: Path) -> None:
    found, sheet = book()
    sheet["XFD1048576"] = "far away"
    found.save(tmp_path / "q.xlsx")
    with pytest.raises(
        InputError, match="1,048,576 rows and 16,384 columns; at most 1,000,000 cells are read"
    ):
        import_questions(tmp_path / "q.xlsx")


def test_without_openpyxl_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = book()
    found.save(tmp_path / "q.xlsx")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    for read_it in (lambda: import_questions(tmp_path / "q.xlsx"), lambda: read(tmp_path / "q.xlsx")):
        with pytest.raises(UsageError, match="openpyxl, which is not installed") as caught:
            read_it()
        assert "`pip install openpyxl`" in caught.value.advice
    code = "import sys; sys.modules['openpyxl'] = None; import medbench_local.tasks.tables.reading"
    subprocess.run([sys.executable, "-c", code], check=True)
