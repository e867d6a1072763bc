"""The prompt that asks one question the way a model is prompted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from medbench_local.errors import InputError, TooFewPicturesError, UsageError
from medbench_local.prompts import template as pieces
from medbench_local.prompts.layout import Draft, Item, Layout
from medbench_local.prompts.picture_layouts import HumanAssistant
from medbench_local.prompts.prompt import Parts, Prompt, Shown
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.template import Template
from medbench_local.tasks.picture import CONTROL, TAG, Picture
from medbench_local.tasks.question import Question

Write = Callable[[Template, Question], str]


def render(
    prompt_style: PromptStyle,
    task_id: str,
    question: Question,
    demonstrations: Sequence[Question],
    format: int | None,
    *,
    thinking: bool = False,
) -> Prompt:
    """The prompt that asks ``question``, its options shown.

    Args:
        prompt_style: of the model, or of the model whose way is borrowed.
        task_id: decides the system prompt.
        question: the question asked.
        demonstrations: solved questions, in the order in which they are shown; none for zero-shot.
        format: seed of a sampled format, or None for the model's default template.
        thinking: whether it ends where the model may think, and not where its answer begins.

    Raises:
        UsageError: a question comes with a picture, and the model reads text only.
        TooFewPicturesError: the study's code could not ask this.
        InputError: what is asked holds text that stands for a control token.
    """
    system = prompt_style.system(task_id, len(question.options))
    draft = _draft(
        prompt_style,
        task_id,
        format,
        system,
        (*demonstrations, question),
        (pieces.write_question, pieces.write_answer),
    )
    labels = pieces.labels(draft.template, question.options)
    return _prompt(prompt_style, task_id, replace(draft, thinking=thinking), labels)


def render_cloze(
    prompt_style: PromptStyle,
    task_id: str,
    question: Question,
    demonstrations: Sequence[Question],
    format: int | None,
) -> Prompt:
    """The prompt that asks ``question`` without showing options; `Prompt.labels` are the options' texts.

    Arguments and errors as for `render`.
    """
    draft = _draft(
        prompt_style,
        task_id,
        format,
        prompt_style.cloze_system(task_id),
        (*demonstrations, question),
        (pieces.write_cloze_question, pieces.write_cloze_answer),
    )
    return _prompt(prompt_style, task_id, draft, question.options)


def render_thinking(
    prompt_style: PromptStyle,
    task_id: str,
    question: Question,
    demonstrations: Sequence[Question],
    format: int | None,
) -> Prompt:
    """The prompt that lets the model think about ``question``; it ends where the thinking begins.

    A model that was not trained to think goes on from where its answer would begin. Arguments and errors as for
    `render`.
    """
    prompt = render(prompt_style, task_id, question, demonstrations, format, thinking=True)
    style = prompt_style.thinking
    if style is None:
        return prompt
    *before, last = prompt.parts
    assert isinstance(last, str), "a prompt ends where the assistant begins"
    return replace(prompt, parts=(*before, style.opened(last)), marks=style.marks)


def lacking_pictures(
    prompt_style: PromptStyle, question: Question, demonstrations: Sequence[Question]
) -> int:
    """How many pictures the study's code would miss with this prompt, which it could not ask; 0 where it could."""
    layout = prompt_style.layout
    if not layout.shows_pictures:
        return 0
    items = [_item(layout, one, "", "") for one in (*demonstrations, question)]
    draft = Draft(prompt_style.template, "", tuple(items[:-1]), items[-1], prompt_style.shot_images)
    return layout.lacking(draft)


def shows_few(prompt_style: PromptStyle) -> bool:
    """Whether prompts have places that show nothing, as those of the study's code for LLaVA."""
    return isinstance(prompt_style.layout, HumanAssistant) and prompt_style.shot_images == "paper"


def shown_pictures(
    prompt_style: PromptStyle, question: Question, demonstrations: Sequence[Question]
) -> tuple[Picture, ...]:
    """The pictures that a prompt shows, whatever its format; none where the study's code could not ask it."""
    layout = prompt_style.layout
    items = [_item(layout, one, "", "") for one in (*demonstrations, question)]
    draft = Draft(prompt_style.template, "", tuple(items[:-1]), items[-1], prompt_style.shot_images)
    if layout.lacking(draft):
        return ()
    places = (part for part in layout.write(draft) if isinstance(part, Shown))
    return tuple(dict.fromkeys(picture for place in places for picture in place.pictures))


