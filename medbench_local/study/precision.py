"""Which precision a run takes when none is asked for: the one closest to full among those that are fast here and fit.

What a run began with is kept: it stands in the run's manifest before the first score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from medbench_local.acquire.calibration import CANDIDATES, Speeds, measured_speeds, tokens_a_second
from medbench_local.catalog.quantisation import QuantConfig, load_quant
from medbench_local.engine.memory import gigabytes, memory_available
from medbench_local.engine.threads import TINY
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.results.folder import RUNS, RunFolder
from medbench_local.study.ladder import stand_in
from medbench_local.study.manifest import HashedCell, identity_with, run_name
from medbench_local.study.options import DEFAULT_QUANT, ResolvedOptions
from medbench_local.study.plan import Outline
from medbench_local.study.planner import Planner
from medbench_local.study.tools import Tools

FAST = 0.75
"""Share of the fastest precision's speed from which on one counts as fast.

Kernels of one kind lie closer together, those of another kind are half as fast or slower (docs/speed.md).
"""

_BESIDE = 1.1, 2**29
"""What a loaded model takes beside its weights, roughly: a tenth of them, and half a GiB for usual prompts."""


@dataclass(frozen=True)
class Choice:
    """A precision that nobody asked for, and why it was taken.

    Attributes:
        quant: the precision.
        reason: for people, a clause.
    """

    quant: QuantConfig
    reason: str

    def __str__(self) -> str:
        return f"precision {self.quant.name}: {self.reason}"

    def record(self) -> dict[str, str]:
        """As the manifest has it."""
        return {"precision": self.quant.name, "reason": self.reason}


def chosen_before(plan: Outline, cells: Sequence[HashedCell], allowed: Sequence[str]) -> Choice | None:
    """What a run of these models, data and settings began with; None if there is none yet.

    A run that was made when q8_0 was always taken is one of these.

    Args:
        plan: at full precision; for the identity of the run.
        cells: of the run.
        allowed: precisions that could have been chosen.
    """
    for name in sorted(allowed, key=lambda name: name != DEFAULT_QUANT):
        quant = load_quant(name)
        manifest = _begun(plan, cells, quant)
        if manifest is None:
            continue
        choice = manifest.get("precision_choice")
        if name == DEFAULT_QUANT or isinstance(choice, dict):
            kept = (
                choice["reason"] if isinstance(choice, dict) and "reason" in choice else "what it began with"
            )
            return Choice(quant, str(kept))
    return None


def _begun(plan: Outline, cells: Sequence[HashedCell], quant: QuantConfig) -> dict[str, Any] | None:
    """The manifest of the run of a plan at a precision, in its mode or in the exact mode of before."""
    plans = [plan]
    if plan.options.mode is None:
        plans.append(replace(plan, options=replace(plan.options, mode="exact")))
    for one in plans:
        identity = identity_with(one, cells, (quant,))
        folder = RunFolder(plan.options.output or RUNS / run_name(one, identity))
        if folder.manifest_file.is_file():
            manifest: dict[str, Any] = folder.manifest()
            if manifest.get("identity") == identity:
                return manifest
    return None


def choose_precision(
    planner: Planner, cells: Sequence[HashedCell], options: ResolvedOptions, tools: Tools
) -> Choice | None:
    """The precision of a run that names none; None where it is named.

    Args:
        planner: of the run; makes the full GGUF files ready.
        cells: of the run.
        options: what the user asked for.
        tools: the engine that is timed, and who listens.

    Raises:
        MedbenchError: of the planner.
    """
    if options.quant is not None:
        return None
    plan = planner.at_full_precision()
    if (found := chosen_before(plan, cells, candidates(options))) is not None:
        return found  # it was said when it was chosen; the header of no file is read for a run that is there
    full = [model.full for model in plan.models.values() if model.full is not None]
    headers = [read_gguf_header(file.path) for file in full]
    weights = max((header.parameters for header in headers), default=0)
    if weights < TINY:
        return usual(weights)
    speeds = measured_speeds(options.home, options.engine_of_quantised, tools.start_engine, tools.progress)
    found = foreseen(speeds, weights, options, asked=max(header.asked for header in headers))
    tools.progress.note(str(found))
    return found


def foreseen(speeds: Speeds, weights: int, options: ResolvedOptions, *, asked: int) -> Choice:
    """What a run that is not begun yet takes, with the memory that is free now.

    Args:
        speeds: measured on this machine.
        weights: of the larger model.
        options: of the run.
        asked: weights that a token is multiplied with; fewer in a model of experts.
    """
    free = None if options.force else memory_available()
    return closest_that_is_fast(speeds, weights, free, candidates(options), asked=asked)


def candidates(options: ResolvedOptions) -> tuple[str, ...]:
    """The precisions that may be chosen, the closest to full first: all below what stands in for full precision."""
    higher = stand_in(options)
    limit = float("inf") if higher is None else higher.bits_per_weight
    return tuple(name for name in CANDIDATES if load_quant(name).bits_per_weight < limit) or (DEFAULT_QUANT,)


def usual(weights: int) -> Choice:
    """What is taken where no speed decides: models so small that any precision is fast, or none to quantise."""
    reason = "so few weights are fast at any precision" if weights else "nothing is quantised"
    return Choice(load_quant(DEFAULT_QUANT), reason)


def closest_that_is_fast(
    speeds: Speeds, weights: int, free: int | None, allowed: Sequence[str], *, asked: int | None = None
) -> Choice:
    """The precision closest to full among those that are fast and fit.

    Args:
        speeds: measured on this machine; may lack some, or be empty.
        weights: of the larger model.
        free: bytes of memory that can be had; None if that does not matter.
        allowed: precisions to choose from, the closest to full first; at least one.
        asked: weights that a token is multiplied with, for the speeds that are told; None for all.
    """
    known = {name: speeds[name] for name in allowed if name in speeds}
    fast = [name for name in known if known[name] >= FAST * max(known.values())] or list(allowed[:1])
    fitting = [name for name in fast if free is None or needed(weights, load_quant(name)) <= free]
    name = (fitting or fast[-1:])[0]
    if not known:
        return Choice(load_quant(name), "the speed of this machine is not known")
    rates = tokens_a_second(known, asked or weights)
    reason = f"the closest to full of those that are fast here (tokens a second, about: {rates})"
    if name != fast[0] and free is not None:
        reason += f" and fit into {gigabytes(free)} of free memory"
    return Choice(load_quant(name), reason)


def needed(weights: int, quant: QuantConfig) -> int:
    """About the bytes of memory that a model of so many weights takes at a precision."""
    share, beside = _BESIDE
    return int(share * weights * quant.bits_per_weight / 8) + beside
