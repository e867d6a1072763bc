"""Pictures in prompts of a user's own: toys of LLaVA and Flamingo, converted, against torch and against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sentencepiece import SentencePieceProcessor
from transformers import CLIPImageProcessor, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from medbench_local import api
from medbench_local.errors import InputError, UsageError
from medbench_local.scoring import scored_file
from medbench_local.scoring.own_prompts import (
    PartialResults,
    UserRequest,
    digest,
    part_of,
    pictures_of,
    read_requests,
)
from tests import vision_toys
from tests.vision.models import SHAPES, drawn

PROMPT = "A doctor looks.\n### Human: What is it? (A) a cat (B) a dog\n<image>\n### Assistant: Answer: ("


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> vision_toys.Toys:
    return vision_toys.write_toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="module")
def llava(toys: vision_toys.Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "llava"
    api.convert(str(toys.llava_v0), output, base=str(toys.base), vision_tower=str(toys.tower), type="f32")
    return output


@pytest.fixture(scope="module")
def flamingo(toys: vision_toys.Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "flamingo"
    api.convert(str(toys.med_flamingo), output, base=str(toys.base), vision_tower=str(toys.tower), type="f32")
    return output


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for i, shape in enumerate(SHAPES):
        drawn(shape).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(len(SHAPES))]


def _write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# --- the file


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (["a.png", "b.png"], "2 pictures are given, but the prompt says <image> 1 time"),
        ([], "0 pictures are given, but the prompt says <image> 1 time"),
        ("a.png", "expected a list of paths"),
        ([None], "expected a list of paths"),
        ([""], "expected a list of paths"),
        (["a\0.png"], "NUL"),
    ],
)
def test_a_mismatch_is_named_with_its_line(tmp_path: Path, images: Any, said: str) -> None:
    good = {"id": 1, "prompt": "P", "options": ["x"]}
    bad = {"id": 2, "prompt": "P <image> Q", "options": ["x"], "images": images}
    with pytest.raises(InputError, match="line 2, key 'images'") as caught:
        read_requests(_write(tmp_path / "r.jsonl", good, bad))
    assert said in str(caught.value)


def test_paths_are_from_where_the_file_lies_and_a_missing_picture_has_its_line(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "r.jsonl", {"id": 1, "prompt": "<image>P", "options": ["x"], "images": ["in/p.png"]}
    )
    (request,) = read_requests(path)
    assert request.images == (tmp_path / "in" / "p.png",)
    with pytest.raises(InputError, match=r"line 1, key 'images'.*cannot be read"):
        pictures_of([request], path)


def test_keys_name_the_content_of_pictures_and_are_as_before_without(tmp_path: Path) -> None:
    text = UserRequest("a", "P", ("x", "y"))
    assert digest([text]) == "9cfa9c0019a76543eb5ebe84d775937f42c0c0c0ef990a0e1908c874e802bf6a"
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    drawn((40, 30)).save(one)
    two.write_bytes(one.read_bytes())
    asked = [UserRequest("a", "P<image>", ("x",), images=(path,)) for path in (one, two)]
    keys = [digest([request], pictures_of([request])) for request in asked]
    assert keys[0] == keys[1]
    drawn((40, 30), seed=1).save(two)
    assert digest(asked[1:], pictures_of(asked[1:])) != keys[0]


# --- the scores


class _Torch:
    """By transformers' parts, with the sums of which a published difference makes a model."""

    def __init__(self, toys: vision_toys.Toys) -> None:
        base = vision_toys.base_state(vision_toys.pieces(None))
        state = vision_toys.difference(vision_toys.llava_state(base, seed=2, tokens=3), base)
        for name, tensor in base.items():
            state[name][: len(tensor)] += tensor
        state = {name: tensor.float() for name, tensor in state.items()}
        self.weight, self.bias = (state.pop(f"model.mm_projector.{half}") for half in ("weight", "bias"))
        self.first = len(state["model.embed_tokens.weight"]) - 3
        self.model = LlamaForCausalLM(
            LlamaConfig(**vision_toys.config(self.first + 3, torch_dtype=None))
        ).eval()
        self.model.load_state_dict(state, strict=False)
        self.tower = CLIPVisionModel.from_pretrained(toys.tower, dtype=torch.float32).eval()
        self.process = CLIPImageProcessor.from_pretrained(toys.tower)
        self.pieces = SentencePieceProcessor(model_file=str(toys.base / "tokenizer.model"))

    def logprobs(self, prompt: str, path: Path, options: Sequence[str]) -> list[float]:
        """Of options that are one token each."""
        with torch.no_grad():
            return self._logprobs(prompt, path, options)

    def _logprobs(self, prompt: str, path: Path, options: Sequence[str]) -> list[float]:
        pixels = self.process(Image.open(path).convert("RGB"), return_tensors="np")["pixel_values"]
        states = self.tower(torch.tensor(pixels), output_hidden_states=True).hidden_states
        seen = states[-2][0, 1:] @ self.weight.T + self.bias
        before, behind = prompt.split("<image>")
        head = [1, *self.pieces.EncodeAsIds(before), self.first + 1]
        found = []
        for option in options:
            tail = [self.first + 2, *self.pieces.EncodeAsIds(behind + option)]
            embeds = self.model.get_input_embeddings()(
                torch.tensor([[*head, *[self.first] * len(seen), *tail]])
            )
            embeds[0, len(head) : len(head) + len(seen)] = seen
            logits = self.model(inputs_embeds=embeds).logits[0, -2].double()
            found.append(float(torch.log_softmax(logits, dim=-1)[tail[-1]]))
        return found


