"""A checkpoint folder becomes one GGUF file: same numbers, llama.cpp's names and order."""

from __future__ import annotations

import json
import logging
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from gguf import (
    GGML_QUANT_VERSION,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFType,
    GGUFValueType,
    GGUFWriter,
    Keys,
    LlamaFileType,
    size_label,
)

from medbench_local.acquire.conversion.architecture import Architecture, C
from medbench_local.acquire.conversion.architectures import (
    architecture_of,
    contradiction,
    with_known_class,
)
from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointFolder
from medbench_local.acquire.conversion.model_config import ModelConfig, read_model_config
from medbench_local.acquire.conversion.rope_scaling import write_rope
from medbench_local.acquire.conversion.tensor import ComputedTensor
from medbench_local.acquire.conversion.views.wrapper import language_model, with_rows
from medbench_local.acquire.conversion.vocabulary import Vocabulary, read_vocabulary
from medbench_local.acquire.conversion.weight_plan import (
    Weight,
    embedding_rows,
    layer_values,
    plan_weights,
    with_embedding,
)
from medbench_local.acquire.conversion.weight_values import converted_blocks, rope_factors
from medbench_local.errors import InputError
from medbench_local.files.atomic import whole_file
from medbench_local.files.gguf_special_tokens import NAMED_TOKENS, id_key, texts_by_ids
from medbench_local.files.text_rules import TEXT_RULES, usual_rules
from medbench_local.progress import Progress, Silent

FileType = Literal["auto", "f32", "f16", "bf16"]

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
}
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class ConvertedModel:
    """What a conversion made.

    Attributes:
        file_type: "F32", "F16" or "BF16": the type of most of the weights.
        warnings: what a person should know.
    """

    file_type: str
    warnings: tuple[str, ...]


def convert_checkpoint(
    source: Path | Checkpoint, output: Path, *, file_type: FileType = "auto", progress: Progress | None = None
) -> ConvertedModel:
    """Convert a checkpoint of one of the `architectures` to GGUF.

    Tensors are streamed: memory stays below twice the largest tensor plus 400 MB whatever the model's size.
    The bytes written depend on the checkpoint's contents only, not on its path, number of files or the
    time.

    Args:
        source: a folder with config.json, tokenizer files and weights (safetensors, or PyTorch's zip format), or
            a checkpoint that is put together from several (`views`).
        output: the file to write; it appears when it is complete.
        file_type: "auto" keeps the type of every matrix, which loses nothing; vectors become F32 as llama.cpp
            needs them, which loses nothing either.
        progress: told the bytes written.

    Raises:
        InputError: a file of the checkpoint is missing, damaged or contradicts another.
        UnsupportedArchitectureError: it, or a part of it, is none that can be converted.
        AcquireError: the tokenizer or a type cannot be converted.
        DiskFullError: the disk is full.
        StoreError: the output cannot be written for another reason.
    """
    checkpoint = CheckpointFolder(source) if isinstance(source, Path) else source
    plan = _planned(checkpoint)
    architecture, said, config, weights = plan.architecture, plan.said, plan.config, plan.weights
    arrays, vocabulary, rows = plan.arrays, plan.vocabulary, plan.config.vocab_size
    types = [_target(weight, file_type) for weight in weights]
    main = _main_type(weights, types)
    total = sum(w.source.size * _BYTES[t] for w, t in zip(weights, types, strict=True))
    label = f"converting {checkpoint.origin.name}"
    with whole_file(output, nbytes=total) as temporary:
        _write_header(temporary, architecture, config, vocabulary, weights, types, main, arrays)
        with (
            temporary.open("ab") as file,
            (progress or Silent()).step(label, total=total, unit="B") as advance,
        ):
            _pad(file)
            for weight, target in zip(weights, types, strict=True):
                for block in converted_blocks(weight.source, target):
                    file.write(block.data)
                    advance(block.nbytes)
                _pad(file)
    warnings = (
        *contradiction(checkpoint),
        *vocabulary.warnings,
        *_warnings(said, rows, main, weights, types),
        *architecture.warnings(config),
    )
    return ConvertedModel(main, warnings)


