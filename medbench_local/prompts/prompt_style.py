"""From questions to prompts: one model's way of being prompted, and its candidates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from medbench_local.catalog.model import FamilyName, ModelEntry
from medbench_local.catalog.names import ShotImages
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.errors import UsageError
from medbench_local.prompts.chat import Chat
from medbench_local.prompts.families import CHAT, CLOZE_SYSTEM, FAMILIES, PLAIN
from medbench_local.prompts.family import Family
from medbench_local.prompts.grammar import sample_format
from medbench_local.prompts.layout import Conversation, Layout, PlainText
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompting import OWN_WAY, PLAIN_TEXT, Prompting
from medbench_local.prompts.template import Template
from medbench_local.prompts.thinking_style import ThinkingStyle, style_of


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
        pictures: how prompts are put together that show pictures; None for a model that reads text only.
        shot_images: which pictures of demonstrations are shown, where the study's code showed others.
        lenient: prompts that the study's code cannot ask are written all the same, with no picture shown: for whoever
            only looks at their length.
    """

    name: str
    family: FamilyName
    template: Template
    chat: Chat | None
    fixed_template: bool = False
    system_prompt: str | None = None
    overrides: PromptOverrides = field(default_factory=PromptOverrides)
    thinking: ThinkingStyle | None = None
    pictures: Layout | None = None
    shot_images: ShotImages = "all"
    lenient: bool = False

    @property
    def layout(self) -> Layout:
        """How prompts are put together."""
        if self.pictures is not None:
            return self.pictures
        return PlainText() if self.chat is None else Conversation(self.chat)

    def to_be_looked_at(self) -> PromptStyle:
        """The same for prompts of which only the length counts; see ``lenient``."""
        return replace(self, lenient=True)

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
    shot_images: ShotImages = "all",
    sees: bool = False,
    pictures_as: FamilyName | None = None,
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
        shot_images: which pictures of demonstrations are shown, where the study's code showed others.
        sees: whether a part that reads pictures comes with the model. Those of a family that shows pictures in plain
            text always have one.
        pictures_as: the family whose way a model outside the catalog has, by its part that reads pictures; None if that
            does not say.

    Raises:
        InputError: the chat template is not valid or does what a template may not.
        UsageError: the model reads pictures, and nothing that writes its prompts has a place for them.
    """
    chat: Chat | None = None
    known = tokens or {}
    family = FAMILIES["generic" if entry is None or entry.own_template else entry.family]
    source = template_in_force(entry, chat_template, asked)
    if entry is None and pictures_as is not None:
        family = FAMILIES[pictures_as]
        source = template_in_force(None, None, asked) if family.layout is not None else source
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
    called = entry.name if entry else name
    return PromptStyle(
        name=called,
        family=family.name,
        template=template,
        chat=chat,
        fixed_template=entry.fixed_template if entry else False,
        system_prompt=asked.system_prompt,
        overrides=overrides or PromptOverrides(),
        thinking=style_of(entry, chat_template, asked),
        pictures=_picture_layout(family, chat, called) if sees or family.layout is not None else None,
        shot_images=shot_images,
    )


def _picture_layout(family: Family, chat: Chat | None, name: str) -> Layout:
    if chat is not None and chat.picture_marker:
        return Conversation(chat, shows_pictures=True)
    if chat is None and family.layout is not None:
        return family.layout
    written = "plain text" if chat is None else "its chat template"
    raise UsageError(
        f"{name} reads pictures, and {written} has no place for them.",
        advice="Give a template that has with `chat_template=`.",
    )


def may_think(entry: ModelEntry | None, chat_template: str | None, asked: Prompting = OWN_WAY) -> bool:
    """Whether a model can be asked to think before it answers: one that holds conversations can, any other goes on.

    Arguments as for `prompt_style_for`.
    """
    if style_of(entry, chat_template, asked) is not None or template_in_force(entry, chat_template, asked):
        return True
    return entry is not None and FAMILIES[entry.family].style is not None and asked.chat_template is None


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
