"""Questions about pictures, from files made for the purpose: forms, places of pictures, and what is wrong with them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from medbench_local.catalog.visual_options import question_key
from medbench_local.errors import AcquireError, InputError
from medbench_local.files import readers
from medbench_local.files.readers import json_list
from medbench_local.files.rows import SourceFile
from medbench_local.progress import Silent
from medbench_local.tasks import album
from medbench_local.tasks.load import load_task, locate_task
from medbench_local.tasks.question import SPLITS
from medbench_local.tasks.readers import mmmu, slake
from tests.cli.command import Command
from tests.hub_server import HubServer
from tests.tasks.data import OWN, lines, write, write_own
from tests.tasks.pictures import as_hub, picture, table, write_pictures

MMMU_PICTURES = tuple(f"image_{number}" for number in range(1, 8))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def rad(number: int, **more: Any) -> dict[str, Any]:
    """A closed question of VQA-RAD's pool."""
    return {
        "qid": number,
        "image_name": f"{number}.jpg",
        "question": f"Is it number {number}?",
        "answer": "Yes",
        "answer_type": "CLOSED ",
        "phrase_type": "freeform",
    } | more


def write_rad(data: Path, pool: list[dict[str, Any]], test: list[dict[str, Any]]) -> Path:
    write(data / "vqa_rad/trainset.json", json.dumps(pool).encode())
    write(data / "vqa_rad/testset.json", json.dumps(test).encode())
    write_pictures(data / "vqa_rad/images", [f"{number}.jpg" for number in range(30)])
    return data


def slake_row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "qid": number,
        "img_name": f"xmlab{number}/source.jpg",
        "question": f"Is there a lung in {number}?",
        "answer": "Yes",
        "q_lang": "en",
        "answer_type": "CLOSED",
    } | more


def write_slake(folder: Path, *, validation: str = "validation", **more: Any) -> None:
    for number, name in enumerate(("train", validation, "test")):
        write(folder / f"{name}.json", json.dumps([slake_row(number, **more)]).encode())


def archive(path: Path, **members: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def slake_archive(path: Path) -> Path:
    return archive(path, **{f"imgs/xmlab{number}/source.jpg": picture(number) for number in range(3)})


def mmmu_row(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": f"validation_Pharmacy_{number}",
        "question": f"What is in <image 1> of {number}?",
        "options": "['one', 'two', 'three']",
        "answer": "B",
        "question_type": "multiple-choice",
        "subfield": "Pharmacology",
        **{name: as_hub(picture(number)) if name == "image_1" else None for name in MMMU_PICTURES},
    } | more


def write_mmmu(folder: Path, rows: list[dict[str, Any]]) -> None:
    """A subject whose demonstrations are these rows; six more are its validation rows."""
    table(folder / "Pharmacy/dev-00000-of-00001.parquet", rows, pictures=MMMU_PICTURES)
    more = [mmmu_row(number) for number in range(10, 16)]
    table(folder / "Pharmacy/validation-00000-of-00001.parquet", more, pictures=MMMU_PICTURES)


def first_mmmu(data: Path, **more: Any) -> Any:
    write_mmmu(data / "mmmu", [mmmu_row(**more)])
    return load_task("mmmu-pharmacy", data_dir=data, splits=("demonstrations",)).questions("demonstrations")[
        0
    ]


# --- the rules of each data set


def test_vqa_rad_keeps_what_the_study_keeps(tmp_path: Path, home: Path) -> None:
    pool = [
        rad(9),
        rad(2, phrase_type="para", answer=" NO ", question="Is  IT ?"),
        rad(3, phrase_type="frame"),
        rad(4, answer_type="OPEN"),
        rad(5, image_name="2.jpg", question="Is  IT ?", answer="no"),
        rad(6, image_name="20.jpg", question="Is it a leak?"),
        *(rad(number) for number in (10, 11, 12)),
    ]
    test = [rad(20, question="Is it a leak?", answer="yes")]
    task = load_task("vqa-rad", data_dir=write_rad(tmp_path, pool, test))
    found = task.questions("demonstrations")
    assert [q.id for q in found] == ["2", "9", "10", "11", "12"]
    assert (found[0].text, found[0].options, found[0].answer) == ("Is it?", ("yes", "no"), 1)
    assert [q.id for q in task.questions("validation")] == ["9"]  # of five, RandomState(42) takes row 1 first
    assert [q.text for q in task.questions("test")] == ["Is it a leak?"]
    assert task.questions("test")[0].pictures[0].name == "20.jpg"


def test_vqa_rad_with_an_answer_that_no_table_has_options_for(tmp_path: Path, home: Path) -> None:
    data = write_rad(tmp_path, [rad(1)], [rad(2, answer="perhaps")])
    with pytest.raises(InputError, match=r"testset\.json, item 1: the answer is 'perhaps', .* has none"):
        load_task("vqa-rad", data_dir=data, splits=("test",))


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Which is bigger in this image, liver or colorectal mass?", ["liver", "col", "ectal", "mass"]),
        ("Which is it,left,top or upper left ?", ["left", "top", "upper", "left"]),
        ("Which is it, mri, ct or x-ray??", ["mri", "ct", "x-ray"]),
        ("Which is it, liver or heart? ", ["liver", "heart?"]),
        ("Liver or heart?", []),
        ("Which is it,?", []),
    ],
)
def test_slakes_options_are_found_word_by_word(question: str, options: list[str]) -> None:
    assert slake.named_options(question) == options