def need_sight(prompt_style: PromptStyle, task_id: str, questions: Iterable[Question]) -> None:
    """Refuse questions with pictures for a model that reads text only.

    Raises:
        UsageError: there is one.
    """
    if not prompt_style.layout.shows_pictures and any(question.pictures for question in questions):
        raise blind(prompt_style.name, task_id)


def blind(model: str, task_id: str) -> UsageError:
    """The error of a model that reads text only and is to be asked about pictures."""
    return UsageError(
        f"The questions of {task_id} come with pictures, and {model} reads text only.",
        advice="Leave the task out with `tasks=`, or choose models that read pictures; some do with `mmproj=` (`models "
        "show` says which).",
    )


def _draft(
    prompt_style: PromptStyle,
    task_id: str,
    format: int | None,
    system: str,
    questions: Sequence[Question],
    writers: tuple[Write, Write],
) -> Draft:
    """What a prompt is made of: the last of ``questions`` is asked, the others are solved."""
    need_sight(prompt_style, task_id, questions)
    layout, template = prompt_style.layout, prompt_style.template_of(format)
    write_question, write_answer = writers
    if layout.shows_pictures:
        _refuse_control_text(prompt_style, task_id, system, questions)
    items = []
    for number, question in enumerate(questions):
        bare = _bare(layout, question)
        solved = number < len(questions) - 1
        answer = write_answer(template, bare) if solved else template.answer_head
        items.append(_item(layout, question, write_question(template, bare), answer))
    return Draft(template, system, tuple(items[:-1]), items[-1], prompt_style.shot_images)


def _item(layout: Layout, question: Question, said: str, answer: str) -> Item:
    tags = question.text.count(TAG) if layout.shows_pictures else 0
    return Item(_bare(layout, question), said, answer, tags)


def _bare(layout: Layout, question: Question) -> Question:
    """A question without the tags of its data set, where pictures have their own place."""
    if not layout.shows_pictures or TAG not in question.text:
        return question
    return replace(question, text=question.text.replace(TAG, "").strip())


def _refuse_control_text(
    prompt_style: PromptStyle, task_id: str, system: str, questions: Sequence[Question]
) -> None:
    """Refuse what the model would take for pictures or ends of texts that are not there."""
    chat = prompt_style.chat
    texts = CONTROL if chat is None else (TAG, chat.picture_marker)
    for question in questions:
        text = question.text.replace(TAG, "") if question.pictures else question.text
        for held in (text, *question.options):
            if (found := _first_of(texts, held)) is not None:
                raise InputError(
                    task_id,
                    f"question {question.id}",
                    f"its text or an option holds {found!r}, which {prompt_style.name} takes for a control token",
                    advice="Leave the question out, or write it otherwise.",
                )
    if (found := _first_of(texts, system)) is not None:
        raise UsageError(
            f"The system prompt holds {found!r}, which {prompt_style.name} takes for a control token.",
            advice="Write it without with `system_prompt=`.",
        )


def _first_of(texts: Iterable[str], held: str) -> str | None:
    return next((text for text in texts if text in held), None)


def _prompt(prompt_style: PromptStyle, task_id: str, draft: Draft, labels: tuple[str, ...]) -> Prompt:
    layout = prompt_style.layout
    if not prompt_style.lenient and (lacking := layout.lacking(draft)):
        raise TooFewPicturesError(
            f"{task_id}, question {draft.asked.question.id}: with these demonstrations the prompt of "
            f"{prompt_style.name} has {lacking} more places than pictures are handed over by the study's code, which "
            "cannot ask it.",
            advice="Choose other demonstrations, or a protocol with `shot_images: all`.",
        )
    parts = layout.write(draft)
    head = draft.template.answer_head
    blanks = head[len(head.rstrip()) :] if head else layout.gap
    return Prompt(
        parts,
        special=layout.special,
        labels=labels,
        stop=layout.stop(draft.template),
        gap="" if _ends_in_blank(parts) else blanks,
    )


def _ends_in_blank(parts: Parts) -> bool:
    last = parts[-1]
    return isinstance(last, str) and last[-1:].isspace()
