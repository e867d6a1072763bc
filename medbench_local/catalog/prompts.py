"""System prompts of a user's own, per model and task, as a protocol file holds them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, RootModel, StrictStr

from medbench_local.text import whole

ANY = "all"
"""The key that stands for every model, or every task."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


Text = Annotated[StrictStr, AfterValidator(whole), AfterValidator(_not_blank)]


class PromptOverrides(RootModel[dict[Text, dict[Text, Text]]]):
    """A mapping of model, then task, to the text of the system prompt; "all" stands for the others of either.

    ::

        prompts:
          meditron-7b:
            pubmedqa: "Does the abstract support the statement?"
            all: "Choose the right answer."
    """

    root: dict[Text, dict[Text, Text]] = {}

    def text(self, model: str, task_id: str) -> str | None:
        """The text for a model and task: the model's own entries first; None if there is none."""
        for name in (model, ANY):
            texts = self.root.get(name, {})
            for task in (task_id, ANY):
                if task in texts:
                    return texts[task]
        return None