def test_slake_adds_both_and_leaves_out_what_has_no_options(tmp_path: Path, home: Path) -> None:
    rows = [
        slake_row(1, question="which organ is it, Heart or LUNG?", answer="Both"),
        slake_row(2, question="Which organ is it, heart or lung?", answer="Lung "),
        slake_row(3, question="Which organ is it, heart or lung?", answer="Liver"),
        slake_row(4, question="Which organ is it?", answer="Both"),
        slake_row(5, q_lang="zh"),
        slake_row(6, answer_type="OPEN", answer="A liver"),
        slake_row(
            7, question="Where is the spleen in this image, right or lower right?", answer="Lower Right"
        ),
    ]
    write_slake(tmp_path / "slake")
    write(tmp_path / "slake/test.json", json.dumps(rows).encode())
    write_pictures(tmp_path / "slake/imgs", [row["img_name"] for row in rows])
    task = load_task("slake", data_dir=tmp_path, splits=("test",))
    found = [(q.id, q.text, q.options, q.answer) for q in task.questions("test")]
    assert found == [
        ("1", "Which organ is it, heart or lung?", ("heart", "lung", "both"), 2),
        ("2", "Which organ is it, heart or lung?", ("heart", "lung"), 1),
        ("7", "Where is the spleen in this image, right or lower right?", ("right", "lower right"), 1),
    ]
    assert any("slake: test: 2 questions are left out" in warning for warning in task.warnings)


def test_mmmu_as_the_study_writes_it(tmp_path: Path, home: Path) -> None:
    question = first_mmmu(
        tmp_path,
        question=r"  In <image 1>, is $\alpha$-helix  or <image 2> and <image 1> $\frac{1}{2}$?",
        options=r"""['None', "it's $\\beta$ ", '<image 2>', 'two \d']""",
        answer="D",
        image_3=as_hub(picture(3)),
    )
    assert question.text == "In <image>, is  alpha -helix or <image> and <image> frac{1}{2} ?".replace(
        "  ", " "
    )
    assert question.options == ("None", "it's beta", "<image 2>", "two \\d")
    assert question.answer == 3
    assert (question.id, question.subject) == ("validation_Pharmacy_1", "Pharmacology")
    assert [p.name for p in question.pictures] == [f"validation_Pharmacy_1#image_{n}" for n in (1, 3)]
    assert [p.path.read_bytes() for p in question.pictures] == [picture(1), picture(3)]


