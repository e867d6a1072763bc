"""What loading models takes, and how long cells keep them busy: estimates that decide how many cells go together."""

from __future__ import annotations

from collections.abc import Container

from medbench_local.acquire.calibration import known_speeds
from medbench_local.acquire.prepare import GgufFile
from medbench_local.engine.several import Effort
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.results.record import ROLES
from medbench_local.scoring.rules import RULES
from medbench_local.study.loaded_models import LoadedModels, Seat
from medbench_local.study.plan import CellKey, Plan, test_questions
from medbench_local.study.schedule import Loading

START = 1.0
"""Seconds until a worker process begins to read its file."""

READ = 0.7e9
"""Bytes a second that a file is read with where memory does not hold it any more: a usual solid-state disk."""

FASTEST = {True: 3e13, False: 2e12}
"""Weights that tokens are multiplied with in a second where that was never timed, with a GPU and without.

On a slower machine more cells go together than would have to.
"""

BYTES_PER_TOKEN = 4
"""Of questions: no usual tokenizer makes fewer tokens of medical English."""

THOUGHT = 1000
"""Tokens that could be read while one question is thought about: some hundreds are written, each takes far longer."""

VISITS = 4
"""How often a check goes from one model to the other, mostly."""


def loading_of(plan: Plan, models: LoadedModels, *, checked: bool) -> Loading:
    """What going from one model of ``plan`` to the other costs.

    Args:
        plan: at one precision.
        models: knows which stay loaded.
        checked: both are checked against a fuller precision.
    """
    scored = [Seat(role) for role in ROLES]
    fuller = [Seat(role, reference=True) for role in ROLES if checked and not plan.scored_at_reference(role)]
    turn = 0.0 if models.stay(*scored) else max(_seconds(plan, seat) for seat in scored)
    if not fuller or models.stay(*scored, *fuller):
        return Loading(turn)
    again = sum(_seconds(plan, seat) for seat in scored)
    once = sum(_seconds(plan, seat) for seat in fuller)
    check = once if models.stay(*fuller) else once / len(fuller) * VISITS
    return Loading(turn, check + again)


def seconds_of(plan: Plan, done: Container[CellKey], *, gpu: bool) -> dict[CellKey, float]:
    """Seconds that both models work on each cell, about and rather less: choosing prompts is not counted.

    Args:
        plan: at one precision.
        done: cells that were finished before an interruption: their scores are read.
        gpu: whether a GPU is used.
    """
    speeds = known_speeds(plan.options.home, plan.options.engine_of_quantised)
    weights_a_second = speeds.get(plan.quant.name) or max(speeds.values(), default=FASTEST[gpu])
    weights = {role: read_gguf_header(plan.models[role].quantised.path).asked for role in ROLES}
    found = dict.fromkeys((cell.key for cell in plan.cells), 0.0)
    for cell in plan.cells:
        questions = test_questions(plan, cell) if cell.key not in done else ()
        texts = (text for question in questions for text in (question.text, *question.options))
        read = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / BYTES_PER_TOKEN
        for role in ROLES:
            thought = THOUGHT * len(questions) if RULES[plan.rule_of(cell, role)].thinks else 0
            found[cell.key] += (read + thought) * weights[role] / weights_a_second
    return found


def effort_of(plan: Plan, seat: Seat, tokens: float) -> Effort:
    """How much it is to read so many tokens, and to load the model before."""
    weights = read_gguf_header(file_of(plan, seat).path).asked
    return Effort(tokens * weights / FASTEST[False], _seconds(plan, seat))


def file_of(plan: Plan, seat: Seat) -> GgufFile:
    """What is loaded."""
    model = plan.models[seat.role]
    return plan.reference_file(model) if seat.reference else model.quantised


def _seconds(plan: Plan, seat: Seat) -> float:
    return START + file_of(plan, seat).size / READ
