"""Search for the best prompt on validation questions: exhaustive, or racing at a fraction of the cost."""

from medbench_local.selection.exhaustive import exhaustive
from medbench_local.selection.racing import racing
from medbench_local.selection.result import CandidateScore, Evaluate, Rung, Selection

__all__ = ["CandidateScore", "Evaluate", "Rung", "Selection", "exhaustive", "racing"]
