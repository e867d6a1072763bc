"""Models with pictures: from the catalog's names through the hub on loopback, and from folders, to files."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medbench_local import api
from medbench_local.acquire.inventory import fetched_twice, list_models, made_twice, plan_model
from medbench_local.acquire.picture_parts import VisionFiles
from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.source import PictureModel, resolve_model
from medbench_local.catalog.model import FamilyName, models, pairs
from medbench_local.catalog.quantisation import load_quant
from medbench_local.errors import (
    AcquireError,
    DiskFullError,
    GatedError,
    InputError,
    NotFoundError,
    OfflineError,
    UsageError,
)
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.study.manifest import origin
from medbench_local.vision.parts import VisionFile
from medbench_local.vision.tower import Tower, read_tower_config
from tests.acquire.gguf_content import read_content
from tests.acquire.test_prepare import Listener
from tests.hub_server import Fault, HubServer
from tests.vision_toys import (
    REPOSITORIES,
    SIZE,
    Toys,
    base_state,
    changed,
    edit_config,
    flamingo_state,
    llava_15_state,
    pieces,
    serve,
    tower_state,
    write_base,
    write_exported,
    write_flamingo,
    write_tower,
    write_toys,
)

NAMES = tuple(name for name, entry in models().items() if entry.vision is not None)
STUDIED = ("llava-med-7b", "llava-v0-7b", "med-flamingo-9b", "open-flamingo-9b")


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return write_toys(tmp_path / "toys")


@pytest.fixture
def hosted(hub: HubServer, toys: Toys) -> HubServer:
    """The hub, with a toy in place of every repository."""
    serve(hub, toys)
    return hub


def prepare(
    model: str | Path,
    home: Path,
    quant: str = "full",
    *,
    adapter_base: str | None = None,
    offline: bool = False,
    listener: Listener | None = None,
) -> PreparedModel:
    return prepare_model(
        resolve_model(str(model), adapter_base),
        quant=load_quant(quant),
        home=home,
        offline=offline,
        progress=listener,
    )


def opened(made: PreparedModel) -> VisionFile:
    assert isinstance(made.vision, VisionFiles)
    return VisionFile.open(made.vision.vision)


# --- by name, through the hub


def test_every_toy_stands_for_a_repository_of_the_catalog() -> None:
    named = {part.repository for entry in models().values() if entry.vision for part in entry.vision.parts}
    named |= {entry.repository for entry in models().values() if entry.vision if entry.repository}
    assert named == set(REPOSITORIES.values())
    assert NAMES[:4] == STUDIED


@pytest.mark.parametrize("name", NAMES)
def test_a_name_becomes_three_files(hosted: HubServer, tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    first, second = Listener(), Listener()
    made = prepare(name, home, "q8_0", listener=first)
    assert made == prepare(name, home, "q8_0", listener=second)
    assert second.steps == []
    entry, vision = models()[name], made.vision
    assert made.entry == entry
    assert entry.vision is not None
    assert isinstance(vision, VisionFiles)
    header = read_gguf_header(made.quantised.path)
    parts = vision.parts
    assert (parts.width, parts.rows) == (header.metadata["llama.embedding_length"], (SIZE // 14) ** 2)
    assert vision.tower_sha256 == parts.tower_sha256
    assert read_tower_config(vision.tower).size == SIZE
    assert (made.quantised.file_type, made.full and made.full.file_type) == ("q8_0", "f16")
    # every file that anything was made of, with its hash
    prefixes = {file.path.rpartition("/")[0] for file in made.files}
    assert prefixes == ({"", "tower"} if entry.vision.base is None else {"", "base", "tower"})
    assert len({file.path for file in made.files}) == len(made.files)
    assert all(len(file.sha256) == 64 for file in made.files)
    if entry.vision.kind == "flamingo":
        assert (parts.kind, parts.tag, parts.blocks) == ("flamingo", "<image>", (3, 7))
        assert {"model.pt", "checkpoint.pt"} & {file.path for file in made.files}
        assert "mm_projector.bin" not in {file.path for file in made.files}
    assert (
        vision.family
        == {
            "llava-med-7b": "llava-v0",
            "llava-v0-7b": "llava-v0",
            "med-flamingo-9b": "open-flamingo",
            "open-flamingo-9b": "open-flamingo",
            "llava-med-v1.5-mistral-7b": "llava-mistral",
            "llava-v1.5-7b": "llava-v1.5",
        }[name]
    )
    assert made.warnings == () or all("catalog says" in warning for warning in made.warnings)
    # nothing is fetched that is not needed
    assert not {"mm_projector.bin", "README.md", "pytorch_model.bin"} & set(hosted.contents())


def test_the_manifest_names_every_part(hosted: HubServer, tmp_path: Path) -> None:
    delta = origin(prepare("llava-med-7b", tmp_path / "home"))
    assert delta.startswith("microsoft/llava-med-7b-delta@")
    assert " merged into huggyllama/llama-7b@" in delta
    assert ", pictures through openai/clip-vit-large-patch14@" in delta
    assert " within huggyllama/llama-7b@" in origin(prepare("med-flamingo-9b", tmp_path / "home"))


def test_both_models_of_a_pair_and_both_pairs_have_one_tower_and_one_base(
    hosted: HubServer, tmp_path: Path
) -> None:
    made = [prepare(name, tmp_path / "home") for name in STUDIED]
    towers = {one.vision.tower for one in made if isinstance(one.vision, VisionFiles)}
    assert len(towers) == 1
    assert len({one.vision.vision_sha256 for one in made if isinstance(one.vision, VisionFiles)}) == 4
    fetched = hosted.contents()
    assert fetched.count("model-00001-of-00002.safetensors") == 1
    assert fetched.count("model.safetensors") == 1


def test_the_text_of_pictures_becomes_control_tokens(hosted: HubServer, tmp_path: Path) -> None:
    rows = pieces(None)
    for name, added in (
        ("llava-med-7b", ["<im_patch>", "<im_start>", "<im_end>", "[PAD]"]),
        ("llava-v0-7b", ["<im_patch>", "<im_start>", "<im_end>"]),
        ("open-flamingo-9b", ["<|endofchunk|>", "<image>", "<PAD>"]),
        ("llava-v1.5-7b", []),
    ):
        made = prepare(name, tmp_path / "home")
        content = read_content(made.quantised.path)
        assert content.value("tokenizer.ggml.tokens")[rows:] == added
        assert content.value("tokenizer.ggml.token_type")[rows:] == [3] * len(added)
        ids = [content.value(f"tokenizer.ggml.{kind}_token_id") for kind in ("bos", "eos")]
        assert ids == [1, 2]  # of the base's tokenizer; the differences say 0 and 1, and no names


def test_the_plan_counts_what_two_models_have_in_common_once(
    hosted: HubServer, tmp_path: Path, toys: Toys
) -> None:
    home = tmp_path / "home"
    quant = load_quant("full")
    med, v0 = (plan_model(resolve_model(name), quant, home=home) for name in STUDIED[:2])
    open_, llava = (
        plan_model(resolve_model(name), quant, home=home) for name in STUDIED[2:1:-1] + STUDIED[:1]
    )
    assert med.base is not None
    assert med.tower is not None
    weights = sum(path.stat().st_size for path in toys.base.glob("*.safetensors"))
    assert med.base.download > weights
    assert med.download > med.base.download + med.tower.download
    assert fetched_twice(med, v0) == med.base.download + med.tower.download
    assert fetched_twice(open_, llava) == med.base.download + med.tower.download
    assert made_twice(med, v0) == med.tower_size == (toys.tower / "model.safetensors").stat().st_size
    assert open_.vision_size == open_.tower_size + (toys.med_flamingo / "model.pt").stat().st_size
    assert med.room == med.download + med.full_size + med.vision_size
    for name in STUDIED:
        prepare(name, home)
        done = plan_model(resolve_model(name), quant, home=home)
        assert (done.download, done.full_here, done.vision_here, done.room) == (0, True, True, 0)
    assert made_twice(med, plan_model(resolve_model(STUDIED[1]), quant, home=home)) == 0


def test_the_list_says_when_all_parts_are_here(hosted: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"

    def states() -> dict[str, str]:
        return {one.entry.name: one.checkpoint for one in list_models(home) if one.entry.vision}

    assert set(states().values()) == {"not fetched"}
    prepare("med-flamingo-9b", home)
    assert {name for name, state in states().items() if state == "fetched"} == {"med-flamingo-9b"}


def test_without_a_network_what_was_fetched_is_taken(
    hosted: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with pytest.raises(OfflineError):
        prepare("llava-v0-7b", home, offline=True)
    made = prepare("llava-v0-7b", home)
    asked = len(hosted.requests)
    assert prepare("llava-v0-7b", home, offline=True) == made
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert plan_model(resolve_model("llava-v0-7b"), load_quant("full"), home=home, offline=True).download == 0
    assert len(hosted.requests) == asked


def test_files_that_were_removed_come_back(hosted: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = prepare("med-flamingo-9b", home)
    assert isinstance(made.vision, VisionFiles)
    for path in (made.vision.vision, made.quantised.path):
        path.unlink()
    shutil.rmtree(tmp_path / "hf")
    listener = Listener()
    assert prepare("med-flamingo-9b", home, listener=listener) == made
    assert len([step for step in listener.steps if step.startswith("making ")]) == 1
    tower = made.vision.tower.read_bytes()
    made.vision.tower.write_bytes(tower[:-1] + bytes([tower[-1] ^ 1]))
    assert prepare("med-flamingo-9b", home) == made
    assert made.vision.tower.read_bytes() == tower


def test_a_download_that_breaks_off_is_resumed(hosted: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for _ in range(4):
        hosted.fail(Fault("model.pt", drop_after=100_000))
    for _ in range(4):
        hosted.fail(Fault("model.safetensors", drop_after=1000))
    prepare("med-flamingo-9b", home)
    resumed = [request for request in hosted.requests if request.path.endswith("model.pt") and request.range]
    assert resumed


def test_a_conversion_that_is_stopped_leaves_nothing_half_made(
    hosted: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    from medbench_local.acquire import picture_parts

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(picture_parts.PictureParts, "write_vision", stopped)
        with pytest.raises(KeyboardInterrupt):
            prepare("llava-med-7b", home)
    left = sorted(path.name for path in (home / "towers").rglob("*.*") if path.is_file())
    assert left == ["tower.safetensors", "tower.safetensors.json"]
    assert not list((home / "models").rglob("*.safetensors"))
    listener = Listener()
    prepare("llava-med-7b", home, listener=listener)
    made = [step for step in listener.steps if step.startswith("making ")]
    assert len(made) == 1
    assert "vision-" in made[0]


def test_a_part_that_cannot_be_had_is_named_before_others_are_fetched(
    hub: HubServer, tmp_path: Path, toys: Toys
) -> None:
    for name in ("llava_med", "tower"):
        hub.add(REPOSITORIES[name], getattr(toys, name))
    with pytest.raises(
        AcquireError, match=r"llava-med-7b needs its language model, huggyllama/llama-7b, which cannot be had"
    ) as caught:
        prepare("llava-med-7b", tmp_path / "home")
    assert "`adapter_base=`" in caught.value.advice
    assert hub.contents() == []
    made = prepare("llava-med-7b", tmp_path / "home", adapter_base=str(toys.base))
    assert "merged into base (local)" in origin(made)

    hub.add(REPOSITORIES["base"], toys.base, gated=True)
    with pytest.raises(GatedError, match=r"needs its language model"):
        prepare("llava-med-7b", tmp_path / "other")


def test_a_repository_without_the_checkpoint_is_refused(hub: HubServer, tmp_path: Path, toys: Toys) -> None:
    serve(hub, toys)
    (toys.med_flamingo / "model.pt").rename(toys.med_flamingo / "weights.pt")
    hub.add(REPOSITORIES["med_flamingo"], toys.med_flamingo)
    with pytest.raises(
        AcquireError, match=r"med-flamingo/med-flamingo does not hold model\.pt; it has weights\.pt"
    ):
        prepare("med-flamingo-9b", tmp_path / "home")


def test_another_base_or_tower_is_another_model(hosted: HubServer, tmp_path: Path, toys: Toys) -> None:
    home = tmp_path / "home"
    first = prepare("llava-v0-7b", home)
    hosted.add(REPOSITORIES["tower"], write_tower(tmp_path / "t2", tower_state(seed=12)))
    second = prepare("llava-v0-7b", home)
    assert isinstance(first.vision, VisionFiles)
    assert isinstance(second.vision, VisionFiles)
    assert first.vision.tower != second.vision.tower
    assert first.vision.vision_sha256 != second.vision.vision_sha256
    assert first.quantised.sha256 == second.quantised.sha256


def test_meta_s_own_form_of_the_base_is_refused(tmp_path: Path, toys: Toys, hosted: HubServer) -> None:
    own = tmp_path / "meta"
    own.mkdir()
    (own / "params.json").write_text("{}", encoding="utf-8")
    (own / "consolidated.00.pth").write_bytes(b"weights in another order")
    with pytest.raises(UsageError, match=r"no config\.json") as caught:
        prepare("llava-med-7b", tmp_path / "home", adapter_base=str(own))
    assert "the format of transformers" in caught.value.advice
    hosted.add(REPOSITORIES["base"], own)
    with pytest.raises(AcquireError, match="needs its language model, huggyllama/llama-7b") as refused:
        prepare("llava-med-7b", tmp_path / "home")
    assert "the format of transformers" in refused.value.advice


Usage = namedtuple("Usage", "total used free")


def test_room_for_all_of_it_is_asked_for(
    hosted: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 10**6, 1000))
    with pytest.raises(DiskFullError):
        prepare("open-flamingo-9b", tmp_path / "home")


# --- what is in the files


def test_the_tower_computes_what_transformers_does(hosted: HubServer, tmp_path: Path, toys: Toys) -> None:
    from transformers import CLIPVisionModel

    made = prepare("open-flamingo-9b", tmp_path / "home")
    assert isinstance(made.vision, VisionFiles)
    pixels = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    theirs = CLIPVisionModel.from_pretrained(toys.tower)
    with torch.no_grad():
        hidden = theirs(pixels, output_hidden_states=True).hidden_states
    for layer in (-1, -2):
        ours = Tower.open(made.vision.tower, layer=layer).encode(pixels[0].numpy())
        np.testing.assert_allclose(ours, hidden[layer][0].numpy(), atol=2e-5)


def test_projectors_blocks_and_resampler_are_the_checkpoint_s(
    hosted: HubServer, tmp_path: Path, toys: Toys
) -> None:
    stored = torch.load(toys.med_flamingo / "model.pt", weights_only=True)["model_state_dict"]
    file = opened(prepare("med-flamingo-9b", tmp_path / "home"))
    for name in ("perceiver.latents", "perceiver.layers.1.0.to_kv.weight", "perceiver.layers.0.1.3.weight"):
        ours = file.tensor(name.replace("perceiver.", "resampler."))
        np.testing.assert_array_equal(ours, stored[name].numpy())
    for name in ("attn_gate", "ff.1.weight", "attn.norm.bias"):
        theirs = stored[f"lang_encoder.gated_cross_attn_layers.7.{name}"].numpy()
        np.testing.assert_array_equal(file.tensor(f"blocks.7.{name}"), theirs)
    norm = tower_state()["vision_model.post_layernorm.bias"].numpy()
    np.testing.assert_array_equal(file.tensor("post_layernorm.bias"), norm)
    shards = sorted(toys.llava_15.glob("pytorch_model-*.bin"))
    state = {name: t for shard in shards for name, t in torch.load(shard, weights_only=True).items()}
    llava = opened(prepare("llava-v1.5-7b", tmp_path / "home"))
    assert (llava.parts.projector, llava.parts.aspect, llava.parts.patch) == ("mlp2x_gelu", "pad", "")
    for layer in (0, 2):
        theirs = state[f"model.mm_projector.{layer}.weight"].float().numpy()
        np.testing.assert_array_equal(llava.tensor(f"projector.{layer}.weight"), theirs)


def test_a_tower_in_the_checkpoint_is_taken(hosted: HubServer, tmp_path: Path) -> None:
    with_own, without = (
        prepare(name, tmp_path / "home") for name in ("llava-med-v1.5-mistral-7b", "llava-v1.5-7b")
    )
    assert isinstance(with_own.vision, VisionFiles)
    assert isinstance(without.vision, VisionFiles)
    pixels = np.random.default_rng(0).standard_normal((3, SIZE, SIZE)).astype("f4")
    ours = Tower.open(with_own.vision.tower).encode(pixels)
    write_tower(tmp_path / "t11", tower_state(seed=11))
    from transformers import CLIPVisionModel

    with torch.no_grad():
        theirs = CLIPVisionModel.from_pretrained(tmp_path / "t11")(
            torch.from_numpy(pixels)[None]
        ).last_hidden_state
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=2e-5)
    assert with_own.vision.tower_sha256 != without.vision.tower_sha256


# --- from folders of one's own


Case = tuple[Callable[[Toys], Path], bool]
CASES: dict[str, Case] = {
    "llava-med-7b": (lambda toys: toys.llava_med, True),
    "open-flamingo-9b": (lambda toys: toys.open_flamingo / "checkpoint.pt", True),
    "med-flamingo-9b": (lambda toys: toys.med_flamingo, True),
    "llava-v1.5-7b": (lambda toys: toys.llava_15, False),
}


@pytest.mark.parametrize("name", CASES)
def test_local_parts_become_a_folder_that_is_the_model(
    hosted: HubServer, tmp_path: Path, toys: Toys, name: str
) -> None:
    place, based = CASES[name]
    output = tmp_path / "mine"
    warnings = api.convert(
        str(place(toys)),
        output,
        base=str(toys.base) if based else None,
        vision_tower=str(toys.tower_336 if "1.5" in name else toys.tower),
        family=models()[name].family,
    )
    assert warnings == ()
    assert {path.name for path in output.iterdir()} == {
        "made-of.json",
        "model.gguf",
        "tower.safetensors",
        "vision.safetensors",
    }
    by_name = prepare(name, tmp_path / "home")
    given = prepare(output, tmp_path / "home")
    assert isinstance(given.vision, VisionFiles)
    assert isinstance(by_name.vision, VisionFiles)
    assert given.quantised.sha256 == by_name.quantised.sha256
    assert given.vision.vision_sha256 == by_name.vision.vision_sha256
    assert given.vision.tower_sha256 == by_name.vision.tower_sha256
    assert given.vision.family == models()[name].family
    assert (given.name, given.precision, given.vision.vision.parent) == ("mine", "full", output)
    assert {file.path for file in given.files} == {"model.gguf", "vision.safetensors", "tower.safetensors"}
    smaller = prepare(output, tmp_path / "home", "q8_0")
    assert smaller.quantised.file_type == "q8_0"
    assert smaller.vision == given.vision
    noted = json.loads((output / "made-of.json").read_text(encoding="utf-8"))
    assert {one["path"].split("/")[0] for one in noted["made_of"]} >= {"tower"}
    assert not any(str(tmp_path) in one["path"] for one in noted["made_of"])


def test_files_that_do_not_say_how_they_are_prompted_are_warned_of(tmp_path: Path, toys: Toys) -> None:
    output = tmp_path / "mine"

    def converted(family: FamilyName | None) -> tuple[str, ...]:
        tower, base = str(toys.tower), str(toys.base)
        return api.convert(str(toys.llava_med), output, base=base, vision_tower=tower, family=family)

    def prompted() -> tuple[FamilyName | None, bool]:
        made = prepare(output, tmp_path / "home")
        assert made.vision is not None
        return made.vision.family, any("do not say how" in warning for warning in made.warnings)

    assert any('`family="llava-med"`' in warning for warning in converted(None))
    assert prompted() == ("llava-v0", True)
    written = {path.name: path.stat().st_mtime_ns for path in output.iterdir() if path.suffix != ".json"}
    assert not converted("llava-med")
    assert prompted() == ("llava-med", False)
    assert written == {
        path.name: path.stat().st_mtime_ns for path in output.iterdir() if path.name in written
    }
    with pytest.raises(UsageError, match="cannot be prompted as med-flamingo"):
        converted("med-flamingo")
    text = tmp_path / "text.gguf"
    with pytest.raises(UsageError, match="has no pictures"):
        api.convert(str(toys.base), text, family="llava-med")


def test_a_folder_is_finished_where_it_was_left(
    tmp_path: Path, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "mine"

    def convert_it(source: Path) -> None:
        api.convert(str(source), output, base=str(toys.base), vision_tower=str(toys.tower))

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("medbench_local.acquire.conversion.convert._write_header", stopped)
        with pytest.raises(KeyboardInterrupt):
            convert_it(toys.llava_v0)
    assert sorted(path.name for path in output.iterdir()) == [
        "made-of.json",
        "tower.safetensors",
        "vision.safetensors",
    ]
    before = (output / "tower.safetensors").stat().st_mtime_ns
    convert_it(toys.llava_v0)
    made = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    assert made["tower.safetensors"] == before
    assert "model.gguf" in made
    convert_it(toys.llava_v0)
    assert {path.name: path.stat().st_mtime_ns for path in output.iterdir()} == made
    convert_it(toys.llava_med)  # another model: all of it anew
    assert prepare(output, tmp_path / "home").vision is not None
    assert (output / "vision.safetensors").stat().st_mtime_ns != made["vision.safetensors"]


def test_a_catalog_name_becomes_a_folder_that_knows_its_family(hosted: HubServer, tmp_path: Path) -> None:
    api.convert("med-flamingo-9b", tmp_path / "mine")
    made = prepare(tmp_path / "mine", tmp_path / "home")
    assert isinstance(made.vision, VisionFiles)
    assert made.vision.family == "med-flamingo"


def test_a_folder_whose_files_do_not_belong_together_is_refused(tmp_path: Path, toys: Toys) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    api.convert(str(toys.llava_v0), one, base=str(toys.base), vision_tower=str(toys.tower))
    tower = write_tower(tmp_path / "t2", tower_state(seed=12))
    api.convert(str(toys.open_flamingo), other, base=str(toys.base), vision_tower=str(tower))
    shutil.copy(other / "tower.safetensors", tmp_path / "kept")
    shutil.copy(one / "tower.safetensors", other)
    with pytest.raises(
        InputError, match=r"tower\.safetensors: is not the tower that vision\.safetensors of other"
    ):
        prepare(other, tmp_path / "home")
    (other / "tower.safetensors").unlink()
    with pytest.raises(InputError, match=r"tower\.safetensors: no such file"):
        prepare(other, tmp_path / "home")
    shutil.copy(tmp_path / "kept", other / "tower.safetensors")
    narrow = prepare("demo-base", tmp_path / "home")
    shutil.copy(narrow.quantised.path, other / "model.gguf")
    with pytest.raises(
        InputError, match=r"model\.gguf: has rows of \d+ numbers, vision\.safetensors beside it is for 64"
    ):
        prepare(other, tmp_path / "home")
    (other / "model.gguf").unlink()
    with pytest.raises(UsageError, match=r"no file .*model\.gguf"):
        prepare(other, tmp_path / "home")


@pytest.mark.parametrize("name", ["vision.safetensors", "model.gguf"])
def test_files_of_another_model_of_the_same_size_are_refused(tmp_path: Path, toys: Toys, name: str) -> None:
    """They would fit, and make noise."""
    one, other = tmp_path / "one", tmp_path / "other"
    for source, output in ((toys.llava_v0, one), (toys.llava_med, other)):
        api.convert(str(source), output, base=str(toys.base), vision_tower=str(toys.tower))
    prepare(one, tmp_path / "home")
    shutil.copy(other / name, one / name)
    with pytest.raises(InputError, match=rf"{name.replace('.', '[.]')}: is not the file that was made with"):
        prepare(one, tmp_path / "home")


def test_a_quantised_language_model_may_take_its_place(tmp_path: Path, toys: Toys) -> None:
    output = tmp_path / "mine"
    api.convert(str(toys.llava_v0), output, base=str(toys.base), vision_tower=str(toys.tower))
    api.quantize(output / "model.gguf", tmp_path / "smaller.gguf", quant="q8_0")
    shutil.copy(tmp_path / "smaller.gguf", output / "model.gguf")
    assert prepare(output, tmp_path / "home").quantised.file_type == "q8_0"


def test_what_was_warned_of_at_the_conversion_is_said_in_every_run(tmp_path: Path, toys: Toys) -> None:
    tower = shutil.copytree(toys.tower_336, tmp_path / "clip-vit-large-patch14-336")
    warnings = api.convert(
        str(toys.llava_v0),
        tmp_path / "mine",
        base=str(toys.base),
        vision_tower=str(tower),
        family="llava-v0",
    )
    assert any("was trained with the tower clip-vit-large-patch14" in one for one in warnings)
    assert set(warnings) <= set(prepare(tmp_path / "mine", tmp_path / "home").warnings)


@pytest.mark.parametrize("other", ["Llama 2", "Vicuna"])
def test_a_base_of_the_same_shape_that_is_another_model_is_told(
    tmp_path: Path, toys: Toys, other: str
) -> None:
    """It makes noise without an error, and no tensor is of another size."""
    weights = base_state(pieces(None))
    weights = changed(weights, seed=7) if other == "Vicuna" else base_state(pieces(None), seed=7)
    base = write_base(tmp_path / "another", weights)
    for number, source in enumerate((toys.llava_med, toys.llava_v0)):
        right, wrong = (
            api.convert(
                str(source),
                tmp_path / f"{number}-{one.name}",
                base=str(one),
                vision_tower=str(toys.tower),
                family="llava-v0",
            )
            for one in (toys.base, base)
        )
        assert right == ()
        assert [f"was probably not made from {base}" in one for one in wrong] == [True]


def test_what_is_missing_or_too_much_is_said(tmp_path: Path, toys: Toys) -> None:
    with pytest.raises(UsageError, match="both that language model and a tower are needed"):
        api.convert(str(toys.med_flamingo / "model.pt"), tmp_path / "x", base=str(toys.base))
    with pytest.raises(UsageError, match="no model that takes one"):
        api.convert(str(toys.base), tmp_path / "x", vision_tower=str(toys.tower))
    with pytest.raises(UsageError, match="mean the same"):
        api.convert(str(toys.llava_v0), tmp_path / "x", base="a", adapter_base="b")
    with pytest.raises(AcquireError, match=r"holds no preprocessor_config\.json, so it is no tower"):
        api.convert(str(toys.llava_v0), tmp_path / "x", base=str(toys.base), vision_tower=str(toys.base))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.docx").touch()
    with pytest.raises(UsageError, match=r"holds other files \(thesis\.docx\)"):
        api.convert(str(toys.llava_15), tmp_path / "full", vision_tower=str(toys.tower))
    with pytest.raises(UsageError, match="would be a GGUF file; a model with pictures becomes a folder"):
        api.convert(str(toys.llava_15), tmp_path / "x.gguf", vision_tower=str(toys.tower))
    thesis = tmp_path / "full" / "thesis.docx"
    with pytest.raises(UsageError, match="is a file; a model with pictures becomes a folder"):
        api.convert(str(toys.llava_15), thesis, vision_tower=str(toys.tower), force=True)


def test_a_folder_of_llava_is_a_model_of_its_own(hosted: HubServer, tmp_path: Path, toys: Toys) -> None:
    source = resolve_model(str(toys.llava_15))
    assert isinstance(source, PictureModel)
    made, by_name = prepare(toys.llava_15, tmp_path / "home"), prepare("llava-v1.5-7b", tmp_path / "home")
    assert isinstance(made.vision, VisionFiles)
    assert isinstance(by_name.vision, VisionFiles)
    assert (made.name, made.entry) == ("llava_15", None)
    assert made.vision.vision_sha256 == by_name.vision.vision_sha256
    delta = prepare(toys.llava_v0, tmp_path / "home", adapter_base=str(toys.base))
    assert delta.quantised.sha256 == prepare("llava-v0-7b", tmp_path / "home").quantised.sha256
    with pytest.raises(InputError, match="these are differences to the weights of another model"):
        prepare(toys.llava_v0, tmp_path / "home")
    with pytest.raises(InputError, match="these are the weights of a model, not differences"):
        prepare(toys.llava_15, tmp_path / "home", adapter_base=str(toys.base))


@pytest.mark.parametrize("newer", [False, True])
def test_an_exported_llava_is_the_same_model(tmp_path: Path, toys: Toys, newer: bool) -> None:
    rows = pieces(None)
    exported = write_exported(tmp_path / "exported", llava_15_state(rows), tower_state(), newer=newer)
    api.convert(str(exported), tmp_path / "one")
    api.convert(str(toys.llava_15), tmp_path / "two", vision_tower=str(toys.tower))
    one, two = (prepare(tmp_path / name, tmp_path / "home") for name in ("one", "two"))
    assert one.quantised.sha256 == two.quantised.sha256
    assert isinstance(one.vision, VisionFiles)
    assert isinstance(two.vision, VisionFiles)
    assert one.vision.tower_sha256 == two.vision.tower_sha256
    assert one.vision.parts.projector == "mlp2x_gelu"
    # what transformers does with it: the middle is cut out, where the original is padded
    assert (one.vision.parts.aspect, two.vision.parts.aspect) == ("crop", "pad")


def test_towers_that_are_no_clip_are_refused_by_name(tmp_path: Path, toys: Toys) -> None:
    edit_config(toys.llava_15, mm_vision_tower="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224")
    with pytest.raises(UsageError, match=r"BiomedCLIP.*another one than OpenAI's CLIP"):
        resolve_model(str(toys.llava_15))
    with pytest.raises(UsageError, match="BiomedCLIP"):
        api.convert(str(toys.llava_15), tmp_path / "x", vision_tower=str(toys.tower))
    edit_config(toys.llava_15, mm_vision_tower="/data/of/somebody/my-tower")
    with pytest.raises(UsageError, match="a path of another machine") as caught:
        resolve_model(str(toys.llava_15))
    assert "`vision_tower=" in caught.value.advice
    edit_config(toys.llava_15, mm_vision_tower=None)
    with pytest.raises(InputError, match="key 'mm_vision_tower'"):
        resolve_model(str(toys.llava_15))
    edit_config(toys.llava_15, mm_vision_tower="/home/x/clip-vit-large-patch14-336")
    source = resolve_model(str(toys.llava_15))
    assert isinstance(source, PictureModel)
    assert getattr(source.tower, "repository", "") == "openai/clip-vit-large-patch14-336"


def test_a_base_that_is_named_for_a_whole_model_has_no_effect_and_is_refused(
    tmp_path: Path, toys: Toys
) -> None:
    with pytest.raises(InputError, match="weights of a model"):
        api.convert(str(toys.llava_15), tmp_path / "x", base=str(toys.base), vision_tower=str(toys.tower))


def test_flamingo_files_in_either_form_are_one_model(tmp_path: Path, toys: Toys) -> None:
    state = flamingo_state(base_state(pieces(None)), seed=3)
    found = set()
    for number, (names, wrapped, prefix) in enumerate(
        [("list", False, ""), ("layers", False, ""), ("both", True, "module."), ("list", True, "")]
    ):
        file = write_flamingo(
            tmp_path / str(number) / "model.pt",
            state,
            names=names,  # type: ignore[arg-type]
            wrapped=wrapped,
            prefix=prefix,
        )
        output = tmp_path / f"made{number}"
        api.convert(str(file), output, base=str(toys.base), vision_tower=str(toys.tower))
        made = prepare(output, tmp_path / "home")
        assert isinstance(made.vision, VisionFiles)
        found.add((made.quantised.sha256, made.vision.vision_sha256))
    assert len(found) == 1


def test_pairs_with_pictures_are_pairs() -> None:
    found = {pair.name: pair for pair in pairs() if pair.modality == "pictures"}
    assert set(found) == {
        "llava-med-7b-vs-llava-v0-7b",
        "med-flamingo-9b-vs-open-flamingo-9b",
        "llava-med-v1.5-mistral-7b-vs-llava-v1.5-7b",
    }
    assert found["llava-med-v1.5-mistral-7b-vs-llava-v1.5-7b"].partner == "alternative"


def test_a_missing_repository_of_its_own_is_not_blamed_on_a_part(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        prepare("llava-med-7b", tmp_path / "home")
    assert "needs its" not in caught.value.message
