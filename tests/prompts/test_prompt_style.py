"""From questions to prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.catalog.model import models, pairs
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import candidates, prompt_style_for
from medbench_local.prompts.prompting import OWN_WAY, Prompting
from medbench_local.prompts.rendering import render, render_cloze
from medbench_local.prompts.template import write_question
from medbench_local.tasks.question import Question
from tests.prompts.questions import ASKED, SHOWN, SHOWN_TOO, questions

STUDIED = sorted(
    {
        name
        for pair in pairs()
        if pair.studies and pair.modality == "text"
        for name in (pair.medical, pair.base)
    }
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
formats = st.none() | st.integers(0, 10_000)


def test_a_sampled_format_in_plain_text() -> None:
    first = Question("1", "q1?", ("x", "y"), 1)
    second = Question("2", "q2?", ("u", "v"), 0)
    prompt_style = prompt_style_for(models()["llama-2-7b"], asked=Prompting(system_prompt="SYS"))
    assert render(prompt_style, "medqa", second, [first], 3).text == (
        "SYS\n\nQUESTION -- q1?\n\nCHOICES -- [A] x; [B] y\n\nANSWER -- [B] y\n\n"
        "QUESTION -- q2?\n\nCHOICES -- [A] u; [B] v\n\nANSWER -- "
    )


def test_a_sampled_format_in_a_conversation() -> None:
    llama_3 = render(
        prompt_style_for(models()["med42-v2-8b"], asked=Prompting(system_prompt="SYS")),
        "medqa",
        ASKED,
        [SHOWN],
        3,
    )
    assert llama_3.text.endswith(
        "assistant<|end_header_id|>\n\nANSWER -- [B] C<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
        "QUESTION -- Longest bone?\n\nCHOICES -- [A] Femur; [B] Tibia; [C] Ulna<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nANSWER --"
    )
    llama_2 = render(
        prompt_style_for(models()["llama-2-7b-chat"], asked=Prompting(system_prompt="SYS")),
        "medqa",
        ASKED,
        [],
        2,
    )
    assert llama_2.text.endswith("C) Ulna [/INST] ANSWER : ")
    mistral = render(prompt_style_for(models()["mistral-7b-instruct"]), "medqa", ASKED, [], 6)
    assert mistral.text == (
        "<s>[INST] Longest bone?\n<A> Femur;\n\n<B> Tibia;\n\n<C> Ulna [/INST] The answer is=\n"
    )


def test_mistral_sees_the_system_prompt_only_with_a_demonstration_and_in_place_of_its_options() -> None:
    prompt_style = prompt_style_for(models()["mistral-7b-instruct"], asked=Prompting(system_prompt="SYS"))
    assert "SYS" not in render(prompt_style, "medqa", ASKED, [], None).text
    shown = render(prompt_style, "medqa", ASKED, [SHOWN, SHOWN_TOO], 4).text
    assert shown.startswith(
        "<s>[INST] SYS\nPrevents scurvy? [/INST] **Answer**= (B) C</s> [INST] **Question**= "
    )
    assert shown.count("SYS") == 1


@pytest.mark.parametrize("model", STUDIED)
def test_texts_of_special_tokens_are_special_in_conversations_only(model: str) -> None:
    prompt = render(prompt_style_for(models()[model]), "medqa", ASKED, [], None)
    assert prompt.special == (
        models()[model].family.endswith(("chat", "instruct")) or "llm" in model or "med42-v2" in model
    )


@pytest.mark.parametrize("model", STUDIED)
@given(question=questions(), shown=st.lists(questions(), max_size=3), format=formats)
def test_nothing_of_a_question_is_lost(
    model: str, question: Question, shown: list[Question], format: int | None
) -> None:
    prompt_style = prompt_style_for(models()[model])
    prompt = render(prompt_style, "medmcqa", question, shown, format)
    place = 0
    for text in (question.text, *question.options):
        place = prompt.text.index(text.strip(), place) + len(text.strip())
    assert len(prompt.labels) == len(question.options)
    first = 1 if prompt_style.chat and prompt_style.chat.system_place == "first demonstration" else 0
    for one in shown[first:]:
        assert all(text.strip() in prompt.text for text in (one.text, *one.options))


@given(shown=st.lists(questions(), max_size=3), first=questions(), second=questions(), format=formats)
def test_prompts_of_one_candidate_share_everything_before_the_question(
    shown: list[Question], first: Question, second: Question, format: int | None
) -> None:
    prompt_style = prompt_style_for(models()["meditron-7b"], asked=Prompting(system_prompt="SYS"))
    one, other = (render(prompt_style, "medqa", question, shown, format).text for question in (first, second))
    template = prompt_style.template_of(format)
    asked = write_question(template, first) + template.after_options + template.answer_head
    assert one.endswith(asked)
    assert other.startswith(one.removesuffix(asked))


def test_an_empty_system_prompt_leaves_none() -> None:
    prompt_style = prompt_style_for(models()["med42-v1-70b"], asked=Prompting(system_prompt=""))
    assert render(prompt_style, "medqa", ASKED, [], None).text.startswith("<|prompter|>: Longest")


def test_system_prompts_are_replaced_by_model_and_task() -> None:
    overrides = PromptOverrides({"meditron-7b": {"pubmedqa": "ONE {last}", "all": "OTHER"}})

    def start(model: str, task: str, asked: Prompting = OWN_WAY) -> str:
        prompt_style = prompt_style_for(models()[model], overrides=overrides, asked=asked)
        return render(prompt_style, task, ASKED, [], None).text.split("Question")[0]

    assert start("meditron-7b", "pubmedqa") == "ONE {last}\n"
    assert start("meditron-7b", "medqa") == "OTHER\n"
    assert start("meditron-70b", "medqa").startswith("You are a physician")
    assert start("meditron-7b", "pubmedqa", asked=Prompting(system_prompt="LAST")) == "LAST\n"


def test_stop_strings_are_the_heads() -> None:
    prompt_style = prompt_style_for(models()["meditron-7b"])
    assert render(prompt_style, "medqa", ASKED, [], None).stop == (
        "Question:",
        "Options:",
        "The answer is:",
    )
    assert render(prompt_style, "medqa", ASKED, [], 2).stop == ("CHOICES : ", "ANSWER : ")


def test_cloze_shows_no_options_and_answers_in_words() -> None:
    prompt_style = prompt_style_for(models()["llama-2-7b"], asked=Prompting(system_prompt="SYS"))
    prompt = render_cloze(prompt_style, "medqa", ASKED, [SHOWN_TOO], None)
    assert prompt.text == (
        "SYS\n\n### Question: Insulin comes from the\n### Answer: pancreas\n\n"
        "### Question: Longest bone?\n### Answer: "
    )
    assert prompt.labels == ASKED.options


@pytest.mark.parametrize("model", STUDIED)
@pytest.mark.parametrize("format", [None, 0, 3])
def test_cloze_never_mentions_letters_or_options(model: str, format: int | None) -> None:
    text = render_cloze(prompt_style_for(models()[model]), "medqa", ASKED, [], format).text
    assert not any(word in text for word in ("Femur", "Tibia", "A to ", "(A", "ption"))


@pytest.mark.parametrize(
    ("model", "shots", "expected"),
    [
        ("llama-2-7b", 3, 110),
        ("llama-2-7b", 0, 11),
        ("biomistral-7b", 3, 10),
        ("biomistral-7b", 0, 1),
        ("med42-v1-70b", 3, 10),
        ("med42-v2-70b", 3, 110),
    ],
)
def test_the_number_of_candidates(model: str, shots: int, expected: int) -> None:
    found = candidates(prompt_style_for(models()[model]), shots)
    assert len(set(found)) == len(found) == expected


def test_candidates_come_in_the_order_of_evaluation() -> None:
    prompt_style = prompt_style_for(models()["llama-2-7b"])
    assert candidates(prompt_style, 0, formats=[4, 2]) == (
        Candidate(None, None),
        Candidate(4, None),
        Candidate(2, None),
    )
    found = candidates(prompt_style, 3, formats=[7], demonstration_seeds=[1, 0])
    assert found == (Candidate(None, 1), Candidate(None, 0), Candidate(7, 1), Candidate(7, 0))


def test_a_base_model_can_be_prompted_like_its_medical_partner() -> None:
    borrowed = prompt_style_for(
        models()["openbiollm-8b"], tokens={"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    )
    text = render(borrowed, "medqa", ASKED, [SHOWN], None).text
    assert text.startswith(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYour name is OpenBioLLM"
    )
    assert text.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")


def test_outside_the_catalog_a_chat_template_is_used_if_there_is_one() -> None:
    plain = prompt_style_for(None, name="own.gguf", asked=Prompting(system_prompt="SYS"))
    assert render(plain, "own", ASKED, [], None).text.startswith("SYS\n\n### Question: Longest")
    chat = prompt_style_for(
        None,
        chat_template=CHATML,
        tokens={"eos_token": "<|im_end|>"},
        name="own.gguf",
        asked=Prompting(system_prompt="SYS"),
    )
    prompt = render(chat, "own", ASKED, [SHOWN], 3)
    assert prompt.special
    assert prompt.text.startswith("<|im_start|>system\nSYS<|im_end|>\n<|im_start|>user\nQUESTION -- ")
    assert prompt.text.endswith("[C] Ulna<|im_end|>\n<|im_start|>assistant\nANSWER -- ")


def test_inside_the_catalog_the_chat_template_of_the_files_is_not_used() -> None:
    prompt_style = prompt_style_for(models()["llama-2-7b-chat"], chat_template=CHATML)
    assert "[INST]" in render(prompt_style, "medqa", ASKED, [], None).text
    assert prompt_style_for(models()["biomistral-7b"], chat_template=CHATML).chat is None


def test_models_of_the_catalog_may_bring_their_own_chat_template() -> None:
    own = prompt_style_for(
        models()["medpsy-1.7b"], chat_template=CHATML, asked=Prompting(system_prompt="SYS")
    )
    assert render(own, "own", ASKED, [], None).text.startswith("<|im_start|>system\nSYS<|im_end|>\n")
    without = prompt_style_for(models()["medpsy-1.7b"], asked=Prompting(system_prompt="SYS"))
    assert without.name == "medpsy-1.7b"
    assert render(without, "own", ASKED, [], None).text.startswith("SYS\n\n### Question: Longest")
