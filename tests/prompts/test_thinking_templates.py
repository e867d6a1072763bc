"""Where a model may think, and where it answers at once: chat templates in the manner of families that think.

The texts are those of transformers' own `apply_chat_template`, with the template's switch on and off.
"""

# ruff: noqa: E501 templates have long lines

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from medbench_local.catalog.model import ThinkingName, models
from medbench_local.errors import InputError
from medbench_local.prompts.chat_template import TemplateChat
from medbench_local.prompts.prompt_style import PromptStyle, may_think, prompt_style_for
from medbench_local.prompts.prompting import Prompting
from medbench_local.prompts.rendering import render, render_thinking
from medbench_local.prompts.thinking_style import STYLES, style_of
from tests.prompts.families_today import DEEPSEEK_R1, DEEPSEEK_V3_1, GEMMA_3, LLAMA_3_1, QWEN_3, Written
from tests.prompts.test_templates_as_in_transformers import messages, said, theirs
from tests.prompts.test_templates_as_in_transformers import that_day as that_day
from tests.study.material import questions

SILENCED = Written(
    "{% set ns = namespace(mode='/think') %}{% if enable_thinking is defined and not enable_thinking %}"
    "{% set ns.mode = '/no_think' %}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content.lstrip('\\n') + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if ns.mode == '/no_think' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}",
    "<|im_end|>\n",
    "<|im_start|>assistant\n<think>\n\n</think>\n\n",
)
"""In the manner of SmolLM3's: an answer that has begun is written without the empty thought of an answer at once."""

OPENS = Written(
    "{% for m in messages %}{{ '[' + m.role + ']' + m.content + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]<think>\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '</think>\\n' }}{% endif %}{% endif %}",
    "\n",
    "[assistant]<think>\n</think>\n",
)
"""Opens the thought itself, and closes it at once if it is told to."""

QUESTION = questions("test", 1)[0]


def _style(known: Written, thinking: ThinkingName | None = None, **asked: Any) -> PromptStyle:
    """Of a model outside the catalog, or of one of which the catalog says how it thinks."""
    entry = None
    if thinking is not None:
        entry = next(one for one in models().values() if one.thinking == thinking and one.own_template)
    return prompt_style_for(
        entry, chat_template=known.source, tokens=known.tokens, asked=Prompting(**asked), name="mine"
    )


CASES: dict[str, tuple[Written, ThinkingName | None, str]] = {
    "Qwen3": (QWEN_3, None, "<|im_start|>assistant\n<think>\n"),
    "DeepSeek R1": (DEEPSEEK_R1, None, "<｜Assistant｜><think>\n"),
    "DeepSeek V3.1": (DEEPSEEK_V3_1, None, "<｜Assistant｜><think>"),
    "HuatuoGPT": (LLAMA_3_1, "headings", "<|start_header_id|>assistant<|end_header_id|>\n\n## Thinking\n\n"),
    "MedGemma": (GEMMA_3, "unused-tokens", "<start_of_turn>model\n<unused94>thought\n"),
    "SmolLM3": (SILENCED, None, "<|im_start|>assistant\n<think>\n"),
    "opens": (OPENS, None, "[assistant]<think>\n"),
}


@pytest.mark.parametrize("family", CASES)
def test_the_prompt_ends_where_the_thinking_begins(family: str) -> None:
    known, thinking, ends = CASES[family]
    style = _style(known, thinking)
    prompt = render_thinking(style, "medqa", QUESTION, (), None)
    assert prompt.text.endswith(ends)
    assert prompt.text.count(ends.rstrip().rpartition("\n")[2]) == 1, "not opened twice"
    assert prompt.special
    assert style.thinking is not None
    assert prompt.marks == style.thinking.marks
    assert prompt.marks.close == (STYLES[thinking or "think-tags"].close,)
    assert prompt.marks.forced == f"\n{prompt.marks.close[0]}"


@pytest.mark.parametrize("family", CASES)
def test_what_comes_before_is_what_transformers_writes_with_the_switch_on(family: str) -> None:
    known, thinking, _ = CASES[family]
    chat = _style(known, thinking).chat
    assert isinstance(chat, TemplateChat)
    turns = said("One?", "(A)", "Two?")
    switch = {"enable_thinking": True, "thinking": True}
    assert chat.let_think(turns) == theirs(
        known.source, messages(turns), known.tokens, add_generation_prompt=True, **switch
    )


