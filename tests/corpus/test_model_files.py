"""Malformed checkpoints, tokenizers and GGUF files, through the command line."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as packed

from medbench_local.acquire.source import DEMO as CHECKPOINTS
from tests.acquire.conversion.test_safetensors_reader import HOSTILE as TENSORS
from tests.acquire.conversion.test_safetensors_reader import write as write_safetensors
from tests.acquire.conversion.test_torch_reader import HOSTILE_PICKLES as PICKLES
from tests.corpus.command_line import files_below, refusal
from tests.corpus.test_result_files import COMPARE, written
from tests.engine.tiny import write_random_llama
from tests.files.test_gguf_header import HOSTILE as HEADERS

Change = Callable[[Path], object]


def text(name: str, content: str | bytes) -> Change:
    """Replace a file of the checkpoint."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def edited(name: str, **changes: Any) -> Change:
    """Change keys of a JSON file; None removes one."""

    def change(folder: Path) -> None:
        data = json.loads((folder / name).read_text(encoding="utf-8")) | changes
        kept = {key: value for key, value in data.items() if value is not None}
        (folder / name).write_text(json.dumps(kept), encoding="utf-8")

    return change


def gone(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def tensors(change: Callable[[dict[str, Any]], None]) -> Change:
    """Replace the weights by float16 noughts of the same shapes, with changes."""

    def write(folder: Path) -> None:
        shapes = _shapes(folder / "model.safetensors")
        weights = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
        change(weights)
        (folder / "model.safetensors").write_bytes(packed(weights))

    return write


def _shapes(path: Path) -> dict[str, list[int]]:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


SHARD = "model-00001-of-00001.safetensors"


def index_of(content: str) -> Change:
    """An index beside the weights, which are called a shard: a whole file would be read in its place."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / SHARD)
        (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")

    return write


def index(weight_map: object) -> Change:
    return index_of(json.dumps({"weight_map": weight_map}))


def archive(**members: bytes) -> Change:
    """PyTorch's zip format in place of safetensors."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            for name, data in members.items():
                file.writestr(f"archive/{name}", data)
        (folder / "pytorch_model.bin").write_bytes(stream.getvalue())

    return write


def pickled(content: bytes) -> Change:
    return archive(**{"data.pkl": content, "byteorder": b"little"})


def legacy(content: bytes) -> Change:
    def write(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(content)

    return write


CONFIG = "config.json"
TOKENIZER = "tokenizer_config.json"

CHECKPOINTS_DAMAGED: dict[str, tuple[Change, tuple[str, ...]]] = {
    "no config": (gone(CONFIG), ("config.json",)),
    "config empty": (text(CONFIG, ""), (CONFIG, "not valid JSON")),
    "config a list": (text(CONFIG, "[]"), (CONFIG, "object")),
    "config cut short": (text(CONFIG, '{"architectures": ["Ll'), (CONFIG, "line 1", "not valid JSON")),
    "config not UTF-8": (text(CONFIG, b'{"\xff": 1}'), (CONFIG, "UTF-8")),
    "config deep": (text(CONFIG, "[" * 100_000), (CONFIG, "not valid JSON")),
    "config key twice": (text(CONFIG, '{"vocab_size": 1, "vocab_size": 2}'), (CONFIG, "given twice")),
    "another architecture": (edited(CONFIG, architectures=["FalconForCausalLM"]), ("FalconForCausalLM",)),
    "no architecture": (edited(CONFIG, architectures=None, model_type=None), (CONFIG, "architectures")),
    "another type": (edited(CONFIG, architectures=None, model_type="bloom"), (CONFIG, "model_type 'bloom'")),
    "two architectures": (edited(CONFIG, architectures=["LlamaForCausalLM"] * 2), ("a list of one name",)),
    "code of its own": (
        edited(CONFIG, architectures=["X"], auto_map={"AutoModel": "code.py"}),
        ("'X' cannot be converted", "code that lies beside the weights"),
    ),
    "layers a text": (edited(CONFIG, num_hidden_layers="3"), (CONFIG, "num_hidden_layers")),
    "layers negative": (edited(CONFIG, num_hidden_layers=-3), (CONFIG, "num_hidden_layers")),
    "layers endless": (edited(CONFIG, num_hidden_layers=10**9), (CONFIG, "num_hidden_layers")),
    "heads 0": (edited(CONFIG, num_attention_heads=0), (CONFIG, "num_attention_heads")),
    "width odd": (edited(CONFIG, hidden_size=257), (CONFIG, "not a multiple")),
    "vocabulary missing": (edited(CONFIG, vocab_size=None), (CONFIG, "vocab_size", "required")),
    "epsilon a text": (edited(CONFIG, rms_norm_eps="small"), (CONFIG, "rms_norm_eps")),
    "rope unknown": (edited(CONFIG, rope_scaling={"type": "new", "factor": 2.0}), ("new",)),
    "activation": (edited(CONFIG, hidden_act="gelu"), (CONFIG, "hidden_act")),
    "quantised already": (
        edited(CONFIG, quantization_config={"quant_method": "gptq"}),
        ("already quantised",),
    ),
    # weights
    "no weights": (gone("model.safetensors"), ("checkpoint", "safetensors")),
    "more layers than weights": (edited(CONFIG, num_hidden_layers=4), ("model.layers.3",)),
    "fewer layers than weights": (edited(CONFIG, num_hidden_layers=2), ("model.layers.2",)),
    "another width": (edited(CONFIG, hidden_size=128), ("shape",)),
    "a tensor missing": (tensors(lambda w: w.pop("model.norm.weight")), ("model.norm.weight",)),
    "a tensor too many": (tensors(lambda w: w.update(extra=np.zeros(3, np.float16))), ("extra",)),
    "a tensor of integers": (
        tensors(lambda w: w.update({"model.norm.weight": np.zeros(256, np.int8)})),
        ("model.norm.weight",),
    ),
    "index climbs": (index({"a": "../model.safetensors"}), ("index.json", "no file '../model.safetensors'")),
    "index absolute": (index({"a": "/etc/passwd"}), ("index.json", "the name of a .safetensors file")),
    "index a list": (index([]), ("index.json", "weight_map")),
    "index empty": (index({}), ("index.json", "weight_map")),
    "index names what is missing": (index({"a": "model-00001-of-00002.safetensors"}), ("there is no file",)),
    "index of other tensors": (index({"a": SHARD}), ("'a'",)),
    "index no JSON": (index_of("{"), ("index.json", "not valid JSON")),
    "archive empty": (legacy(b""), ("pytorch_model.bin", "not a PyTorch zip checkpoint")),
    "archive of text": (legacy(b"hello " * 99), ("pytorch_model.bin", "not a PyTorch zip checkpoint")),
    "archive without description": (archive(other=b""), ("pytorch_model.bin", "no single data.pkl")),
    "archive big-endian": (archive(**{"data.pkl": b"\x80\x02}.", "byteorder": b"big"}), ("byteorder", "big")),
    "a plain pickle": (legacy(b"\x80\x02}."), ("pytorch_model.bin", "not a PyTorch zip checkpoint")),
    "pickle calls os.system": (
        pickled(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00exit\x85R."),
        ("data.pkl", "posix.system", "nothing in it was executed"),
    ),
    "pickle calls eval": (
        pickled(b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R."),
        ("data.pkl", "builtins.eval", "nothing in it was executed"),
    ),
    "pickle of a list": (pickled(b"\x80\x02]."), ("data.pkl", "a dictionary of tensors")),
    "pickle of a number": (pickled(b"\x80\x02}X\x01\x00\x00\x00aK\x01s."), ("pytorch_model.bin", "tensor")),
    "pickle of nothing": (pickled(b""), ("data.pkl",)),
    # tokenizers
    "no tokenizer": (gone("tokenizer.model"), ("no tokenizer",)),
    "tokenizer empty": (text("tokenizer.model", b""), ("tokenizer.model", "not a SentencePiece model")),
    "tokenizer noise": (text("tokenizer.model", bytes(range(256)) * 9), ("tokenizer.model",)),
    "tokenizer of text": (text("tokenizer.model", "hello " * 99), ("tokenizer.model",)),
    "tokenizer.json for it": (
        lambda f: (gone("tokenizer.model")(f), text("tokenizer.json", "{}")(f)),
        ("token",),
    ),
    "tokenizer.json of words": (
        lambda f: (
            gone("tokenizer.model")(f),
            text("tokenizer.json", json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}}}))(f),
        ),
        ("tokenizer.json", "BPE"),
    ),
    "tokenizer.json without merges": (
        lambda f: (
            gone("tokenizer.model")(f),
            text("tokenizer.json", json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}}}))(f),
        ),
        ("tokenizer.json",),
    ),
    "tokenizer config cut short": (text(TOKENIZER, "{"), (TOKENIZER, "not valid JSON")),
    "tokenizer config a list": (text(TOKENIZER, "[]"), (TOKENIZER, "object")),
    "added token a text": (text("added_tokens.json", '{"x": "7"}'), ("added_tokens.json", "token id")),
    "added token negative": (text("added_tokens.json", '{"x": -1}'), ("added_tokens.json", "token id")),
    "added tokens a list": (text("added_tokens.json", "[]"), ("added_tokens.json", "object")),
    "added tokens twice": (
        text("added_tokens.json", '{"x1": 1270, "x2": 1270}'),
        ("added_tokens.json", "given twice"),
    ),
    "added token repeats a piece": (text("added_tokens.json", '{"<s>": 1279}'), ("both stand for",)),
    "chat template a number": (edited(TOKENIZER, chat_template=3), ("chat_template",)),
    "chat template a list of numbers": (edited(TOKENIZER, chat_template=[1]), ("chat_template",)),
}


