"""The reference on toys of LLaVA in their real layouts, against the engine on the same toys, converted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medbench_local import api
from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.errors import InputError, UnsupportedArchitectureError, UsageError
from medbench_local.files.hashes import file_sha256
from medbench_local.prompts.prompt import Prompt, Shown
from medbench_local.reference.picture_files import PictureFolder
from medbench_local.reference.requests import read_requests
from medbench_local.reference.rows import read_rows
from medbench_local.reference.run import run_reference
from medbench_local.reference.validate import validate
from medbench_local.scoring.own_prompts import UserRequest
from medbench_local.tasks.picture import Picture
from tests import vision_toys
from tests.engine.gemma3_pictures import write_seeing
from tests.reference.written import write_lines
from tests.vision.models import SHAPES, drawn

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Material:
    """Toys, pictures and prompts with them.

    Attributes:
        toys: folders of checkpoints.
        images: a folder with pictures.
        pictures: they.
        home: where models can be converted to.
    """

    toys: vision_toys.Toys
    images: Path
    pictures: list[Picture]
    home: Path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = tmp_path_factory.mktemp("material")
    (root / "images").mkdir()
    found = []
    for i, shape in enumerate(SHAPES):
        path = root / "images" / f"{i}.png"
        drawn(shape).save(path)
        found.append(Picture(file_sha256(path, root), path.name, path))
    return Material(vision_toys.write_toys(root / "toys"), root / "images", found, root)


def _row(number: int, prompt: str, places: list[Picture | None], **more: Any) -> dict[str, Any]:
    return {
        "model": "toy",
        "task": "vqa-rad",
        "split": "test",
        "item": number,
        "id": f"q{number}",
        "shots": 0,
        "format": "default",
        "demonstrations": None,
        "prompt": prompt,
        "special": True,
        "options": [f"({letter})" for letter in LETTERS],
        "answer": 0,
        "images": [place and place.name for place in places],
        "image_sha256": [place and place.sha256 for place in places],
        **more,
    }


def _prompts(path: Path, pictures: list[Picture]) -> tuple[Path, list[UserRequest]]:
    """Rows of an export, and the same as requests: every picture, two in one prompt, and none at all."""
    asked = [
        (f"Is this number {i}?\n<image>\n### Assistant: (", [picture]) for i, picture in enumerate(pictures)
    ]
    asked.append(("First\n<image>\nthen\n<image> which? (", pictures[:2]))
    asked.append(("No picture here. Which? (", []))
    rows, requests = [], []
    for number, (prompt, shown) in enumerate(asked):
        row = _row(number, prompt, list(shown))
        rows.append(row if shown else {k: v for k, v in row.items() if not k.startswith("image")})
        requests.append(UserRequest(number, prompt, LETTERS, images=tuple(one.path for one in shown)))
    return write_lines(path, rows), requests


def _held_to_engine(
    material: Material, source: Path, tmp_path: Path, *, base: Path | None, tower: Path | None
) -> list[dict[str, Any]]:
    prompts, requests = _prompts(tmp_path / "prompts.jsonl", material.pictures)
    output = tmp_path / "reference.jsonl"
    done = run_reference(
        source,
        prompts,
        output,
        device="cpu",
        dtype="float32",
        images=material.images,
        base=base,
        vision_tower=tower,
        batch_size=5,
    )
    assert (done.computed, done.overlong) == (len(requests), 0)
    converted = tmp_path / "converted"
    api.convert(
        str(source),
        converted,
        type="f32",
        base=None if base is None else str(base),
        vision_tower=None if tower is None else str(tower),
    )
    scores = api.score_requests(str(converted), requests, special=True)
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    by_item = {row["item"]: row for row in rows}
    for number, score in enumerate(scores):
        assert by_item[number]["logprobs"] == pytest.approx(score["logprobs"], abs=1e-4), number
        assert by_item[number]["tokens"] == score["tokens"]
    seen = {round(row["logprobs"][0], 2) for row in rows}
    assert len(seen) > len(rows) // 2  # pictures matter
    return rows


@pytest.mark.parametrize("name", ["llava_med", "llava_v0"])
def test_differences_agree_with_the_engine(material: Material, tmp_path: Path, name: str) -> None:
    toys = material.toys
    rows = _held_to_engine(material, getattr(toys, name), tmp_path, base=toys.base, tower=toys.tower)
    shown = Prompt(
        ("Is this number 0?\n", Shown((material.pictures[0],)), "\n### Assistant: ("),
        special=True,
        labels=(),
        stop=(),
    )
    assert shown.sha256 in {row["prompt_sha256"] for row in rows}


@pytest.mark.parametrize("name", ["llava_15", "llava_med_15"])
def test_the_next_release_agrees_with_the_engine(material: Material, tmp_path: Path, name: str) -> None:
    """Two matrices, padding, rows in place of nothing; the second is a Mistral with a tower of its own."""
    _held_to_engine(
        material, getattr(material.toys, name), tmp_path, base=None, tower=material.toys.tower_336
    )


@pytest.mark.parametrize("newer", [False, True])
def test_what_transformers_saves_agrees_with_the_engine(
    material: Material, tmp_path: Path, newer: bool
) -> None:
    rows = vision_toys.pieces(None) + 3
    folder = vision_toys.write_exported(
        tmp_path / "exported", vision_toys.llava_15_state(rows), vision_toys.tower_state(), newer=newer
    )
    _held_to_engine(material, folder, tmp_path, base=None, tower=None)


def test_a_place_that_shows_nothing_has_its_ordinary_tokens(material: Material, tmp_path: Path) -> None:
    """As LLaVA's code leaves all but the last picture of a prompt."""
    toys, (one, two) = material.toys, material.pictures[:2]
    text = "First\n<image>\nthen\n<image> which? ("
    rows = [_row(0, text, [None, two]), _row(1, text, [one, two]), _row(2, text, [None, one])]
    prompts, output = write_lines(tmp_path / "p.jsonl", rows), tmp_path / "r.jsonl"
    run_reference(
        toys.llava_v0,
        prompts,
        output,
        device="cpu",
        dtype="float32",
        images=material.images,
        base=toys.base,
        vision_tower=toys.tower,
    )
    found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert len({row["tokens"] for row in found}) == 1
    assert len({row["prompt_sha256"] for row in found}) == 3
    assert len({row["logprobs"][0] for row in found}) == 3
    again = run_reference(
        toys.llava_v0,
        prompts,
        output,
        device="cpu",
        dtype="float32",
        images=material.images,
        base=toys.base,
        vision_tower=toys.tower,
    )
    assert (again.computed, again.kept) == (0, 3)


