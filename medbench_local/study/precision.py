"""Which precision a run takes when none is asked for: the one closest to full among those that are fast here and fit.

What a run began with is kept: it stands in the run's manifest before the first score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from medbench_local.acquire.calibration import Speeds, measured_speeds, tokens_a_second
from medbench_local.acquire.inventory import plan_model
from medbench_local.acquire.source import HubGguf, LocalGguf, ModelSource
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant
from medbench_local.engine.memory import gigabytes, memory_available
from medbench_local.engine.threads import TINY
from medbench_local.errors import OfflineError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Progress
from medbench_local.results.folder import RUNS, RunFolder
from medbench_local.study.ladder import candidates, stand_in
from medbench_local.study.manifest import HashedCell, identity_with, run_name
from medbench_local.study.options import DEFAULT_QUANT, ResolvedOptions
from medbench_local.study.plan import Outline
from medbench_local.study.planner import Planner, given_quantised
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
        return usual(weights, options)
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
    free = None if options.force else options.memory or memory_available()
    return closest_that_is_fast(speeds, weights, free, candidates(options), asked=asked)


def usual(weights: int, options: ResolvedOptions) -> Choice:
    """What is taken where no speed decides: models so small that any precision is fast, or none to quantise."""
    reason = "so few weights are fast at any precision" if weights else "nothing is quantised"
    return Choice(load_quant(candidates(options)[0]), reason)


def begun_before(
    planner: Planner, sources: Sequence[ModelSource], options: ResolvedOptions, progress: Progress
) -> Choice | None:
    """What a run began with that names no precision, for a plan of it: nothing is fetched or made; None if none began.

    Args:
        planner: of the run.
        sources: its models.
        options: what the user asked for.
        progress: listens.

    Raises:
        MedbenchError: of `plan_model` and of the planner.
    """
    fuller = [load_quant(FULL)] + [quant for quant in (stand_in(options),) if quant is not None]
    for source, quant in product(sources, fuller):
        if given_quantised(source) is not None:
            continue
        if isinstance(source, LocalGguf | HubGguf) and quant.name != FULL:
            return None  # whether the stand-in was made is not known without reading the whole file
        made = plan_model(source, quant, home=options.home, offline=options.offline, progress=progress)
        if not made.quantised_here or made.download:
            return None
    try:
        cells = planner.hashed_cells()
    except OfflineError:
        return None  # no run can have been begun whose questions are not here, or none that could go on
    return chosen_before(planner.at_full_precision(), cells, candidates(options))


def of_one_model(
    source: ModelSource, options: ResolvedOptions, speeds: Callable[[], Speeds], progress: Progress
) -> Choice:
    """The precision that a run of such models, not begun yet, would take.

    Args:
        source: the model.
        options: of the run.
        speeds: of this machine; asked for where they decide.
        progress: listens.

    Raises:
        MedbenchError: of `plan_model`.
    """
    if (file_type := given_quantised(source)) is not None:
        return Choice(load_quant(FULL), f"the file as it is, {file_type}")
    weights, asked = weights_of(source, options, progress)
    return usual(weights, options) if weights < TINY else foreseen(speeds(), weights, options, asked=asked)


def weights_of(source: ModelSource, options: ResolvedOptions, progress: Progress) -> tuple[int, int]:
    """How many a model has and how many of them a token is multiplied with, as far as that is known before it is here.

    0 for one that is quantised already.

    Raises:
        MedbenchError: of `plan_model`.
    """
    if given_quantised(source) is not None:
        return 0, 0
    if source.entry is not None:
        return source.entry.parameters, source.entry.parameters
    if isinstance(source, LocalGguf):
        header = read_gguf_header(source.path)
        return header.parameters, header.asked
    full = plan_model(source, load_quant(FULL), home=options.home, offline=options.offline, progress=progress)
    return full.full_size // 2, full.full_size // 2


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
