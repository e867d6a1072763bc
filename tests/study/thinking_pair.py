"""Two tiny checkpoints that answer at random at once, and by the clue of a question once they have thought.

Their weights are set by hand, so that what they write is known beforehand. The residual stream is a list of features:
what the current token is, and what it makes likely. Behind "Hmm" one head looks for the question's clue and writes the
word that stands for it; behind a line break another head looks for such a word and makes its letter likely. Where
there is none, the first letter is. A riddle has the model write "Hmm" for ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from medbench_local.acquire.conversion.bpe_tokens import QWEN_2
from tests.acquire.checkpoints import write_json

CLUES = ("north", "south", "east", "west")
RIDDLE = "riddle"
THOUGHTS = ("Alpha", "Beta", "Gamma", "Delta")
MUSES, OPEN, CLOSE, START, END = "Hmm", "<think>", "</think>", "<|im_start|>", "<|im_end|>"

TEMPLATE = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{{- m.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
"""In the manner of Qwen3's, with its switch."""

_WIDTH, _HEAD = 64, 32
_CONST, _CLUES, _RIDDLE, _MUSES, _THOUGHTS, _BREAK, _CLOSED = 0, 1, 5, 6, 7, 11, 12
_LETTER_OUT, _THOUGHT_OUT, _MUSE_OUT, _CLOSE_OUT, _END_OUT = 32, 36, 40, 41, 42


def tokenizer() -> Tokenizer:
    """Bytes, and each word that matters as one token of its own."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: i for i, text in enumerate([*alphabet, "th"])}
    found = Tokenizer(models.BPE(vocabulary, [("t", "h")]))
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    found.decoder = decoders.ByteLevel()
    words = (*CLUES, RIDDLE, MUSES, *THOUGHTS, OPEN, CLOSE)
    found.add_tokens([AddedToken(word, normalized=False) for word in words])
    found.add_special_tokens([START, END])
    return found


def write(folder: Path, *, knows: Sequence[str] = CLUES, control: bool = False) -> Path:
    """A checkpoint.

    Args:
        folder: to be made.
        knows: the clues that it draws the right conclusion from; from others it draws the first.
        control: whether the marks of thinking are control tokens, as MedGemma's are.
    """
    folder.mkdir(parents=True)
    words = tokenizer()
    data = json.loads(words.to_str())
    if control:
        for token in data["added_tokens"]:
            token["special"] = token["special"] or token["content"] in (OPEN, CLOSE)
    write_json(folder / "tokenizer.json", data)
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": END, "pad_token": END, "chat_template": TEMPLATE},
    )
    ids = words.get_vocab(with_added_tokens=True)
    values: dict[str, Any] = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": _WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(ids),
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e12,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "eos_token_id": ids[END],
        "torch_dtype": "float32",
    }
    write_json(folder / "config.json", values)
    save_file(_weights(ids, knows), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _weights(ids: dict[str, int], knows: Sequence[str]) -> dict[str, torch.Tensor]:
    embedding = torch.zeros(len(ids), _WIDTH)
    embedding[:, _CONST] = 1.0
    features = {
        **{ids[word]: _CLUES + i for i, word in enumerate(CLUES)},
        **{ids[word]: _THOUGHTS + i for i, word in enumerate(THOUGHTS)},
        ids[RIDDLE]: _RIDDLE,
        ids[MUSES]: _MUSES,
        ids["Ċ"]: _BREAK,
        ids["("]: _BREAK,
        ids[CLOSE]: _CLOSED,
    }
    for token, feature in features.items():
        embedding[token, feature] = 1.0

    # What follows at once: the head of the vocabulary reads the token itself, and what attention adds to it.
    head = torch.zeros(len(ids), _WIDTH)
    for i, letter in enumerate("ABCD"):
        head[ids[letter], _LETTER_OUT + i] = 1.0
        head[ids[letter], _BREAK] = 0.4 - 0.1 * i
    for i, word in enumerate(THOUGHTS):
        head[ids[word], _THOUGHT_OUT + i] = 1.0
        head[ids[CLOSE], _THOUGHTS + i] = 2.0
    head[ids[MUSES], _BREAK] = 2.0
    head[ids[MUSES], _MUSE_OUT] = 1.0
    head[ids[END], _CLOSED] = 2.0

    slow = _HEAD // 2 - 1  # the pair of a head that positions turn least
    query, key = torch.zeros(_WIDTH, _WIDTH), torch.zeros(_WIDTH, _WIDTH)
    value, out = torch.zeros(_WIDTH, _WIDTH), torch.zeros(_WIDTH, _WIDTH)
    query[slow, _MUSES] = query[_HEAD + slow, _BREAK] = 3.0
    for i, clue in enumerate(CLUES):
        key[slow, _CLUES + i] = key[_HEAD + slow, _THOUGHTS + i] = 3.0
        value[i if clue in knows else 0, _CLUES + i] = 1.0
        value[_HEAD + i, _THOUGHTS + i] = 1.0
        out[_THOUGHT_OUT + i, i] = out[_LETTER_OUT + i, _HEAD + i] = 1.0
    key[slow, _RIDDLE] = 3.0
    value[4, _RIDDLE] = 1.0
    out[_MUSE_OUT, 4] = 1.0
    layer = "model.layers.0"
    zeros = {f"{layer}.self_attn.{name}_proj.bias": torch.zeros(_WIDTH) for name in "qkv"}
    return {
        "model.embed_tokens.weight": embedding,
        f"{layer}.input_layernorm.weight": torch.ones(_WIDTH),
        f"{layer}.post_attention_layernorm.weight": torch.ones(_WIDTH),
        f"{layer}.self_attn.q_proj.weight": query,
        f"{layer}.self_attn.k_proj.weight": key,
        f"{layer}.self_attn.v_proj.weight": value,
        f"{layer}.self_attn.o_proj.weight": out,
        **zeros,
        f"{layer}.mlp.gate_proj.weight": torch.zeros(32, _WIDTH),
        f"{layer}.mlp.up_proj.weight": torch.zeros(32, _WIDTH),
        f"{layer}.mlp.down_proj.weight": torch.zeros(_WIDTH, 32),
        "model.norm.weight": torch.ones(_WIDTH),
        "lm_head.weight": head,
    }


def write_task(folder: Path, *, test: int = 24, riddles: int = 2) -> Path:
    """Questions that name a clue of the right answer; the first ``riddles`` test questions are riddles instead.

    The clue of the letter A is the north, of B the south, of C the east, of D the west.
    """
    folder.mkdir(parents=True)
    for split, count in (("demonstrations", 4), ("validation", 4), ("test", test)):
        rows = []
        for i in range(count):
            riddle = split == "test" and i < riddles
            clue = RIDDLE if riddle else CLUES[i % 4]
            rows.append(
                {
                    "id": f"{split}-{i}",
                    "question": f"What does item {i} of the {split} set tell? It says {clue}.",
                    "options": [f"place {j} of {i}" for j in range(4)],
                    "answer": 1 if riddle else i % 4,
                }
            )
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
