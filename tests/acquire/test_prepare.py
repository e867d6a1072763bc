"""From a name to a GGUF: through the hub on loopback, the converter and llama.cpp's quantiser."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medbench_local.acquire.checkpoint_files import find_checkpoint
from medbench_local.acquire.inventory import list_models, plan_model
from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.source import DEMO, HubCheckpoint, LocalCheckpoint, resolve_model
from medbench_local.catalog.quantisation import load_quant
from medbench_local.errors import AcquireError, InputError, NotFoundError, UsageError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Advance, Silent
from tests.hub_repositories import biomistral_7b, llama_2_7b, llama_3_8b, meditron_7b
from tests.hub_server import Fault, HubServer


class Listener(Silent):
    """Remembers the labels of the steps and the notes."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        self.steps.append(label)
        yield lambda amount, *, known=False: None

    def note(self, text: str) -> None:
        self.notes.append(text)


def prepare(
    model: str | Path,
    home: Path,
    quant: str = "q8_0",
    *,
    offline: bool = False,
    listener: Listener | None = None,
) -> PreparedModel:
    return prepare_model(
        resolve_model(str(model)),
        quant=load_quant(quant),
        home=home,
        offline=offline,
        progress=listener,
    )


# --- models on this machine


def test_the_embedded_model_is_made_once(tmp_path: Path) -> None:
    first, second = Listener(), Listener()
    made = prepare("demo-med", tmp_path, listener=first)
    assert made == prepare("demo-med", tmp_path, listener=second)
    assert first.steps == ["converting demo-med", "quantising demo-med to q8_0"]
    assert second.steps == []
    assert made.entry is not None
    assert (made.precision, made.quantised.file_type) == ("q8_0", "q8_0")
    assert made.full is not None
    assert made.full.file_type == "bf16"
    there = {path.name for path in (DEMO / "demo-med").iterdir()}
    assert {record.path for record in made.files} == there - {"training.json"}
    assert read_gguf_header(made.quantised.path).file_type == "q8_0"


def test_full_precision_is_one_and_the_same_file(tmp_path: Path) -> None:
    made = prepare("demo-base", tmp_path, "full")
    assert made.precision == "full"
    assert made.full is made.quantised


def test_names_follow_content_not_place(tmp_path: Path) -> None:
    one, other = tmp_path / "one" / "model", tmp_path / "other" / "model"
    shutil.copytree(DEMO / "demo-base", one)
    shutil.copytree(DEMO / "demo-base", other)
    home = tmp_path / "home"
    made = prepare(one, home)
    listener = Listener()
    assert prepare(other, home, listener=listener).quantised == made.quantised
    assert listener.steps == []
    (other / "special_tokens_map.json").write_text('{"bos_token": "<s>"}')
    assert prepare(other, home, "full").quantised.path.parent != made.quantised.path.parent


def test_another_recipe_of_the_same_name_is_another_file(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "quant_configs" / "q8_0.yaml").read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("tensor_types: {}", "tensor_types: {'attn_v': f16}"), encoding="utf-8")
    built_in, changed = prepare("demo-base", tmp_path), prepare("demo-base", tmp_path, str(own))
    assert built_in.quantised.path.parent == changed.quantised.path.parent
    assert built_in.quantised.path != changed.quantised.path


def test_a_full_file_that_was_removed_comes_back(tmp_path: Path) -> None:
    made = prepare("demo-base", tmp_path)
    assert made.full is not None
    made.full.path.unlink()
    listener = Listener()
    assert prepare("demo-base", tmp_path, listener=listener) == made
    assert made.full.path.is_file()
    assert listener.steps == ["converting demo-base"]


def test_a_given_gguf_is_itself(tmp_path: Path) -> None:
    made = prepare("demo-base", tmp_path)
    assert made.full is not None
    full, small = tmp_path / "mine.gguf", tmp_path / "mine-q8.gguf"
    shutil.copy(made.full.path, full)
    shutil.copy(made.quantised.path, small)

    given = prepare(full, tmp_path, "full")
    assert given.full is given.quantised
    assert (given.precision, given.quantised.path) == ("full", full)

    quantised = prepare(full, tmp_path, "q8_0")
    assert quantised.full is not None
    assert quantised.full.path == full
    assert quantised.quantised.sha256 == made.quantised.sha256
    assert quantised.quantised.path.is_relative_to(tmp_path / "models")

    for quant in ("full", "q8_0"):
        as_it_is = prepare(small, tmp_path, quant)
        assert (as_it_is.precision, as_it_is.full, as_it_is.quantised.path) == ("q8_0", None, small)
    with pytest.raises(UsageError, match="quantised already"):
        prepare(small, tmp_path, "q4_0")