# --- what is refused


def _run(
    material: Material, tmp_path: Path, checkpoint: Path, rows: list[dict[str, Any]], **more: Any
) -> Any:
    prompts = write_lines(tmp_path / "p.jsonl", rows)
    return run_reference(checkpoint, prompts, tmp_path / "r.jsonl", device="cpu", **more)


def test_another_picture_of_the_same_name_is_refused(material: Material, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    drawn((30, 30), seed=5).save(tmp_path / "other" / "0.png")
    toys, rows = material.toys, [_row(0, "<image>x (", [material.pictures[0]])]
    with pytest.raises(InputError, match="another picture than the prompts show"):
        _run(
            material,
            tmp_path,
            toys.llava_v0,
            rows,
            images=tmp_path / "other",
            base=toys.base,
            vision_tower=toys.tower,
        )


def test_pictures_are_found_by_name_in_folders_and_by_hash(material: Material, tmp_path: Path) -> None:
    one, two, three = material.pictures[:3]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / one.name).write_bytes(one.path.read_bytes())
    (tmp_path / two.sha256).write_bytes(two.path.read_bytes())
    folder = PictureFolder(tmp_path)
    assert folder.find(one) == tmp_path / "deep" / "er" / one.name
    assert folder.find(Picture(two.sha256, "x#image_1")) == tmp_path / two.sha256
    with pytest.raises(InputError, match="no picture"):
        folder.find(three)
    with pytest.raises(InputError, match="no picture"):
        folder.find(Picture(three.sha256, f"../images/{three.name}"))


def test_flamingo_is_refused_by_name(material: Material, tmp_path: Path) -> None:
    rows = [_row(0, "<image>x (", [material.pictures[0]])]
    for place in (material.toys.med_flamingo, material.toys.med_flamingo / "model.pt"):
        with pytest.raises(UnsupportedArchitectureError, match="no Flamingo"):
            _run(material, tmp_path, place, rows, images=material.images)


