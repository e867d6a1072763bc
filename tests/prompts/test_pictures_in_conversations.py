"""Pictures in conversations that a model's own chat template writes: where transformers' templates put them."""

from __future__ import annotations

from typing import Any

import pytest

from medbench_local.errors import InputError, UsageError
from medbench_local.prompts.chat import LLAMA_2
from medbench_local.prompts.chat_template import TemplateChat
from medbench_local.prompts.prompt import Shown
from medbench_local.prompts.prompt_style import PromptStyle, prompt_style_for
from medbench_local.prompts.prompting import Prompting
from medbench_local.prompts.rendering import render, render_thinking
from medbench_local.tasks.question import Question
from tests.prompts.families_today import (
    GEMMA_3,
    MISTRAL_SMALL,
    PARTS_ONLY,
    QWEN_2_5,
    QWEN_2_5_VL,
    QWEN_3,
    Written,
)
from tests.prompts.pictures import BLIND, BONE, LUNG, P1, P2, P4, P5, TAGGED, written
from tests.prompts.test_templates_as_in_transformers import that_day as that_day
from tests.prompts.test_templates_as_in_transformers import theirs

WITH_PICTURES = {
    "Gemma 3": (GEMMA_3, "<start_of_image>"),
    "Mistral Small": (MISTRAL_SMALL, "[IMG]"),
    "typed parts only": (PARTS_ONLY, "<image>"),
    "Qwen2.5-VL": (QWEN_2_5_VL, "<|vision_start|><|image_pad|><|vision_end|>"),
}
by_template = pytest.mark.parametrize("name", WITH_PICTURES)


def seeing(known: Written, system: str | None = "SYS") -> PromptStyle:
    return prompt_style_for(
        None,
        chat_template=known.source,
        tokens=known.tokens,
        name="own",
        asked=Prompting(system_prompt=system),
        sees=True,
    )


def content(text: str, pictures: int) -> list[dict[str, Any]]:
    return [{"type": "image"}] * pictures + [{"type": "text", "text": text}]


@by_template
def test_the_marker_is_found(name: str) -> None:
    known, marker = WITH_PICTURES[name]
    assert TemplateChat(known.source, known.tokens, origin=name).picture_marker == marker


@pytest.mark.parametrize("known", [QWEN_2_5, QWEN_3])
def test_a_template_for_text_has_none(known: Written) -> None:
    assert TemplateChat(known.source, known.tokens, origin="x").picture_marker == ""
    assert LLAMA_2.picture_marker == ""
    with pytest.raises(UsageError, match="own reads pictures, and its chat template has no place for them"):
        seeing(known)
    with pytest.raises(UsageError, match="own reads pictures, and plain text has no place for them"):
        prompt_style_for(None, name="own", sees=True)


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% for c in m.content if c.type == 'image' %}[IMG]{% endfor %}<{{ m.role }}>"
        "{% for c in m.content if c.type == 'text' %}{{ c.text }}{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}(picture {{ loop.index }})"
        "{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}",
        "{% for m in messages %}{{ m.content[-1].text }}{% endfor %}",
    ],
)
def test_what_is_written_otherwise_than_as_one_marker_a_picture_is_no_place(source: str) -> None:
    assert TemplateChat(source, {}, origin="x").picture_marker == ""


@by_template
@pytest.mark.parametrize("format", [None, 3])
def test_pictures_stand_where_the_template_of_transformers_puts_them(name: str, format: int | None) -> None:
    known, marker = WITH_PICTURES[name]
    prompt = render(seeing(known), "slake", TAGGED, [BONE], format)
    assert prompt.pictures == (P2, P4, P5)
    assert prompt.places == (Shown((P2,)), Shown((P4,)), Shown((P5,)))
    if format is None:
        shown, answer, asked = (
            "Question: Is a bone broken?\n(A) yes\n(B) no",
            "(B) no",
            "Question: Compare it with  .\n(A) same\n(B) other",
        )
        begun = "("
    else:
        shown, answer, asked = (
            "QUESTION -- Is a bone broken?\n\nCHOICES -- [A] yes; [B] no",
            "ANSWER -- [B] no",
            "QUESTION -- Compare it with  .\n\nCHOICES -- [A] same; [B] other",
        )
        begun = "ANSWER --"
    parts = name == "typed parts only"
    whole = theirs(
        known.source,
        [
            {"role": "system", "content": content("SYS", 0) if parts else "SYS"},
            {"role": "user", "content": content(shown, 1)},
            {"role": "assistant", "content": content(answer, 0) if parts else answer},
            {"role": "user", "content": content(asked, 2)},
            {"role": "assistant", "content": content(begun, 0) if parts else begun},
        ],
        known.tokens,
    )
    assert whole.count(marker) == 3
    expected = "".join(
        f"{text}{one}" for text, one in zip(whole.split(marker), ("[2]", "[4]", "[5]", ""), strict=True)
    )
    end = known.end if format is not None else begun + known.end
    assert expected.endswith(end)
    assert written(prompt).rstrip(" ") == expected.removesuffix(end).rstrip(" ")


@by_template
def test_text_alone_is_written_as_for_a_model_that_reads_text_only(name: str) -> None:
    known, _ = WITH_PICTURES[name]
    blind = prompt_style_for(
        None,
        chat_template=known.source,
        tokens=known.tokens,
        name="own",
        asked=Prompting(system_prompt="SYS"),
    )
    one, other = (render(style, "own", BLIND, [BLIND], 3) for style in (seeing(known), blind))
    assert one == other
    with pytest.raises(UsageError, match="come with pictures, and own reads text only"):
        render(blind, "own", LUNG, [], None)


def test_gemma_3_in_full() -> None:
    prompt = render(seeing(GEMMA_3), "slake", LUNG, [], None)
    assert written(prompt) == (
        "<bos><start_of_turn>user\nSYS\n\n[1]Question: Is the lung clear?\n(A) yes\n(B) no<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    thinking = render_thinking(seeing(GEMMA_3), "slake", LUNG, [], None)
    assert thinking.places == (Shown((P1,)),)


@by_template
def test_a_question_that_holds_the_marker_is_refused(name: str) -> None:
    known, marker = WITH_PICTURES[name]
    bad = Question("bad", f"What is {marker}?", ("yes", "no"), 0)
    for asked, shown in ((bad, [LUNG]), (LUNG, [bad])):
        with pytest.raises(InputError, match="slake, question bad"):
            render(seeing(known), "slake", asked, shown, None)
    with pytest.raises(UsageError, match="system prompt holds"):
        render(seeing(known, system=f"Look: {marker}"), "slake", LUNG, [], None)
