"""How fast each precision is on this machine: a short decode of each, once for a machine and a build of llama.cpp.

Which precision is fast is a matter of the processor's instructions and of the kernels that llama.cpp has for them: on
some processors q8_0 takes twice the time of q6_k. It is measured, on a model made for it, and not assumed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from medbench_local.catalog.quantisation import FULL, load_quant
from medbench_local.engine.base import (
    Engine,
    EngineOptions,
    Pack,
    ScoreRequest,
    ThinkRequest,
    Trace,
    WorkDone,
)
from medbench_local.engine.machine import MachineNotes
from medbench_local.errors import CancelledError, MedbenchError
from medbench_local.progress import Progress, Silent

CANDIDATES = ("q8_0", "q6_k", "q5_k_m", "q4_k_m")
"""Precisions that a run may choose from, the closest to full first."""

PREFIX, QUESTION, QUESTIONS = 256, 256, 2
"""Tokens of a prompt, and prompts of one measurement: as of a question behind some demonstrations."""

Start = Callable[[Path, EngineOptions], Engine]
Speeds = Mapping[str, float]
"""Weights that tokens are multiplied with in a second, by the name of the precision, "full" for 16 bits.

Divided by the weights of a model: about its tokens a second.
"""


WRITTEN = 48
"""Tokens that are written one after another to time that: each reads all weights anew."""


def known_speeds(home: Path, options: EngineOptions, *, writing: bool = False) -> Speeds:
    """What was measured on this machine before; empty if nothing was. Arguments as for `measured_speeds`."""
    found = MachineNotes(home, options.gpu_layers).read(_topic(options, writing))
    return {
        name: float(speed) for name, speed in found.items() if isinstance(speed, int | float) and speed > 0
    }


def measured_speeds(
    home: Path,
    options: EngineOptions,
    start: Start,
    progress: Progress | None = None,
    *,
    writing: bool = False,
) -> Speeds:
    """The speeds of `CANDIDATES` and of full precision; those that are not known yet are measured and kept.

    Args:
        home: MEDBENCH_HOME.
        options: mode, threads and GPU decide the speed.
        start: loads a file.
        progress: told of it.
        writing: of tokens that a model writes one after another, not of prompts that it reads.

    Returns:
        The speeds; empty where they cannot be measured, which is said.
    """
    known = known_speeds(home, options, writing=writing)
    missing = [name for name in (FULL, *CANDIDATES) if name not in known]
    if not missing:
        return known
    listener = progress or Silent()
    try:
        found = _measure(missing, home, options, start, listener, _writing_speed if writing else _speed)
    except CancelledError:
        raise
    except (MedbenchError, OSError) as error:
        listener.note(f"the speed of this machine could not be measured: {error}")
        return {}
    notes = MachineNotes(home, options.gpu_layers)
    for name, speed in found.items():
        notes.note(_topic(options, writing), name, round(speed))
    return {**known, **found}


def measured_file(
    path: Path,
    sha256: str,
    home: Path,
    options: EngineOptions,
    start: Start,
    progress: Progress | None = None,
    *,
    writing: bool = False,
) -> float | None:
    """Tokens a second of one model, timed with a short decode of its own file; once for a file, a mode and a machine.

    Args:
        path: the file.
        sha256: of the file.
        home, options, start, progress, writing: as for `measured_speeds`.

    Returns:
        None where it cannot be measured, which is said.
    """
    notes = MachineNotes(home, options.gpu_layers)
    topic = f"tokens a second, {_topic(options, writing)}"
    known = notes.read(topic).get(sha256)
    if isinstance(known, int | float) and known > 0:
        return float(known)
    listener = progress or Silent()
    try:
        with (
            listener.step(f"timing {path.stem}, once", total=1, unit="decodes") as advance,
            closing(start(path, replace(options, n_ctx=PREFIX + 2 * QUESTION))) as engine,
        ):
            speed = _short_writing(engine) if writing else _short_speed(engine)
            advance(1)
    except CancelledError:
        raise
    except (MedbenchError, OSError) as error:
        listener.note(f"{path.name} could not be timed: {error}")
        return None
    if speed is not None:
        notes.note(topic, sha256, round(speed, 3))
    return speed


def tokens_a_second(speeds: Speeds, weights: int) -> str:
    """Of a model with so many weights at each precision, for people: "q8_0 38, q6_k 51"."""
    rates = {name: speed / weights for name, speed in speeds.items()}
    return ", ".join(
        f"{name} {rate:,.0f}" if rate >= 10 else f"{name} {rate:.2g}" for name, rate in rates.items()
    )


def _topic(options: EngineOptions, writing: bool) -> str:
    topic = f"weights a second, {options.mode}, {options.threads or 'default'} threads"
    return f"{topic}, writing" if writing else topic


def _measure(
    names: list[str],
    home: Path,
    options: EngineOptions,
    start: Start,
    progress: Progress,
    speed_of: Callable[[Engine], float | None],
) -> dict[str, float]:
    from medbench_local.acquire.quantise import quantise  # slow to import, and mostly not needed
    from medbench_local.acquire.trial_model import WEIGHTS, write_trial_model

    home.mkdir(parents=True, exist_ok=True)
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="speed-", dir=home) as folder,
        progress.step("measuring this machine, once", total=len(names), unit="precisions") as advance,
    ):
        full = Path(folder) / "full.gguf"
        write_trial_model(full)
        for name in names:
            path = full
            if name != FULL:
                path = full.with_name(f"{name}.gguf")
                quantise(full, load_quant(name), path)
            with closing(start(path, replace(options, n_ctx=PREFIX + 2 * QUESTION))) as engine:
                if (speed := speed_of(engine)) is not None:
                    found[name] = speed * WEIGHTS
            if path != full:
                path.unlink()
            advance(1)
    return found


def _speed(engine: Engine) -> float | None:
    """Tokens a second of the model made for it, the best of three; None of an engine that does not count."""
    prefix = tuple(1 + i % 500 for i in range(PREFIX))
    requests = [
        ScoreRequest(prefix + tuple(3 + (i + n) % 500 for i in range(QUESTION)), ((5,),))
        for n in range(QUESTIONS)
    ]
    speeds = []
    for number in range(4):
        before = engine.work
        # Another first token each time: nothing of the round before is reused.
        changed = [replace(request, context=(10 + number, *request.context[1:])) for request in requests]
        engine.score(Pack(changed[0].context[:PREFIX], tuple(changed)))
        if (rate := _rate(engine, engine.work.since(before))) is None:
            return None
        speeds.append(rate)
    return max(speeds[1:])


def _short_speed(engine: Engine) -> float | None:
    """Tokens a second of a model that may be large, from one short decode after one that reads the weights."""
    rates = []
    for first, length in ((10, 32), (11, 128)):
        before = engine.work
        engine.score(Pack((), (ScoreRequest((first, *(3 + i % 200 for i in range(length))), ((5,),)),)))
        rates.append(_rate(engine, engine.work.since(before)))
    return rates[-1]


def _short_writing(engine: Engine) -> float | None:
    """The same of tokens that are written one after another: as many as are written before the text may end."""
    before = engine.work
    (trace,) = engine.think(Pack((), (ThinkRequest((10, *range(3, 19)), (), WRITTEN // 3),)), _unheard)
    work = engine.work.since(before)
    rate = _rate(engine, work)
    return None if rate is None else rate * len(trace.tokens) / work.tokens or None


def _rate(engine: Engine, work: WorkDone) -> float | None:
    """Tokens a second; None of an engine that does not count."""
    if not work.tokens:
        return None
    seconds = work.seconds
    if "gpu_layers" not in engine.info.numerics:
        # Other programs take wall time, not processor time: what it would be on a machine that is not busy.
        seconds = work.cpu_seconds / engine.info.threads
    return work.tokens / seconds


def _writing_speed(engine: Engine) -> float | None:
    """The same of tokens that are written one after another."""
    context = (10, *range(1, 32))
    speeds = []
    for _ in range(3):
        engine.think(Pack((), (ThinkRequest(context, (), 1),)), _unheard)
        before = engine.work
        (trace,) = engine.think(Pack((), (ThinkRequest(context, (), WRITTEN),)), _unheard)
        work = engine.work.since(before)
        if len(trace.tokens) < WRITTEN or (rate := _rate(engine, work)) is None:
            return None
        # the prompt takes little; its tokens are not of those that are written
        speeds.append(rate * len(trace.tokens) / work.tokens)
    return max(speeds)


def _unheard(number: int, written: int, trace: Trace | None) -> None:
    """Nobody follows a measurement."""