@pytest.mark.parametrize(("change", "says"), CHECKPOINTS_DAMAGED.values(), ids=CHECKPOINTS_DAMAGED)
def test_checkpoints(tmp_path: Path, home: Path, change: Change, says: tuple[str, ...]) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINTS / "demo-base", folder)
    change(folder)
    before = files_below(tmp_path)
    line = refusal("convert", folder, "--output", tmp_path / "model.gguf")
    for part in says:
        assert part in line, line
    assert files_below(tmp_path) == before
    assert not list(home.rglob("*.gguf"))


@pytest.mark.parametrize(("header", "data", "says"), TENSORS.values(), ids=TENSORS)
def test_safetensors(tmp_path: Path, header: Any, data: bytes, says: str) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINTS / "demo-base", folder)
    write_safetensors(folder / "model.safetensors", header, data)
    line = refusal("compare", "demo-med", folder, "--tasks", "demo-anatomy", "--quant", "none")
    assert "model.safetensors" in line
    assert says in line


@pytest.mark.parametrize("content", PICKLES.values(), ids=PICKLES)
def test_pickles(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINTS / "demo-base", folder)
    pickled(content)(folder)
    line = refusal("models", "fetch", folder, "--quant", "none")
    assert "pytorch_model.bin" in line
    assert "data.pkl" in line


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    return written(tmp_path / "requests.jsonl", [{"id": 1, "prompt": "Is it?", "options": ["A", "B"]}])


