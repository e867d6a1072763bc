"""The families of models that see pictures in plain text, and how each is prompted unless told otherwise.

Templates of the first four are those with which Jeong et al. (EMNLP 2024) prompted each; the system prompts carry the
meaning of theirs in other words.
"""

from __future__ import annotations

from medbench_local.prompts.family import Family
from medbench_local.prompts.picture_layouts import Chunks, HumanAssistant, Turns
from medbench_local.prompts.template import Template

_CURIOUS = (
    "A curious human talks with an assistant, an artificial intelligence. "
    "The assistant's answers are polite and detailed, and they help."
)
_LLAVA_MED = (
    "Your name is LLaVA-Med. Researchers at Microsoft trained you, starting from the general-purpose LLaVA. You see "
    "what is in the pictures that users show you, and help them in plain language with whatever they have to do in "
    "medicine and in the clinic. Keep closely to what you are told to do and give detailed reasons for your answers."
)
_MED_FLAMINGO = (
    "You are a medical assistant who is glad to help. You are given pictures, each with a question about it and its "
    "answer. Do as the examples do and answer the question that comes last."
)
_OPEN_FLAMINGO = (
    "Here is a multiple-choice question about a picture that takes medical knowledge. Reply with one of the options "
    "that are given."
)

_LLAVA_V0_TEMPLATE = Template(
    before_system="",
    after_system="\n\n",
    question_head="",
    after_question="\n",
    options_head="Options: ",
    option_label="({})",
    between_options=" ",
    after_options="\n",
    answer_head="",
    answer_label="({})",
    answer_text=True,
    after_answer="\n",
    stop=(),
)
_LLAVA_MED_TEMPLATE = Template(
    before_system="",
    after_system="\n\n",
    question_head="",
    after_question=" ",
    options_head="Please choose from the following options: [",
    option_label="",
    between_options=", ",
    options_tail="].",
    after_options="\n",
    answer_head="",
    answer_label="",
    answer_text=True,
    after_answer="\n",
    stop=(),
)


def _flamingo_template(answer_head: str) -> Template:
    return Template(
        before_system="",
        after_system="\n",
        question_head="Question: ",
        after_question=" ",
        options_head="",
        option_label="({})",
        between_options=", ",
        options_tail=";",
        after_options=" ",
        answer_head=answer_head,
        answer_label="({})",
        answer_text=True,
        after_answer=".",
        stop=(),
    )


_LETTER_TEMPLATE = Template(
    before_system="",
    after_system=" ",
    question_head="",
    after_question="\n",
    options_head="",
    option_label="{}.",
    between_options="\n",
    options_tail="\nReply with the letter of the right option only.",
    after_options=" ",
    answer_head="",
    answer_label="{}",
    answer_text=False,
    after_answer=" ",
    stop=(),
)
"""As the instructions of LLaVA 1.5 ask multiple-choice questions, the last line in other words."""

_VICUNA = Turns(
    system="{} ", system_inside=False, user="USER: ", assistant=" ASSISTANT:", end="</s>", stops=("USER:",)
)
_INST = Turns(
    system="<<SYS>>\n{}\n<</SYS>>\n\n",
    system_inside=True,
    user="[INST] ",
    assistant=" [/INST]",
    end=" </s>",
    stops=("[INST]",),
)

PICTURE_FAMILIES = (
    Family("llava-v0", _LLAVA_V0_TEMPLATE, system=_CURIOUS, layout=HumanAssistant()),
    Family("llava-med", _LLAVA_MED_TEMPLATE, system=_LLAVA_MED, layout=HumanAssistant()),
    Family("llava-v1.5", _LETTER_TEMPLATE, system=_CURIOUS, layout=_VICUNA),
    # its authors talk to it without a system prompt
    Family("llava-mistral", _LETTER_TEMPLATE, system="", layout=_INST),
    Family("open-flamingo", _flamingo_template("Short answer: "), system=_OPEN_FLAMINGO, layout=Chunks()),
    Family("med-flamingo", _flamingo_template("Answer: "), system=_MED_FLAMINGO, layout=Chunks()),
)
"""Every family that sees pictures in plain text."""
