"""The default prompt of every family, written out."""

from __future__ import annotations

from typing import get_args

import pytest

from medbench_local.catalog.model import FamilyName, models, pairs
from medbench_local.prompts.families import FAMILIES
from medbench_local.prompts.prompt_style import prompt_style_for
from medbench_local.prompts.prompting import Prompting
from medbench_local.prompts.rendering import render
from tests.prompts.questions import ASKED, SHOWN

L3 = "<|start_header_id|>{}<|end_header_id|>\n\n"
SYSTEM, USER, ASSISTANT = (L3.format(role) for role in ("system", "user", "assistant"))

# Model: its one-shot prompt with the system prompt "SYS".
GOLDEN = {
    "meditron-7b": "SYS\nQuestion: Prevents scurvy?\n\nOptions:\nA. A\nB. C\nC. D\nThe answer is: B\n\n"
    "Question: Longest bone?\n\nOptions:\nA. Femur\nB. Tibia\nC. Ulna\nThe answer is: ",
    "llama-2-7b": "SYS\n\n### Question: Prevents scurvy?\n(A) A\n(B) C\n(C) D\n### Answer: (B) C\n\n"
    "### Question: Longest bone?\n(A) Femur\n(B) Tibia\n(C) Ulna\n### Answer: ",
    "biomistral-7b": "SYS\n**Question:** Prevents scurvy?\n(A) A\n(B) C\n(C) D\n**Answer:** (B\n\n"
    "**Question:** Longest bone?\n(A) Femur\n(B) Tibia\n(C) Ulna\n**Answer:** (",
    "biomedgpt-7b": "SYS ### Human: Prevents scurvy? (A) A (B) C (C) D ### Assistant: (B) C "
    "### Human: Longest bone? (A) Femur (B) Tibia (C) Ulna ### Assistant: ",
    "med42-v1-70b": "<|system|>: SYS\n<|prompter|>: Prevents scurvy?\nA. A\nB. C\nC. D\n"
    "<|assistant|>: B. C\n\n<|prompter|>: Longest bone?\nA. Femur\nB. Tibia\nC. Ulna\n<|assistant|>: ",
    "llama-2-7b-chat": "<s>[INST] <<SYS>>\nSYS\n<</SYS>>\n\nQuestion: Prevents scurvy?\n"
    "(A) A\n(B) C\n(C) D [/INST] (B) C </s>"
    "<s>[INST] Question: Longest bone?\n(A) Femur\n(B) Tibia\n(C) Ulna [/INST]  ",
    "llama-3-70b-instruct": f"<|begin_of_text|>{SYSTEM}SYS<|eot_id|>"
    f"{USER}Question: Prevents scurvy?\n(A) A\n(B) C\n(C) D<|eot_id|>{ASSISTANT}(B) C<|eot_id|>"
    f"{USER}Question: Longest bone?\n(A) Femur\n(B) Tibia\n(C) Ulna<|eot_id|>{ASSISTANT}",
    # In this model's conversations the turns are written like plain prompts.
    "llama-3-8b-instruct": f"<|begin_of_text|>{SYSTEM}SYS<|eot_id|>"
    f"{USER}### Question: Prevents scurvy?\n(A) A\n(B) C\n(C) D<|eot_id|>"
    f"{ASSISTANT}### Answer: (B) C<|eot_id|>"
    f"{USER}### Question: Longest bone?\n(A) Femur\n(B) Tibia\n(C) Ulna<|eot_id|>{ASSISTANT}### Answer:",
    # No place for a system prompt: it replaces the form and the options of the first demonstration.
    "mistral-7b-instruct": "<s>[INST] SYS\nPrevents scurvy? [/INST] (B) C</s> "
    "[INST] Question: Longest bone?\n(A) Femur\n(B) Tibia\n(C) Ulna [/INST] ",
}
SAME = {
    "llama-2-70b": "llama-2-7b",
    "llama-3-8b": "llama-2-7b",
    "meditron-70b": "meditron-7b",
    "clinical-camel-70b": "llama-2-7b-chat",
    "openbiollm-8b": "llama-3-70b-instruct",
    "openbiollm-70b": "llama-3-70b-instruct",
    "med42-v2-8b": "llama-3-70b-instruct",
    "med42-v2-70b": "llama-3-70b-instruct",
}


@pytest.mark.parametrize("model", [*GOLDEN, *SAME])
def test_the_default_prompt(model: str) -> None:
    prompt_style = prompt_style_for(models()[model], asked=Prompting(system_prompt="SYS"))
    assert render(prompt_style, "medqa", ASKED, [SHOWN], None).text == GOLDEN[SAME.get(model, model)]


def test_every_model_of_the_study_is_covered() -> None:
    studied = {
        name
        for pair in pairs()
        if pair.studies and pair.modality == "text"
        for name in (pair.medical, pair.base)
    }
    assert GOLDEN.keys() | SAME.keys() == studied


def test_every_family_of_the_catalog_exists() -> None:
    assert set(FAMILIES) == set(get_args(FamilyName))
    pictures = {name for name, family in FAMILIES.items() if family.layout is not None}
    assert {entry.family for entry in models().values()} | pictures == set(FAMILIES)


@pytest.mark.parametrize(
    ("model", "labels"),
    [
        ("meditron-7b", ("A", "B", "C")),
        ("biomistral-7b", ("A", "B", "C")),
        ("med42-v1-70b", ("A.", "B.", "C.")),
        ("llama-2-7b", ("(A)", "(B)", "(C)")),
        ("llama-2-7b-chat", ("(A)", "(B)", "(C)")),
    ],
)
def test_labels_are_what_a_demonstration_shows(model: str, labels: tuple[str, ...]) -> None:
    prompt = render(prompt_style_for(models()[model]), "medqa", ASKED, [], None)
    assert prompt.labels == labels


@pytest.mark.parametrize(("options", "last"), [(3, "C"), (4, "D"), (5, "E")])
def test_the_generic_system_prompt_names_the_last_letter(options: int, last: str) -> None:
    assert f"A to {last}" in FAMILIES["generic"].system_for("medmcqa", options)


def test_meditron_has_a_persona_for_each_kind_of_task() -> None:
    family = FAMILIES["meditron"]
    usmle = family.system_for("medqa", 5)
    assert usmle.replace("A to E", "A to D") == family.system_for("medqa-4", 4)
    assert "Licensing" in usmle
    assert family.system_for("medmcqa", 4) == family.system_for("mmlu-virology", 4)
    assert "yes, no or maybe" in family.system_for("pubmedqa", 3)
    assert "{" not in "".join(family.system_for(task, 4) for task in ("medqa", "medmcqa", "pubmedqa"))


@pytest.mark.parametrize(
    ("family", "word"),
    [
        ("openbiollm", "Saama AI Labs"),
        ("med42-v1", "M42 Health"),
        ("med42-v2", "second version of Med42"),
        ("biomistral", "Multiple-choice"),
    ],
)
def test_personas_say_who_the_model_is(family: FamilyName, word: str) -> None:
    assert word in FAMILIES[family].system_for("medqa", 5)