def check_convertible(source: Path | Checkpoint) -> str:
    """Do everything that `convert_checkpoint` does before it writes.

    Returns:
        The name of the model's architecture.

    Raises:
        MedbenchError: it cannot be converted; as `convert_checkpoint`.
    """
    return _planned(CheckpointFolder(source) if isinstance(source, Path) else source).said.architecture


def write_vocabulary(source: Path | Checkpoint, output: Path) -> None:
    """Write what the GGUF file of a checkpoint says of text, tokens and itself, without its weights.

    Args:
        source: as for `convert_checkpoint`; of its weights only the sizes are read.
        output: the file to write.

    Raises:
        MedbenchError: it cannot be converted; as `convert_checkpoint`.
    """
    plan = _planned(CheckpointFolder(source) if isinstance(source, Path) else source)
    main = _main_type(plan.weights, [_target(weight, "auto") for weight in plan.weights])
    _write_header(output, plan.architecture, plan.config, plan.vocabulary, (), (), main, plan.arrays)


@dataclass(frozen=True)
class _Planned:
    """What is to be written; ``said`` is the configuration as given, ``config`` has the embedding's rows."""

    architecture: Architecture[Any]
    said: ModelConfig
    config: ModelConfig
    weights: list[Weight]
    arrays: Mapping[str, Any]
    vocabulary: Vocabulary


def _planned(checkpoint: Checkpoint) -> _Planned:
    checkpoint = with_known_class(checkpoint)
    architecture = architecture_of(checkpoint)
    if architecture.prefixes:
        checkpoint = language_model(checkpoint, architecture.prefixes)
    said = read_model_config(checkpoint, architecture)
    checkpoint = with_embedding(checkpoint, architecture, said)
    if architecture.cut:
        checkpoint = with_rows(checkpoint, architecture.cut, said.vocab_size)
    rows = embedding_rows(checkpoint, architecture.embedding)
    config = said.model_copy(update={"vocab_size": rows})
    weights = [*_rope_tensors(config, checkpoint), *plan_weights(checkpoint, architecture, config)]
    arrays = layer_values(checkpoint, architecture, config)
    vocabulary = read_vocabulary(checkpoint.tokenizer, rows, checkpoint.config)
    return _Planned(architecture, said, config, weights, arrays, vocabulary)


def _rope_tensors(config: ModelConfig, checkpoint: Checkpoint) -> list[Weight]:
    """What the rotary frequencies are divided by, which llama.cpp reads as tensors."""
    rope = config.rope_scaling
    if rope.rope_type == "llama3":
        found = {"rope_freqs.weight": rope_factors(config)}
    elif rope.rope_type == "longrope":
        found = {
            "rope_factors_long.weight": np.array(rope.long_factor, "<f4"),
            "rope_factors_short.weight": np.array(rope.short_factor, "<f4"),
        }
    else:
        found = {}
    return [
        Weight(name, ComputedTensor(name, values.shape, "F32", checkpoint.config_file, values))
        for name, values in found.items()
    ]


def _target(weight: Weight, file_type: FileType) -> str:
    # llama.cpp computes with these in float32
    if len(weight.source.shape) < 2 or weight.name.endswith(
        ("_norm.weight", ".ffn_gate_inp.weight", ".ffn_gate_inp_shexp.weight")
    ):
        return "F32"
    return weight.source.dtype if file_type == "auto" else file_type.upper()


def _main_type(weights: Sequence[Weight], types: Sequence[str]) -> str:
    sizes: Counter[str] = Counter()
    for weight, target in zip(weights, types, strict=True):
        if len(weight.source.shape) >= 2:
            sizes[target] += weight.source.size
    return sizes.most_common(1)[0][0]


def _warnings(
    config: ModelConfig, rows: int, main: str, weights: Sequence[Weight], types: Sequence[str]
) -> list[str]:
    warnings = []
    if config.vocab_size != rows:
        warnings.append(
            f"config.json says vocab_size {config.vocab_size}, the embedding has {rows} rows; {rows} is used."
        )
    narrowed = {
        w.source.dtype for w, t in zip(weights, types, strict=True) if t not in ("F32", w.source.dtype)
    }
    if narrowed:
        warnings.append(f"Converted from {' and '.join(sorted(narrowed))} to {main}: not lossless.")
    return warnings


