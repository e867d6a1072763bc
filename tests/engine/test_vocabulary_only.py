"""A vocabulary without weights tokenises as the whole model does, and computes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench_local import api
from medbench_local.acquire.conversion.convert import write_vocabulary
from medbench_local.acquire.source import DEMO
from medbench_local.engine.base import EngineOptions, Pack, ScoreRequest
from medbench_local.engine.remote import start_engine
from medbench_local.errors import EngineError, InputError
from medbench_local.files.gguf_header import read_gguf_header

TEXTS = ["Which organ?\n(A) the liver", "</s> ### \u00e4\u00f6 12.5 mg", ""]


def test_the_same_tokens_without_the_weights(tmp_path: Path) -> None:
    whole, words = tmp_path / "whole.gguf", tmp_path / "words.gguf"
    api.convert("demo-med", whole)
    write_vocabulary(DEMO / "demo-med", words)
    headers = read_gguf_header(whole), read_gguf_header(words)
    assert headers[1].tensors == ()
    for name in ("file_type", "context", "vocabulary", "architecture", "chat_template"):
        assert getattr(headers[0], name) == getattr(headers[1], name)
    with start_engine(whole, EngineOptions()) as engine:
        expected = [engine.tokenize(TEXTS, special=special) for special in (False, True)]
        ends = engine.info.bos_text, engine.info.eos_text
    for path in (whole, words):
        with start_engine(path, EngineOptions(mode="fast", vocabulary_only=True)) as engine:
            assert [engine.tokenize(TEXTS, special=special) for special in (False, True)] == expected
            assert (engine.info.bos_text, engine.info.eos_text) == ends
            assert engine.work.tokens == 0
            with pytest.raises(EngineError, match="only the vocabulary is loaded"):
                engine.score(Pack((), (ScoreRequest((1, 5), ((6,),)),)))


def test_it_is_asked_for(tmp_path: Path) -> None:
    write_vocabulary(DEMO / "demo-med", tmp_path / "words.gguf")
    with pytest.raises(InputError, match="a vocabulary and no weights"):
        start_engine(tmp_path / "words.gguf", EngineOptions())
