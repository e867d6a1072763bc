"""The catalog of models and pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import medbench_local
from medbench_local.acquire.conversion.architectures import architectures
from medbench_local.catalog.load import DATA, read_yaml
from medbench_local.catalog.model import ModelEntry, VisionSource, _ModelFile, join, models, pairs, partners
from medbench_local.errors import InputError

NAMES = [
    "meditron-7b",
    "llama-2-7b",
    "meditron-70b",
    "llama-2-70b",
    "clinical-camel-70b",
    "med42-v1-70b",
    "med42-v2-70b",
    "llama-3-70b-instruct",
    "openbiollm-70b",
    "med42-v2-8b",
    "llama-3-8b-instruct",
    "openbiollm-8b",
    "llama-3-8b",
    "biomistral-7b",
    "mistral-7b-instruct",
    "biomedgpt-7b",
    "llama-2-7b-chat",
    "llava-med-7b",
    "llava-v0-7b",
    "med-flamingo-9b",
    "open-flamingo-9b",
    "demo-med",
    "demo-base",
]


def test_the_models_of_the_study_come_first() -> None:
    assert list(models())[: len(NAMES)] == NAMES


def test_twelve_pairs_were_studied_and_nine_in_the_first_paper() -> None:
    studied = [pair for pair in pairs() if pair.studies]
    assert [pair.modality for pair in studied] == ["text"] * 10 + ["pictures"] * 2
    assert sum("P1" in pair.studies for pair in studied) == 9
    assert all("P2" in pair.studies for pair in studied)
    assert [pair.name for pair in pairs()[:13] if not pair.studies] == ["demo-med-vs-demo-base"]
    assert not any(pair.studies for pair in pairs()[13:])


def test_pairs_join_a_medical_model_with_a_base_of_its_size() -> None:
    for pair in pairs():
        medical, base = models()[pair.medical], models()[pair.base]
        assert medical.role == "medical"
        assert base.role == "base" or (medical.name, base.name) == ("medreason-8b", "huatuogpt-o1-8b")
        near = (
            0.1 if pair.modality == "pictures" else 1e-3
        )  # LLaVA 1.5 was not made of the same language model
        assert medical.parameters == pytest.approx(base.parameters, rel=near)


def test_every_model_is_in_a_pair() -> None:
    assert {name for pair in pairs() for name in (pair.medical, pair.base)} == set(models())


def test_sizes_fit_the_number_of_parameters() -> None:
    width = {"float32": 4, "float16": 2, "bfloat16": 2}
    for model in models().values():
        if model.vision and model.vision.kind == "flamingo":
            continue  # its own repository holds what stands between the layers of another one's model
        seeing = 0.11 if model.vision or model.architecture.endswith("ForConditionalGeneration") else 0.01
        assert model.size == pytest.approx(model.parameters * width[model.dtype], rel=seeing)


def test_every_model_can_be_converted() -> None:
    assert {model.architecture for model in models().values()} <= set(architectures())


def test_a_model_that_was_trained_from_a_base_has_two_partners() -> None:
    found = [(pair.base, pair.partner) for pair in partners("baichuan-m2-32b")]
    assert found == [("qwen2.5-32b", "origin"), ("qwen2.5-32b-instruct", "alternative")]
    for medical in {pair.medical for pair in pairs()}:
        kinds = [pair.partner for pair in partners(medical)]
        assert kinds in (["origin"], ["alternative"], ["origin", "alternative"]), medical


def test_what_nobody_held_against_the_hub_is_marked() -> None:
    for model in list(models().values())[len(NAMES) :]:
        assert {"context", "parameters"} <= set(model.unconfirmed), model.name
    assert models()["qwen3-1.7b"].known_context is None
    assert models()["meditron-7b"].known_context == 2048


def test_a_pair_of_unknown_models_is_refused() -> None:
    known = models()["meditron-7b"]
    other = ModelEntry.model_validate(known.model_dump() | {"name": "other", "role": "base"})
    made = _ModelFile.model_validate({"models": [known, other], "pairs": []})
    with pytest.raises(ValueError, match="meditron-7b-vs-nobody"):
        join(
            made,
            _ModelFile.model_validate(
                {"models": [], "pairs": [{"medical": "meditron-7b", "base": "nobody"}]}
            ),
        )
    with pytest.raises(ValueError, match="two models are called 'meditron-7b'"):
        join(made, made)


def test_two_models_keep_their_template() -> None:
    assert {m.name for m in models().values() if m.fixed_template} == {"biomistral-7b", "med42-v1-70b"}


def test_only_the_demo_comes_with_the_package() -> None:
    assert {m.name for m in models().values() if m.embedded} == {"demo-med", "demo-base"}


@pytest.mark.parametrize("name", ["demo-med", "demo-base"])
def test_the_demo_is_as_large_as_its_files_say(name: str) -> None:
    folder = Path(medbench_local.__file__).parent / "demo" / "checkpoints" / name
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    entry = models()[name]
    assert entry.context == config["max_position_embeddings"]
    assert entry.dtype == config["torch_dtype"]
    assert entry.size == pytest.approx((folder / "model.safetensors").stat().st_size, rel=0.01)


def test_contexts_differ_within_a_pair_where_the_study_says_so() -> None:
    assert (models()["meditron-7b"].context, models()["llama-2-7b"].context) == (2048, 4096)


def test_pairs_with_pictures_have_models_that_read_them() -> None:
    found = [pair for pair in pairs() if pair.modality == "pictures"]
    assert [(pair.medical, pair.base) for pair in found] == [
        ("llava-med-7b", "llava-v0-7b"),
        ("med-flamingo-9b", "open-flamingo-9b"),
        ("llava-med-v1.5-mistral-7b", "llava-v1.5-7b"),
    ]
    for pair in pairs():
        reading = {models()[name].vision is not None for name in (pair.medical, pair.base)}
        assert reading == {pair.modality == "pictures"}
    known = models()
    made = _ModelFile.model_validate({"models": [known["meditron-7b"], known["llama-2-7b"]], "pairs": []})
    blind = {"medical": "meditron-7b", "base": "llama-2-7b", "modality": "pictures"}
    with pytest.raises(ValueError, match="compared on pictures, which one of its models cannot read"):
        join(made, _ModelFile.model_validate({"models": [], "pairs": [blind]}))


def test_what_a_model_with_pictures_is_made_of() -> None:
    med, flamingo = models()["llava-med-7b"], models()["med-flamingo-9b"]
    assert med.vision is not None
    assert [part.repository for part in med.vision.parts] == [
        "huggyllama/llama-7b",
        "openai/clip-vit-large-patch14",
    ]
    assert med.fetched == med.size + sum(part.size for part in med.vision.parts)
    assert (med.reads, models()["meditron-7b"].reads) == ("pictures and text", "text")
    assert flamingo.vision is not None
    described = flamingo.vision.model_dump()
    for changes, says in (
        ({"base": None}, "flamingo needs a base"),
        ({"checkpoint": ""}, "belong to the kind flamingo"),
        ({"every": 0}, "belong to the kind flamingo"),
        ({"kind": "llava", "checkpoint": "", "every": 0}, "the kind llava has no base"),
        ({"checkpoint": "../model.pt"}, "String should match pattern"),
    ):
        with pytest.raises(ValueError, match=says):
            VisionSource.model_validate(described | changes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("family: meditron", "family: meditrom", "line 15.*meditrom"),
        ("context: 2048", "context: 0", "line 17.*greater than 0"),
        ("name: llama-2-70b", "name: llama-2-7b", "two models are called"),
        ("repository: epfl-llm/meditron-7b", "repository: ../meditron-7b/x", "line 14"),
    ],
)
def test_a_damaged_catalog_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (DATA / "models.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "models.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_yaml(path, _ModelFile)
