"""System prompts of a user's own, per model and task, as a protocol file holds them."""

from __future__ import annotations

from pydantic import RootModel

ANY = "*"
"""The key that stands for every model, or every task."""


class PromptOverrides(RootModel[dict[str, dict[str, str]]]):
    """A mapping of model, then task, to the text of the system prompt; "*" stands for all of them.

    ::

        system_prompts:
          meditron-7b:
            pubmedqa: "Does the abstract support the statement?"
            "*": "Choose the right answer."
          "*":
            medqa: "An examination question."
    """

    root: dict[str, dict[str, str]] = {}

    def text(self, model: str, task_id: str) -> str | None:
        """The text for a model and task: the model's own entries first, then those for every model."""
        for name in (model, ANY):
            texts = self.root.get(name, {})
            for task in (task_id, ANY):
                if task in texts:
                    return texts[task]
        return None