def test_symbols_become_their_names() -> None:
    assert mmmu.readable(r"a$\mu$g, $x$, $\bar{x}$ $5 and $\$") == r"a mu g, $x$, bar{x} $5 and $\$"
    assert mmmu.readable("  a  b ") == "a b"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            {"options": "__import__('os').system('touch here')"},
            "expected a list of texts as Python writes it",
        ),
        ({"options": "[" * 9000}, "expected a list of texts as Python writes it"),
        ({"options": "['a', 'b'" + " " * 20_000 + "]"}, "longer than 20,000 characters"),
        ({"options": "('a', 'b')"}, "expected a list of texts"),
        ({"options": "['a', 1]"}, "expected text, found the number 1"),
        ({"options": "[]", "answer": "A"}, "expected a letter from A to A, found 'A'"),
        ({"answer": "D"}, "expected a letter from A to C, found 'D'"),
        ({"answer": ""}, "expected a letter from A to C, found ''"),
        ({"question": "What is <image>?"}, "its text holds <image>, which"),
        ({"question": "What is </s> in <image 1>?"}, "its text holds </s>, which"),
        ({"options": "['<im_patch>', 'b']"}, "its text holds <im_patch>, which"),
        ({"image_1": None}, "it has no picture"),
        ({"image_1": {"bytes": None, "path": "a.png"}}, "has the name of a picture and not its bytes"),
        (
            {"image_1": as_hub(picture(1, size=(99, 99))[:-40])},
            "picture validation_Pharmacy_1#image_1: damaged or cut off",
        ),
    ],
)
def test_an_mmmu_row_that_makes_no_sense(
    tmp_path: Path, home: Path, more: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        first_mmmu(tmp_path, **more)
    assert problem in str(refused.value)
    assert str(refused.value).isprintable()
    assert not Path("here").exists()


def test_a_table_without_pictures_says_what_it_has(tmp_path: Path, home: Path) -> None:
    for split in ("train", "test"):
        rows = [{"question": "Is it?", "answer": "yes"}]
        table(tmp_path / f"vqa_rad/data/{split}-00000-of-00001.parquet", rows)
    with pytest.raises(
        InputError, match="column 'image': this column is required; the file has question, answer"
    ):
        load_task("vqa-rad", data_dir=tmp_path)


def test_pathvqa_from_its_pickles(tmp_path: Path, home: Path) -> None:
    for split in ("train", "val", "test"):
        rows = [
            {"image": f"{split}_0001", "question": "is there  a NUCLEUS?", "answer": "yes"},
            {"image": f"{split}_0002", "question": "what is it?", "answer": "a cell"},
            {"image": f"{split}_0002", "question": "is it?", "answer": "no"},
        ]
        for protocol in (2, 4):
            write(tmp_path / f"pathvqa/qas/{split}/{split}_qa.pkl", pickle.dumps(rows, protocol))
        write_pictures(tmp_path / f"pathvqa/images/{split}", [f"{split}_000{n}.jpg" for n in (1, 2)])
    task = load_task("pathvqa", data_dir=tmp_path)
    for split, folder in zip(SPLITS, ("train", "val", "test"), strict=True):
        found = task.splits[split].questions
        assert [(q.text, q.answer) for q in found] == [("Is there  a nucleus?", 0), ("Is it?", 1)]
        assert found[1].pictures[0].path == tmp_path / f"pathvqa/images/{folder}/{folder}_0002.jpg"
        assert found[1].id == f"{split}-1"
    assert any("test has 2 questions, officially 3,391" in warning for warning in task.warnings)


class _Hostile:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("here"),)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (pickle.dumps([_Hostile()]), "not a pickle of plain data"),
        (b"no pickle", "not a pickle of plain data"),
        (pickle.dumps({"a": 1}), "expected a pickled list of mappings"),
        (pickle.dumps([[1]]), "item 1: expected a mapping"),
        (pickle.dumps([{"image": "x"}]), "item 1, key 'answer': this key is required"),
    ],
)
def test_a_pickle_is_read_as_data(tmp_path: Path, home: Path, content: bytes, problem: str) -> None:
    for split in ("train", "val", "test"):
        write(tmp_path / f"pathvqa/qas/{split}/{split}_qa.pkl", content)
    with pytest.raises(InputError) as refused:
        load_task("pathvqa", data_dir=tmp_path)
    assert problem in str(refused.value)
    assert not Path("here").exists()


