"""What several comparisons would cost, what their models share counted once."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.acquire.inventory import ModelPlan, plan_model
from medbench_local.acquire.source import LocalGguf, ModelSource
from medbench_local.acquire.together import together
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.results.sweep_cost import PairCost, SweepCost
from medbench_local.study.anywhere import plan_anywhere
from medbench_local.study.assumed import assumed_sizes
from medbench_local.study.ladder import ladder
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.planner import given_quantised, sources_of
from medbench_local.study.precision import weights_of
from medbench_local.study.sweep import PairNames
from medbench_local.study.tools import Tools


def plan_sweep(wanted: Sequence[PairNames], options: ResolvedOptions, tools: Tools) -> SweepCost:
    """Plan every pair and count what they share once; nothing is computed but, once, the speed of this machine.

    Raises:
        MedbenchError: as `plan_comparison`.
    """
    pairs: list[PairCost] = []
    models: list[ModelPlan] = []
    assumed: dict[str, None] = {}
    for number, pair in enumerate(wanted, start=1):
        tools.progress.note(f"pair {number} of {len(wanted)}: {pair.label}")
        cost, options = plan_anywhere(pair.medical, pair.base, options, tools)
        sources = sources_of(pair.medical, pair.base, options)
        weights = max(_asked(source, options, tools) for source in sources)
        pairs.append(PairCost(cost, weights))
        both = [
            plan_model(
                source,
                _precision(source, planned.precision, options),
                home=options.home,
                offline=options.offline,
                progress=tools.progress,
            )
            for source, planned in zip(sources, (cost.medical, cost.base), strict=True)
        ]
        models += both
        own = set(assumed_sizes(both))  # said once for all models
        assumed |= dict.fromkeys(text for text in cost.assumed if text not in own)
    found = together(models)
    said = (*assumed_sizes(models), *assumed)
    return SweepCost(tuple(pairs), found.models, found.download, found.disk, said)


def _asked(source: ModelSource, options: ResolvedOptions, tools: Tools) -> int:
    """Weights that a token is multiplied with."""
    if isinstance(source, LocalGguf) and given_quantised(source) is not None:
        return read_gguf_header(source.path).asked
    return weights_of(source, options, tools.progress)[1]


def _precision(source: ModelSource, planned: str, options: ResolvedOptions) -> QuantConfig:
    """The precision that is made of a model first: as was asked, or as was planned."""
    if options.quant is not None:
        return ladder(options)[0]
    return load_quant(FULL if given_quantised(source) is not None else planned)
