"""How the written questions and answers of a prompt are put together, for models that read text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from medbench_local.catalog.names import ShotImages
from medbench_local.errors import InputError
from medbench_local.prompts.chat import Chat, PictureTurn, Turn
from medbench_local.prompts.prompt import Parts, Shown
from medbench_local.prompts.template import Template, write_plain
from medbench_local.tasks.question import Question


class Item(NamedTuple):
    """A question as a template writes it.

    Attributes:
        question: the question; where pictures are shown, its text is without the tags of its data set.
        said: the text that asks it.
        answer: the text of its answer; of the question that is asked, what the answer begins with.
        tags: how often its data set places a picture in its text.
    """

    question: Question
    said: str
    answer: str
    tags: int = 0


@dataclass(frozen=True)
class Draft:
    """What a prompt is made of.

    Attributes:
        template: the pieces of its format.
        system: the system prompt, or "".
        solved: the demonstrations, in the order in which they are shown.
        asked: the question that is asked.
        shot_images: which pictures of demonstrations are shown.
        thinking: whether the prompt ends where the model may think, and not where its answer begins.
    """

    template: Template
    system: str
    solved: tuple[Item, ...]
    asked: Item
    shot_images: ShotImages = "all"
    thinking: bool = False

    @property
    def items(self) -> tuple[Item, ...]:
        """The demonstrations, then the question that is asked."""
        return (*self.solved, self.asked)


class Layout(Protocol):
    """Puts the parts of a prompt together."""

    @property
    def shows_pictures(self) -> bool:
        """Whether pictures of questions have a place."""

    @property
    def special(self) -> bool:
        """Whether control-token text in the prompt stands for control tokens."""

    @property
    def place_tokens(self) -> int:
        """Tokens that a place of pictures takes, about: for estimates of cost."""

    @property
    def gap(self) -> str:
        """What stands before an answer that nothing introduces, and not at the end of a prompt."""

    def stop(self, template: Template) -> tuple[str, ...]:
        """Strings that end a generated answer: usually those of its format."""
        return template.stop

    def lacking(self, draft: Draft) -> int:  # noqa: ARG002
        """How many pictures the study's code would miss, which then fails; 0 where it does not, as mostly."""
        return 0

    @abstractmethod
    def write(self, draft: Draft) -> Parts:
        """The parts of the prompt.

        Raises:
            InputError: a question cannot be written.
        """


@dataclass(frozen=True)
class PlainText(Layout):
    """Questions and answers one after the other, as the template separates them."""

    shows_pictures = False
    special = False
    place_tokens = 0
    gap = ""

    def write(self, draft: Draft) -> Parts:
        """See `Layout.write`."""
        solved = [(item.said, item.answer) for item in draft.solved]
        return (write_plain(draft.template, draft.system, solved, draft.asked.said),)


@dataclass(frozen=True)
class Conversation(Layout):
    """Questions as what the user says, answers as what the assistant says.

    Attributes:
        chat: how conversations are written.
        shows_pictures: whether pictures are shown; the chat must have a marker for them.
    """

    chat: Chat
    shows_pictures: bool = False
    special = True
    place_tokens = 260
    gap = ""

    def write(self, draft: Draft) -> Parts:
        """See `Layout.write`; all pictures of a question stand where the chat puts those of a turn."""
        text = self._text(draft)
        pictures = [picture for item in draft.items for picture in item.question.pictures]
        if not pictures:
            return (text,)
        between = text.split(self.chat.picture_marker)
        if len(between) != len(pictures) + 1:
            raise InputError(
                "the chat template",
                "",
                f"writes {len(between) - 1} places for {len(pictures)} pictures",
                advice="Give another template with `chat_template=`.",
            )
        parts: list[str | Shown] = [between[0]]
        for picture, text in zip(pictures, between[1:], strict=True):
            parts += [Shown((picture,)), text]
        return joined(parts)

    def _text(self, draft: Draft) -> str:
        said = [item.said for item in draft.items]
        place = self.chat.system_place
        conversation: list[Turn | PictureTurn] = []
        if place == "system turn":
            conversation.append(Turn("system", draft.system))
        elif place == "first user turn" and draft.system:
            said[0] = f"{draft.system}\n\n{said[0]}"
        elif place == "first demonstration" and draft.solved:
            said[0] = f"{draft.system}\n{draft.solved[0].question.text}"
        for text, item in zip(said, draft.solved, strict=False):
            conversation += [_turn(text, item.question), Turn("assistant", item.answer)]
        conversation.append(_turn(said[-1], draft.asked.question))
        if draft.thinking:
            return self.chat.let_think(conversation)
        return self.chat.write([*conversation, Turn("assistant", draft.asked.answer)])


def _turn(text: str, question: Question) -> Turn | PictureTurn:
    return PictureTurn("user", text, len(question.pictures)) if question.pictures else Turn("user", text)


def joined(parts: Sequence[str | Shown]) -> Parts:
    """Parts with neighbouring texts as one, and none that is empty."""
    found: list[str | Shown] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return tuple(found)
