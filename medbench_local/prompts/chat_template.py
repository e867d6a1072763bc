"""A model's own Jinja chat template, for models outside the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.errors import InputError
from medbench_local.prompts.chat import SystemPlace, Turn
from medbench_local.prompts.sandbox import ChatEnvironment

_PROBE = "probe"
"""Said by the assistant to see how a template ends a turn."""

_INSTRUCTION = "Instruction."
"""Said as system prompt to see whether a template refuses or drops it."""


class TemplateChat:
    """Conversations written by a model's own chat template.

    The last assistant turn is left open: what the template writes after it is found by a probe and cut,
    except for blanks before the end marker. A template that refuses to end with an assistant's turn, rewrites
    it, or leaves out empty ones is asked for its generation prompt instead.

    Args:
        source: the template.
        bos_text: what "bos_token" stands for.
        eos_text: what "eos_token" stands for.
        origin: where the template came from, for error messages.

    Raises:
        InputError: the template is not valid Jinja, or cannot write even a short conversation.
    """

    def __init__(self, source: str, bos_text: str, eos_text: str, *, origin: str) -> None:
        self._origin = origin
        self._tokens = {"bos_token": bos_text, "eos_token": eos_text}
        self._environment = ChatEnvironment()
        try:
            self._template = self._environment.template(source)
        except Exception as error:  # whatever Jinja makes of a text from outside
            raise self._error(error) from error
        user, assistant = Turn("user", "Question."), Turn("assistant", _PROBE)
        instructed = self._try([Turn("system", _INSTRUCTION), user, assistant])
        heeded = instructed is not None and _INSTRUCTION in instructed
        self._system_place: SystemPlace = "system turn" if heeded else "first user turn"
        self._end = self._end_of_turn([user, assistant])
        self._writes_empty_turns = self._end is not None and self._opens_turn(user, self._end)
        if self._end is None:
            self._render([user], generation_prompt=True)

    @property
    def system_place(self) -> SystemPlace:
        """See `Chat.system_place`."""
        return self._system_place

    def write(self, conversation: Sequence[Turn]) -> str:
        """See `Chat.write`.

        Raises:
            InputError: the template refuses the conversation or does what a template may not.
        """
        *before, last = conversation
        if self._end is None or not (last.content or self._writes_empty_turns):
            return self._render(before, generation_prompt=True) + last.content
        text = self._render(conversation, generation_prompt=False)
        if text.endswith(self._end):
            return text.removesuffix(self._end)
        end = self._end_of_turn([*before, Turn("assistant", _PROBE)])  # it may depend on what was said
        if end is None or not text.endswith(end):
            raise self._error(ValueError("the end of the assistant's turn cannot be told"))
        return text.removesuffix(end)

    def _end_of_turn(self, conversation: Sequence[Turn]) -> str | None:
        """What follows the last assistant turn and has to be cut, or None if that cannot be told."""
        text = self._try(conversation)
        if text is None or _PROBE not in text:
            return None
        end = text[text.rindex(_PROBE) + len(_PROBE) :]
        return end.lstrip() or end

    def _opens_turn(self, user: Turn, end: str) -> bool:
        """Whether an assistant's turn without words is written like one with words."""
        probed, empty = self._try([user, Turn("assistant", _PROBE)]), self._try([user, Turn("assistant", "")])
        if probed is None or empty is None or not empty.endswith(end):
            return False
        return empty.removesuffix(end).rstrip() == probed[: probed.rindex(_PROBE)].rstrip()

    def _try(self, conversation: Sequence[Turn]) -> str | None:
        try:
            return self._render(conversation, generation_prompt=False)
        except InputError:
            return None

    def _render(self, conversation: Sequence[Turn], *, generation_prompt: bool) -> str:
        messages = [turn._asdict() for turn in conversation]
        try:
            return self._environment.text(
                self._template, messages=messages, add_generation_prompt=generation_prompt, **self._tokens
            )
        except Exception as error:  # whatever a template runs into is the template's error
            raise self._error(error) from error

    def _error(self, error: BaseException) -> InputError:
        line = getattr(error, "lineno", None)
        return InputError(
            self._origin,
            f"chat template, line {line}" if line else "chat template",
            f"{type(error).__name__}: {error}",
            advice="Use another conversion of the model, or prompt it as a model of the catalog.",
        )