def _write_header(
    path: Path,
    architecture: Architecture[C],
    config: C,
    vocabulary: Vocabulary,
    weights: Sequence[Weight],
    types: Sequence[str],
    main: str,
    arrays: Mapping[str, Sequence[float]],
) -> None:
    logging.getLogger("gguf").setLevel(logging.WARNING)
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[architecture.gguf])
    for weight, target in zip(weights, types, strict=True):
        nbytes = weight.source.size * _BYTES[target]
        writer.add_tensor_info(
            weight.name, weight.source.shape, np.dtype("f4"), nbytes, GGMLQuantizationType[target]
        )
    _describe_model(writer, architecture, config, main)
    architecture.write_keys(writer, config)
    for key, values in arrays.items():
        writer.add_array(key, values)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    _describe_tokens(writer, vocabulary)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    except struct.error as error:
        raise InputError(
            path, "", f"a value of the checkpoint does not fit into a GGUF file: {error}"
        ) from error
    finally:
        writer.close()


def _describe_model(writer: GGUFWriter, architecture: Architecture[C], config: C, main: str) -> None:
    total, shared, expert, experts = writer.get_total_parameter_count()
    writer.add_type(GGUFType.MODEL)
    writer.add_size_label(size_label(total, shared, expert, experts))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(architecture.context(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    write_rope(writer, config.rope_scaling)
    writer.add_rope_freq_base(config.rope_theta)
    if architecture.norm == "rms":
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(config.layer_norm_eps)
    if architecture.states_head_size or config.head_dim * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_file_type(_FILE_TYPES[main])


def _describe_tokens(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list([token.text.encode("utf-8") for token in vocabulary.tokens])
    if vocabulary.model == "llama":
        writer.add_token_scores([token.score for token in vocabulary.tokens])
    writer.add_token_types([token.type for token in vocabulary.tokens])
    if vocabulary.merges:
        writer.add_token_merges(list(vocabulary.merges))
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    if vocabulary.rules != usual_rules(vocabulary.pre):
        writer.add_string(TEXT_RULES, vocabulary.rules.to_json())
    special = vocabulary.special
    for kind, token in special.ids.items():
        getattr(writer, f"add_{kind}_token_id")(token)
    for kind, added in special.add.items():
        getattr(writer, f"add_add_{kind}_token")(added)
    named = sorted(special.chat_templates.keys() - {"default"})
    for name in named:
        writer.add_key_value(
            Keys.Tokenizer.CHAT_TEMPLATE_N.format(name=name),
            special.chat_templates[name],
            GGUFValueType.STRING,
        )
    if named:
        writer.add_array(Keys.Tokenizer.CHAT_TEMPLATES, named)
    if default := special.chat_templates.get("default"):
        writer.add_chat_template(default)
    if differing := _differing_names(vocabulary):
        writer.add_key_value(NAMED_TOKENS, json.dumps(differing, sort_keys=True), GGUFValueType.STRING)


def _differing_names(vocabulary: Vocabulary) -> dict[str, str | None]:
    """The names in chat templates for which the ids of the file would give another text than the tokenizer does."""
    special, tokens = vocabulary.special, vocabulary.tokens
    templates = "\n".join(special.chat_templates.values())
    ids: dict[str, str | int] = {id_key(f"{kind}_token"): number for kind, number in special.ids.items()}
    by_ids = texts_by_ids(
        {"tokenizer.ggml.model": vocabulary.model, **ids},
        len(tokens),
        lambda number: tokens[number].text,
        mentioned_in=templates,
    )
    return {
        name: text for name, text in special.named.items() if name in templates and text != by_ids.get(name)
    }


def _pad(file: BinaryIO) -> None:
    position = file.tell()
    file.write(bytes(GGUFWriter.ggml_pad(position, 32) - position))