def test_scores_are_those_of_torch(llava: Path, toys: vision_toys.Toys, pictures: list[Path]) -> None:
    requests = [UserRequest(i, PROMPT, ("A", "B"), images=(path,)) for i, path in enumerate(pictures)]
    rows = api.score_requests(str(llava), requests)
    computed = _Torch(toys)
    expected = [computed.logprobs(PROMPT, path, ("A", "B")) for path in pictures]
    for row, values in zip(rows, expected, strict=True):
        assert row["logprobs"] == pytest.approx(values, abs=1e-4)
    assert len({round(values[0], 3) for values in expected}) > len(expected) // 2  # pictures matter


def test_texts_beside_pictures_are_scored_as_without(llava: Path, pictures: list[Path]) -> None:
    text = [
        UserRequest(f"t{i}", f"Question {i}: <image> is text here. Answer: (", ("A", "B")) for i in range(3)
    ]
    shown = UserRequest("p", PROMPT, ("A", "B"), images=(pictures[0],))
    alone = api.score_requests(str(llava), text)
    mixed = api.score_requests(str(llava), [text[0], shown, *text[1:]])
    assert [row for row in mixed if row["id"] != "p"] == alone


def test_a_file_resumes_only_with_the_same_pictures(
    llava: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(pictures[i].read_bytes())
    rows = [
        {"id": i, "prompt": f"{i} {PROMPT}", "options": ["A", "B"], "images": [f"{i}.png"]} for i in range(3)
    ]
    requests, output = _write(tmp_path / "r.jsonl", *rows), tmp_path / "out.jsonl"
    keys: list[str] = []

    class Noted(PartialResults):
        def __init__(self, path: Path, key: str, asked: Sequence[UserRequest]) -> None:
            keys.append(key)
            super().__init__(path, key, asked)

    def score() -> list[Any]:
        api.score_file(str(llava), requests, output)
        return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]

    monkeypatch.setattr(scored_file, "PartialResults", Noted)
    first = score()
    assert first == api.score_requests(str(llava), read_requests(requests))
    # All results of an attempt that was stopped at the very end: only the same pictures make them anyone's.
    planted = [{**row, "logprobs": [-1.0, -2.0]} for row in first]
    lines = "".join(json.dumps(row) + "\n" for row in ({"key": keys[0]}, *planted))
    part_of(output).write_text(lines, encoding="utf-8")
    assert score() == planted
    part_of(output).write_text(lines, encoding="utf-8")
    drawn((50, 50), seed=9).save(tmp_path / "2.png")
    again = score()
    assert again[:2] == first[:2]
    assert again[2]["logprobs"] != first[2]["logprobs"]
    assert keys[0] == keys[1] != keys[2]


def test_text_only_models_refuse_pictures_in_a_line(toys: vision_toys.Toys, pictures: list[Path]) -> None:
    shown = UserRequest("p", PROMPT, ("A", "B"), images=(pictures[0],))
    with pytest.raises(UsageError, match="reads text only") as caught:
        api.score_requests(str(toys.base), [shown])
    assert "\n" not in str(caught.value).split("Name a model")[0].strip()


def test_a_prompt_too_long_with_its_pictures_is_refused(llava: Path, pictures: list[Path]) -> None:
    many = UserRequest("p", "<image> x" * 150 + "(", ("A", "B"), images=(pictures[0],) * 150)
    with pytest.raises(InputError, match=r"needs .* tokens with its options"):
        api.score_requests(str(llava), [many])


def test_a_damaged_picture_is_named(llava: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bad\.png"):
        api.score_requests(str(llava), [UserRequest("p", PROMPT, ("A", "B"), images=(bad,))])


def test_flamingo_has_both_norms(flamingo: Path, pictures: list[Path]) -> None:
    request = UserRequest("p", "<image>Question: (A) x (B) y; Answer: (", ("A", "B"), images=(pictures[0],))
    (usual,) = api.score_requests(str(flamingo), [request])
    (original,) = api.score_requests(str(flamingo), [request], vision_ln_post="original")
    (paper,) = api.score_requests(str(flamingo), [request], vision_ln_post="paper")
    assert usual == original
    assert abs(usual["logprobs"][0] - paper["logprobs"][0]) > 1e-3
