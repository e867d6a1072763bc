"""Which precisions a run may use, and in which order."""

from __future__ import annotations

from medbench_local.acquire.calibration import CANDIDATES
from medbench_local.catalog import quantisation
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant
from medbench_local.errors import UsageError
from medbench_local.study.options import DEFAULT_QUANT, ResolvedOptions

FIRST_STEP = "q4_0"
"""Where ``quant="auto"`` begins: the smallest built-in precision that is not known to be too coarse."""


def ladder(options: ResolvedOptions) -> tuple[QuantConfig, ...]:
    """The precisions to try: one, or for ``auto`` from the smallest upwards by each config's ``next``.

    Raises:
        UsageError: an unknown config, or one that does not go with the other options.
        InputError: a config file is malformed.
    """
    steps = _steps(options)
    for step in steps:
        if step.flash_attention == "on" and options.mode == "exact":
            raise UsageError(
                f"{step.name} asks for flash attention, which the exact mode does not have.",
                advice='Ask for another one with `mode=`, such as `mode="reproducible"`, or for none.',
            )
        if step.flash_attention == "off" and options.mode == "reproducible":
            raise UsageError(
                f"{step.name} forbids flash attention, which the reproducible mode is made of.",
                advice='Write `flash_attention: auto` into the file, or ask for `mode="exact"`.',
            )
    return steps


def _steps(options: ResolvedOptions) -> tuple[QuantConfig, ...]:
    higher = stand_in(options)
    if options.quant != "auto":
        quant = load_quant(options.quant or candidates(options)[0])
        if higher is not None and quant.name != FULL and quant.bits_per_weight >= higher.bits_per_weight:
            raise UsageError(
                f"{higher.name} cannot stand in for full precision: it is no more precise than {quant.name}.",
                advice="Name a higher one with `check_precision=`, or a lower one with `quant=`.",
            )
        return (quant,)
    steps = quantisation.ladder(FIRST_STEP)
    if higher is None:
        return steps
    below = tuple(step for step in steps if step.bits_per_weight < higher.bits_per_weight)
    if not below:
        raise UsageError(
            f"No precision of the ladder is below {higher.name}, which stands in for full precision.",
            advice="Name a higher one with `check_precision=`.",
        )
    return below


def candidates(options: ResolvedOptions) -> tuple[str, ...]:
    """The precisions that may be chosen, the closest to full first: all below what stands in for full precision."""
    higher = stand_in(options)
    limit = float("inf") if higher is None else higher.bits_per_weight
    return tuple(name for name in CANDIDATES if load_quant(name).bits_per_weight < limit) or (DEFAULT_QUANT,)


def stand_in(options: ResolvedOptions) -> QuantConfig | None:
    """What quantised models are checked against in place of full precision; None for full precision itself.

    Raises:
        UsageError: there is no such precision.
        InputError: a config file is malformed.
    """
    if options.check == "none" or options.check_precision == FULL:
        return None
    return load_quant(options.check_precision)
