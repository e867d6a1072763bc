"""What MODEL may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medbench_local.acquire.source import HubCheckpoint, HubGguf, LocalCheckpoint, LocalGguf, resolve_model
from medbench_local.catalog.model import models, vision_pairs
from medbench_local.errors import UsageError
from medbench_local.files.gguf_header import gguf_parts


@pytest.mark.parametrize("name", sorted(models()))
def test_every_name_of_the_catalog(name: str) -> None:
    source = resolve_model(name)
    entry = models()[name]
    assert source.name == name
    assert source.entry == entry
    if entry.embedded:
        assert isinstance(source, LocalCheckpoint)
    else:
        assert isinstance(source, HubCheckpoint)
        assert source.repository == entry.repository


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:owner/Some-Model_1.2", HubCheckpoint("Some-Model_1.2", "owner/Some-Model_1.2", "main")),
        ("hf:owner/name@refs/pr/3", HubCheckpoint("name", "owner/name", "refs/pr/3")),
        ("hf:owner/name@0123abc", HubCheckpoint("name", "owner/name", "0123abc")),
        ("gguf:owner/name/file.Q4_K_M.gguf", HubGguf("file.Q4_K_M", "owner/name", "file.Q4_K_M.gguf")),
        ("gguf:o/n/sub/f-00001-of-00002.gguf", HubGguf("f", "o/n", "sub/f-00001-of-00002.gguf")),
    ],
)
def test_the_hub(text: str, expected: HubCheckpoint | HubGguf) -> None:
    assert resolve_model(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hf:owner", "hf:owner/name"),
        ("hf:owner/name@../../x", "a branch"),
        ("hf:../../etc", "names no repository"),
        ("gguf:owner/name", "gguf:owner/name/file.gguf"),
        ("gguf:owner/name/../../x.gguf", "not the name of a GGUF file"),
        ("gguf:owner/name/big.Q8_0.gguf-split-a", "join them with cat"),
        ("gguf:owner/name/big.Q8_0.gguf.part1of2", "join them with cat"),
        ("gguf:owner/name/f-00002-of-00003.gguf", "f-00001-of-00003.gguf"),
        ("meditron7b", "Did you mean meditron-7b"),
        ("openbiollm", "openbiollm-8b"),
        ("meta-llama/Llama-2-7b-hf", "The catalog calls it llama-2-7b"),
        ("some/thing", "write hf:some/thing"),
        ("qqqqqq", "`model_names()`"),
        ("", "`model_names()`"),
        ("nowhere/model.gguf", "no file nowhere/model.gguf"),
    ],
)
def test_what_is_not_understood_is_an_error_that_helps(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        resolve_model(text)


@pytest.mark.parametrize("name", [n for pair in vision_pairs() for n in (pair.medical, pair.base)])
def test_vision_language_models_are_known_but_not_runnable(name: str) -> None:
    with pytest.raises(UsageError, match="known, but not yet runnable"):
        resolve_model(name)


def test_folders_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my model (v2)"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"holds no config.json"):
        resolve_model(str(folder))
    (folder / "config.json").write_text("{}")
    assert resolve_model(str(folder)) == LocalCheckpoint("my-model-v2", folder)
    monkeypatch.chdir(folder)
    assert resolve_model(".").name == "my-model-v2"

    (tmp_path / "m-00001-of-00002.gguf").touch()
    with pytest.raises(UsageError, match="m-00002-of-00002"):
        resolve_model(str(tmp_path / "m-00001-of-00002.gguf"))
    (tmp_path / "m-00002-of-00002.gguf").touch()
    source = resolve_model(str(tmp_path / "m-00001-of-00002.gguf"))
    assert source == LocalGguf("m", tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(UsageError, match=r"neither a .gguf file nor"):
        resolve_model(str(folder / "config.json"))


def test_a_name_of_the_catalog_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "meditron-7b"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert isinstance(resolve_model("meditron-7b"), HubCheckpoint)
    assert isinstance(resolve_model("./meditron-7b"), LocalCheckpoint)


@given(
    st.text(max_size=40) | st.text(max_size=30).map("hf:".__add__) | st.text(max_size=30).map("gguf:".__add__)
)
@example("~nobody-of-that-name")
def test_any_text_gives_a_source_with_a_safe_name_or_a_usage_error(text: str) -> None:
    try:
        name = resolve_model(text).name
    except UsageError:
        return
    assert name
    assert not set(name) & set('/\\:*?"<>| \0\n')


def test_parts_of_a_split_gguf() -> None:
    assert gguf_parts("a.gguf") == ("a.gguf",)
    assert gguf_parts("d/a-00001-of-00003.gguf") == tuple(f"d/a-0000{i}-of-00003.gguf" for i in (1, 2, 3))
