"""System prompts of a user's own, per model and task, as a protocol file holds them."""

from __future__ import annotations

from pydantic import RootModel

from medbench_local.catalog.protocol import ANY_TASK


class PromptOverrides(RootModel[dict[str, dict[str, str]]]):
    """A mapping of model, then task, to the text of the system prompt; the task "all" stands for the others.

    ::

        prompts:
          meditron-7b:
            pubmedqa: "Does the abstract support the statement?"
            all: "Choose the right answer."
    """

    root: dict[str, dict[str, str]] = {}

    def text(self, model: str, task_id: str) -> str | None:
        """The text for a model and task, or None if there is none."""
        texts = self.root.get(model, {})
        return texts.get(task_id, texts.get(ANY_TASK))
