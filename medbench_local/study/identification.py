"""What a run says of itself in its results: nothing in it depends on a path or on the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench_local._version import __version__
from medbench_local.acquire.prepare import PreparedModel
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.prompts.prompting import PerModel
from medbench_local.results.identification import (
    DataFileRecord,
    HashedFile,
    Identification,
    LlamaCpp,
    SplitRecord,
)
from medbench_local.results.record import ROLES, Role
from medbench_local.results.schema import ModelRecord
from medbench_local.scoring.rules import RULES
from medbench_local.scoring.session import ModelSession
from medbench_local.study.manifest import identity_of, origin
from medbench_local.study.model_prompts import chat_template_records
from medbench_local.study.plan import Plan
from medbench_local.tasks.question import Task


@dataclass(frozen=True)
class LoadedModel:
    """What was noted of a model while it was loaded.

    Attributes:
        description: llama.cpp's own.
        device: for people.
        numerics: everything that decides the last bit.
        context: tokens.
        first_prompt: first and last token ids of a real prompt.
    """

    description: str
    device: str
    numerics: Mapping[str, str]
    context: int
    first_prompt: Mapping[str, Sequence[int]]


def loaded(session: ModelSession, plan: Plan) -> LoadedModel:
    """What there is to note of the model that ``session`` has loaded."""
    info, cell = session.info, plan.cells[0]
    thinking = {"thinking": info.thinking} if RULES[plan.scoring].thinks else {}
    return LoadedModel(
        description=info.description,
        device=info.device,
        numerics=info.numerics | thinking,
        context=session.settings.context,
        first_prompt=session.first_prompt(cell.task, cell.shots, plan.protocol.demonstration_seed),
    )


def identification(
    plan: Plan, quants: Sequence[QuantConfig], models: Mapping[str, LoadedModel]
) -> Identification:
    """What decided the result.

    Args:
        plan: at the precision that is reported.
        quants: all precisions that may be tried.
        models: what was noted of each loaded model, by role.
    """
    return Identification(
        identity=identity_of(plan, quants),
        version=__version__,
        llama_cpp=LlamaCpp(
            build=_said(models, "llama.cpp"),
            bindings=_said(models, "llama-cpp-python"),
            device=_said(models, "device"),
        ),
        scoring=plan.scoring,
        shots=tuple(dict.fromkeys(cell.shots for cell in plan.cells)),
        limit=plan.options.limit,
        system_prompt=_by_role(plan.options.system_prompt),
        chat_templates=chat_template_records(plan),
        protocol_content=plan.protocol.model_dump(mode="json"),
        data={cell.task.id: _data(cell.task) for cell in plan.cells},
    )


def model_record(model: PreparedModel) -> ModelRecord:
    """A model as results.json has it."""
    file = model.quantised
    return ModelRecord(
        name=model.name,
        source=origin(model),
        sha256=file.sha256,
        file_type=file.file_type,
        size=file.size,
        full_sha256=model.full.sha256 if model.full else None,
        vision_sha256=model.vision.vision_sha256 if model.vision else None,
        files=tuple(HashedFile(name=f.path, sha256=f.sha256) for f in model.files),
    )


def _by_role(given: PerModel) -> str | dict[Role, str] | None:
    return {role: given[role] for role in ROLES if role in given} if isinstance(given, Mapping) else given


def _said(models: Mapping[str, LoadedModel], name: str) -> str | None:
    """What the engines say of themselves under ``name``; both, where two differ."""
    found = dict.fromkeys(model.numerics[name] for model in models.values() if name in model.numerics)
    return " and ".join(found) or None


def _data(task: Task) -> dict[str, SplitRecord]:
    return {
        name: SplitRecord(
            questions=len(split.questions),
            expected=split.expected,
            files=tuple(
                DataFileRecord(name=Path(file.path).name, sha256=file.sha256, source=file.source)
                for file in split.files
            ),
        )
        for name, split in task.splits.items()
    }
