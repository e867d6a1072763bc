"""Small random checkpoints with the file layouts of real ones, and the tokenizers to go with them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sentencepiece import SentencePieceTrainer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from medbench_local.acquire.conversion.bpe_tokens import LLAMA_3
from medbench_local.acquire.conversion.tensor import Tensor
from tests.acquire.gguf_content import read_content

TEXT = [
    "Question: A 54-year-old man has chest pain that radiates to the left arm. What is the next best step?",
    "The patient was treated with aspirin, heparin and a beta blocker; troponin was 3.14 ng/mL.",
    "A. Reassurance  B. Immediate ECG  C. Chest x-ray  D. Discharge\nAnswer: B",
    "Insulin lowers blood glucose; glucagon raises it. Ångström, naïve, 123456 and 50 % of cases.",
    "I've seen it's not what they'd expect: the heart's left ventricle hypertrophied over 10 years.",
] * 20

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}


def config(**changes: Any) -> dict[str, Any]:
    """A config.json; ``None`` removes a key."""
    values: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 400,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return {key: value for key, value in {**values, **changes}.items() if value is not None}


def shapes(values: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of the model that a config describes, by transformers' names."""
    width, inner, rows = values["hidden_size"], values["intermediate_size"], values["vocab_size"]
    heads = values["num_attention_heads"]
    head = values.get("head_dim") or width // heads
    keys = values.get("num_key_value_heads", heads) * head
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, width)}
    for i in range(values["num_hidden_layers"]):
        attention, mlp = f"model.layers.{i}.self_attn", f"model.layers.{i}.mlp"
        found[f"{attention}.q_proj.weight"] = (heads * head, width)
        found[f"{attention}.k_proj.weight"] = (keys, width)
        found[f"{attention}.v_proj.weight"] = (keys, width)
        found[f"{attention}.o_proj.weight"] = (width, heads * head)
        if values.get("attention_bias"):
            found[f"{attention}.q_proj.bias"] = (heads * head,)
            found[f"{attention}.k_proj.bias"] = (keys,)
            found[f"{attention}.v_proj.bias"] = (keys,)
            found[f"{attention}.o_proj.bias"] = (width,)
        found[f"{mlp}.gate_proj.weight"] = (inner, width)
        found[f"{mlp}.up_proj.weight"] = (inner, width)
        found[f"{mlp}.down_proj.weight"] = (width, inner)
        found[f"model.layers.{i}.input_layernorm.weight"] = (width,)
        found[f"model.layers.{i}.post_attention_layernorm.weight"] = (width,)
    found["model.norm.weight"] = (width,)
    if not values.get("tie_word_embeddings"):
        found["lm_head.weight"] = (rows, width)
    return found


def tensors(values: Mapping[str, Any], dtype: torch.dtype, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights for a config."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(shape, generator=generator) * 0.05 + name.endswith("norm.weight")).to(dtype)
        for name, shape in shapes(values).items()
    }


def numbers(tensor: Tensor) -> NDArray[Any]:
    """All rows of a tensor."""
    return tensor.rows(0, tensor.shape[0])


