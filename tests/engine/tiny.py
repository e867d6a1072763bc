"""Small GGUF files for the tests of this room, written without the package's own converter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Array = NDArray[np.float32]
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


def spm_vocabulary() -> tuple[list[str], list[float], list[int]]:
    """512 pieces in the form of a SentencePiece vocabulary with byte fallback."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    kinds = [_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * 256
    characters = [chr(code) for code in range(33, 127)] + ["▁"]
    words = ["▁" + chr(code) for code in range(65, 91)]
    words += [f"▁{a}{b}" for a in "abcdefgh" for b in "aeioulnrst"]
    pieces += (characters + words)[: 512 - len(pieces)]
    pieces += [f"▁pad{i}" for i in range(512 - len(pieces))]
    kinds += [_NORMAL] * (512 - len(kinds))
    return pieces, [-float(i) for i in range(512)], kinds


def _header(
    writer: gguf.GGUFWriter,
    layers: int,
    width: int,
    heads: int,
    kv_heads: int,
    hidden: int,
    *,
    head: int | None = None,
) -> None:
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head or width // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_quantization_version(2)


def _tokenizer(writer: gguf.GGUFWriter, pieces: list[str], scores: list[float], kinds: list[int]) -> None:
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_random_llama(path: Path, *, seed: int = 0, nan: bool = False, layers: int = 2) -> Path:
    """A Llama of random F16 weights whose rows (256) take K-quants.

    Args:
        path: of the file.
        seed: of the weights.
        nan: put a NaN into the output matrix.
        layers: number of layers.
    """
    width, heads, kv_heads, hidden = 256, 4, 2, 512
    pieces, scores, kinds = spm_vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    _header(writer, layers, width, heads, kv_heads, hidden)
    writer.add_file_type(1)
    _tokenizer(writer, pieces, scores, kinds)
    generator = np.random.default_rng(seed)

    def add(name: str, rows: int, columns: int) -> None:
        weights = generator.normal(0, 1.5 / np.sqrt(columns), (rows, columns)).astype(np.float16)
        if nan and name == "output.weight":
            weights[5, 7] = np.nan
        writer.add_tensor(name, weights)

    def add_norm(name: str) -> None:
        writer.add_tensor(name, np.ones(width, np.float32))

    add("token_embd.weight", len(pieces), width)
    add_norm("output_norm.weight")
    add("output.weight", len(pieces), width)
    for layer in range(layers):
        block = f"blk.{layer}."
        add_norm(block + "attn_norm.weight")
        add_norm(block + "ffn_norm.weight")
        for name, rows, columns in (
            ("attn_q", width, width),
            ("attn_k", width // 2, width),
            ("attn_v", width // 2, width),
            ("attn_output", width, width),
            ("ffn_gate", hidden, width),
            ("ffn_up", hidden, width),
            ("ffn_down", width, hidden),
        ):
            add(f"{block}{name}.weight", rows, columns)
    _finish(writer)
    return path


@dataclass(frozen=True)
class Shape:
    """What attention looks like in a random model.

    Attributes:
        architecture: llama, gemma2 (soft-capped, every second layer in a window) or gemma3 (in a window).
        head: numbers of a head.
        heads: of queries.
        kv_heads: of keys and values.
        window: tokens that a windowed layer sees; llama.cpp reads none for llama.
        original: tokens of the context before long rope stretched it; 0 for none.
    """

    architecture: str = "llama"
    head: int = 64
    heads: int = 4
    kv_heads: int = 2
    window: int = 0
    original: int = 0


def write_random(path: Path, shape: Shape, *, seed: int = 0) -> Path:
    """A model of two layers of random F32 weights, whose rows take K-quants."""
    width, hidden = 256, 256
    gemma = shape.architecture != "llama"
    writer = gguf.GGUFWriter(path, shape.architecture)
    _header(writer, 2, width, shape.heads, shape.kv_heads, hidden, head=shape.head)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    if shape.window:
        writer.add_sliding_window(shape.window)
    if shape.original:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(shape.original)
        for name, factor in (("long", 4.0), ("short", 1.0)):
            writer.add_tensor(f"rope_factors_{name}.weight", np.full(shape.head // 2, factor, np.float32))
    if shape.architecture == "gemma2":
        writer.add_attn_logit_softcapping(50.0)
        writer.add_final_logit_softcapping(30.0)
    writer.add_file_type(0)
    _tokenizer(writer, *spm_vocabulary())
    generator = np.random.default_rng(seed)
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    matrices = {
        "attn_q": (queries, width),
        "attn_k": (keys, width),
        "attn_v": (keys, width),
        "attn_output": (width, queries),
        "ffn_gate": (hidden, width),
        "ffn_up": (hidden, width),
        "ffn_down": (width, hidden),
    }
    norms = {"attn_norm": width, "ffn_norm": width}
    if gemma:
        norms |= {"post_attention_norm": width, "post_ffw_norm": width}
    if shape.architecture == "gemma3":
        norms |= {"attn_q_norm": shape.head, "attn_k_norm": shape.head}

    def add(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(
            name, generator.normal(0, 1.5 / np.sqrt(columns), (rows, columns)).astype(np.float32)
        )

    add("token_embd.weight", 512, width)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    if not gemma:
        add("output.weight", 512, width)
    for layer in range(2):
        for name, size in norms.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(size, np.float32))
        for name, (rows, columns) in matrices.items():
            add(f"blk.{layer}.{name}.weight", rows, columns)
    _finish(writer)
    return path


CLOSE = "<close>"
"""A control token of `write_chain`."""


def write_chain(path: Path, follows: dict[int, int]) -> Path:
    """A model of which each token is followed by one other, whatever stood before: by ``follows``, else by the next.

    Args:
        path: of the file.
        follows: the token behind a token; token 511 is `CLOSE`.
    """
    size = 512
    pieces, scores, kinds = spm_vocabulary()
    pieces[-1], kinds[-1] = CLOSE, _CONTROL
    writer = gguf.GGUFWriter(path, "llama")
    _header(writer, 1, size, 4, 4, 32)
    writer.add_file_type(0)
    _tokenizer(writer, pieces, scores, kinds)
    behind = np.zeros((size, size), np.float32)
    for token in range(size):
        behind[follows.get(token, min(token + 1, size - 1)), token] = 1
    writer.add_tensor("token_embd.weight", np.eye(size, dtype=np.float32))
    writer.add_tensor("output.weight", behind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))
    for name, (rows, columns) in {
        "attn_q": (size, size),
        "attn_k": (size, size),
        "attn_v": (size, size),
        "attn_output": (size, size),
        "ffn_gate": (32, size),
        "ffn_up": (32, size),
        "ffn_down": (size, 32),
    }.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((rows, columns), np.float32))
    _finish(writer)
    return path


def _interleaved(weights: Array, heads: int) -> Array:
    rows, columns = weights.shape
    return np.ascontiguousarray(
        weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


def write_stories(folder: Path, path: Path) -> Path:
    """The checkpoint stories260K as an F32 GGUF."""
    from sentencepiece import SentencePieceProcessor

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    _header(
        writer,
        config["num_hidden_layers"],
        config["hidden_size"],
        heads,
        kv_heads,
        config["intermediate_size"],
    )
    writer.add_file_type(0)
    model = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    ids = range(model.vocab_size())
    kinds = [
        _UNKNOWN
        if model.is_unknown(i)
        else _CONTROL
        if model.is_control(i)
        else _BYTE
        if model.is_byte(i)
        else 1
        for i in ids
    ]
    _tokenizer(writer, [model.id_to_piece(i) for i in ids], [model.get_score(i) for i in ids], kinds)
    tensors = load_file(folder / "model.safetensors")
    names = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    top = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    for name, weights in tensors.items():
        if name in top:
            writer.add_tensor(top[name], weights)
            continue
        _, _, layer, rest = name.split(".", 3)
        part = names[rest.removesuffix(".weight")]
        if part in ("attn_q", "attn_k"):
            weights = _interleaved(weights, heads if part == "attn_q" else kv_heads)
        writer.add_tensor(f"blk.{layer}.{part}.weight", weights)
    _finish(writer)
    return path


def quantise(source: Path, target: Path, file_type: int) -> Path:
    """Quantise with llama.cpp; ``file_type`` is a `llama_ftype` (15: Q4_K_M)."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = file_type
    params.nthread = 1
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), params) == 0
    return target
