"""Vocabularies: tokenised by llama.cpp as by the tokenizer's own library, and damaged ones refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import llama_cpp
import pytest
from gguf import TokenType
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from medbench_local.acquire.conversion.bpe_tokens import QWEN_2, TEKKEN
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.conversion.vocabulary import Vocabulary, read_vocabulary
from medbench_local.errors import AcquireError, InputError, MedbenchError
from medbench_local.files.json_objects import read_json_object
from tests.acquire.checkpoints import (
    BPE_CONFIG,
    SPM_CONFIG,
    TEXT,
    config,
    edit_json,
    small_bpe,
    small_sentencepiece,
    write_checkpoint,
    write_json,
)
from tests.acquire.gguf_content import read_content

TEXTS = [
    *TEXT[:5],
    " leading and  double   blanks ",
    "Ünïcödé ½ 中文 🙂 1234567",
    "line\n\nbreaks\r\n\ttabs",
    "'Tis I'LL we'Ve don't",
    "3.14e-10,000 (A) [B] {C}",
]


def tokenise(model: Path, text: str) -> list[int]:
    """Token ids by llama.cpp without BOS, by the vocabulary alone."""
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    loaded = llama_cpp.llama_model_load_from_file(str(model).encode(), params)
    try:
        vocab = llama_cpp.llama_model_get_vocab(loaded)
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(vocab, data, len(data), ids, len(ids), False, False)
        assert count >= 0
        return list(ids[:count])
    finally:
        llama_cpp.llama_model_free(loaded)


def read(folder: Path, rows: int) -> Vocabulary:
    return read_vocabulary(folder, rows, read_json_object(folder / "config.json"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vocabularies")
    for name in ("spm", "bpe", "gpt2"):
        folder = write_checkpoint(root / name, tokenizer="spm" if name == "spm" else "bpe")
        if name == "gpt2":
            (folder / "tokenizer.json").write_text(small_bpe(split=False), encoding="utf-8")
        convert_checkpoint(folder, root / f"{name}.gguf")
    return root


@pytest.mark.parametrize("text", TEXTS)
def test_sentencepiece_tokens(models: Path, text: str) -> None:
    processor = SentencePieceProcessor(model_proto=small_sentencepiece())
    assert tokenise(models / "spm.gguf", text) == processor.EncodeAsIds(text)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["bpe", "gpt2"])
def test_byte_level_tokens(models: Path, name: str, text: str) -> None:
    tokenizer = Tokenizer.from_str(small_bpe(split=name == "bpe"))
    assert tokenise(models / f"{name}.gguf", text) == tokenizer.encode(text, add_special_tokens=False).ids


def test_metadata_of_byte_level(models: Path) -> None:
    content = read_content(models / "bpe.gguf")
    assert content.value("tokenizer.ggml.model") == "gpt2"
    assert content.value("tokenizer.ggml.pre") == "llama-bpe"
    assert content.value("tokenizer.ggml.add_bos_token") is True
    tokens = content.value("tokenizer.ggml.tokens")
    assert tokens[content.value("tokenizer.ggml.bos_token_id")] == "<|begin_of_text|>"
    assert tokens[content.value("tokenizer.ggml.eos_token_id")] == "<|end_of_text|>"
    assert "tokenizer.ggml.scores" not in content.metadata
    assert read_content(models / "gpt2.gguf").value("tokenizer.ggml.pre") == "gpt-2"


def write(folder: Path, *, spm: bytes | None = None, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    files = {"config": config(), **files}
    if spm is not None:
        (folder / "tokenizer.model").write_bytes(spm)
    for name, value in files.items():
        write_json(folder / f"{name}.json", value)
    return folder


def bpe(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(small_bpe())
    return {**data, **changes}


def bpe_model(**changes: Any) -> dict[str, Any]:
    data = bpe()
    return {**data, "model": {**data["model"], **changes}}


def _merged(pair: Any) -> dict[str, Any]:
    return bpe_model(merges=[*bpe()["model"]["merges"], pair])


def test_merges_in_both_forms(tmp_path: Path) -> None:
    texts = read(write(tmp_path / "a", tokenizer=bpe()), 400).merges
    pairs = [merge.split(" ") for merge in texts]
    assert read(write(tmp_path / "b", tokenizer=bpe_model(merges=pairs)), 400).merges == texts
    joined = [" ".join(pair) for pair in pairs]
    assert read(write(tmp_path / "c", tokenizer=bpe_model(merges=joined)), 400).merges == texts


def test_bos_is_found_by_name_if_nothing_gives_its_id(tmp_path: Path) -> None:
    plain = {key: value for key, value in config().items() if not key.endswith("token_id")}
    files = {"config": plain, "tokenizer_config": SPM_CONFIG}
    special = read(write(tmp_path / "m", spm=small_sentencepiece(), **files), 400).special
    assert (special.ids["bos"], special.ids["eos"]) == (1, 2)
    assert special.add == {"bos": True, "eos": False}


def test_special_ids_beyond_the_vocabulary_are_ignored_with_a_warning(tmp_path: Path) -> None:
    files = {"config": config(pad_token_id=32000, eos_token_id=[2, 3])}
    vocabulary = read(write(tmp_path / "m", spm=small_sentencepiece(), **files), 400)
    assert vocabulary.special.ids == {"bos": 1, "eos": 2}
    assert any("pad token" in warning for warning in vocabulary.warnings)


def test_the_tokenizer_decides_and_not_config_json(tmp_path: Path) -> None:
    old = config(bos_token_id=0, eos_token_id=1, pad_token_id=-1)  # as the first conversions of LLaMA have it
    files = {"config": old, "tokenizer_config": SPM_CONFIG}
    vocabulary = read(write(tmp_path / "m", spm=small_sentencepiece(), **files), 400)
    assert vocabulary.special.ids == {"bos": 1, "eos": 2}
    assert vocabulary.warnings == (
        "config.json says that the bos token is 0, the tokenizer's files say 1 ('<s>'); theirs is used.",
    )
    # without any names the SentencePiece model's own ids count
    bare = read(write(tmp_path / "bare", spm=small_sentencepiece(), config=old), 400)
    assert bare.special.ids == {"bos": 1, "eos": 2}


def test_older_models_name_special_tokens_in_a_file_of_their_own(tmp_path: Path) -> None:
    named = {"bos_token": {"content": "▁the"}, "eos_token": "<s>"}
    files: dict[str, Any] = {"special_tokens_map": named, "tokenizer_config": SPM_CONFIG}
    special = read(write(tmp_path / "old", spm=small_sentencepiece(), **files), 400).special
    the = SentencePieceProcessor(model_proto=small_sentencepiece()).PieceToId("▁the")
    assert (special.ids["bos"], special.ids["eos"]) == (the, 1)
    files["tokenizer_config"] = {**SPM_CONFIG, "added_tokens_decoder": {}}
    special = read(write(tmp_path / "new", spm=small_sentencepiece(), **files), 400).special
    assert (special.ids["bos"], special.ids["eos"]) == (1, 2)


def test_ids_of_a_model_with_several_parts(tmp_path: Path) -> None:
    plain = {key: value for key, value in config().items() if not key.endswith("token_id")}
    wrapped = {**plain, "text_config": {"bos_token_id": 300, "eos_token_id": 301}}
    special = read(write(tmp_path / "m", tokenizer=bpe(post_processor=None), config=wrapped), 400).special
    assert special.ids == {"bos": 300, "eos": 301}


@pytest.mark.parametrize(
    "text",
    [
        "<pad>",
        "<mask>",
        "<2mass>",
        "[@BOS@]",
        "<|x|>",
        "<｜Assistant｜>",
        "<unused94>",
        "<｜end▁of▁sentence｜>",
    ],
)
def test_tokens_that_look_like_control_tokens(tmp_path: Path, text: str) -> None:
    entry = {"id": 396, "content": text, "special": False}
    tokens = read(write(tmp_path / "m", tokenizer=bpe(added_tokens=[entry])), 400).tokens
    assert (tokens[396].text, tokens[396].type) == (text, TokenType.CONTROL)
    decoder = {"added_tokens_decoder": {"396": {"content": text}}}
    tokens = read(write(tmp_path / "s", spm=small_sentencepiece(), tokenizer_config=decoder), 400).tokens
    assert (tokens[396].text, tokens[396].type) == (text, TokenType.CONTROL)


def test_other_added_tokens_are_found_in_every_text(tmp_path: Path) -> None:
    entry = {"id": 396, "content": "<think>▁x", "special": False}
    tokens = read(write(tmp_path / "m", tokenizer=bpe(added_tokens=[entry])), 400).tokens
    assert (tokens[396].text, tokens[396].type) == ("<think>▁x", TokenType.USER_DEFINED)
    decoder = {"added_tokens_decoder": {"396": {"content": "<think>▁x"}}}
    tokens = read(write(tmp_path / "s", spm=small_sentencepiece(), tokenizer_config=decoder), 400).tokens
    assert (tokens[396].text, tokens[396].type) == ("<think> x", TokenType.USER_DEFINED)


def test_symbols_of_users_need_a_tokenizer_json_that_says_where_blanks_go(tmp_path: Path) -> None:
    model = small_sentencepiece(user_defined_symbols="<drug>,<gene>")
    with pytest.raises(AcquireError, match="symbols of its own"):
        read(write(tmp_path / "m", spm=model), 400)
    plain = small_sentencepiece(user_defined_symbols="<drug>,<gene>", add_dummy_prefix=False)
    tokens = read(write(tmp_path / "p", spm=plain), 400).tokens
    assert [token.text for token in tokens if token.type == TokenType.USER_DEFINED] == ["<drug>", "<gene>"]


_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_PREPEND = {"type": "Prepend", "prepend": "▁"}


def test_tokens_found_only_behind_blanks_are_told_of(tmp_path: Path) -> None:
    data = {
        "normalizer": {"type": "Sequence", "normalizers": [_PREPEND, _REPLACE]},
        "pre_tokenizer": None,
        "added_tokens": [{"id": 1, "content": "<s>", "special": True, "normalized": True}],
    }
    vocabulary = read(write(tmp_path / "m", spm=small_sentencepiece(), tokenizer=data), 400)
    (warning,) = vocabulary.warnings
    assert warning.startswith("tokenizer.json finds '<s>' only at the beginning of a text or behind a blank")


def test_words_that_are_tokens_may_be_taken_whole_where_merging_makes_them(tmp_path: Path) -> None:
    data = bpe_model(ignore_merges=False)
    data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = TEKKEN
    assert read(write(tmp_path / "m", tokenizer=data), 400).pre == "tekken"
    data["model"]["vocab"]["Ġunreachable"] = 399
    with pytest.raises(AcquireError, match="merging does not make the token 'Ġunreachable'"):
        read(write(tmp_path / "u", tokenizer=data), 400)
    data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN_2
    assert read(write(tmp_path / "q", tokenizer=data), 400).pre == "qwen2"


def test_added_tokens_that_repeat_pieces_change_nothing(tmp_path: Path) -> None:
    plain = read(write(tmp_path / "a", spm=small_sentencepiece()), 400)
    added = {"<unk>": 0, "<s>": 1, "</s>": 2}
    repeated = read(write(tmp_path / "b", spm=small_sentencepiece(), added_tokens=added), 400)
    assert repeated == plain


def test_the_rule_of_llama3_without_ignore_merges_has_another_name(tmp_path: Path) -> None:
    assert read(write(tmp_path / "m", tokenizer=bpe_model(ignore_merges=False)), 400).pre == "dbrx"


def test_a_tiktoken_file_beside_tokenizer_json_is_passed_over(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", spm=b"IQ== 0\nIg== 1\n", tokenizer=bpe(), tokenizer_config=BPE_CONFIG)
    assert read(folder, 400).model == "gpt2"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "no tokenizer"),
    "damaged model": ({"spm": b"\x0a\xff\xff\xff"}, "not a SentencePiece model"),
    "empty model": ({"spm": b""}, "not a SentencePiece model"),
    "unigram": ({"spm": small_sentencepiece(model_type="unigram")}, "unigram"),
    "normalising": ({"spm": small_sentencepiece(normalization_rule_name="nmt_nfkc")}, "rewrites text"),
    "trimming": ({"spm": small_sentencepiece(remove_extra_whitespaces=True)}, "rewrites text"),
    "added ids twice": (
        {"spm": small_sentencepiece(), "added_tokens": {"a1": 396, "b1": 396}},
        "given twice",
    ),
    "added id negative": ({"spm": small_sentencepiece(), "added_tokens": {"a": -1}}, "not a token id"),
    "added id a truth": ({"spm": small_sentencepiece(), "added_tokens": {"a": True}}, "not a token id"),
    "added id huge": ({"spm": small_sentencepiece(), "added_tokens": {"a": 1 << 40}}, "not a token id"),
    "same text": (
        {"spm": small_sentencepiece(), "added_tokens": {"▁the": 396, "<s>": 397}},
        "both stand for",
    ),
    "decoder no object": (
        {"spm": small_sentencepiece(), "tokenizer_config": {"added_tokens_decoder": [1]}},
        "added_tokens_decoder",
    ),
    "decoder id": (
        {"spm": small_sentencepiece(), "tokenizer_config": {"added_tokens_decoder": {"x": {"content": "x"}}}},
        "token id",
    ),
    "decoder id twice": (
        {
            "spm": small_sentencepiece(),
            "tokenizer_config": {
                "added_tokens_decoder": {"396": {"content": "x1"}, "0396": {"content": "x2"}}
            },
        },
        "given twice",
    ),
    "decoder content": (
        {"spm": small_sentencepiece(), "tokenizer_config": {"added_tokens_decoder": {"396": {"content": 1}}}},
        "not the text of a token",
    ),
    "chat template": (
        {"spm": small_sentencepiece(), "tokenizer_config": {"chat_template": [{"name": 1}]}},
        "chat_template",
    ),
    "vocab ids twice": ({"tokenizer": bpe_model(vocab={"a": 0, "b": 0})}, "given twice"),
    "vocab id no number": ({"tokenizer": bpe_model(vocab={"a": "0"})}, "not a token id"),
    "vocab missing": ({"tokenizer": bpe_model(vocab=None)}, "vocab"),
    "surrogate": ({"tokenizer": bpe_model(vocab={"\ud800": 0})}, "not the text"),
    "merges missing": ({"tokenizer": bpe_model(merges=[])}, "merges"),
    "merge of three": ({"tokenizer": _merged(["a", "b", "c"])}, "not a pair"),
    "merge of one": ({"tokenizer": _merged("ab")}, "not a pair"),
    "merge of numbers": ({"tokenizer": _merged([1, 2])}, "not the text"),
    "added twice": (
        {"tokenizer": bpe(added_tokens=[{"id": 398, "content": "x"}, {"id": 398, "content": "y"}])},
        "given twice",
    ),
    "added no object": ({"tokenizer": bpe(added_tokens=["x"])}, "id and content"),
    "model missing": ({"tokenizer": bpe(model=None)}, "model"),
    "word level": ({"tokenizer": bpe_model(type="WordLevel")}, "supported is BPE"),
    "byte fallback and whole words": ({"tokenizer": bpe_model(byte_fallback=True)}, "ignore_merges"),
    "byte fallback without bytes": (
        {"tokenizer": bpe_model(byte_fallback=True, ignore_merges=False)},
        "not those of a SentencePiece model|no byte fallback",
    ),
    "sentencepiece without bytes": ({"spm": small_sentencepiece(byte_fallback=False)}, "no byte fallback"),
    "blanks of another kind": (
        {"spm": small_sentencepiece(), "tokenizer": {"pre_tokenizer": {"type": "Whitespace"}}},
        "treat blanks.*no normaliser, then Whitespace",
    ),
    "normaliser of pieces": (
        {"spm": small_sentencepiece(), "tokenizer": {"normalizer": {"type": "NFKC"}}},
        "treat blanks.*NFKC, then no splitting",
    ),
    "words of their own": (
        {"tokenizer": bpe(added_tokens=[{"id": 398, "content": "x", "single_word": True}])},
        "'x' is found only",
    ),
    "tokens that overlap": (
        {"tokenizer": bpe(added_tokens=[{"id": 398, "content": "<a>"}, {"id": 399, "content": ">bcd"}])},
        "'<a>' and '>bcd' overlap",
    ),
    "merging of words": ({"tokenizer": bpe_model(end_of_word_suffix="</w>")}, "end_of_word_suffix"),
    "unknown rule": ({"tokenizer": bpe(pre_tokenizer={"type": "Whitespace"})}, "split text before merging"),
    "normaliser": ({"tokenizer": bpe(normalizer={"type": "Lowercase"})}, "Lowercase.*supported is NFC"),
}


@pytest.mark.parametrize(("files", "says"), REFUSED.values(), ids=REFUSED)
def test_refuses_damaged_and_foreign_tokenizers(tmp_path: Path, files: dict[str, Any], says: str) -> None:
    folder = write(tmp_path / "model", **files)
    with pytest.raises(MedbenchError, match=says) as caught:
        read(folder, 400)
    assert isinstance(caught.value, InputError | AcquireError)
    assert "\n" not in str(caught.value)


def test_a_split_rule_almost_like_llama3_is_refused(tmp_path: Path) -> None:
    data = bpe()
    data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] += "|x"
    with pytest.raises(AcquireError, match="split text before merging"):
        read(write(tmp_path / "m", tokenizer=data), 400)
    edit_json(
        tmp_path / "m" / "tokenizer.json", pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}
    )
    with pytest.raises(AcquireError, match="split text before merging"):
        read(tmp_path / "m", 400)
