"""Features are those of transformers, computed once, and made again where they are missing or damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessor

from medbench_local.errors import InputError
from medbench_local.progress import Advance, Silent
from medbench_local.vision import features
from medbench_local.vision.features import FeatureCache, encode_pictures, read_features
from medbench_local.vision.parts import VisionParts
from medbench_local.vision.tower import Tower
from tests.vision.models import SHAPES, clip, drawn, flamingo, llava, saved_tower


@dataclass(frozen=True)
class Shown:
    sha256: str
    path: Path


def shown(folder: Path, count: int = 5, mode: str = "RGB") -> list[Shown]:
    made = []
    for number, shape in enumerate(SHAPES[:count]):
        path = folder / f"{mode}-{number}.png"
        drawn(shape, mode).save(path)  # type: ignore[arg-type]
        made.append(Shown(hashlib.sha256(path.read_bytes()).hexdigest(), path))
    return made


class Counting(Silent):
    """Listens; interrupts before the picture after ``allowed``."""

    def __init__(self, allowed: int = 10**9) -> None:
        self.allowed = allowed
        self.new = self.known = 0
        self.steps: list[tuple[str, float | None, str]] = []

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        self.steps.append((label, total, unit))

        def advance(amount: float, *, known: bool = False) -> None:
            if known:
                self.known += int(amount)
                return
            self.new += int(amount)
            if self.new == self.allowed:
                raise KeyboardInterrupt

        yield advance


@pytest.fixture
def tower(tmp_path: Path) -> tuple[Path, str]:
    return saved_tower(tmp_path)


@pytest.mark.parametrize("layer", [-1, -2])
def test_features_are_those_of_transformers(tmp_path: Path, tower: tuple[Path, str], layer: int) -> None:
    path, sha256 = tower
    pictures = shown(tmp_path, len(SHAPES))
    files = encode_pictures(path, llava(sha256, layer=layer), pictures, tmp_path / "home", Silent())
    process = CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    model = clip().double()
    for picture, shape in zip(pictures, SHAPES, strict=True):
        values = torch.from_numpy(process(drawn(shape), return_tensors="np")["pixel_values"]).double()
        with torch.no_grad():
            expected = model(values, output_hidden_states=True).hidden_states[layer][0, 1:]
        found = read_features(files[picture.sha256])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-5)
        assert np.array_equal(np.load(files[picture.sha256]), found)


def test_what_is_kept_is_not_computed_again(tmp_path: Path, tower: tuple[Path, str]) -> None:
    path, sha256 = tower
    pictures, home = shown(tmp_path), tmp_path / "home"
    first = Counting()
    files = encode_pictures(path, llava(sha256), [*pictures, *pictures], home, first)
    assert first.steps == [("encoding pictures", 5, "pictures")]
    assert (first.known, first.new) == (0, 5)
    times = [file.stat().st_mtime_ns for file in files.values()]
    again = Counting()
    partner = llava(sha256, width=32, patch="", projector="mlp2x_gelu")
    assert encode_pictures(path, partner, pictures, home, again) == files
    assert again.steps == []
    assert [file.stat().st_mtime_ns for file in files.values()] == times
    assert FeatureCache(home).size() == (5, sum(file.stat().st_size for file in files.values()))


def test_the_files_lie_where_the_tower_and_the_rule_say(tmp_path: Path, tower: tuple[Path, str]) -> None:
    path, sha256 = tower
    (picture,), home = shown(tmp_path, 1), tmp_path / "home"
    made: dict[Path, VisionParts] = {}
    for parts in (
        llava(sha256),
        llava(sha256, layer=-1),
        llava(sha256, aspect="pad"),
        flamingo(sha256),
        flamingo(sha256, layer=-2),
    ):
        file = encode_pictures(path, parts, [picture], home, Silent())[picture.sha256]
        assert file.name == f"{picture.sha256}.npy"
        assert file.parent.parent == home / "features" / sha256[:12]
        made[file] = parts
    file = encode_pictures(path, flamingo(sha256), [picture], home, Silent(), own_colours=True)[
        picture.sha256
    ]
    made[file] = flamingo(sha256)
    assert len(made) == 6
    # LLaVA's code converts first whatever the data set hands over.
    file = encode_pictures(path, llava(sha256), [picture], home, Silent(), own_colours=True)[picture.sha256]
    assert file in made
    other, other_sha256 = saved_tower(tmp_path, seed=1)
    assert other == path
    file = encode_pictures(other, llava(other_sha256), [picture], home, Silent())[picture.sha256]
    assert file not in made


def test_another_version_of_the_code_computes_anew(
    tmp_path: Path, tower: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sha256 = tower
    pictures, home = shown(tmp_path, 1), tmp_path / "home"
    before = encode_pictures(path, llava(sha256), pictures, home, Silent())
    monkeypatch.setattr(features, "VERSION", "v0")
    assert encode_pictures(path, llava(sha256), pictures, home, Silent()) != before


def test_one_pixel_makes_another_picture(tmp_path: Path, tower: tuple[Path, str]) -> None:
    path, sha256 = tower
    (picture,), home = shown(tmp_path, 1), tmp_path / "home"
    before = encode_pictures(path, llava(sha256), [picture], home, Silent())[picture.sha256]
    changed = drawn(SHAPES[0])
    changed.putpixel((20, 20), (0, 255, 0))
    changed.save(picture.path)
    other = Shown(hashlib.sha256(picture.path.read_bytes()).hexdigest(), picture.path)
    after = encode_pictures(path, llava(sha256), [other], home, Silent())[other.sha256]
    assert after != before
    assert not np.array_equal(read_features(after), read_features(before))
    before.unlink()
    with pytest.raises(InputError, match="was changed"):
        encode_pictures(path, llava(sha256), [picture], home, Silent())


def test_interrupted_work_goes_on_where_it_was(tmp_path: Path, tower: tuple[Path, str]) -> None:
    path, sha256 = tower
    pictures, home = shown(tmp_path), tmp_path / "home"
    with pytest.raises(KeyboardInterrupt):
        encode_pictures(path, llava(sha256), pictures, home, Counting(allowed=2))
    assert FeatureCache(home).size()[0] == 2
    rest = Counting()
    files = encode_pictures(path, llava(sha256), pictures, home, rest)
    assert (rest.steps, rest.known, rest.new) == ([("encoding pictures", 5, "pictures")], 2, 3)
    assert not [file for file in home.rglob("*") if file.name.endswith(".part")]
    whole = encode_pictures(path, llava(sha256), pictures, tmp_path / "other", Silent())
    for key, file in files.items():
        assert file.read_bytes() == whole[key].read_bytes()


def test_a_picture_is_encoded_alike_whatever_it_is_encoded_with(
    tmp_path: Path, tower: tuple[Path, str]
) -> None:
    path, sha256 = tower
    pictures = shown(tmp_path)
    together = encode_pictures(path, llava(sha256), pictures, tmp_path / "home", Silent())
    for picture in reversed(pictures):
        alone = encode_pictures(path, llava(sha256), [picture], tmp_path / "alone", Silent())
        assert alone[picture.sha256].read_bytes() == together[picture.sha256].read_bytes()


@pytest.mark.parametrize(
    "damage", ["cut off", "empty", "a bit", "a bit of the hash", "another shape", "zeros"]
)
def test_damaged_files_are_made_again(tmp_path: Path, tower: tuple[Path, str], damage: str) -> None:
    path, sha256 = tower
    pictures, home = shown(tmp_path, 3), tmp_path / "home"
    files = encode_pictures(path, llava(sha256), pictures, home, Silent())
    file = files[pictures[1].sha256]
    whole = file.read_bytes()
    content = bytearray(whole)
    if damage == "a bit":
        content[len(content) // 2] ^= 1
    elif damage == "a bit of the hash":
        content[-1] ^= 1
    elif damage == "cut off":
        del content[-40:]
    elif damage == "empty":
        content.clear()
    elif damage == "zeros":
        content[:] = bytes(len(content))
    else:
        features.write_features(file, np.zeros((16, 47), "f4"))
        content[:] = file.read_bytes()
    file.write_bytes(content)
    if damage != "another shape":
        with pytest.raises(InputError, match="damaged"):
            read_features(file)
    again = Counting()
    assert encode_pictures(path, llava(sha256), pictures, home, again) == files
    assert (again.known, again.new) == (2, 1)
    assert file.read_bytes() == whole


def test_a_damaged_picture_is_named_before_any_is_encoded(tmp_path: Path, tower: tuple[Path, str]) -> None:
    path, sha256 = tower
    pictures, home = shown(tmp_path), tmp_path / "home"
    bad = pictures[-1].path
    bad.write_bytes(bad.read_bytes()[:-60])
    pictures[-1] = replace(pictures[-1], sha256=hashlib.sha256(bad.read_bytes()).hexdigest())
    with pytest.raises(InputError, match="damaged or cut off") as caught:
        encode_pictures(path, llava(sha256), pictures, home, Silent())
    assert caught.value.path == str(bad)
    assert FeatureCache(home).size() == (0, 0)


def test_another_tower_is_refused(tmp_path: Path, tower: tuple[Path, str]) -> None:
    path, sha256 = tower
    pictures, home = shown(tmp_path, 1), tmp_path / "home"
    with pytest.raises(InputError, match="is not the tower that the model was converted with"):
        encode_pictures(path, llava("1" * 64), pictures, home, Silent())
    with pytest.raises(InputError, match="makes 16 rows of a picture, the model takes 256"):
        encode_pictures(path, llava(sha256, rows=256), pictures, home, Silent())


def test_numbers_that_are_not_finite_are_refused(
    tmp_path: Path, tower: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sha256 = tower
    monkeypatch.setattr(Tower, "encode", lambda self, pixels: np.full((17, 48), np.nan, "f4"))
    with pytest.raises(InputError, match="not finite"):
        encode_pictures(path, llava(sha256), shown(tmp_path, 1), tmp_path / "home", Silent())


def test_features_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_features(tmp_path / "none.npy")
    assert FeatureCache(tmp_path / "nowhere").size() == (0, 0)


def test_no_pictures_are_no_work(tmp_path: Path, tower: tuple[Path, str]) -> None:
    path, sha256 = tower
    assert encode_pictures(path, llava(sha256), [], tmp_path / "home", Counting()) == {}
    assert not (tmp_path / "home").exists()


def test_real_pictures_are_encoded(tmp_path: Path, tower: tuple[Path, str], shared_data: Path) -> None:
    found = sorted((shared_data / "vqa_rad" / "images").glob("*.jpg"))[:20]
    if not found:
        pytest.skip("needs the pictures of VQA-RAD")
    path, sha256 = tower
    pictures = [Shown(hashlib.sha256(file.read_bytes()).hexdigest(), file) for file in found]
    files = encode_pictures(path, flamingo(sha256), pictures, tmp_path / "home", Silent())
    seen = np.stack([read_features(file) for file in files.values()])
    assert seen.shape == (20, 16, 48)
    apart = [np.abs(one - other).max() for at, one in enumerate(seen) for other in seen[:at]]
    assert min(apart) > 0.01