def test_questions_are_named_by_a_hash_that_case_does_not_change() -> None:
    assert question_key(" Is it? ") == question_key("is it?") == hashlib.sha256(b"is it?").hexdigest()


# --- where pictures lie


def test_pictures_of_a_table_are_kept_once_by_their_content(tmp_path: Path, home: Path) -> None:
    write_mmmu(tmp_path / "mmmu", [mmmu_row(number % 3, id=f"q{number}") for number in range(20)])
    task = load_task("mmmu-pharmacy", data_dir=tmp_path)
    shown = [q.pictures[0] for q in task.questions("demonstrations")]
    assert len({p.path for p in shown}) == 3
    for place in shown:
        assert place.path == home / "pictures" / place.sha256[:2] / place.sha256
        assert hashlib.sha256(place.path.read_bytes()).hexdigest() == place.sha256
    assert {path.relative_to(home).parts[0] for path in home.rglob("*") if path.is_file()} <= {
        "pictures",
        "hashes",
    }
    assert not list(home.rglob("*.part"))


def test_what_was_taken_out_is_not_read_again(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mmmu(tmp_path / "mmmu", [mmmu_row()])
    first = load_task("mmmu-pharmacy", data_dir=tmp_path)
    read: list[str] = []
    whole = readers.parquet_rows

    def watched(file: SourceFile, columns: Any, **more: Any) -> Any:
        read.extend(columns)
        return whole(file, columns, **more)

    monkeypatch.setattr(album, "parquet_rows", watched)
    assert load_task("mmmu-pharmacy", data_dir=tmp_path) == first
    assert "question" in read
    assert "image_1" not in read
    lost = first.questions("demonstrations")[0].pictures[0].path
    lost.write_bytes(b"cut")  # whatever did that: it is taken out of the table again
    assert load_task("mmmu-pharmacy", data_dir=tmp_path) == first
    assert lost.read_bytes() == picture(1)


def test_tables_of_pictures_are_held_in_memory_piece_by_piece(tmp_path: Path, home: Path) -> None:
    rows = [{"image": as_hub(bytes([number]) * 2**20), "answer": "yes"} for number in range(70)]
    path = table(tmp_path / "x.parquet", rows)  # ten groups of seven rows: 70 MB
    before, most = pa.total_allocated_bytes(), 0
    for _ in readers.parquet_rows(SourceFile(path), ("image",), batch=2):
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 30 * 2**20


def test_pictures_in_an_archive_are_taken_out_once(tmp_path: Path, home: Path) -> None:
    write_slake(tmp_path / "slake")
    zipped = slake_archive(tmp_path / "slake/imgs.zip")
    first = load_task("slake", data_dir=tmp_path)
    (shown,) = first.questions("test")[0].pictures
    assert (shown.name, shown.path.read_bytes()) == ("xmlab2/source.jpg", picture(2))
    assert shown.path.is_relative_to(home / "pictures")
    files = first.splits["test"].files
    assert [Path(file.path).name for file in files] == ["test.json", "imgs.zip"]
    assert files[1].sha256 == hashlib.sha256(zipped.read_bytes()).hexdigest()
    assert load_task("slake", data_dir=tmp_path) == first


def test_a_changed_picture_is_another_one_to_the_task(tmp_path: Path, home: Path) -> None:
    data = write_rad(tmp_path, [rad(1)], [rad(2)])
    first = load_task("vqa-rad", data_dir=data)
    write(data / "vqa_rad/images/2.jpg", picture(99))
    second = load_task("vqa-rad", data_dir=data)
    one, two = (task.splits["test"].files for task in (first, second))
    assert one[:-1] == two[:-1]
    assert one[-1].path == two[-1].path == str(data / "vqa_rad/images")
    assert one[-1].sha256 != two[-1].sha256
    assert first.questions("test")[0].pictures != second.questions("test")[0].pictures
    assert first.splits["demonstrations"] == second.splits["demonstrations"]


def test_one_question_about_two_pictures_is_two_questions(tmp_path: Path, home: Path) -> None:
    same = "Is it this one?"
    pool = [rad(number, question=same) for number in range(3, 9)]
    data = write_rad(tmp_path, pool, [rad(1, question=same), rad(2, question=same)])
    shutil.copy(data / "vqa_rad/images/7.jpg", data / "vqa_rad/images/1.jpg")
    warnings = load_task("vqa-rad", data_dir=data).warnings
    assert [w for w in warnings if "test question" in w and "also among" in w] == [
        "vqa-rad: 1 test question is also among the demonstrations (case, blanks, punctuation and the order of "
        "options aside), first 1."
    ]


# --- what is wrong with pictures


def test_missing_pictures_are_counted_in_one_error(tmp_path: Path, home: Path) -> None:
    data = write_rad(tmp_path, [rad(number) for number in range(9)], [rad(20)])
    for number in (3, 5, 7):
        (data / f"vqa_rad/images/{number}.jpg").unlink()
    with pytest.raises(InputError) as refused:
        load_task("vqa-rad", data_dir=data)
    text = str(refused.value)
    assert "trainset.json, item 4, key 'image_name': there is no picture 3.jpg" in text
    assert f"looked for in {data / 'vqa_rad/images'}, {data / 'vqa_rad/VQA_RAD Image Folder'}" in text
    assert "the first of 3 pictures that cannot be used" in text
    assert "osf.io/89kps" in text
    assert len(load_task("vqa-rad", data_dir=data, splits=("test",)).questions("test")) == 1


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_picture_that_is_cut_off(tmp_path: Path, home: Path, format: str) -> None:
    data = write_rad(tmp_path, [rad(1)], [rad(2)])
    whole = picture(5, size=(300, 200), format=format)
    path = write(data / "vqa_rad/images/2.jpg", whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError) as refused:
        load_task("vqa-rad", data_dir=data, splits=("test",))
    assert refused.value.path == str(path)
    assert "damaged or cut off" in str(refused.value)
    write(path, whole)
    assert load_task("vqa-rad", data_dir=data, splits=("test",)).questions("test")


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "1")])
def test_pictures_in_other_colours_are_pictures(tmp_path: Path, home: Path, format: str, mode: str) -> None:
    data = write_rad(tmp_path, [rad(1)], [rad(2)])
    write(data / "vqa_rad/images/2.jpg", picture(7, format=format, mode=mode))
    assert load_task("vqa-rad", data_dir=data, splits=("test",)).questions("test")