def test_parts_must_be_named_and_fit(material: Material, tmp_path: Path) -> None:
    toys, rows = material.toys, [_row(0, "<image>x (", [material.pictures[0]])]
    seen = {"images": material.images}
    tower = {**seen, "vision_tower": toys.tower}
    with pytest.raises(UsageError, match="1 prompts show some"):
        _run(material, tmp_path, toys.base, rows, **seen)
    with pytest.raises(UsageError, match="names what looks at pictures"):
        _run(material, tmp_path, toys.llava_v0, rows, base=toys.base, **seen)
    with pytest.raises(InputError, match="differences to the weights of another model"):
        _run(material, tmp_path, toys.llava_v0, rows, **tower)
    with pytest.raises(InputError, match="weights of a model, not differences"):
        _run(material, tmp_path, toys.llava_15, rows, base=toys.base, **tower)
    with pytest.raises(UsageError, match="1 prompts show pictures"):
        _run(material, tmp_path, toys.llava_v0, rows, base=toys.base, vision_tower=toys.tower)
    text = [{k: v for k, v in rows[0].items() if not k.startswith("image")}]
    with pytest.raises(UsageError, match="is for LLaVA checkpoints"):
        _run(material, tmp_path, toys.base, text, base=toys.base)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_sha256": None}, "only their hashes say which"),
        ({"image_sha256": ["ab"]}, "64 hexadecimal digits"),
        ({"images": ["a", "b"]}, "expected 1 entries"),
        ({"images": [["a", "b"]]}, "another number of pictures"),
        ({"prompt": "x ("}, "does not say <image> so often"),
        ({"scoring": "thinking"}, "thinking about them is not computed here"),
    ],
)
def test_rows_say_what_is_shown(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    row = {**_row(0, "<image>x (", [Picture("0" * 64, "a.png")]), **change}
    with pytest.raises(InputError) as caught:
        read_requests(write_lines(tmp_path / "p.jsonl", [row]))
    assert said in str(caught.value)


# --- validation


def _validated(tmp_path: Path, sample: dict[str, Any], reference: dict[str, Any]) -> Any:
    shared = {"logprobs": [-1.0, -2.0, -3.0, -4.0], "prediction": 0}
    return validate(
        read_rows(write_lines(tmp_path / "s.jsonl", [{**sample, **shared, "role": "medical"}])),
        read_rows(write_lines(tmp_path / "r.jsonl", [{**reference, **shared}])),
        thresholds=ReferenceSettings(),
        bootstrap=BootstrapSettings(),
    )


def _sample(row: dict[str, Any], *pictures: Picture, prompt: Prompt | None = None) -> dict[str, Any]:
    kept = ("model", "task", "shots", "id", "answer", "text_sha256")
    return {
        **{name: row[name] for name in kept},
        "scoring": "constrained",
        "prompt_sha256": prompt.sha256 if prompt else "1" * 64,
        "images": [picture.sha256 for picture in pictures],
    }


def test_the_same_prompt_is_one_with_the_same_pictures(tmp_path: Path) -> None:
    one, two = Picture("a" * 64, "a.png"), Picture("b" * 64, "b.png")
    row = _row(0, "D\n<image>\nQ <image> (", [one, two], text_sha256="c" * 64)
    prompt = Prompt(("D\n", Shown((one,)), "\nQ ", Shown((two,)), " ("), True, (), ())
    found = _validated(tmp_path, _sample(row, two, prompt=prompt), row)
    assert [match.prompt for match in found.matches.matches] == ["same"]
    assert found.outcome == "agrees"


def test_another_prompt_of_the_same_question_and_picture_is_only_another_prompt(tmp_path: Path) -> None:
    one, two = Picture("a" * 64, "a.png"), Picture("b" * 64, "b.png")
    row = _row(0, "D\n<image>\nQ <image> (", [one, two], text_sha256="c" * 64)
    found = _validated(tmp_path, _sample(row, two), row)
    assert [match.prompt for match in found.matches.matches] == ["other"]


def test_the_same_question_about_another_picture_is_refused(tmp_path: Path) -> None:
    one, two = Picture("a" * 64, "a.png"), Picture("b" * 64, "b.png")
    row = _row(0, "Q <image> (", [one], text_sha256="c" * 64)
    with pytest.raises(InputError, match="other pictures in the run"):
        _validated(tmp_path, _sample(row, two), row)


def test_a_hash_that_is_not_the_prompts_own_is_refused(tmp_path: Path) -> None:
    row = _row(0, "Q <image> (", [Picture("a" * 64, "a.png")], prediction=0, prompt_sha256="d" * 64)
    with pytest.raises(InputError, match="not the hash of the row's own prompt"):
        read_rows(write_lines(tmp_path / "r.jsonl", [row]))


# --- Gemma 3


def test_gemma_3_agrees_with_the_engine(material: Material, tmp_path: Path) -> None:
    """llama.cpp rounds in its tower; see `tests/engine/test_encoded_pictures.py` for how far."""
    seeing = write_seeing(tmp_path / "gemma")
    written = "<image> Which is {}? Answer: ("
    asked = [(written.format(i), [picture]) for i, picture in enumerate(material.pictures[:4])]
    asked.append(("<image> or <image> ? (", material.pictures[1:3]))
    rows = [_row(i, prompt, list(shown)) for i, (prompt, shown) in enumerate(asked)]
    rows = [{**row, "options": ["A", "B"]} for row in rows]
    output = tmp_path / "reference.jsonl"
    run_reference(
        seeing.folder,
        write_lines(tmp_path / "prompts.jsonl", rows),
        output,
        device="cpu",
        dtype="float32",
        images=material.images,
        batch_size=2,
    )
    found = {row["item"]: row for row in map(json.loads, output.read_text(encoding="utf-8").splitlines())}
    requests = [
        UserRequest(i, prompt, ("A", "B"), images=tuple(one.path for one in shown))
        for i, (prompt, shown) in enumerate(asked)
    ]
    scores = api.score_requests(str(seeing.gguf.parent), requests, special=True)
    for i, score in enumerate(scores):
        assert found[i]["tokens"] == score["tokens"]
        assert found[i]["logprobs"] == pytest.approx(score["logprobs"], abs=2e-3), i
    assert len({round(row["logprobs"][0], 2) for row in found.values()}) > 2  # pictures matter
