"""The families of models and how each is prompted unless told otherwise.

Templates of the study's eleven families are those with which Jeong et al. (EMNLP 2024) prompted each, after its
authors' own usage; the system prompts carry the meaning of theirs in other words.
"""

from __future__ import annotations

from medbench_local.catalog.model import FamilyName
from medbench_local.prompts.chat import LLAMA_2, LLAMA_3, MISTRAL
from medbench_local.prompts.family import Family
from medbench_local.prompts.picture_families import PICTURE_FAMILIES
from medbench_local.prompts.template import Template

CLOZE_SYSTEM = "Here is a question that tests medical knowledge. Reply with the answer in words."
"""The default system prompt where no options are shown, for every family."""

_GUIDELINES = "Let your choice rest on the standard practice that current medical guidelines describe."
_MEDITRON_USMLE = (
    "You are a physician sitting the United States Medical Licensing Examination. Prove that you command the "
    "basic and the clinical sciences, know how health is kept and how disease arises, and know how patients "
    "are cared for and treated, as the practice of medicine requires. Choose the one correct answer, A to "
    f"{{last}}, to the multiple-choice question below. {_GUIDELINES}"
)
_MEDITRON_ENTRANCE = (
    "You are a physician working through questions of real medical entrance examinations. Draw on the basic "
    "and the clinical sciences, on how disease arises, and on how patients are cared for and treated, and "
    f"choose the one correct answer, A to {{last}}, to the multiple-choice question below. {_GUIDELINES}"
)
_MEDITRON_ABSTRACT = (
    "You are a clinician with expert knowledge of medicine and its science. Is the statement below correct? "
    "Say yes, no or maybe."
)
_BIOMISTRAL = "Multiple-choice questions on medical knowledge follow, each with its answer."
_OPENBIOLLM = (
    "Your name is OpenBioLLM, and Saama AI Labs developed you. You are a seasoned expert in health care and "
    "biomedicine who gladly answers questions and explains the answer. Explain from deep medical knowledge, "
    "be it anatomy, physiology, the criteria of a diagnosis, guidelines for treatment or whatever else bears "
    "on the case, in exact medical terms that a lay reader can still follow."
)
_MED42_V1 = "You are a medical assistant, made by M42 Health in the United Arab Emirates, and glad to help."
_MED42_V2 = (
    "You are the second version of Med42, a medical assistant built by the AI team of M42 in the United Arab "
    "Emirates. Be helpful, respectful and honest, and keep what you say safe: nothing harmful, unethical, "
    "illegal, offensive or biased belongs in it. When a question makes no sense or rests on a mistake, say "
    "why in place of giving a wrong answer. When you do not know, say so and invent nothing."
)


PLAIN = Template(
    before_system="",
    after_system="\n\n",
    question_head="### Question: ",
    after_question="\n",
    options_head="",
    option_label="({})",
    between_options="\n",
    after_options="\n",
    answer_head="### Answer: ",
    answer_label="({})",
    answer_text=True,
    after_answer="\n\n",
    stop=("### Question:", "### Answer:"),
)
CHAT = Template(
    before_system="",
    after_system="\n\n",
    question_head="Question: ",
    after_question="\n",
    options_head="",
    option_label="({})",
    between_options="\n",
    after_options="\n",
    answer_head="",
    answer_label="({})",
    answer_text=True,
    after_answer="\n\n",
    stop=("Question:",),
)
_MEDITRON_TEMPLATE = Template(
    before_system="",
    after_system="\n",
    question_head="Question: ",
    after_question="\n\n",
    options_head="Options:\n",
    option_label="{}.",
    between_options="\n",
    after_options="\n",
    answer_head="The answer is: ",
    answer_label="{}",
    answer_text=False,
    after_answer="\n\n",
    stop=("Question:", "Options:", "The answer is:"),
)
_BIOMISTRAL_TEMPLATE = Template(
    before_system="",
    after_system="\n",
    question_head="**Question:** ",
    after_question="\n",
    options_head="",
    option_label="({})",
    between_options="\n",
    after_options="\n",
    answer_head="**Answer:** (",
    answer_label="{}",
    answer_text=False,
    after_answer="\n\n",
    stop=("**Question:**", "**Answer:**"),
)
_BIOMEDGPT_TEMPLATE = Template(
    before_system="",
    after_system=" ",
    question_head="### Human: ",
    after_question=" ",
    options_head="",
    option_label="({})",
    between_options=" ",
    after_options=" ",
    answer_head="### Assistant: ",
    answer_label="({})",
    answer_text=True,
    after_answer=" ",
    stop=("### Human:", "### Assistant:"),
)
_MED42_V1_TEMPLATE = Template(
    before_system="<|system|>: ",
    after_system="\n",
    question_head="<|prompter|>: ",
    after_question="\n",
    options_head="",
    option_label="{}.",
    between_options="\n",
    after_options="\n",
    answer_head="<|assistant|>: ",
    answer_label="{}.",
    answer_text=True,
    after_answer="\n\n",
    stop=("<|prompter|>:", "<|assistant|>:"),
)

FAMILIES: dict[FamilyName, Family] = {
    family.name: family
    for family in (
        Family("generic", PLAIN),
        Family(
            "meditron",
            _MEDITRON_TEMPLATE,
            system=_MEDITRON_ENTRANCE,
            system_by_task=(
                ("medqa", _MEDITRON_USMLE),
                ("medqa-4", _MEDITRON_USMLE),
                ("pubmedqa", _MEDITRON_ABSTRACT),
            ),
        ),
        Family("biomistral", _BIOMISTRAL_TEMPLATE, system=_BIOMISTRAL),
        Family("biomedgpt", _BIOMEDGPT_TEMPLATE),
        Family("med42-v1", _MED42_V1_TEMPLATE, system=_MED42_V1),
        Family("llama-2-chat", CHAT, LLAMA_2),
        Family("llama-3-chat", CHAT, LLAMA_3),
        # The study's code lists this one model as chat in one place and not in another: the turns of a
        # conversation are written with the pieces of plain prompts.
        Family("llama-3-8b-instruct", PLAIN, LLAMA_3),
        Family("openbiollm", CHAT, LLAMA_3, system=_OPENBIOLLM),
        Family("med42-v2", CHAT, LLAMA_3, system=_MED42_V2),
        Family("mistral-instruct", CHAT, MISTRAL),
        # its style comes with the model
        Family("own-template", CHAT),
        *PICTURE_FAMILIES,
    )
}
"""Every family by name."""