@pytest.mark.parametrize(
    "name", ["../2.jpg", "/etc/passwd", "a/../../2.jpg", "..\\2.jpg", "C:\\2.jpg", "", "a\0b", "..", "."]
)
def test_the_name_of_a_picture_leads_nowhere_else(tmp_path: Path, home: Path, name: str) -> None:
    write(tmp_path / "data/vqa_rad/2.jpg", picture(2))
    data = write_rad(tmp_path / "data", [rad(1)], [rad(2, image_name=name)])
    with pytest.raises(InputError, match=r"leads out of its folder|NUL character"):
        load_task("vqa-rad", data_dir=data, splits=("test",))


def test_an_archive_with_a_way_out_is_refused(tmp_path: Path, home: Path) -> None:
    write_slake(tmp_path / "slake")
    archive(
        tmp_path / "slake/imgs.zip", **{"../../evil.jpg": picture(1), "imgs/xmlab2/source.jpg": picture(2)}
    )
    with pytest.raises(
        InputError, match=r"imgs\.zip: a member's name leads out of the archive: \.\./\.\./evil"
    ):
        load_task("slake", data_dir=tmp_path, splits=("test",))
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("damage", ["no archive", "cut", "member"])
def test_a_damaged_archive_is_named(tmp_path: Path, home: Path, damage: str) -> None:
    write_slake(tmp_path / "slake")
    path = slake_archive(tmp_path / "slake/imgs.zip")
    data = bytearray(path.read_bytes())
    if damage == "member":
        place = data.index(picture(2))
        data[place + 20] ^= 0xFF
    write(path, {"no archive": b"nothing", "cut": bytes(data[:-30])}.get(damage, bytes(data)))
    with pytest.raises(InputError, match=r"imgs\.zip: not a whole zip archive"):
        load_task("slake", data_dir=tmp_path, splits=("test",))


