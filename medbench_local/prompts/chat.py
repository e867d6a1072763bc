"""Conversations as Llama-2, Llama-3 and Mistral expect them, left open for the model to go on.

A prompt ends inside the assistant's last turn, after the words put into its mouth: the marker that would end
the turn is not written, the blank that some styles put before it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol


class Turn(NamedTuple):
    """What one side says."""

    role: Literal["system", "user", "assistant"]
    content: str


class PictureTurn(NamedTuple):
    """What the user says about pictures.

    Attributes:
        pictures: how many are shown with it, at least one.
    """

    role: Literal["user"]
    content: str
    pictures: int


AnyTurn = Turn | PictureTurn

SystemPlace = Literal["system turn", "first user turn", "first demonstration"]
"""Where a system prompt goes: a turn of its own; the head of the first user turn; or, as the study prompted
Mistral Instruct, the head of the first demonstration, whose options it replaces, and nowhere without one."""


class Chat(Protocol):
    """Writes conversations as text."""

    @property
    def system_place(self) -> SystemPlace:
        """Where the system prompt goes; only "system turn" allows a system turn."""

    @property
    def picture_marker(self) -> str:
        """What is written in place of a picture; "" where only text can be said."""

    def write(self, conversation: Sequence[AnyTurn]) -> str:
        """The conversation as text.

        Args:
            conversation: an optional system turn, then user and assistant in turn; the last turn is the
                assistant's and is left open. Turns with pictures only where there is a marker for them.
        """

    def let_think(self, conversation: Sequence[AnyTurn]) -> str:
        """The conversation up to where the assistant may think before it answers.

        Args:
            conversation: as of `write`, without the assistant's last turn.
        """


@dataclass(frozen=True)
class ChatStyle:
    """A way to write conversations, built in.

    Attributes:
        name: for people.
        system_place: see `Chat`.
        bos: text of the BOS token.
        eos: text of the token that ends an assistant's turn.
        writer: writes a conversation, given the two texts.
    """

    name: str
    system_place: SystemPlace
    bos: str
    eos: str
    writer: Callable[[Sequence[AnyTurn], str, str], str]

    picture_marker = ""

    def with_tokens(self, bos: str, eos: str) -> ChatStyle:
        """The same with a model's own token texts; "" keeps the usual ones."""
        return replace(self, bos=bos or self.bos, eos=eos or self.eos)

    def write(self, conversation: Sequence[AnyTurn]) -> str:
        """See `Chat.write`."""
        return self.writer(conversation, self.bos, self.eos)

    def let_think(self, conversation: Sequence[AnyTurn]) -> str:
        """See `Chat.let_think`."""
        return self.write([*conversation, Turn("assistant", "")])


def _write_llama_2(conversation: Sequence[AnyTurn], bos: str, eos: str) -> str:
    """Every user turn begins with a BOS, the first with the system prompt too; turns are stripped."""
    opening, turns = "", list(conversation)
    if turns[0].role == "system":
        opening = f"<<SYS>>\n{turns.pop(0).content}\n<</SYS>>\n\n"
    text = ""
    for role, content, *_ in turns:
        if role == "user":
            said, opening = (opening + content).strip(), ""
            text += f"{bos}[INST] {said} [/INST]"
        else:
            text += f" {content.strip()} {eos}"
    return text.removesuffix(eos)


def _write_llama_3(conversation: Sequence[AnyTurn], bos: str, eos: str) -> str:  # noqa: ARG001
    """Every turn has a header and is stripped; it ends with one token, whatever the model's EOS."""
    turns = (
        f"<|start_header_id|>{role}<|end_header_id|>\n\n{content.strip()}<|eot_id|>"
        for role, content, *_ in conversation
    )
    return (bos + "".join(turns)).removesuffix("<|eot_id|>")


def _write_mistral(conversation: Sequence[AnyTurn], bos: str, eos: str) -> str:
    """One BOS; turns are written as they are, with a blank after [/INST]; there is no system turn."""
    turns = (
        f"[INST] {content} [/INST] " if role == "user" else f"{content}{eos} "
        for role, content, *_ in conversation
    )
    return (bos + "".join(turns)).removesuffix(f"{eos} ")


LLAMA_2 = ChatStyle("Llama-2 chat", "system turn", "<s>", "</s>", _write_llama_2)
LLAMA_3 = ChatStyle("Llama-3 Instruct", "system turn", "<|begin_of_text|>", "<|eot_id|>", _write_llama_3)
MISTRAL = ChatStyle("Mistral Instruct v0.1", "first demonstration", "<s>", "</s>", _write_mistral)
