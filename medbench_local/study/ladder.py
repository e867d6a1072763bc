"""Which precisions a run may use, and in which order."""

from __future__ import annotations

from medbench_local.catalog.quantisation import QuantConfig, load_quant
from medbench_local.errors import UsageError
from medbench_local.study.plan import DEFAULT_QUANT, CompareOptions

FIRST_STEP = "q4_0"
"""Where ``--quant auto`` begins: the smallest built-in precision that is not known to be too coarse."""


def ladder(options: CompareOptions) -> tuple[QuantConfig, ...]:
    """The precisions to try: one, or for ``auto`` from the smallest upwards by each config's ``next``.

    Raises:
        UsageError: an unknown config, or a ladder that goes in circles.
        InputError: a config file is malformed.
    """
    if options.quant == "none":
        return (load_quant("full"),)
    if options.quant != "auto":
        return (load_quant(options.quant or DEFAULT_QUANT),)
    steps = [load_quant(FIRST_STEP)]
    while steps[-1].next is not None:
        step = load_quant(steps[-1].next)
        if step.name in {known.name for known in steps}:
            raise UsageError(f"The ladder of precisions goes in a circle at {step.name}.")
        steps.append(step)
    return tuple(steps)
