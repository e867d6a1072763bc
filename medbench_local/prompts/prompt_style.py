"""From questions to prompts: one model's way of being prompted, and its candidates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from medbench_local.catalog.model import FamilyName, ModelEntry
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.prompts import template as pieces
from medbench_local.prompts.chat import Chat, Turn
from medbench_local.prompts.families import CHAT, CLOZE_SYSTEM, FAMILIES, PLAIN
from medbench_local.prompts.grammar import sample_format
from medbench_local.prompts.prompt import Candidate, Prompt, ThinkingMarks
from medbench_local.prompts.prompting import OWN_WAY, PLAIN_TEXT, Prompting
from medbench_local.prompts.template import Template, write_plain
from medbench_local.prompts.thinking_style import ThinkingStyle, style_of
from medbench_local.tasks.question import Question


@dataclass(frozen=True)
class PromptStyle:
    """How one model is prompted.

    Rendering another model's prompts with it is what "prompted like its medical partner" means: system
    prompt, pieces and chat template are all here.

    Attributes:
        name: the model's, as the user gave it; the key of ``overrides``.
        family: whose default system prompts are used.
        template: the default way to write questions and answers.
        chat: how conversations are written, or None for plain text.
        fixed_template: no format but the default is tried.
        system_prompt: replaces every system prompt, if not None; "" leaves plain prompts without one and the
            system turn of conversations empty.
        overrides: system prompts by model and task.
        thinking: how the model thinks before it answers, or None for one that was not trained to.
    """

    name: str
    family: FamilyName
    template: Template
    chat: Chat | None
    fixed_template: bool = False
    system_prompt: str | None = None
    overrides: PromptOverrides = field(default_factory=PromptOverrides)
    thinking: ThinkingStyle | None = None

    def system(self, task_id: str, options: int) -> str:
        """The system prompt for questions of ``task_id`` with ``options`` options."""
        given = self._given_system(task_id)
        return FAMILIES[self.family].system_for(task_id, options) if given is None else given

    def cloze_system(self, task_id: str) -> str:
        """The system prompt where no options are shown."""
        given = self._given_system(task_id)
        return CLOZE_SYSTEM if given is None else given

    def template_of(self, format: int | None) -> Template:
        """The pieces of the format with seed ``format``, or the model's own for None."""
        return self.template if format is None else _sampled_template(format)

    def _given_system(self, task_id: str) -> str | None:
        if self.system_prompt is not None:
            return self.system_prompt
        return self.overrides.text(self.name, task_id)


@lru_cache(maxsize=1024)
def _sampled_template(seed: int) -> Template:
    return sample_format(seed).template()


def template_in_force(entry: ModelEntry | None, chat_template: str | None, asked: Prompting) -> str | None:
    """The chat template that writes a model's prompts; None where none does.

    Args:
        entry: the catalog's entry, or None for a model outside the catalog.
        chat_template: stored with the model.
        asked: what the user wants otherwise.
    """
    if asked.chat_template is not None:
        return None if asked.chat_template == PLAIN_TEXT else asked.chat_template
    return chat_template if entry is None or entry.own_template else None


def prompt_style_for(
    entry: ModelEntry | None,
    *,
    chat_template: str | None = None,
    tokens: Mapping[str, str] | None = None,
    asked: Prompting = OWN_WAY,
    overrides: PromptOverrides | None = None,
    name: str = "",
) -> PromptStyle:
    """How a model is prompted.

    Unless something else is asked for, a model of the study is prompted as the study did, whatever chat template its
    files hold; any other one through its own chat template, or in plain text if it has none.

    Args:
        entry: the catalog's entry, or None for a model outside the catalog.
        chat_template: the Jinja chat template stored with the model; used for models outside the catalog and for those
            that the catalog says have their own.
        tokens: texts of special tokens by the names of transformers ("bos_token"); without those of BOS and
            end-of-sequence the usual ones of a catalog model's family are written.
        asked: what the user wants otherwise.
        overrides: system prompts by model and task, used where no system prompt is asked for.
        name: the model's name for overrides and error messages, if it is not in the catalog.

    Raises:
        InputError: the chat template is not valid or does what a template may not.
    """
    chat: Chat | None = None
    known = tokens or {}
    family = FAMILIES["generic" if entry is None or entry.own_template else entry.family]
    source = template_in_force(entry, chat_template, asked)
    if source is not None:
        from medbench_local.prompts.chat_template import TemplateChat  # slow to import

        template = CHAT if family.style is None else family.template
        given = asked.chat_template is not None
        chat = TemplateChat(source, known, origin="`chat_template=`" if given else name or "the model")
    elif family.style is not None and asked.chat_template is None:
        chat = family.style.with_tokens(known.get("bos_token", ""), known.get("eos_token", ""))
        template = family.template
    else:
        template = family.template if family.style is None else PLAIN
    return PromptStyle(
        name=entry.name if entry else name,
        family=family.name,
        template=template,
        chat=chat,
        fixed_template=entry.fixed_template if entry else False,
        system_prompt=asked.system_prompt,
        overrides=overrides or PromptOverrides(),
        thinking=style_of(chat_template),
    )