@pytest.mark.parametrize(
    ("content", "where", "problem"),
    [
        ("[", "", "not valid JSON"),
        ("{}", "", "expected '['"),
        ("[{}, 3]", "item 2", "expected a mapping"),
        ("[{}, {]", "item 1", "not valid JSON"),
        ("[{} {}]", "item 1", "expected ',' or ']'"),
        ("[{}] x", "item 1", "expected the end of the file"),
        ('[{"a": 1, "a": 2}]', "", "is given twice"),
    ],
)
def test_a_list_that_is_no_list_of_mappings(tmp_path: Path, content: str, where: str, problem: str) -> None:
    path = write(tmp_path / "x.json", content.encode())
    with pytest.raises(InputError) as refused:
        list(json_list(SourceFile(path)))
    assert refused.value.where == where
    assert problem in refused.value.problem


def test_a_list_is_read_in_its_order(tmp_path: Path) -> None:
    rows = [{"n": number, "text": "é" * 50_000} for number in range(60)]
    path = write(
        tmp_path / "x.json", b"\xef\xbb\xbf" + json.dumps(rows, indent=1, ensure_ascii=False).encode()
    )
    assert [row.fields for row in json_list(SourceFile(path))] == rows
    assert list(json_list(SourceFile(write(tmp_path / "y.json", b" [ ] ")))) == []