@pytest.mark.parametrize(("data", "says"), HEADERS.values(), ids=HEADERS)
def test_gguf_headers(tmp_path: Path, requests: Path, data: bytes, says: str) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data)
    before = files_below(tmp_path)
    for words in (
        ("score", bad, requests, "--output", tmp_path / "out.jsonl"),
        ("quantize", bad, "--quant", "q8_0", "--output", tmp_path / "out.gguf"),
    ):
        line = refusal(*words)
        assert "bad.gguf" in line
        assert says in line
        assert files_below(tmp_path) == before


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_random_llama(tmp_path_factory.mktemp("gguf") / "sound.gguf").read_bytes()


def _renamed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new)


def _value(key: bytes, value: int) -> Callable[[bytes], bytes]:
    """Another number for a key whose value is a uint32."""

    def change(data: bytes) -> bytes:
        place = data.index(key) + len(key) + 4
        return data[:place] + value.to_bytes(4, "little") + data[place + 4 :]

    return change


GGUFS: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...]]] = {
    "empty": (lambda data: b"", ("bad.gguf",)),
    "header only": (lambda data: data[:24], ("bad.gguf",)),
    "half": (lambda data: data[: len(data) // 2], ("bad.gguf", "beyond the end")),
    "last byte missing": (lambda data: data[:-1], ("bad.gguf", "beyond the end")),
    "another architecture": (_renamed(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0llamb"), ("bad.gguf",)),
    "a tensor renamed": (_renamed(b"blk.1.ffn_up.weight", b"blk.1.ffn_ux.weight"), ("blk.1.ffn_up.weight",)),
    "a key renamed": (_renamed(b"llama.embedding_length", b"llama.embedding_lengtx"), ("bad.gguf",)),
    "no heads": (_value(b"llama.attention.head_count", 0), ("bad.gguf",)),
    "no layers": (_value(b"llama.block_count", 0), ("bad.gguf",)),
    "too many layers": (_value(b"llama.block_count", 100_000), ("bad needs about", "GiB are free")),
    "another width": (_value(b"llama.embedding_length", 128), ("bad.gguf",)),
    "no context": (_value(b"llama.context_length", 0), ("bad.gguf", "context_length", "1 or more")),
    "BOS beyond the vocabulary": (
        _value(b"tokenizer.ggml.bos_token_id", 1 << 30),
        ("bad.gguf", "bos_token_id", "one of"),
    ),
    "no tokenizer": (_renamed(b"tokenizer.ggml.model", b"tokenizer.ggml.modex"), ("bad.gguf",)),
    "no tokens": (_renamed(b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokenx"), ("bad.gguf",)),
}


@pytest.mark.parametrize(("change", "says"), GGUFS.values(), ids=GGUFS)
def test_gguf_files(
    tmp_path: Path,
    requests: Path,
    sound: bytes,
    change: Callable[[bytes], bytes],
    says: tuple[str, ...],
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(change(sound))
    line = refusal("score", bad, requests, "--output", tmp_path / "out.jsonl")
    for part in says:
        assert part in line, line
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_a_model_that_computes_no_numbers_is_said_and_never_scored(
    tmp_path: Path, requests: Path, mode: str
) -> None:
    model = write_random_llama(tmp_path / "model.gguf", nan=True)
    for words in (
        ("score", model, requests, "--output", tmp_path / "out.jsonl", "--mode", mode),
        ("compare", model, *COMPARE[2:], "--output", tmp_path / "run"),
    ):
        line = refusal(*words)
        assert "NaN" in line
    assert not (tmp_path / "out.jsonl").exists()
    assert not (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "samples").exists()
