"""Every kind of tokenizer: a converted model gives the ids of the library that the tokenizer was trained with."""

from __future__ import annotations

import io
import json
import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from medbench_local.acquire.conversion import bpe_tokens
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.conversion.sentencepiece_tokens import read_sentencepiece_tokens
from medbench_local.engine.llama_model import Model
from medbench_local.errors import InputError
from medbench_local.files.text_rules import TEXT_RULES
from tests.acquire.checkpoints import config, small_sentencepiece, tensors, write_json, write_weights
from tests.acquire.gguf_content import read_content
from tests.acquire.tokenizer_texts import tokenizer_texts

import torch  # isort: skip

CONTROL = ("<|im_start|>", "<|im_end|>", "<s>", "</s>", "<｜User｜>", "<start_of_turn>")
LOOK_SPECIAL = ("<unused7>", "<2mass>", "[@BOS@]", "<｜Assistant｜>", "<|eot_id|>")
OWN = ("<think>", "</think>", "@b", "  \n")


def split(expression: str, behavior: str = "isolated", *, invert: bool = False) -> Any:
    return pre_tokenizers.Split(Regex(expression), behavior, invert=invert)


@dataclass(frozen=True)
class Kind:
    """A byte-level tokenizer as model families have it.

    Attributes:
        steps: by which text is split; bytes follow.
        pre: llama.cpp's name of the rule.
        whole: ignore_merges.
        nfc: whether it normalises.
        regex: whether the last step has GPT-2's expression.
        stripping: whether control tokens swallow the blanks beside them.
        stored: whether the file has to say something of its texts.
    """

    steps: tuple[Any, ...]
    pre: str
    whole: bool = False
    nfc: bool = False
    regex: bool = False
    stripping: bool = False
    stored: bool = False


DIGITS = pre_tokenizers.Digits(individual_digits=True)
KINDS = {
    "llama3": Kind((split(bpe_tokens.LLAMA_3),), "llama-bpe", whole=True),
    "phi4": Kind((split(bpe_tokens.LLAMA_3, "removed", invert=True),), "dbrx", stripping=True, stored=True),
    "qwen2": Kind((split(bpe_tokens.QWEN_2),), "qwen2", nfc=True),
    "qwen2 without normaliser": Kind((split(bpe_tokens.QWEN_2),), "qwen2", stored=True),
    "qwen3.5": Kind((split(bpe_tokens.QWEN_35),), "qwen35", nfc=True),
    "apertus": Kind((split(bpe_tokens.TEKKEN),), "tekken", whole=True),
    "gpt-oss": Kind((split(bpe_tokens.GPT_4O),), "gpt-4o"),
    "gpt-2": Kind((), "gpt-2", regex=True),
    "cohere": Kind((DIGITS,), "command-r", regex=True, nfc=True),
    "deepseek": Kind(tuple(map(split, bpe_tokens.DEEPSEEK_3)), "deepseek-v3"),
}


@cache
def trained(name: str) -> Tokenizer:
    kind = KINDS[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind.whole))
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind.regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*kind.steps, last]) if kind.steps else last
    if kind.nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(tokenizer_texts()[:1000], trainer)
    strip = {"lstrip": kind.stripping, "rstrip": kind.stripping}
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False, **strip) for text in CONTROL + LOOK_SPECIAL]
    )
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in OWN])
    return tokenizer


def write_model(folder: Path, rows: int, **files: Any) -> Path:
    folder.mkdir()
    values = config(
        vocab_size=rows, hidden_size=16, num_attention_heads=2, num_key_value_heads=2, num_hidden_layers=1
    )
    write_json(folder / "config.json", values)
    write_weights(folder, tensors(values, torch.float16))
    for name, value in files.items():
        if isinstance(value, bytes):
            (folder / f"{name}.model").write_bytes(value)
        elif isinstance(value, str):
            (folder / f"{name}.json").write_text(value, encoding="utf-8")
        else:
            write_json(folder / f"{name}.json", value)
    return folder


def check(folder: Path, ids: Callable[[str, bool], list[int]]) -> Path:
    """Convert the folder, and compare the ids of all texts; gives the file."""
    path = folder.with_suffix(".gguf")
    convert_checkpoint(folder, path)
    model = Model(path, vocab_only=True)
    texts = tokenizer_texts()
    assert len(texts) >= 2000
    for special in (True, False):
        wrong = [
            text
            for text in (texts if special else texts[:60])
            if model.tokenize(text, special=special) != ids(text, special)
        ]
        assert wrong == []
    model.close()
    return path


def ids_of(tokenizer: Tokenizer) -> Callable[[str, bool], list[int]]:
    def ids(text: str, special: bool) -> list[int]:
        tokenizer.encode_special_tokens = not special
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return ids


@pytest.mark.parametrize("name", KINDS)
def test_byte_level(tmp_path: Path, name: str) -> None:
    tokenizer, kind = trained(name), KINDS[name]
    folder = write_model(tmp_path / "m", tokenizer.get_vocab_size() + 5, tokenizer=tokenizer.to_str())
    path = check(folder, ids_of(tokenizer))
    content = read_content(path)
    assert content.value("tokenizer.ggml.pre") == kind.pre
    assert (TEXT_RULES in content.metadata) == kind.stored


def test_digits_alone_without_normaliser_are_the_rule_of_smollm(tmp_path: Path) -> None:
    data = json.loads(trained("cohere").to_str()) | {"normalizer": None}
    rows = trained("cohere").get_vocab_size()
    path = tmp_path / "m.gguf"
    convert_checkpoint(write_model(tmp_path / "m", rows, tokenizer=data), path)
    assert read_content(path).value("tokenizer.ggml.pre") == "smollm"


