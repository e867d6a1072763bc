"""How a model is prompted, known without loading it."""

from __future__ import annotations

from pathlib import Path

import gguf

from medbench_local.acquire.prepare import prepare_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.catalog.quantisation import load_quant
from medbench_local.files.gguf_header import GgufHeader, read_gguf_header
from medbench_local.progress import Progress
from medbench_local.prompts.prompting import Prompting, prompting_for


def prompting_of(
    model: str,
    *,
    system_prompt: str | None,
    overrides: PromptOverrides,
    home: Path,
    offline: bool,
    progress: Progress,
) -> Prompting:
    """The way ``model`` is prompted.

    A model of the catalog needs no files for that; any other one is converted (once) to read its chat template.

    Raises:
        MedbenchError: the model is not known, or its files cannot be had or read.
    """
    source = resolve_model(model)
    if source.entry is not None:
        return prompting_for(source.entry, system_prompt=system_prompt, overrides=overrides)
    prepared = prepare_model(source, quant=load_quant("full"), home=home, offline=offline, progress=progress)
    header = read_gguf_header(prepared.quantised.path)
    return prompting_for(
        None,
        chat_template=prepared.chat_template,
        bos_text=token_text(header, "bos"),
        eos_text=token_text(header, "eos"),
        system_prompt=system_prompt,
        overrides=overrides,
        name=prepared.name,
    )


def token_text(header: GgufHeader, name: str) -> str:
    """The text of a special token as the file's vocabulary writes it; "" if there is none."""
    number = header.metadata.get(f"tokenizer.ggml.{name}_token_id")
    if not isinstance(number, int) or not 0 <= number < header.vocabulary:
        return ""
    field = gguf.GGUFReader(header.path).fields["tokenizer.ggml.tokens"]
    return str(field.contents(number))
