"""Chat templates of real models, which come with llama.cpp's sources: the text is transformers' own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.chat_template import TemplateChat
from tests.acquire.conversion.official_converter import templates_folder
from tests.prompts.test_templates_as_in_transformers import messages, said, theirs
from tests.prompts.test_templates_as_in_transformers import that_day as that_day

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

SILENCED = {
    "HuggingFaceTB-SmolLM3-3B",
    "Qwen-QwQ-32B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "google-gemma-4-31B-it",
    "google-gemma-4-31B-it-interleaved",
    "llama-cpp-rwkv-world",
    "openbmb-MiniCPM5-1B",
}
"""Those whose switch for thinking writes an empty thought that they leave out before the words of an answer."""


@dataclass(frozen=True)
class Real:
    """A template, and how conversations are written with it; None where it refuses them."""

    source: str
    chat: TemplateChat | None


@pytest.fixture(scope="module")
def templates() -> dict[str, Real]:
    found = {}
    for path in sorted(Path(templates_folder()).glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        try:
            found[path.stem] = Real(source, TemplateChat(source, TOKENS, origin=path.stem))
        except InputError:
            found[path.stem] = Real(source, None)
    assert len(found) > 50
    return found


def _theirs(source: str, turns: list[Turn], **more: Any) -> str | None:
    """What transformers makes of it; None if the template refuses."""
    for parts in (False, True):
        try:
            text = theirs(source, messages(turns, parts=parts), TOKENS, **more)
        except Exception:  # whatever a template runs into
            continue
        if all(turn.content.strip() in text for turn in turns if turn.role != "system"):
            return text
    return None


def _talks() -> list[list[Turn]]:
    shown = ("Which of one?\n(A) é\n(B) b", "(A) é", "Which of two?", "(B) {{ b }}")
    return [
        said(*before, "And this?", system=system) for before in ((), shown) for system in (None, "Be brief.")
    ]


def test_every_one_goes_on_where_transformers_goes_on(templates: dict[str, Real]) -> None:
    differing, compared = [], 0
    for name, real in templates.items():
        source, chat = real.source, real.chat
        if chat is None:
            assert _theirs(source, said("Which?"), add_generation_prompt=True) is None, name
            continue
        for talk in _talks():
            if talk[0].role == "system" and chat.system_place != "system turn":
                continue
            begun = [*talk, Turn("assistant", "Answer:")]
            expected = _theirs(source, begun, continue_final_message=True)
            assert expected is not None, name
            empty = chat.write([*talk, Turn("assistant", "")])
            opened = expected.removesuffix("Answer:")
            if name in SILENCED:
                switch = {"enable_thinking": False, "thinking": False}
                opened = _theirs(source, talk, add_generation_prompt=True, **switch) or ""
                expected = f"{opened}Answer:"
            if (chat.write(begun), empty.rstrip()) != (expected, opened.rstrip()):
                differing.append((name, chat.write(begun)[-80:], expected[-80:], empty[-80:]))
            compared += 1
    assert differing == []
    assert compared > 200


def test_a_system_prompt_is_never_lost(templates: dict[str, Real]) -> None:
    """Where a template does not write it, or refuses it, it is put before the first question."""
    merged = 0
    for real in templates.values():
        if real.chat is None:
            continue
        if real.chat.system_place == "system turn":
            assert "Be brief." in real.chat.write(said("Which?", "Answer:", system="Be brief."))
        merged += real.chat.system_place == "first user turn"
    assert 0 < merged < 10