def test_a_file_that_only_looks_like_a_gguf(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUFnonsense")
    with pytest.raises(InputError, match=r"x\.gguf"):
        prepare(tmp_path / "x.gguf", tmp_path)


# --- models of the catalog, through the hub


def test_catalog_models_from_nothing_but_a_network(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    medical_commit = hub.add("epfl-llm/meditron-7b", meditron_7b(tmp_path / "meditron"))
    hub.add("meta-llama/Llama-2-7b-hf", llama_2_7b(tmp_path / "llama"))

    medical, base = prepare("meditron-7b", home), prepare("llama-2-7b", home)

    assert (medical.repository, medical.commit) == ("epfl-llm/meditron-7b", medical_commit)
    assert read_gguf_header(medical.quantised.path).vocabulary == 32_017
    assert medical.full is not None
    assert medical.full.file_type == "bf16"
    assert base.full is not None
    assert base.full.file_type == "f16"
    assert read_gguf_header(base.quantised.path).vocabulary == 32_000
    assert not [name for name in hub.contents() if name.startswith("pytorch_model") and "of-00002" in name]
    assert sum(name.endswith(".bin") for name in hub.contents()) == 8

    before, listener = len(hub.contents()), Listener()
    assert prepare("meditron-7b", home, listener=listener) == medical
    assert listener.steps == []
    assert len(hub.contents()) == before


def test_what_the_files_say_counts_and_is_said(hub: HubServer, tmp_path: Path) -> None:
    hub.add("OpenMeditron/Meditron3-8B", llama_3_8b(tmp_path / "llama-3"))
    prepared = prepare("meditron3-8b", tmp_path / "home", "full")
    (context, weights) = [warning for warning in prepared.warnings if "The catalog says" in warning]
    assert "131,072 tokens, unconfirmed; its files say 8,192" in context
    assert "8.03 billion weights, unconfirmed; its files hold" in weights


def test_an_unconfirmed_repository_that_is_not_there(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/other", llama_2_7b(tmp_path / "llama"))
    with pytest.raises(NotFoundError, match="repository of medalpaca-7b is unconfirmed: look for the model"):
        prepare("medalpaca-7b", tmp_path / "home")
    with pytest.raises(NotFoundError) as error:
        prepare("meditron-7b", tmp_path / "home")
    assert "unconfirmed" not in str(error.value)


def test_llama_3_and_mistral_repositories(hub: HubServer, tmp_path: Path) -> None:
    hub.add("meta-llama/Meta-Llama-3-8B-Instruct", llama_3_8b(tmp_path / "llama-3"))
    hub.add("BioMistral/BioMistral-7B", biomistral_7b(tmp_path / "biomistral"))
    llama = prepare("llama-3-8b-instruct", tmp_path / "home", "full")
    assert llama.chat_template is not None
    assert "<|eot_id|>" in llama.chat_template
    assert not [record for record in llama.files if "original" in record.path]
    mistral = prepare("biomistral-7b", tmp_path / "home", "full")
    assert any("4096 tokens" in warning for warning in mistral.warnings)


def test_offline_after_once_online_even_without_the_checkpoint(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.add("meta-llama/Meta-Llama-3-8B", llama_3_8b(tmp_path / "llama-3"))
    made = prepare("llama-3-8b", home, "full")
    shutil.rmtree(tmp_path / "hf")
    before = len(hub.requests)
    assert prepare("llama-3-8b", home, "full", offline=True) == made
    assert len(hub.requests) == before
    assert prepare("llama-3-8b", home, "full") == made
    assert len(hub.requests) == before + 1, "the hub is asked which commit is meant, and nothing else"
    made.quantised.path.unlink()
    with pytest.raises(AcquireError, match="not completely in the cache"):
        prepare("llama-3-8b", home, "full", offline=True)
    assert prepare("llama-3-8b", home, "full") == made


def test_an_unreachable_hub_does_not_stop_what_is_prepared(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("meta-llama/Meta-Llama-3-8B", llama_3_8b(tmp_path / "llama-3"))
    made = prepare("llama-3-8b", tmp_path / "home", "full")
    shutil.rmtree(tmp_path / "hf")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    listener = Listener()
    assert prepare("llama-3-8b", tmp_path / "home", "full", listener=listener) == made
    assert any("Going on with commit" in note for note in listener.notes)


def test_a_moved_branch_gives_another_model(hub: HubServer, tmp_path: Path) -> None:
    folder = llama_3_8b(tmp_path / "llama-3")
    hub.add("meta-llama/Meta-Llama-3-8B", folder)
    old = prepare("llama-3-8b", tmp_path / "home", "full")
    shutil.copytree(folder, tmp_path / "newer")
    config = (folder / "config.json").read_text().replace("500000.0", "10000.0")
    (tmp_path / "newer" / "config.json").write_text(config)
    hub.add("meta-llama/Meta-Llama-3-8B", tmp_path / "newer")
    new = prepare("llama-3-8b", tmp_path / "home", "full")
    assert new.commit != old.commit
    assert new.quantised.path != old.quantised.path


KILLED = """
import os
from pathlib import Path
from medbench_local.acquire.prepare import prepare_model
from medbench_local.acquire.source import (resolve_model)
from medbench_local.catalog.quantisation import load_quant
prepare_model(resolve_model("meditron-7b"), quant=load_quant("full"), home=Path(os.environ["MEDBENCH_HOME"]))
"""


def test_killed_half_way_the_same_command_goes_on(hub: HubServer, tmp_path: Path) -> None:
    hub.add("epfl-llm/meditron-7b", meditron_7b(tmp_path / "meditron"))
    hub.fail(Fault("00005-of-00008.bin", hang_after=10_000))
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=dict(os.environ))
    assert hub.sent_to_hanging.wait(60)
    blobs = tmp_path / "hf" / "hub" / "models--epfl-llm--meditron-7b" / "blobs"
    while not any(path.stat().st_size for path in blobs.glob("*.partial")):
        assert process.poll() is None
    process.kill()
    process.wait()
    fetched = hub.contents()

    made = prepare("meditron-7b", tmp_path / "home", "full")

    rest = hub.contents()[len(fetched) :]
    assert rest[0] == "pytorch_model-00005-of-00008.bin"
    assert not set(rest[1:]) & set(fetched), "what had come was not fetched again"
    ranges = [r.range for r in hub.requests if r.origin == "cdn" and "00005-of" in r.path]
    assert ranges[-1].startswith("bytes=")
    for record in made.files:
        content = (tmp_path / "meditron" / record.path).read_bytes()
        assert record.sha256 == hashlib.sha256(content).hexdigest()


def test_room_for_everything_is_asked_before_the_weights_come(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("epfl-llm/meditron-7b", meditron_7b(tmp_path / "meditron"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**8, 0, 12 * 10**6))
    with pytest.raises(AcquireError, match=r"download .* the full GGUF .* the quantised GGUF"):
        prepare("meditron-7b", tmp_path / "home")
    assert hub.contents() == ["pytorch_model.bin.index.json"]


def test_an_architecture_that_cannot_be_converted_is_named(hub: HubServer, tmp_path: Path) -> None:
    folder = llama_3_8b(tmp_path / "repo")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("LlamaForCausalLM", "GPTBigCodeForCausalLM"))
    hub.add("owner/name", folder)
    with pytest.raises(AcquireError, match="GPTBigCodeForCausalLM"):
        prepare("hf:owner/name", tmp_path / "home")


def test_a_gguf_of_the_hub(hub: HubServer, tmp_path: Path) -> None:
    made = prepare("demo-base", tmp_path / "home")
    folder = tmp_path / "repo"
    folder.mkdir()
    shutil.copy(made.quantised.path, folder / "model.Q8_0.gguf")
    commit = hub.add("TheBloke/model-GGUF", folder)
    given = prepare("gguf:TheBloke/model-GGUF/model.Q8_0.gguf", tmp_path / "home")
    assert (given.precision, given.full, given.commit) == ("q8_0", None, commit)
    assert given.quantised.sha256 == made.quantised.sha256


# --- what is here, and what it would take


def test_plans_say_what_is_missing(hub: HubServer, tmp_path: Path) -> None:
    home, source, quant = tmp_path / "home", resolve_model("llama-3-8b"), load_quant("q8_0")
    folder = llama_3_8b(tmp_path / "llama-3")
    hub.add("meta-llama/Meta-Llama-3-8B", folder)
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    plan = plan_model(source, quant, home=home)
    assert weights < plan.download < weights * 1.5
    assert (plan.full_size, plan.full_here, plan.quantised_here) == (weights, False, False)
    assert plan.room == plan.download + plan.full_size + plan.quantised_size
    assert hub.contents() == ["model.safetensors.index.json"]

    assert isinstance(source, HubCheckpoint)
    find_checkpoint(source, quant, home=home, offline=False, progress=Silent())
    assert plan_model(source, quant, home=home).download == 0
    made = prepare("llama-3-8b", home)
    for offline in (False, True):
        plan = plan_model(source, quant, home=home, offline=offline)
        assert (plan.room, plan.full_here, plan.quantised_here) == (0, True, True)
        assert plan.quantised_size == made.quantised.size
        assert plan.commit == made.commit


def test_a_plan_for_a_folder_makes_nothing(tmp_path: Path) -> None:
    plan = plan_model(LocalCheckpoint("x", DEMO / "demo-med"), load_quant("q4_0"), home=tmp_path)
    assert not (tmp_path / "models").exists()
    assert plan.download == 0
    assert 0 < plan.quantised_size < plan.full_size


def test_the_list_of_models(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.add("meta-llama/Meta-Llama-3-8B", llama_3_8b(tmp_path / "llama-3"))
    assert {status.checkpoint for status in list_models(home)} == {"embedded", "not fetched"}
    made = prepare("llama-3-8b", home)
    status = next(status for status in list_models(home) if status.entry.name == "llama-3-8b")
    assert (status.checkpoint, status.commit) == ("fetched", made.commit)
    assert [file.notes["file_type"] for file in status.ggufs] == ["bf16", "q8_0"]
    assert made.full is not None
    assert status.size == made.full.size + made.quantised.size
