"""A model's own Jinja chat template, for models outside the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.errors import InputError
from medbench_local.prompts.chat import SystemPlace, Turn
from medbench_local.prompts.sandbox import ChatEnvironment

_PROBE = "probe"
"""Said by the assistant to see how a template ends a turn."""


class TemplateChat:
    """Conversations written by a model's own chat template.

    The last assistant turn is left open: what the template writes after it is found by a probe and cut,
    except for blanks before the end marker. A template that refuses to end with an assistant's turn, or
    rewrites it, is asked for its generation prompt instead.

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
        self._system_place: SystemPlace = "system turn"
        if self._try([Turn("system", "Instruction."), user, assistant]) is None:
            self._system_place = "first user turn"
        self._end = self._end_of_turn([user, assistant])
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
        if self._end is None:
            return self._render(conversation[:-1], generation_prompt=True) + conversation[-1].content
        return self._render(conversation, generation_prompt=False).removesuffix(self._end)

    def _end_of_turn(self, conversation: Sequence[Turn]) -> str | None:
        """What follows the last assistant turn and has to be cut, or None if that cannot be told."""
        text = self._try(conversation)
        if text is None or _PROBE not in text:
            return None
        return text[text.rindex(_PROBE) + len(_PROBE) :].lstrip()

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
