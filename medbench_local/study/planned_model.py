"""One model of a comparison that is being planned: what is known of it before it is fetched or made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from medbench_local.acquire.inventory import ModelPlan
from medbench_local.acquire.source import ModelSource
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant
from medbench_local.engine.base import EngineOptions
from medbench_local.engine.memory import EXPECTED_CONTEXT, memory_needed
from medbench_local.files.gguf_header import GgufHeader, read_gguf_header
from medbench_local.prompts.prompt_style import PromptStyle, may_think, prompt_style_for, template_in_force
from medbench_local.prompts.prompting import Prompting
from medbench_local.prompts.thinking_style import style_of
from medbench_local.results.record import Role
from medbench_local.scoring.prompt_styles import tokens_for
from medbench_local.scoring.rules import RULES
from medbench_local.study.ladder import stand_in
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, without_thinking
from medbench_local.study.planner import given_quantised
from medbench_local.study.precision import needed
from medbench_local.study.thinking_plan import context_at_most, room_to_think
from medbench_local.study.token_counter import TokenCounter

_A_TEMPLATE = "</think>"
"""Stands for the chat template of a model that is not here yet: it may be one of a model that thinks."""

_LONG_TEMPLATE = (
    "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\n"
    "{% if messages[0]['role'] != 'system' %}You are a helpful assistant.{% endif %}"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
    "{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
"""Written with in place of a chat template that is not here yet: no usual one writes more around a message."""

_UNKNOWN_TYPE = "bf16"
"""File type of full weights that are not here yet: with it most tokens are decoded for a prompt."""


@dataclass(frozen=True)
class PlannedModel:
    """What is known of a model.

    Attributes:
        role: in the comparison.
        source: the model.
        files: what is here of it, and what is to be fetched and made, at the precision that is tried first.
        full: the same at full precision, where that is here.
        counter: counts its tokens.
        options: of the comparison.
        weights: how many it has, about; 0 if it was given quantised.
        asked: how many of them a token is multiplied with.
    """

    role: Role
    source: ModelSource
    files: ModelPlan
    full: ModelPlan
    counter: TokenCounter
    options: ResolvedOptions
    weights: int
    asked: int

    @property
    def precision(self) -> str:
        """What it is scored at first."""
        given = given_quantised(self.source)
        return self.files.precision if given is None or self.options.quant is not None else given

    @property
    def header(self) -> GgufHeader | None:
        """What a file of it says, as far as one is here."""
        return self.counter.header

    def type_at(self, quant: QuantConfig) -> str:
        """The file type of its weights at a precision; of full weights that are not here yet a guess."""
        given = given_quantised(self.source)
        if given is not None and (self.options.quant is None or quant.name == FULL):
            return given
        if quant.name != FULL:
            return quant.file_type
        if self.full.file is not None and (self.full.precision == FULL or not self.full.quantised_here):
            return read_gguf_header(self.full.file).file_type.lower()
        known = self.header is not None and self.files.file is None
        return self.header.file_type.lower() if known and self.header is not None else _UNKNOWN_TYPE

    @property
    def thinks(self) -> bool:
        """Whether it may be asked to think; the medical model always is, where the scoring lets models think."""
        template = _A_TEMPLATE if self.header is None else self.header.chat_template
        own_way = self.options.prompting(self.role)
        return self._thinking and (self.role == "medical" or may_think(self.source.entry, template, own_way))

    @property
    def _thinking(self) -> bool:
        return RULES[self.options.scoring or self.options.protocol.scoring].thinks

    @cached_property
    def prompt_style(self) -> PromptStyle:
        """How it is prompted, as far as that is known; in the study's way where it is shown pictures."""
        entry, protocol = self.source.entry, self.options.protocol
        asked, header = self.options.prompting(self.role), self.header
        template: str | None = None
        tokens = {"bos_token": "<s>", "eos_token": "</s>"}
        if self._sees:
            asked = Prompting(system_prompt=asked.system_prompt)
        elif header is not None:
            template = header.chat_template
            tokens = tokens_for(header, template_in_force(entry, template, asked))
        else:
            template = _LONG_TEMPLATE
        return prompt_style_for(
            entry,
            chat_template=template,
            tokens=tokens,
            asked=asked,
            overrides=protocol.prompts,
            name=self.source.name,
            shot_images=protocol.shot_images,
        )

    @property
    def _sees(self) -> bool:
        """Whether it may be shown pictures."""
        source = self.source
        parts = [getattr(source, name, None) for name in ("kind", "vision", "projector")]
        return any(part is not None for part in parts)

    def notes(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        """What has to be said of it before anything is computed.

        Raises:
            UsageError: a prompt cannot fit its context with the thinking behind it.
        """
        entry, own_way = self.source.entry, self.options.prompting(self.role)
        if self.thinks:
            context = context_at_most(self.source, self.files.file, self.options)
            return room_to_think(cells, self.files.name, self.prompt_style, context, self.options)
        template = None if self.header is None else self.header.chat_template
        if not self._thinking and style_of(entry, template, own_way) is not None:
            return (without_thinking(self.files.name),)
        return ()

    def memory(self, quant: QuantConfig) -> int | None:
        """Bytes that it takes to score with it at a precision; None if its size is not known."""
        if self.files.quantised_here and self.files.file is not None:
            return memory_needed(self.files.file, self._engine).total
        return needed(self.weights, quant) if self.weights else None

    def memory_of_reference(self) -> int | None:
        """The same of the precision that it is checked against."""
        higher = stand_in(self.options)
        if higher is None and self.full.quantised_here and self.full.file is not None:
            return memory_needed(self.full.file, self._engine).total
        return needed(self.weights, higher or load_quant(FULL)) if self.weights else None

    @property
    def _engine(self) -> EngineOptions:
        options = self.options.engine
        return EngineOptions(mode=options.mode, n_ctx=EXPECTED_CONTEXT, gpu_layers=options.gpu_layers)
