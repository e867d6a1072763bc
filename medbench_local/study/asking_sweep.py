"""What somebody who is there is asked before several comparisons begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from medbench_local.progress import Asking, Silent
from medbench_local.study.asking import Consent
from medbench_local.study.begun import any_begun
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.planner import Planner
from medbench_local.study.sweep import PairNames, own_options
from medbench_local.study.sweep_plan import plan_sweep
from medbench_local.study.tools import Tools


def agreed_to(wanted: Sequence[PairNames], options: ResolvedOptions, tools: Tools) -> Tools:
    """Ask once about all pairs of which there is no run yet; of others, each is asked about when it is its turn.

    Returns:
        The tools, which know what was agreed to.

    Raises:
        CancelledError: somebody was asked and does not want it.
        MedbenchError: of the plan.
    """
    if not isinstance(tools.progress, Asking):
        return tools
    fresh = tuple(_without_a_run(wanted, options))
    if fresh and Consent(tools).to_long_work(lambda quiet: plan_sweep(fresh, options, quiet)):
        return replace(tools, agreed=frozenset((pair.medical, pair.base) for pair in fresh))
    return tools


def _without_a_run(wanted: Sequence[PairNames], options: ResolvedOptions) -> Iterator[PairNames]:
    for number, pair in enumerate(wanted, start=1):
        own = own_options(options, number)
        if not any_begun(Planner(pair.medical, pair.base, own, Silent()).names, own):
            yield pair
