"""System prompts of one's own: the nearest entry is found."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from medbench_local.catalog.prompts import PromptOverrides

OWN = PromptOverrides(
    {"meditron-7b": {"medqa": "one", "all": "two"}, "all": {"medqa": "three", "pubmedqa": "four"}}
)


@pytest.mark.parametrize(
    ("model", "task", "text"),
    [
        ("meditron-7b", "medqa", "one"),
        ("meditron-7b", "pubmedqa", "two"),
        ("llama-2-7b", "medqa", "three"),
        ("llama-2-7b", "pubmedqa", "four"),
        ("llama-2-7b", "medmcqa", None),
    ],
)
def test_the_models_own_entries_come_before_those_for_all(model: str, task: str, text: str | None) -> None:
    assert OWN.text(model, task) == text


def test_blank_texts_and_other_types_are_refused() -> None:
    for wrong in ({"m": {"t": " "}}, {"m": {"t": 1}}, {"m": "text"}):
        with pytest.raises(ValidationError):
            PromptOverrides.model_validate(wrong)