SYMBOLS = ("<drug>", "<gene>")
RUNS = ("\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "<unused7>", "<2mass>", "<table>")


@cache
def sentencepiece(symbols: tuple[str, ...] = (), *, prefix: bool = True, **changes: Any) -> bytes:
    out = io.BytesIO()
    sentences = [line for text in tokenizer_texts()[:800] for line in text.splitlines() if line]
    options = {
        "vocab_size": 900,
        "model_type": "bpe",
        "byte_fallback": True,
        "character_coverage": 0.99,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "add_dummy_prefix": prefix,
        "user_defined_symbols": list(symbols),
        "num_threads": 1,
        "minloglevel": 2,
        **changes,
    }
    SentencePieceTrainer.Train(sentence_iterator=iter(sentences), model_writer=out, **options)
    return out.getvalue()


def pairs(scores: dict[str, float]) -> Iterator[tuple[str, str]]:
    """What makes each piece, the best piece first, as transformers writes it for SentencePiece models."""
    for text in sorted(scores, key=lambda text: (-scores[text], text)):
        for i in range(1, len(text)):
            if text[:i] in scores and text[i:] in scores:
                yield text[:i], text[i:]


BLANKS: dict[str, tuple[Any, Any]] = {
    "every": (
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        None,
    ),
    "first": (None, pre_tokenizers.Metaspace("▁", "first", split=False)),
    "always": (None, pre_tokenizers.Metaspace("▁", "always", split=False)),
    "never": (normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous")),
}


def rewritten(model: bytes, blank: str, symbols: tuple[str, ...] = (), *, turns: bool = True) -> Tokenizer:
    """The tokenizer.json of a SentencePiece model; with ``turns``, a control token is added."""
    processor = SentencePieceProcessor(model_proto=model)
    ids = {processor.IdToPiece(i): i for i in range(processor.vocab_size())}
    scores = {text: processor.GetScore(i) for text, i in ids.items() if i > 2 and not processor.IsByte(i)}
    merging = models.BPE(ids, list(pairs(scores)), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(merging)
    normalizer, splitter = BLANKS[blank]
    if normalizer:
        tokenizer.normalizer = normalizer
    if splitter:
        tokenizer.pre_tokenizer = splitter
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in ("<unk>", "<s>", "</s>")])
    looking = [text for text in symbols if text in LOOK_SPECIAL]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in looking])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in symbols if text not in looking])
    if turns:
        tokenizer.add_special_tokens([AddedToken("<start_of_turn>", normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused(tmp_path: Path, score: float) -> None:
    model = small_sentencepiece()
    usual = b"\x15" + struct.pack("<f", -20.0)  # the field of a piece's score
    assert usual in model
    changed = model.replace(usual, b"\x15" + struct.pack("<f", score), 1)
    (tmp_path / "tokenizer.model").write_bytes(changed)
    with pytest.raises(InputError, match=rf"tokenizer\.model, piece \d+: its score is {score}, expected"):
        read_sentencepiece_tokens(tmp_path, {}, {})


def test_sentencepiece_alone(tmp_path: Path) -> None:
    processor = SentencePieceProcessor(model_proto=sentencepiece())
    marks = {"<unk>": 0, "<s>": 1, "</s>": 2}

    def ids(text: str, special: bool) -> list[int]:
        if not special:
            return list(processor.EncodeAsIds(text))
        found: list[int] = []
        for part in re.split("(<unk>|<s>|</s>)", text):
            found += [marks[part]] if part in marks else processor.EncodeAsIds(part)
        return found

    check(write_model(tmp_path / "m", 900, tokenizer=sentencepiece()), ids)


@pytest.mark.parametrize("alone", [False, True], ids=["with tokenizer.model", "tokenizer.json alone"])
@pytest.mark.parametrize("blank", BLANKS)
def test_sentencepiece_as_tokenizer_json(tmp_path: Path, blank: str, alone: bool) -> None:
    symbols = RUNS if blank == "never" else SYMBOLS
    model = sentencepiece(symbols, prefix=blank != "never")
    tokenizer = rewritten(model, blank, symbols)
    folder = write_model(tmp_path / "m", 905, tokenizer=tokenizer.to_str())
    if not alone:
        (folder / "tokenizer.model").write_bytes(model)
    content = read_content(check(folder, ids_of(tokenizer)))
    if blank == "every":
        assert "tokenizer.ggml.add_space_prefix" not in content.metadata
    else:
        assert content.value("tokenizer.ggml.add_space_prefix") is False
    assert (TEXT_RULES in content.metadata) == (blank in ("first", "always"))


def test_symbols_of_users_without_blank(tmp_path: Path) -> None:
    model = sentencepiece(RUNS, prefix=False)
    processor = SentencePieceProcessor(model_proto=model)
    path = tmp_path / "m.gguf"
    convert_checkpoint(write_model(tmp_path / "m", 900, tokenizer=model), path)
    loaded = Model(path, vocab_only=True)
    texts = [text for text in tokenizer_texts() if not re.search("</?s>|<unk>", text)]
    assert len(texts) >= 2000
    for text in texts:
        # those of Gemma's that look like control tokens are found where control tokens are
        special = any(token in text for token in LOOK_SPECIAL)
        assert loaded.tokenize(text, special=special) == processor.EncodeAsIds(text), text
    loaded.close()


def test_legacy_false_without_tokenizer_json(tmp_path: Path) -> None:
    model = sentencepiece()
    files = {
        "tokenizer": model,
        "tokenizer_config": {"legacy": False, "bos_token": "<s>", "eos_token": "</s>"},
    }
    tokenizer = rewritten(model, "first", turns=False)
    check(write_model(tmp_path / "m", 900, **files), ids_of(tokenizer))
