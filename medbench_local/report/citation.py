"""What to cite with a report: the study whose method it follows, and this tool."""

from __future__ import annotations

from medbench_local.report.words import plain
from medbench_local.results.schema import Results

STUDY = (
    "Daniel P. Jeong, Saurabh Garg, Zachary C. Lipton, Michael Oberst: Medical Adaptation of Large Language and "
    "Vision-Language Models: Are We Making Progress? Proceedings of the 2024 Conference on Empirical Methods in "
    "Natural Language Processing. https://aclanthology.org/2024.emnlp-main.677"
)
"""The method."""


def tool(results: Results) -> str:
    """The tool, in the version that computed the run."""
    version = f"version {plain(results.version)}" if results.version else "version not known"
    return (
        f"The medbench-local developers: medbench-local, {version}. Is a medical language model better than the model "
        "it was built from? Paired verdicts on a laptop."
    )