@pytest.mark.parametrize("family", CASES)
@pytest.mark.parametrize("begun", ["", "Answer: "])
def test_an_answer_at_once_begins_as_with_the_switch_off(family: str, begun: str) -> None:
    known, thinking, _ = CASES[family]
    chat = _style(known, thinking).chat
    assert isinstance(chat, TemplateChat)
    switch = {"enable_thinking": False, "thinking": False}
    off = theirs(
        known.source,
        messages(said("One?", "(A)", "Two?")),
        known.tokens,
        add_generation_prompt=True,
        **switch,
    )
    if known is DEEPSEEK_R1:  # which has no switch: it always opens a thought
        off = off.removesuffix("<think>\n")
    trimmed = begun.rstrip() if known in (LLAMA_3_1, GEMMA_3) else begun  # these trim what is said
    assert chat.write(said("One?", "(A)", "Two?", begun)) == off + trimmed
    assert off.endswith(known.opening)
    assert not chat.opens_a_thought


def test_demonstrations_are_answered_at_once() -> None:
    shown = questions("demonstrations", 2)
    text = render_thinking(_style(QWEN_3), "medqa", QUESTION, shown, None).text
    assert text.count("<think>") == 1
    assert text.count("<|im_start|>assistant\n(") == 2


def test_other_rules_do_not_think() -> None:
    text = render(_style(QWEN_3), "medqa", QUESTION, (), None).text
    assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_marks_of_ones_own_come_before_what_is_known() -> None:
    style = _style(QWEN_3, think_open="<reason>", think_close="</reason>").thinking
    assert (style and style.opening, style and style.close) == ("<reason>", "</reason>")
    style = _style(QWEN_3, think_close="</reason>").thinking
    assert (style and style.opening, style and style.close) == ("<think>\n", "</reason>")
    style = _style(QWEN_3, think_open="").thinking
    assert (style and style.opening, style and style.close) == ("", "</think>")
    assert render_thinking(_style(QWEN_3, think_open=""), "medqa", QUESTION, (), None).text.endswith(
        "<|im_start|>assistant\n"
    )


def test_a_template_that_does_not_speak_of_thinking_is_of_a_model_that_just_writes() -> None:
    style = _style(LLAMA_3_1)
    assert style.thinking is None
    prompt = render_thinking(style, "medqa", QUESTION, (), None)
    assert prompt.text.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
    assert (prompt.marks.close, prompt.marks.forced) == ((), "\n")
    assert may_think(None, LLAMA_3_1.source)
    assert not may_think(None, None)


def test_what_the_catalog_says_of_models_that_think() -> None:
    """None of the study's models was trained to: they are prompted as there."""
    known = {name: entry.thinking for name, entry in models().items() if entry.thinking}
    families = {
        "huatuogpt-o1-8b": "headings",
        "medgemma-1.5-4b": "unused-tokens",
        "medpsy-1.7b": "think-tags",
        "qwen3-1.7b": "think-tags",
    }
    assert {name: known[name] for name in families} == families
    assert "medgemma-4b" not in known
    assert {name for name in known if not models()[name].own_template} == set()
    assert all(style_of(models()[name], None) == STYLES[thinking] for name, thinking in known.items())


@pytest.mark.parametrize("way", [render, render_thinking])
def test_a_question_that_a_template_would_cut_is_refused(way: Any) -> None:
    """This one cuts thoughts out of what the user says as well: the model would be asked half a question."""
    cuts = Written(
        "{% for m in messages %}{{ '[' + m.role + ']' + m.content.split('</think>')[-1] + '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}",
        "\n",
        "[assistant]",
    )
    asked = replace(QUESTION, text=f"What does <think>this</think> mean? {QUESTION.text}")
    assert way(_style(cuts), "medqa", QUESTION, (), None)
    with pytest.raises(InputError, match="a turn of the user is not written as it is"):
        way(_style(cuts), "medqa", asked, (), None)


def test_a_template_that_was_given_speaks_of_thinking_too() -> None:
    """Of a model without one of its own, or with one that is silent."""
    for own in (None, LLAMA_3_1.source):
        style = style_of(None, own, Prompting(chat_template=QWEN_3.source))
        assert style == STYLES["think-tags"]
    assert style_of(None, QWEN_3.source, Prompting(chat_template="none")) == STYLES["think-tags"]
