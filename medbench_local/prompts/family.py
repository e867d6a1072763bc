"""What a family of models is: how it is prompted unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from medbench_local.catalog.model import FamilyName
from medbench_local.prompts.chat import ChatStyle
from medbench_local.prompts.layout import Layout
from medbench_local.prompts.template import Template, letter

GENERIC_SYSTEM = (
    "Here is a multiple-choice question that tests medical knowledge. "
    "Reply with one of the options A to {last}."
)


@dataclass(frozen=True)
class Family:
    """How a family is prompted by default.

    Attributes:
        name: as in the catalog.
        template: the default way to write questions and answers.
        style: how conversations are written, or None for models prompted in plain text.
        system: the default system prompt; "{last}" stands for the last option's letter.
        system_by_task: default system prompts of single tasks, before ``system``.
        layout: how prompts are put together that show pictures; None for models that read text only, and for those
            whose own chat template has a place for pictures.
    """

    name: FamilyName
    template: Template
    style: ChatStyle | None = None
    system: str = GENERIC_SYSTEM
    system_by_task: tuple[tuple[str, str], ...] = ()
    layout: Layout | None = None

    def system_for(self, task_id: str, options: int) -> str:
        """The default system prompt for questions of ``task_id`` with ``options`` options."""
        text = dict(self.system_by_task).get(task_id, self.system)
        return text.replace("{last}", letter(options - 1))
