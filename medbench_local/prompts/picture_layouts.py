"""How the prompts of models are put together that see pictures in plain text.

The layouts of the study's two pairs are those of Jeong et al. (EMNLP 2024), where "paper" is asked for with what their
code does to the pictures of demonstrations: it hands over the first picture of each, then all of the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medbench_local.prompts.layout import Draft, Item, Layout, joined
from medbench_local.prompts.prompt import Parts, Shown
from medbench_local.prompts.template import Template
from medbench_local.tasks.picture import Picture

_NAMED = re.compile(r"<image (\d+)>")
"""How an option names a picture of its question."""


@dataclass(frozen=True)
class HumanAssistant(Layout):
    """LLaVA of the first release and LLaVA-Med: the pictures stand behind the question and its options.

    A question has as many places as its data set tags in its text. In the study's code only the last place of a prompt
    shows anything: the picture with its number among those handed over. The code fails if there are fewer pictures.
    """

    shows_pictures = True
    special = True
    place_tokens = 259
    gap = " "

    def stop(self, template: Template) -> tuple[str, ...]:  # noqa: ARG002
        """See `Layout.stop`."""
        return ("###",)

    def lacking(self, draft: Draft) -> int:
        """See `Layout.lacking`."""
        if draft.shot_images == "all":
            return 0
        return max(0, sum(_places(item) for item in draft.items) - len(_handed_over(draft)))

    def write(self, draft: Draft) -> Parts:
        """See `Layout.write`."""
        shown = iter(self._shown(draft))
        parts: list[str | Shown] = [f"{draft.system}\n" if draft.system else "", "\n### "]
        for item in draft.items:
            parts.append(f"Human: {item.said}")
            for _ in range(_places(item)):
                parts += ["\n", next(shown)]
            parts.append("\n### Assistant:" + (f" {item.answer}" if item.answer else ""))
            parts.append("\n### " if item is not draft.asked else "")
        return joined(parts)

    def _shown(self, draft: Draft) -> Sequence[Shown]:
        if draft.shot_images == "all":
            return [Shown((picture,)) for item in draft.items for picture in _in_turn(item)]
        handed_over = _handed_over(draft)
        places = sum(_places(item) for item in draft.items)
        shown = [Shown(())] * places
        if 0 < places <= len(handed_over):
            shown[-1] = Shown((handed_over[places - 1],))
        return shown


@dataclass(frozen=True)
class Chunks(Layout):
    """Flamingo: as many places before a question as it has pictures; a demonstration ends in a control token.

    In the study's code the places of a prompt go with the pictures handed over, one by one; what stands behind a place
    for which none is left looks at all of them alike.
    """

    shows_pictures = True
    special = True
    place_tokens = 1
    gap = ""

    def stop(self, template: Template) -> tuple[str, ...]:  # noqa: ARG002
        """See `Layout.stop`."""
        return ("Question:", "<|endofchunk|>")

    def write(self, draft: Draft) -> Parts:
        """See `Layout.write`."""
        shown = iter(self._shown(draft))
        parts: list[str | Shown] = [f"{draft.system}\n" if draft.system else ""]
        for item in draft.items:
            parts += [next(shown) for _ in item.question.pictures]
            parts.append(f"{item.said} {item.answer}")
            parts.append(".<|endofchunk|>" if item is not draft.asked else "")
        return joined(parts)

    def _shown(self, draft: Draft) -> Iterator[Shown]:
        pictures = [picture for item in draft.items for picture in item.question.pictures]
        if draft.shot_images == "all":
            yield from (Shown((picture,)) for picture in pictures)
            return
        handed_over = _handed_over(draft)
        alike = (
            handed_over if len(handed_over) > 1 else 2 * handed_over
        )  # one alone would be looked at as any is
        for number in range(len(pictures)):
            yield Shown((handed_over[number],) if number < len(handed_over) else alike)


@dataclass(frozen=True)
class Turns(Layout):
    """LLaVA 1.5 and its kin: the pictures of a question stand before it, each on a line; all of them are shown.

    Attributes:
        system: how the system prompt is written, if there is one; "{}" stands for it.
        system_inside: whether it stands in the first user's turn and not before it.
        user: before what the user says.
        assistant: between that and the answer, without the blank that goes before an answer.
        end: behind an answer.
        stops: what ends a generated answer, beside the heads of its format.
    """

    system: str
    system_inside: bool
    user: str
    assistant: str
    end: str
    stops: tuple[str, ...]

    shows_pictures = True
    special = True
    place_tokens = 577
    gap = " "

    def stop(self, template: Template) -> tuple[str, ...]:
        """See `Layout.stop`."""
        return (*template.stop, *self.stops)

    def write(self, draft: Draft) -> Parts:
        """See `Layout.write`."""
        system = self.system.replace("{}", draft.system) if draft.system else ""
        first = [self.user, system] if self.system_inside else [system, self.user]
        parts: list[str | Shown] = []
        for number, item in enumerate(draft.items):
            parts += first if number == 0 else [self.user]
            for picture in item.question.pictures:
                parts += [Shown((picture,)), "\n"]
            parts += [item.said, self.assistant, f" {item.answer}" if item.answer else ""]
            parts.append(self.end if item is not draft.asked else "")
        return joined(parts)


def _places(item: Item) -> int:
    """How often a question of LLaVA's prompts shows a picture.

    Where its data set tags no place, it is about all of its pictures but those that its options name.
    """
    if item.tags:
        return item.tags
    pictures = item.question.pictures
    named = {int(number) for option in item.question.options for number in _NAMED.findall(option)}
    return len(pictures) - len(named & set(range(1, len(pictures) + 1)))


def _in_turn(item: Item) -> Iterator[Picture]:
    """The picture of each place of a question; a text that has more places than pictures speaks of them again."""
    pictures = item.question.pictures
    for number in range(_places(item)):
        yield pictures[number % len(pictures)]


def _handed_over(draft: Draft) -> tuple[Picture, ...]:
    """What the study's code gives to a model."""
    firsts = (picture for item in draft.solved for picture in item.question.pictures[:1])
    return (*firsts, *draft.asked.question.pictures)
