"""A model's own Jinja chat template, for models outside the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any

from medbench_local.errors import InputError
from medbench_local.prompts.chat import AnyTurn, PictureTurn, SystemPlace, Turn
from medbench_local.prompts.template_process import TemplateFailure, templates

_PROBE = "probe"
"""Said by the assistant to see how a template ends a turn."""

_INSTRUCTION = "Instruction."
"""Said as system prompt to see whether a template refuses or drops it."""

_SWITCHES = ("enable_thinking", "thinking")
"""What templates call the switch that lets a model think."""

_QUESTION = "Question."
"""Said by the user to see whether a template writes it."""


class TemplateChat:
    """Conversations written by a model's own chat template.

    The last assistant turn is left open: what the template writes after it is found by a probe and cut, except for
    blanks (but not line breaks) before the end marker. Where it writes turns without words otherwise or not at all,
    the turn is opened as for words. A template that refuses to end with an assistant's turn, or rewrites it, is asked
    for its generation prompt instead; so is one whose switch for thinking, once it is off, writes an empty thought
    there and not before the words of an answer. What is said is handed over as text, or, to a template that expects
    that, as a list with one part of the type "text". Pictures are parts of the type "image" before it.

    Args:
        source: the template.
        tokens: texts of special tokens by the names that templates know them by ("bos_token"); a name that is not
            there is undefined in the template, as for a tokenizer without that token.
        origin: where the template came from, for error messages.

    Raises:
        InputError: the template is not valid Jinja, or cannot write even a short conversation.
    """

    def __init__(self, source: str, tokens: Mapping[str, str], *, origin: str) -> None:
        self._origin = origin
        self._tokens = dict(tokens)
        self._parts = False
        self._source = source
        check_template(source, origin=origin)
        user, assistant = Turn("user", _QUESTION), Turn("assistant", _PROBE)
        self._choose_kind_of_content(user, assistant)
        self._end = self._end_of_turn([user, assistant])
        self._writes_empty_turns = self._end is not None and self._opens_turn(user, self._end)
        self._silences = False
        self._silences = self._has_to_be_silenced(user)
        told = [Turn("system", _INSTRUCTION), user]
        instructed = (
            self._try(told, generation_prompt=True) if self._end is None else self._try([*told, assistant])
        )
        heeded = instructed is not None and _INSTRUCTION in instructed
        self._system_place: SystemPlace = "system turn" if heeded else "first user turn"

    @property
    def system_place(self) -> SystemPlace:
        """See `Chat.system_place`."""
        return self._system_place

    @cached_property
    def picture_marker(self) -> str:
        """See `Chat.picture_marker`: what the template writes for a picture, but for blanks around it."""
        plain, one, two = (
            self._try([PictureTurn("user", _QUESTION, count)], generation_prompt=True) for count in range(3)
        )
        if plain is None or one is None or two is None or not all(_QUESTION in text for text in (plain, one)):
            return ""
        before, behind = (text[: text.rindex(_QUESTION)] for text in (plain, one))
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, behind, strict=False)))
        marker = behind[shared:].strip()
        counted = marker and [text.count(marker) for text in (plain, one, two)] == [0, 1, 2]
        return marker if counted else ""

    @property
    def opens_a_thought(self) -> bool:
        """Whether an answer begins inside a thought ("<think>") that has not ended."""
        text = self.write([Turn("user", _QUESTION), Turn("assistant", "")])
        opening = text[text.rindex(_QUESTION) :]
        return opening.count("<think>") > opening.count("</think>")

    def write(self, conversation: Sequence[AnyTurn]) -> str:
        """See `Chat.write`.

        Raises:
            InputError: the template refuses the conversation, does what a template may not, or leaves out or
                rewrites what was said: an answer would be to another question.
        """
        return self._complete(conversation, self._written(conversation))

    def let_think(self, conversation: Sequence[AnyTurn]) -> str:
        """See `Chat.let_think`: the template's own switch, where it has one, is on.

        Raises:
            InputError: as `write`.
        """
        on = dict.fromkeys(_SWITCHES, True)
        return self._complete(conversation, self._render(conversation, generation_prompt=True, more=on))

    def _complete(self, conversation: Sequence[AnyTurn], text: str) -> str:
        for turn in conversation:
            if turn.role != "system" and _spoken(turn) not in text:
                raise self._error(f"a turn of the {turn.role} is not written as it is")
        return text

    def _written(self, conversation: Sequence[AnyTurn]) -> str:
        *before, last = conversation
        if self._silences:
            off = dict.fromkeys(_SWITCHES, False)
            return self._render(before, generation_prompt=True, more=off) + last.content
        if self._end is None:
            return self._render(before, generation_prompt=True) + last.content
        if not (last.content or self._writes_empty_turns):
            return self._opened(before)
        text = self._render(conversation, generation_prompt=False)
        if text.endswith(self._end):
            return text.removesuffix(self._end)
        end = self._end_of_turn([*before, Turn("assistant", _PROBE)])  # it may depend on what was said
        if end is None or not text.endswith(end):
            raise self._error("the end of the assistant's turn cannot be told")
        return text.removesuffix(end)

    def _choose_kind_of_content(self, user: Turn, assistant: Turn) -> None:
        """Text, if the template writes it; else parts of the type "text".

        Raises:
            InputError: it writes neither.
        """
        refused: InputError | None = None
        for self._parts in (False, True):
            try:
                if _QUESTION in self._render([user], generation_prompt=True):
                    return
            except InputError as error:
                if _refused(error):  # once is enough of a template that goes too far
                    raise
                refused = refused or error
            text = self._try([user, assistant])
            if text is not None and _QUESTION in text:
                return
        raise refused or self._error("what the user says is not written")

    def _has_to_be_silenced(self, user: Turn) -> bool:
        """Whether the template's switch for thinking, once it is off, writes an empty thought before an answer.

        Not where it writes one before the words of a last turn as well, or something else altogether.
        """
        on, off = (
            self._try([user], generation_prompt=True, more=dict.fromkeys(_SWITCHES, given))
            for given in (True, False)
        )
        if off is None or off == on:
            return False
        try:
            begun = self._written([user, Turn("assistant", "")])
        except InputError:
            return False
        begun, off = (text[text.rindex(_QUESTION) :] for text in (begun, off))
        return off.startswith(begun) and off[len(begun) :].strip() != ""

    def _end_of_turn(self, conversation: Sequence[AnyTurn]) -> str | None:
        """What follows the last assistant turn and has to be cut, or None if that cannot be told."""
        text = self._try(conversation)
        if text is None or _PROBE not in text:
            return None
        end = text[text.rindex(_PROBE) + len(_PROBE) :]
        return end.lstrip(" ") or end

    def _opened(self, before: Sequence[AnyTurn]) -> str:
        """A conversation up to where the assistant's words would stand."""
        text = self._try([*before, Turn("assistant", _PROBE)])
        if text is None or _PROBE not in text:
            return self._render(before, generation_prompt=True)
        return text[: text.rindex(_PROBE)]

    def _opens_turn(self, user: Turn, end: str) -> bool:
        """Whether an assistant's turn without words is written like one with words."""
        probed, empty = self._try([user, Turn("assistant", _PROBE)]), self._try([user, Turn("assistant", "")])
        if probed is None or empty is None or not empty.endswith(end):
            return False
        return empty.removesuffix(end).rstrip() == probed[: probed.rindex(_PROBE)].rstrip()

    def _try(
        self,
        conversation: Sequence[AnyTurn],
        *,
        generation_prompt: bool = False,
        more: Mapping[str, Any] = {},
    ) -> str | None:
        try:
            return self._render(conversation, generation_prompt=generation_prompt, more=more)
        except InputError as error:
            if _refused(error, costly=True):
                raise
            return None

    def _render(
        self, conversation: Sequence[AnyTurn], *, generation_prompt: bool, more: Mapping[str, Any] = {}
    ) -> str:
        names = self._tokens | {
            **more,
            "messages": [self._message(turn) for turn in conversation],
            "tools": None,
            "documents": None,
            "add_generation_prompt": generation_prompt,
        }
        try:
            return templates.text(self._source, names)
        except TemplateFailure as error:
            raise _input_error(error, self._origin) from error

    def _message(self, turn: AnyTurn) -> dict[str, Any]:
        said = {"type": "text", "text": turn.content}
        if isinstance(turn, PictureTurn):
            return {"role": turn.role, "content": [*({"type": "image"} for _ in range(turn.pictures)), said]}
        return {"role": turn.role, "content": [said] if self._parts else turn.content}

    def _error(self, problem: str) -> InputError:
        return _input_error(TemplateFailure("ValueError", problem), self._origin)


def _spoken(turn: AnyTurn) -> str:
    """The words of a turn that a template has to write: thoughts before an answer may be left out."""
    thought, _, answer = turn.content.rpartition("</think>")
    return (answer if thought and turn.role == "assistant" else turn.content).strip()


def check_template(source: str, *, origin: str) -> None:
    """Refuse what is no template; whether one can write conversations is seen with a model's tokens only.

    Raises:
        InputError: it is not valid Jinja, or does what templates may not.
    """
    try:
        templates.text(source, None)
    except TemplateFailure as error:
        raise _input_error(error, origin) from error


def _refused(error: InputError, *, costly: bool = False) -> bool:
    """Whether a template did what none may; or took what none may, which should not be tried often."""
    failure = error.__cause__
    return isinstance(failure, TemplateFailure) and (failure.costly or (failure.refused and not costly))


def _input_error(failure: TemplateFailure, origin: str) -> InputError:
    return InputError(
        origin,
        f"chat template, line {failure.line}" if failure.line else "chat template",
        str(failure),
        advice='Give another template with `chat_template=`, or `chat_template="none"` for plain text.',
    )
