"""LoRA adapters as models: from a folder or a repository, with its base, to a GGUF."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from medbench_local.acquire.inventory import fetched_twice, plan_model
from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.source import DEMO, resolve_model
from medbench_local.catalog.quantisation import load_quant
from medbench_local.errors import AcquireError, DiskFullError, NotFoundError, OfflineError, UsageError
from medbench_local.study.manifest import origin
from tests.acquire.gguf_content import read_content
from tests.hub_server import HubServer

BASE = DEMO / "demo-base"
LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")


def write_adapter(folder: Path, *, base: str = str(BASE), seed: int = 0, **changes: Any) -> Path:
    """An adapter of the embedded base model."""
    folder.mkdir(parents=True, exist_ok=True)
    described = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 2, "lora_alpha": 4, **changes}
    (folder / "adapter_config.json").write_text(json.dumps(described), encoding="utf-8")
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: tensor.shape for name, tensor in load_file(BASE / "model.safetensors").items()}
    state = {}
    for layer in LAYERS:
        outputs, inputs = shapes[f"{layer}.weight"]
        for factor, shape in (("A", (2, inputs)), ("B", (outputs, 2))):
            values = torch.randn(shape, generator=generator)
            state[f"base_model.model.{layer}.lora_{factor}.weight"] = values * 0.05
    save_file(state, folder / "adapter_model.safetensors")
    return folder


def merged_by_hand(adapter: Path, base: Path, folder: Path) -> Path:
    """What `merge_and_unload` and `save_pretrained` would leave."""
    shutil.copytree(base, folder)
    weights = load_file(base / "model.safetensors")
    factors = load_file(adapter / "adapter_model.safetensors")
    for layer in LAYERS:
        a, b = (factors[f"base_model.model.{layer}.lora_{which}.weight"].double() for which in "AB")
        kept = weights[f"{layer}.weight"]
        weights[f"{layer}.weight"] = (kept.double() + 2.0 * (b @ a)).float().to(kept.dtype)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def prepare(
    model: str | Path,
    home: Path,
    *,
    quant: str = "full",
    adapter_base: str | None = None,
    offline: bool = False,
) -> PreparedModel:
    return prepare_model(
        resolve_model(str(model), adapter_base), quant=load_quant(quant), home=home, offline=offline
    )


def test_a_folder_is_merged_with_the_base_that_it_names(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "my-lora")
    made = prepare(adapter, tmp_path / "home")
    by_hand = prepare(merged_by_hand(adapter, BASE, tmp_path / "merged"), tmp_path / "home")
    assert made.quantised.path.read_bytes() == by_hand.quantised.path.read_bytes()
    assert made.quantised.sha256 != prepare("demo-base", tmp_path / "home").quantised.sha256
    assert (made.name, made.entry) == ("my-lora", None)
    names = {file.path for file in made.files}
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "base/config.json",
        "base/model.safetensors",
    } <= names
    assert origin(made) == "local merged into demo-base (local)"
    before = made.quantised.path.stat().st_mtime_ns
    assert prepare(adapter, tmp_path / "home") == made
    assert made.quantised.path.stat().st_mtime_ns == before


def test_with_the_configuration_of_its_base_beside_it_it_is_still_an_adapter(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "my-lora")
    alone = prepare(adapter, tmp_path / "home")
    shutil.copy(BASE / "config.json", adapter)
    assert prepare(adapter, tmp_path / "home").quantised.sha256 == alone.quantised.sha256


def test_a_tokenizer_of_its_own_counts(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "my-lora")
    alone = prepare(adapter, tmp_path / "home")
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(BASE / name, adapter)
    settings = json.loads((adapter / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = {**settings, "chat_template": "{{ messages[0]['content'] }}"}
    (adapter / "tokenizer_config.json").write_text(json.dumps(template), encoding="utf-8")
    own = prepare(adapter, tmp_path / "home")
    assert own.quantised.path != alone.quantised.path
    assert own.chat_template == template["chat_template"]


def test_another_base_or_adapter_is_another_model(tmp_path: Path) -> None:
    home = tmp_path / "home"
    adapter = write_adapter(tmp_path / "my-lora")
    first = prepare(adapter, home)
    other = prepare(adapter, home, adapter_base="demo-med")
    changed = prepare(write_adapter(tmp_path / "again" / "my-lora", seed=1), home)
    scaled = prepare(write_adapter(tmp_path / "scaled" / "my-lora", lora_alpha=8), home)
    found = {made.quantised.sha256: made.quantised.path for made in (first, other, changed, scaled)}
    assert len(found) == len(set(found.values())) == 4
    assert prepare(adapter, home, adapter_base=str(BASE)).quantised.path == first.quantised.path


def test_an_adapter_of_an_adapter(tmp_path: Path) -> None:
    below = write_adapter(tmp_path / "below")
    above = write_adapter(tmp_path / "above", base=str(below), seed=1)
    between = merged_by_hand(below, BASE, tmp_path / "between")
    by_hand = prepare(merged_by_hand(above, between, tmp_path / "merged"), tmp_path / "home")
    made = prepare(above, tmp_path / "home")
    assert made.quantised.path.read_bytes() == by_hand.quantised.path.read_bytes()
    write_adapter(below, base=str(above))
    with pytest.raises(AcquireError, match="they name each other"):
        prepare(above, tmp_path / "home")


def test_whole_weights_beside_an_adapter_need_a_word(tmp_path: Path) -> None:
    folder = tmp_path / "both"
    shutil.copytree(BASE, folder)
    write_adapter(folder)
    with pytest.raises(AcquireError, match="nothing tells whether the adapter is merged"):
        prepare(folder, tmp_path / "home")
    whole, base = (prepare(model, tmp_path / "home", adapter_base="none") for model in (folder, "demo-base"))
    assert whole.quantised.sha256 == base.quantised.sha256
    merged = prepare(folder, tmp_path / "home", adapter_base="demo-base")
    assert (
        merged.quantised.sha256 == prepare(write_adapter(tmp_path / "x"), tmp_path / "home").quantised.sha256
    )


BASES: dict[str, tuple[str, str]] = {
    "a path of another machine": ("/home/somebody/llama-2-7b", "a path of another machine"),
    "of Windows": ("C:\\models\\llama", "a path of another machine"),
    "relative": ("./output/checkpoint-500", "a path of another machine"),
    "one word": ("my-finetune", "a path of another machine"),
    "none": ("", "does not say what the adapter"),
    "no name of the hub": ("own er/na me", "neither a folder here nor a repository"),
    "quantised": ("unsloth/llama-3-8b-bnb-4bit", "which is quantised"),
}


@pytest.mark.parametrize(("base", "says"), BASES.values(), ids=BASES)
def test_a_base_that_is_not_to_be_found_is_to_be_named(tmp_path: Path, base: str, says: str) -> None:
    adapter = write_adapter(tmp_path / "my-lora", base=base)
    with pytest.raises(AcquireError, match=says) as caught:
        prepare(adapter, tmp_path / "home")
    assert "`adapter_base=" in caught.value.advice
    assert prepare(adapter, tmp_path / "home", adapter_base="demo-base").base is not None


def test_another_base_than_the_adapter_names_is_said(tmp_path: Path) -> None:
    """Only shapes would tell, and those of a model and its fine-tunes are the same."""
    home = tmp_path / "home"
    adapter = write_adapter(tmp_path / "my-lora", base="lab/Other-7B")
    says = "The adapter my-lora says that it was trained on lab/Other-7B; merged into demo-base."
    assert says in prepare(adapter, home, adapter_base="demo-base").warnings
    own = write_adapter(tmp_path / "own-lora", base="/home/somebody/Demo-Base/")
    assert not prepare(own, home, adapter_base="demo-base").warnings
    assert not prepare(write_adapter(tmp_path / "third"), home).warnings


def test_a_base_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "my-lora")
    full = prepare("demo-base", tmp_path / "home").quantised.path
    with pytest.raises(UsageError, match="names a GGUF file"):
        prepare(adapter, tmp_path / "home", adapter_base=str(full))
    quantised = tmp_path / "quantised"
    shutil.copytree(BASE, quantised)
    config = json.loads((BASE / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "bitsandbytes"}
    (quantised / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(AcquireError, match="which is quantised"):
        prepare(adapter, tmp_path / "home", adapter_base=str(quantised))


# --- through the hub


def test_a_repository_with_its_base_of_the_catalog(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    base_commit = hub.add("meta-llama/Llama-2-7b-hf", BASE)
    adapter = write_adapter(tmp_path / "repo", base="meta-llama/Llama-2-7b-hf")
    (adapter / "README.md").write_text("---\nlibrary_name: peft\n---\n")
    commit = hub.add("lab/med-lora", adapter)

    plan = plan_model(resolve_model("hf:lab/med-lora"), load_quant("full"), home=home)
    assert hub.contents() == ["adapter_config.json"]
    weights = (BASE / "model.safetensors").stat().st_size
    assert plan.full_size == weights
    assert plan.download > weights
    assert plan.base is not None
    assert (plan.base.repository, plan.base.commit) == ("meta-llama/Llama-2-7b-hf", base_commit)
    other = plan_model(resolve_model("llama-2-7b"), load_quant("full"), home=home)
    assert fetched_twice(other, plan) == fetched_twice(plan, other) == other.download == plan.base.download

    made = prepare("hf:lab/med-lora", home)
    assert origin(made) == f"lab/med-lora@{commit} merged into meta-llama/Llama-2-7b-hf@{base_commit}"
    assert "README.md" not in hub.contents()
    fetched = len(hub.contents())
    assert prepare("llama-2-7b", home).commit == base_commit
    assert len(hub.contents()) == fetched, "the base had been fetched for the adapter"
    done = plan_model(resolve_model("hf:lab/med-lora"), load_quant("full"), home=home)
    assert (done.download, done.room, done.full_here) == (0, 0, True)
    local = prepare(write_adapter(tmp_path / "my-lora"), home)
    assert local.quantised.sha256 == made.quantised.sha256


@pytest.mark.parametrize("absolute", [True, False])
def test_a_repository_that_names_a_folder_means_none_of_this_machine(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BASE, tmp_path / "base")
    named = str(tmp_path / "base") if absolute else "./base"
    hub.add("lab/med-lora", write_adapter(tmp_path / "repo", base=named))
    with pytest.raises(AcquireError, match="a path of another machine"):
        prepare("hf:lab/med-lora", tmp_path / "home")
    assert prepare("hf:lab/med-lora", tmp_path / "home", adapter_base=named).base is not None


def test_offline_after_once_online_even_without_the_files(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.add("owner/base", BASE)
    hub.add("lab/med-lora", write_adapter(tmp_path / "repo", base="owner/base"))
    made = prepare("hf:lab/med-lora", home)
    shutil.rmtree(tmp_path / "hf")
    before = len(hub.requests)
    assert prepare("hf:lab/med-lora", home, offline=True) == made
    plan = plan_model(resolve_model("hf:lab/med-lora"), load_quant("full"), home=home, offline=True)
    assert (plan.download, plan.full_here) == (0, True)
    assert len(hub.requests) == before
    made.quantised.path.unlink()
    with pytest.raises(OfflineError):
        prepare("hf:lab/med-lora", home, offline=True)
    assert prepare("hf:lab/med-lora", home) == made


def test_a_base_that_moves_on_is_another_model_and_its_revision_holds(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    old_commit = hub.add("owner/base", BASE)
    hub.add("lab/med-lora", write_adapter(tmp_path / "repo", base="owner/base"))
    hub.add("lab/pinned", write_adapter(tmp_path / "pinned", base="owner/base", revision=old_commit))
    old = prepare("hf:lab/med-lora", home)
    hub.add("owner/base", DEMO / "demo-med")
    new = prepare("hf:lab/med-lora", home)
    assert new.commit == old.commit
    assert new.quantised.path != old.quantised.path
    assert old_commit in origin(prepare("hf:lab/pinned", home))


def test_what_keeps_the_base_away_is_said_with_the_adapter(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    hub.add("lab/med-lora", write_adapter(tmp_path / "repo", base="owner/gone"))
    said = r"med-lora is a LoRA adapter, to be merged into owner/gone, which cannot be had: There is no repository"
    with pytest.raises(NotFoundError, match=said) as caught:
        prepare("hf:lab/med-lora", home)
    assert "`adapter_base=`" in caught.value.advice
    with pytest.raises(NotFoundError, match=said):
        plan_model(resolve_model("hf:lab/med-lora"), load_quant("full"), home=home)
    four_bits = tmp_path / "four"
    shutil.copytree(BASE, four_bits)
    config = json.loads((BASE / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "bitsandbytes"}
    (four_bits / "config.json").write_text(json.dumps(config), encoding="utf-8")
    hub.add("owner/gone", four_bits)
    with pytest.raises(AcquireError, match="was trained on owner/gone, which is quantised"):
        prepare("hf:lab/med-lora", home)
    assert "model.safetensors" not in hub.contents()
    hub.add("owner/gone", BASE)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**8, 0, 3 * 10**6))
    with pytest.raises(DiskFullError, match=r"download .* the full GGUF"):
        prepare("hf:lab/med-lora", home)


def test_an_adapter_that_cannot_be_merged_is_refused_before_its_base_is_fetched(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.add("owner/base", BASE)
    hub.add("lab/dora", write_adapter(tmp_path / "dora", base="owner/base", use_dora=True))
    hub.add("lab/ia3", write_adapter(tmp_path / "ia3", base="owner/base", peft_type="IA3"))
    for name, says in (("dora", "use_dora"), ("ia3", "peft_type 'IA3'")):
        with pytest.raises(AcquireError, match=says):
            prepare(f"hf:lab/{name}", tmp_path / "home")
    assert set(hub.contents()) == {"adapter_config.json", "adapter_model.safetensors"}


def test_rows_of_the_merged_embedding_decide(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "my-lora")
    state = load_file(adapter / "adapter_model.safetensors")
    weights = load_file(BASE / "model.safetensors")
    rows, width = weights["model.embed_tokens.weight"].shape
    for name in ("model.embed_tokens", "lm_head"):
        state[f"base_model.model.{name}.weight"] = torch.zeros(rows + 3, width)
    save_file(state, adapter / "adapter_model.safetensors")
    made = prepare(adapter, tmp_path / "home")
    content = read_content(made.quantised.path)
    assert content.tensors["token_embd.weight"][1] == (width, rows + 3)
    assert len(content.value("tokenizer.ggml.tokens")) == rows + 3