@pytest.mark.parametrize("form", ["json", "zip", "parquet", "pickle"])
def test_bytes_damaged_at_random_raise_nothing_but_input_errors(
    tmp_path: Path, home: Path, form: str
) -> None:
    dice = random.Random(3)
    if form in ("json", "zip"):
        name, file = "slake", tmp_path / f"slake/{'test.json' if form == 'json' else 'imgs.zip'}"
        write_slake(tmp_path / "slake")
        slake_archive(tmp_path / "slake/imgs.zip")
    elif form == "parquet":
        name, file = "mmmu-pharmacy", tmp_path / "mmmu/Pharmacy/validation-00000-of-00001.parquet"
        write_mmmu(tmp_path / "mmmu", [mmmu_row()])
    else:
        name, file = "pathvqa", tmp_path / "pathvqa/qas/test/test_qa.pkl"
        rows = [{"image": "test_0001", "question": "is it?", "answer": "yes"}]
        for split in ("train", "val", "test"):
            write(tmp_path / f"pathvqa/qas/{split}/{split}_qa.pkl", pickle.dumps(rows, 4))
        write_pictures(tmp_path / "pathvqa/images/test", ["test_0001.jpg"])
    load_task(name, data_dir=tmp_path, splits=("test",))
    good = file.read_bytes()
    for _ in range(80):
        damaged = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        file.write_bytes(
            damaged[: dice.randint(len(damaged) // 2, len(damaged))] if dice.random() < 0.3 else damaged
        )
        with contextlib.suppress(InputError):
            load_task(name, data_dir=tmp_path, splits=("test",))


# --- the hub


def test_slake_from_the_hub(hub: HubServer, tmp_path: Path) -> None:
    write_slake(tmp_path / "slake")
    slake_archive(tmp_path / "slake/imgs.zip")
    write(tmp_path / "slake/KG.txt", b"never needed")
    commit = hub.add("BoKelvin/SLAKE", tmp_path / "slake", kind="dataset")
    task = load_task("slake", data_dir=None)
    assert [file.source for file in task.splits["test"].files] == [f"hub:BoKelvin/SLAKE@{commit}"] * 2
    assert task.questions("validation")[0].pictures[0].path.read_bytes() == picture(1)
    assert not any("KG.txt" in path for path in hub.contents())
    asked = len(hub.requests)
    assert load_task("slake", data_dir=None, offline=True) == task
    assert len(hub.requests) == asked


def path_rows(split: str, part: int) -> list[dict[str, Any]]:
    return [
        {
            "image": as_hub(picture(10 * part + number)),
            "question": f"is it {split} {part} {number}?",
            "answer": ("yes", "a cell", "no")[number],
        }
        for number in range(3)
    ]


def test_files_with_a_hash_in_their_names_are_found_in_the_listing(hub: HubServer, tmp_path: Path) -> None:
    counts = {"train": 4, "validation": 1, "test": 2}
    for split, count in counts.items():
        for part in range(count):
            name = f"data/{split}-{part:05}-of-{count:05}-{part + 7:016x}.parquet"
            table(tmp_path / "repo" / name, path_rows(split, part))
    hub.add("flaviagiammarino/path-vqa", tmp_path / "repo", kind="dataset")
    task = load_task("pathvqa", data_dir=None, splits=("validation", "test"))
    texts = [question.text for question in task.questions("test")]
    assert texts == ["Is it test 0 0?", "Is it test 0 2?", "Is it test 1 0?", "Is it test 1 2?"]
    assert not any("train" in path for path in hub.contents())
    assert any("leaves out repeated questions" in warning for warning in task.warnings)
    assert load_task("pathvqa", data_dir=None, splits=("validation", "test"), offline=True) == task
    with pytest.raises(AcquireError):  # the training part was never fetched
        load_task("pathvqa", data_dir=None, offline=True)
    task = load_task("pathvqa", data_dir=None)
    assert len(task.questions("demonstrations")) == 8
    (second,) = (Path(f.path) for f in task.splits["test"].files if "-00001-of" in f.path)
    second.unlink()
    with pytest.raises(AcquireError):  # half of the test questions would be taken for all
        load_task("pathvqa", data_dir=None, offline=True)


def test_a_folder_with_some_of_the_parts_is_not_taken_for_all(tmp_path: Path, home: Path) -> None:
    for split in ("train", "validation", "test"):
        table(tmp_path / f"pathvqa/data/{split}-00000-of-00002-abc.parquet", path_rows(split, 0))
    with pytest.raises(InputError, match=r"no such file"):
        load_task("pathvqa", data_dir=tmp_path)


def test_mmmu_from_the_hub_has_the_pinned_revision(hub: HubServer, tmp_path: Path) -> None:
    write_mmmu(tmp_path / "repo", [mmmu_row(1), mmmu_row(2, question_type="open", options="[]", answer="x")])
    revision = "98e6ac0cb9b7b2cd2c991b85a50762edc4aedc68"
    hub.add("MMMU/MMMU", tmp_path / "repo", kind="dataset", revisions=("main", revision))
    task = load_task("mmmu-pharmacy", data_dir=None)
    assert {name: len(task.questions(name)) for name in SPLITS} == {
        "demonstrations": 1,
        "validation": 5,
        "test": 1,
    }
    assert any(revision in request.path for request in hub.requests)


# --- questions of one's own


def own_folder(tmp_path: Path, **more: Any) -> str:
    folder = write_own(tmp_path / "mine", test=lines(OWN | more))
    write_pictures(folder, ["a.png", "sub/b.png"])
    return str(folder)


def test_own_questions_with_pictures(tmp_path: Path, home: Path) -> None:
    folder = own_folder(
        tmp_path, question="What differs between <image 1> and <image 2>?", images=["a.png", "sub/b.png"]
    )
    task = load_task(folder, data_dir=None)
    (question,) = task.questions("test")
    assert question.text == "What differs between <image> and <image>?"
    assert [p.name for p in question.pictures] == ["a.png", "sub/b.png"]
    assert question.pictures[1].path == tmp_path / "mine/sub/b.png"
    assert [file.path for file in task.splits["test"].files] == [
        str(tmp_path / "mine/test.jsonl"),
        str(tmp_path / "mine"),
    ]
    assert len(task.splits["validation"].files) == 1


@pytest.mark.parametrize("images", [None, []])
def test_own_questions_without_pictures_are_as_ever(tmp_path: Path, home: Path, images: Any) -> None:
    task = load_task(own_folder(tmp_path, question="What is <image>?", images=images), data_dir=None)
    assert (task.questions("test")[0].text, task.questions("test")[0].pictures) == ("What is <image>?", ())
    assert len(task.splits["test"].files) == 1


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"images": "a.png"}, "key 'images': expected a list of texts"),
        ({"images": ["c.png"]}, "key 'images': there is no picture c.png; looked for in "),
        ({"images": ["../a.png"]}, "key 'images': the name of a picture leads out of its folder"),
        ({"images": ["/etc/passwd"]}, "leads out of its folder"),
        ({"images": ["test.jsonl"]}, "no picture of a known kind"),
        ({"images": ["a.png"], "question": "<image> or <image>?"}, "2 times <image> for 1 pictures"),
        (
            {"images": ["a.png", "sub/b.png"], "question": "<image 2> or <image 1>?"},
            "expected <image 1>, <image 2> and so on in this order",
        ),
        ({"images": ["a.png"], "question": " <image> "}, "it is empty but for the places of pictures"),
        ({"images": ["a.png"], "question": "Is <s> it?"}, "its text holds <s>, which"),
        ({"images": ["a.png"], "options": ["<image>", "b"]}, "its text holds <image>, which"),
    ],
)
def test_own_pictures_that_make_no_sense(
    tmp_path: Path, home: Path, more: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        load_task(own_folder(tmp_path, **more), data_dir=None)


def test_whether_files_alone_decide_is_known_without_the_questions(tmp_path: Path, home: Path) -> None:
    def paths(name: str) -> Any:
        return locate_task(name, data_dir=tmp_path, offline=True, progress=Silent(), splits=("test",)).paths()

    folder = own_folder(tmp_path)
    assert paths(folder) == [[tmp_path / "mine/test.jsonl"]]
    assert paths(own_folder(tmp_path, images=["a.png"])) is None
    write_rad(tmp_path, [rad(1)], [rad(2)])
    assert paths("vqa-rad") is None
    assert paths("demo-anatomy") is not None


# --- what people see


def test_a_task_is_shown_with_the_names_and_sizes_of_its_pictures(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(capsys)
    data = write_rad(tmp_path, [rad(1)], [rad(2)])
    write(data / "vqa_rad/images/2.jpg", picture(4, size=(31, 17), format="JPEG"))
    show = ("tasks", "show", "vqa-rad", "--data-dir", str(data))
    assert "[2.jpg, 31 x 17 pixels]" in command(*show).out
    shown = json.loads(command(*show, "--json").out)["question"]["images"]
    assert [(row["name"], row["width"], row["height"]) for row in shown] == [("2.jpg", 31, 17)]
    assert shown[0]["sha256"] == hashlib.sha256((data / "vqa_rad/images/2.jpg").read_bytes()).hexdigest()
    rows = {row["id"]: row for row in json.loads(command("tasks", "list", "--json").out)}
    assert rows["mmmu-pharmacy"]["images"] is True
    assert rows["mmlu-anatomy"]["images"] is False
    assert "mmmu-pharmacy" in command("tasks", "list").out
