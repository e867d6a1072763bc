"""Plans that are made whether or not the hub can be reached."""

from __future__ import annotations

from dataclasses import replace

from medbench_local.errors import UnreachableError
from medbench_local.results.cost import ComparisonCost
from medbench_local.study.cost import plan_comparison
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.tools import Tools


def plan_anywhere(
    medical: str, base: str, options: ResolvedOptions, tools: Tools
) -> tuple[ComparisonCost, ResolvedOptions]:
    """The plan of a comparison; where the hub does not answer, from what is here and what the catalog knows.

    Returns:
        The plan, and the options that it was made with: offline from then on if the hub does not answer.

    Raises:
        MedbenchError: as `plan_comparison`.
    """
    try:
        return plan_comparison(medical, base, options, tools), options
    except UnreachableError as error:
        tools.progress.note(f"{error.message} The plan is made without it.")
    offline = replace(options, offline=True)
    return plan_comparison(medical, base, offline, tools), offline
