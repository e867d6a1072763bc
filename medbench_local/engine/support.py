"""What the header of a GGUF file says of how right llama.cpp computes its model, and whether it can be scored at all.

llama.cpp loads files that are no language models, and ignores some of what a file says of its model with a line in its
log at most. What follows was read in the sources of the pinned release; what is computed wrongly was measured against
transformers. Whether llama.cpp knows the architecture, only loading says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from medbench_local.engine.base import ROWS
from medbench_local.errors import EngineError, InputError, UnsupportedArchitectureError
from medbench_local.files.gguf_header import GgufHeader

_EMBEDDINGS = "makes embeddings of texts and predicts no next token"
_DIFFUSION = "writes all tokens of a text at once (diffusion)"
_SOUND = "writes sound"
_DRAFT = "drafts tokens for another model and is none by itself"
_PICTURES = "makes pictures"

_NO_LANGUAGE_MODEL = {
    **dict.fromkeys(
        (
            "bert",
            "eurobert",
            "gemma-embedding",
            "jina-bert-v2",
            "jina-bert-v3",
            "llama-embed",
            "modern-bert",
            "neo-bert",
            "nomic-bert",
            "nomic-bert-moe",
        ),
        _EMBEDDINGS,
    ),
    **dict.fromkeys(("dream", "llada", "llada-moe", "rnd1"), _DIFFUSION),
    **dict.fromkeys(("pockettts", "qwen3tts", "wavtokenizer-dec"), _SOUND),
    **dict.fromkeys(("dflash", "eagle3", "gemma4-assistant"), _DRAFT),
    **dict.fromkeys(
        (
            "aura",
            "cosmos",
            "flux",
            "hidream",
            "hyvid",
            "ltxv",
            "lumina2",
            "qwen_image",
            "sd1",
            "sd3",
            "sdxl",
            "wan",
        ),
        _PICTURES,
    ),
    "controlvector": "is a control vector for another model",
    "t5": "reads with an encoder and writes with a decoder",
    "t5encoder": "is an encoder alone",
    "whisper": "writes down speech",
}

_WINDOWED = frozenset(
    {
        "afmoe",
        "cohere2",
        "cohere2moe",
        "deepseek4",
        "dots3note",
        "exaone-moe",
        "exaone4",
        "gemma2",
        "gemma3",
        "gemma3n",
        "gemma4",
        "gpt-oss",
        "granite_swa",
        "laguna",
        "lfm2",
        "lfm2moe",
        "llama4",
        "maple",
        "mellum",
        "mimo2",
        "muse-glimmer",
        "olmo2",
        "plamo3",
        "smallthinker",
        "spark2_5",
        "step35",
    }
)
"""Architectures of which llama.cpp reads the sliding window and computes it."""

WITH_STATE = frozenset(
    {
        "falcon-h1",
        "granitehybrid",
        "jamba",
        "lfm2",
        "lfm2moe",
        "mamba",
        "mamba2",
        "qwen35",
        "qwen3next",
    }
)
"""Architectures with a running state whose results were seen to be those of whole decodes, bit by bit."""

UNCHECKED_STATE = (
    "keeps a running state, and whether questions may branch off a prefix there is not known: that was checked for "
    f"{', '.join(sorted(WITH_STATE))}"
)

_STATE_KEYS = ("ssm.", "shortconv.", "wkv.", "kda.", "token_shift_count", "attention.recurrent_layers")

_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")

_YARN = {"beta_fast": 32.0, "beta_slow": 1.0, "ext_factor": 1.0}
"""Settings of yarn, and what llama.cpp takes them for in the architectures of `_YARN_IGNORED`."""

_YARN_IGNORED = frozenset({"llama", "olmo2", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe"})

_POOLING_NONE = 0
_CELLS = 256
"""llama.cpp makes contexts of multiples of so many tokens."""

_DECODER = "Only models that write one token after another can be scored."


@dataclass(frozen=True)
class ExactLimit:
    """Up to how many tokens llama.cpp computes a model as it was trained.

    Attributes:
        tokens: of a prompt with an option.
        reason: what llama.cpp does beyond.
        context: most cells of the cache that may be asked for; 0 if that does not matter.
    """

    tokens: int
    reason: str
    context: int = 0


def refuse_unsupported(header: GgufHeader) -> None:
    """Refuse a file that holds no model that can be scored, before it is loaded.

    Raises:
        InputError: it holds no model but what belongs to one.
        UnsupportedArchitectureError: it holds a model that cannot be scored here; with the reason, and what to do.
    """
    what, advice = _other_kind(header)
    if what:
        raise InputError(header.path, "", what, advice=advice)
    problem, advice = _problem(header)
    if problem:
        raise UnsupportedArchitectureError(f"{header.path} {problem}.", advice=advice)


def _other_kind(header: GgufHeader) -> tuple[str, str]:
    """What a file that is no model is, and what to do; "" for a model."""
    kind = header.metadata.get("general.type")
    if kind == "adapter" or "adapter.type" in header.metadata:
        advice = "Give the adapter as it was trained: a folder or repository with adapter_config.json."
        return "is an adapter, not a model", advice
    clip = header.architecture == "clip" or any(key.startswith("clip.") for key in header.metadata)
    if kind == "mmproj" or clip:
        advice = "Give the language model's GGUF beside it."
        return "is the projector of a vision model, not a model", advice
    if kind == "imatrix":
        return "is an importance matrix, not a model", "Name it in a quantisation config (`imatrix: FILE`)."
    if not header.tensors:
        return "holds a vocabulary and no weights", "Give the GGUF file of the whole model."
    return "", ""


def _problem(header: GgufHeader) -> tuple[str, str]:
    """Why a model cannot be scored, as the end of a sentence, and what to do; "" if it can."""
    architecture, found = header.architecture, header.metadata
    if architecture in _NO_LANGUAGE_MODEL:
        return f"({architecture}) {_NO_LANGUAGE_MODEL[architecture]}", _DECODER
    if found.get(f"{architecture}.pooling_type", _POOLING_NONE) != _POOLING_NONE or (
        f"{architecture}.classifier.output_labels" in header.lists
    ):
        return f"({architecture}) {_EMBEDDINGS}, or ranks texts (key '{architecture}.pooling_type')", _DECODER
    if found.get(f"{architecture}.attention.causal", True) is False:
        return (
            f"({architecture}) attends to later tokens, too (key '{architecture}.attention.causal')",
            _DECODER,
        )
    if architecture == "gpt-oss":
        return (
            "(gpt-oss) is computed by llama.cpp with another stretching of positions than it was trained with "
            "(yarn with `truncate: false`)",
            "Score it with another engine; `verdict()` and `validate()` read its results.",
        )
    if architecture == "qwen2vl":
        return (
            "(qwen2vl) is computed by llama.cpp with another constant in its norms than it was trained with: it does "
            "not read it for this architecture",
            "Give the checkpoint: its language model is converted so that it is computed right.",
        )
    for name, usual in _YARN.items():
        key = f"{architecture}.rope.scaling.yarn_{name}"
        if architecture in _YARN_IGNORED and (value := found.get(key, usual)) != usual:
            return (
                f"stretches positions by yarn with {name} {value} (key '{key}'); llama.cpp takes {usual:g} whatever "
                "it says",
                "Score it with another engine; `verdict()` and `validate()` read its results.",
            )
    state = tuple(f"{architecture}.{key}" for key in _STATE_KEYS)
    if architecture not in WITH_STATE and any(key.startswith(state) for key in (*found, *header.lists)):
        return f"({architecture}) {UNCHECKED_STATE}", "Give a model of another architecture."
    scaling = found.get(f"{architecture}.rope.scaling.type", "none")
    if scaling not in _ROPE_SCALINGS:
        return (
            f"stretches positions by {scaling!r:.40} (key '{architecture}.rope.scaling.type'), which llama.cpp "
            "does not know",
            f"It knows {', '.join(_ROPE_SCALINGS)}.",
        )
    limit = exact_limit(header)
    if limit is not None and limit.tokens < 1:
        return f"cannot be computed right for prompts of any length: {limit.reason}", ""
    return "", ""


def exact_limit(header: GgufHeader) -> ExactLimit | None:
    """Up to which length the model is computed as it was trained; None if nothing but its context limits it."""
    window, long_rope = _window(header), _long_rope(header)
    if window is not None and 0 < header.context <= window.tokens:
        window = None
    if window is None or long_rope is None:
        return window or long_rope
    return replace(min(window, long_rope, key=lambda limit: limit.tokens), context=long_rope.context)


def _window(header: GgufHeader) -> ExactLimit | None:
    architecture = header.architecture
    key = f"{architecture}.attention.sliding_window"
    given = header.lists[key].items if key in header.lists else (header.metadata.get(key),)
    windows = [window for window in given if type(window) is int and window > 0]
    # Of this one llama.cpp knows the window of the large model only.
    small = architecture == "exaone4" and header.metadata.get("exaone4.block_count") != 64
    if not windows or (architecture in _WINDOWED and not small):
        return None
    window = min(windows)
    return ExactLimit(
        window, f"the model attends to the last {window:,} tokens only, llama.cpp to all of them"
    )


def _long_rope(header: GgufHeader) -> ExactLimit | None:
    if not any(tensor.name.startswith("rope_factors_long") for tensor in header.tensors):
        return None
    original = header.metadata.get(f"{header.architecture}.rope.scaling.original_context_length")
    if type(original) is not int:
        original = header.context
    # Cells of the cache that lie side by side behind a prompt count, too.
    context = original // _CELLS * _CELLS
    return ExactLimit(
        max(0, context - ROWS),
        f"the model stretches the positions of texts of more than {original:,} tokens, llama.cpp those of all texts "
        "or of none",
        context,
    )


def inexact(what: str, tokens: int, limit: int, reason: str) -> EngineError:
    """The error for a prompt that is longer than what is computed right.

    Args:
        what: the prompt, as the beginning of a sentence.
        tokens: that it needs with its options.
        limit, reason: of an `ExactLimit`.
    """
    return EngineError(
        f"{what[:1].upper()}{what[1:]} needs {tokens:,} tokens, and this model is computed right up to {limit:,} "
        f"only: {reason}.",
        advice=f"Ask with fewer demonstrations (`shots=`), or with a protocol whose `context` is {limit} or less: "
        "demonstrations that do not fit are then left out, and counted.",
    )