def write_weights(
    folder: Path, state: Mapping[str, torch.Tensor], *, kind: str = "safetensors", shards: int = 1
) -> None:
    """Write weights as "safetensors" or "bin", with an index if there are several files, in place of a single one."""
    stem = "model" if kind == "safetensors" else "pytorch_model"
    (folder / f"{stem}.{kind}").unlink(missing_ok=True)
    names, size = list(state), -(-len(state) // shards)
    index: dict[str, str] = {}
    for i in range(shards):
        file = f"{stem}.{kind}" if shards == 1 else f"{stem}-{i + 1:05d}-of-{shards:05d}.{kind}"
        part = {name: state[name].clone() for name in names[i * size : (i + 1) * size]}
        if kind == "safetensors":
            save_file(part, folder / file, metadata={"format": "pt"})
        else:
            torch.save(part, folder / file)
        index |= dict.fromkeys(part, file)
    if shards > 1:
        path = folder / f"{stem}.{kind}.index.json"
        path.write_text(json.dumps({"metadata": {}, "weight_map": index}), encoding="utf-8")


def write_checkpoint(
    folder: Path,
    values: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float16,
    kind: str = "safetensors",
    shards: int = 1,
    tokenizer: str = "spm",
) -> Path:
    """A whole checkpoint with a small tokenizer trained on ``TEXT``, "spm" or "bpe"."""
    values = config() if values is None else values
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", dict(values))
    write_weights(folder, tensors(values, dtype), kind=kind, shards=shards)
    if tokenizer == "spm":
        (folder / "tokenizer.model").write_bytes(small_sentencepiece())
        write_json(folder / "tokenizer_config.json", SPM_CONFIG)
    else:
        (folder / "tokenizer.json").write_text(small_bpe(), encoding="utf-8")
        write_json(folder / "tokenizer_config.json", BPE_CONFIG)
    return folder


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


SPM_CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "legacy": True,
}
BPE_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|begin_of_text|>",
    "eos_token": "<|end_of_text|>",
}


@cache
def small_sentencepiece(**changes: Any) -> bytes:
    """A SentencePiece model of at most 400 pieces, by default with the rules of Llama's."""
    out = io.BytesIO()
    options = {
        "vocab_size": 400,
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "hard_vocab_limit": False,
        "num_threads": 1,
        "minloglevel": 2,
        **changes,
    }
    SentencePieceTrainer.Train(sentence_iterator=iter(TEXT), model_writer=out, **options)
    return out.getvalue()


@cache
def small_bpe(*, split: bool = True) -> str:
    """A byte-level BPE tokenizer.json of 400 tokens with the rules of Llama 3 (or of GPT-2)."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=split))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split)
    if split:
        from tokenizers import Regex

        isolated = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([isolated, byte_level])
    else:
        tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=398, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
    data = json.loads(tokenizer.to_str())
    bos = tokenizer.token_to_id("<|begin_of_text|>") or 0
    data["post_processor"] = llama3_post_processor(bos)
    return json.dumps(data, ensure_ascii=False)


def llama3_post_processor(bos: int) -> dict[str, Any]:
    special = {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}
    first, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    named = {"id": "<|begin_of_text|>", "ids": [bos], "tokens": ["<|begin_of_text|>"]}
    return {
        "type": "Sequence",
        "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            {
                "type": "TemplateProcessing",
                "single": [special, first],
                "pair": [special, first, second],
                "special_tokens": {"<|begin_of_text|>": named},
            },
        ],
    }


def write_llama2_tokenizer(folder: Path, weights: Path, added: tuple[str, ...] = ()) -> None:
    """The real Llama-2 tokenizer, with added tokens from id 32,000."""
    shutil.copy(weights / "llama-2-tokenizer.model", folder / "tokenizer.model")
    write_json(folder / "tokenizer_config.json", SPM_CONFIG)
    if added:
        write_json(folder / "added_tokens.json", {text: 32000 + i for i, text in enumerate(added)})


def write_llama3_tokenizer(folder: Path, weights: Path) -> None:
    """A tokenizer.json like the real one, from the vocabulary that llama.cpp's tests ship."""
    content = read_content(weights / "ggml-vocab-llama-bpe.gguf")
    tokens, types, merges = (
        content.value(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type", "merges")
    )
    added = [
        {
            "id": i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind == 3
    ]
    vocab = {text: i for i, (text, kind) in enumerate(zip(tokens, types, strict=True)) if kind != 3}
    data = json.loads(small_bpe())
    data["added_tokens"] = added
    data["model"] |= {"vocab": vocab, "merges": merges}
    data["post_processor"] = llama3_post_processor(tokens.index("<|begin_of_text|>"))
    write_json(folder / "tokenizer.json", data)
    write_json(folder / "tokenizer_config.json", BPE_CONFIG)