def may_think(entry: ModelEntry | None, chat_template: str | None) -> bool:
    """Whether a model can be asked to think before it answers: one that holds conversations can, any other goes on.

    Arguments as for `prompt_style_for`.
    """
    return bool(FAMILIES[entry.family].style) if entry is not None else chat_template is not None


def render(
    prompt_style: PromptStyle,
    task_id: str,
    question: Question,
    demonstrations: Sequence[Question],
    format: int | None,
) -> Prompt:
    """The prompt that asks ``question``, its options shown.

    Args:
        prompt_style: of the model, or of the model whose way is borrowed.
        task_id: decides the system prompt.
        question: the question asked.
        demonstrations: solved questions, in the order in which they are shown; none for zero-shot.
        format: seed of a sampled format, or None for the model's default template.
    """
    template = prompt_style.template_of(format)
    text = _write(
        prompt_style.chat,
        template,
        prompt_style.system(task_id, len(question.options)),
        [(d, pieces.write_question(template, d), pieces.write_answer(template, d)) for d in demonstrations],
        pieces.write_question(template, question),
    )
    labels = pieces.labels(template, len(question.options))
    return _prompt(prompt_style, template, text, labels)


def render_cloze(
    prompt_style: PromptStyle,
    task_id: str,
    question: Question,
    demonstrations: Sequence[Question],
    format: int | None,
) -> Prompt:
    """The prompt that asks ``question`` without showing options; `Prompt.labels` are the options' texts.

    Arguments as for `render`.
    """
    template = prompt_style.template_of(format)
    text = _write(
        prompt_style.chat,
        template,
        prompt_style.cloze_system(task_id),
        [
            (d, pieces.write_cloze_question(template, d), pieces.write_cloze_answer(template, d))
            for d in demonstrations
        ],
        pieces.write_cloze_question(template, question),
    )
    return _prompt(prompt_style, template, text, question.options)


def render_thinking(
    prompt_style: PromptStyle,
    task_id: str,
    question: Question,
    demonstrations: Sequence[Question],
    format: int | None,
) -> Prompt:
    """The prompt that lets the model think about ``question``; it ends where the thinking begins.

    A model that was not trained to think goes on from where its answer would begin. Arguments as for `render`.
    """
    prompt = render(prompt_style, task_id, question, demonstrations, format)
    style = prompt_style.thinking
    text = prompt.text if style is None else style.opened(prompt.text)
    marks = ThinkingMarks() if style is None else style.marks
    return replace(prompt, parts=(text,), marks=marks)


def _prompt(prompt_style: PromptStyle, template: Template, text: str, labels: tuple[str, ...]) -> Prompt:
    head = template.answer_head
    blanks = head[len(head.rstrip()) :]
    gap = "" if text[-1:].isspace() else blanks
    return Prompt.of_text(
        text, special=prompt_style.chat is not None, labels=labels, stop=template.stop, gap=gap
    )


def _write(
    chat: Chat | None,
    template: Template,
    system: str,
    solved: Sequence[tuple[Question, str, str]],
    asked: str,
) -> str:
    if chat is None:
        return write_plain(template, system, [(question, answer) for _, question, answer in solved], asked)
    said = [question for _, question, _ in solved] + [asked]
    conversation = []
    if chat.system_place == "system turn":
        conversation.append(Turn("system", system))
    elif chat.system_place == "first user turn" and system:
        said[0] = f"{system}\n\n{said[0]}"
    elif chat.system_place == "first demonstration" and solved:
        said[0] = f"{system}\n{solved[0][0].text}"
    for user, (_, _, answer) in zip(said, solved, strict=False):
        conversation += [Turn("user", user), Turn("assistant", answer)]
    conversation += [Turn("user", said[-1]), Turn("assistant", template.answer_head)]
    return chat.write(conversation)


def candidates(
    prompt_style: PromptStyle,
    shots: int,
    *,
    formats: Iterable[int] = range(10),
    demonstration_seeds: Iterable[int] = range(10),
) -> tuple[Candidate, ...]:
    """What the best prompt is chosen from, in the order of evaluation, which decides ties.

    The default template comes first, then the sampled formats; within a format the demonstration sets. Models
    with a fixed template have no other format; zero-shot has no demonstration sets.
    """
    tried = [None, *(() if prompt_style.fixed_template else formats)]
    sets = list(demonstration_seeds) if shots else [None]
    return tuple(Candidate(format, seed) for format in tried for seed in sets)
