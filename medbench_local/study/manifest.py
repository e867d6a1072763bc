"""What went into a run, so that somebody else can tell whether theirs was the same."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from medbench_local.acquire.checkpoint_files import Origin
from medbench_local.acquire.picture_parts import ProjectorFiles, VisionFiles
from medbench_local.acquire.prepare import GgufFile, PreparedModel
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.engine.machine import processor_name
from medbench_local.files.hashes import file_sha256
from medbench_local.paths import without_home
from medbench_local.results.folder import identity
from medbench_local.results.identification import Identification
from medbench_local.results.record import ROLES, Role
from medbench_local.results.schema import SCHEMA
from medbench_local.scoring.rules import RULES
from medbench_local.study.model_prompts import chat_template_record, describe_prompts, prompt_warnings
from medbench_local.study.options import record
from medbench_local.study.plan import Cell, Outline, Plan
from medbench_local.tasks.question import Task

TEMPLATES = 2
"""To be raised when the chat template that comes with a model writes other prompts than before."""

METHOD = "0.1.0"
"""The release whose prompts and statistics these are. It stands in the identity of a run, not the version, so that a
release that changes neither finds the runs of those before; to be raised with either."""

SEARCH = 3
"""Of the search that does not ask everything. It stands in the identity of runs that make one; to be raised when such
a search asks other prompts, or finds another winner, than before."""


@dataclass(frozen=True)
class HashedCell:
    """What of a cell decides the result.

    Attributes:
        task: its id.
        files: hashes of the data files of each split, wherever they lie.
        shots: demonstrations in a prompt.
    """

    task: str
    files: Sequence[Sequence[str]]
    shots: int


def run_name(outline: Outline, identity: str) -> str:
    """The folder's default name."""
    return f"{outline.medical.name}-vs-{outline.base.name}-{identity}"


def origin(model: PreparedModel) -> str:
    """Where a model came from: "owner/name@commit", "embedded" or "local"; an adapter also says its base's."""
    if model.repository is not None:
        own = f"{model.repository}@{model.commit}"
    else:
        own = "embedded" if model.entry is not None and model.entry.embedded else "local"
    if model.base is not None:
        into = "within" if model.vision is not None and model.vision.stands_between else "merged into"
        own += f" {into} {_origin_of_base(model.base)}"
    return own if model.tower is None else f"{own}, pictures through {_origin_of_base(model.tower)}"


def _origin_of_base(base: Origin) -> str:
    own = f"{base.repository}@{base.commit}" if base.repository is not None else f"{base.name} (local)"
    return own if base.base is None else f"{own} merged into {_origin_of_base(base.base)}"


def identity_of(plan: Plan, quants: Sequence[QuantConfig]) -> str:
    """The identity of a plan whose questions have been read; see `identity_with`."""
    return identity_with(plan, hashed(plan.cells), quants)


def hashed(cells: Sequence[Cell]) -> list[HashedCell]:
    """What of cells decides the result; that some may think and others not follows from the models and the scoring."""
    once = {(cell.task.id, cell.shots): cell for cell in cells}
    return [
        HashedCell(
            cell.task.id,
            [[file.sha256 for file in split.files] for split in cell.task.splits.values()],
            cell.shots,
        )
        for cell in once.values()
    ]


def identity_with(plan: Outline, cells: Sequence[HashedCell], quants: Sequence[QuantConfig]) -> str:
    """Eight hexadecimal digits: a hash of everything that decides the result.

    Threads, context size and paths are not in it: they change no score but in the fast mode. `METHOD` is, because
    prompts and statistics are the package's own.
    """
    options = plan.options
    asked = record(options)
    asked["check"] = [asked["check"], asked.pop("check_precision")]
    engine: dict[str, str] = {"mode": plan.first_mode(quants)}
    if plan.reference_mode != engine["mode"]:
        engine["reference_mode"] = plan.reference_mode
    if RULES[plan.scoring].depends_on_batch:
        engine["parallel"] = str(options.engine.parallel)
    racing = {"search": SEARCH} if plan.protocol.selection.method == "racing" else {}
    if options.mode == "fast":
        engine |= {"batch": str(options.engine.batch_tokens), "parallel": str(options.engine.parallel)}
    return identity(
        {
            "schema": SCHEMA,
            "package": METHOD,
            "bindings": metadata.version("llama-cpp-python"),
            "medical": _model_identity(plan, "medical"),
            "base": _model_identity(plan, "base"),
            "tasks": [{"id": cell.task, "files": cell.files} for cell in cells],
            "shots": [cell.shots for cell in cells],
            "scoring": plan.scoring,
            "quants": [_quant_identity(quant, options.home) for quant in quants],
            "protocol": plan.protocol.in_first_names(pictures=plan.reads_pictures),
            "engine": engine,
            **racing,
            **asked,
        }
    )


def describe(
    plan: Plan,
    quants: Sequence[QuantConfig],
    started: datetime,
    said: Identification,
    models: Mapping[str, Mapping[str, object]],
    chosen: Mapping[str, str] | None,
    command: str,
    engines: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The manifest of a run; paths below the user's home folder begin with ``~``.

    Args:
        plan: at the precision that is reported (at first: the one that is tried first).
        quants: all precisions that may be tried.
        started: when the run was started or resumed.
        said: what results.json says of the run.
        models: what was noted of each loaded model (device, features, first prompt), by role.
        chosen: the precision that was taken because none was asked for, and why; None if one was.
        command: that computes the run anew; "" if it cannot be typed.
        engines: what each engine of the cluster is and where; None without a cluster.
    """
    options = plan.options
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "identity": said.identity,
        "started": started.isoformat(timespec="seconds"),
        "command": command,
        "kept": {"questions": options.questions, "pictures": options.questions and options.pictures},
        "versions": {
            "medbench-local": said.version,
            "llama-cpp-python": metadata.version("llama-cpp-python"),
            "llama.cpp": said.llama_cpp.build if said.llama_cpp else None,
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
        "processor": processor_name(),
        "models": {role: _describe_model(plan, role) | dict(models.get(role, {})) for role in ROLES},
        "data": {cell.task.id: describe_task(cell.task) for cell in plan.cells},
        "quantisation": plan.quant.model_dump(mode="json"),
        "precisions": [quant.name for quant in quants],
        "precision_choice": chosen,
        "protocol": said.protocol_content,
        "settings": {
            "tasks": list(dict.fromkeys(cell.task.id for cell in plan.cells)),
            "shots": list(said.shots or ()),
            "scoring": said.scoring,
            **record(options),
            "engine": {
                "mode": plan.mode,
                "reference_mode": plan.reference_mode,
                "threads": options.engine.threads,
                "gpu_layers": options.engine.gpu_layers,
                "batch_tokens": options.engine.batch_tokens,
                "parallel": options.engine.parallel,
            },
        },
        "seeds": {
            "selection": plan.protocol.selection.seed,
            "check": plan.protocol.check.seed,
            "demonstrations": plan.protocol.demonstration_seed,
        },
        "warnings": [*plan.warnings, *prompt_warnings(plan)],
    }
    if engines is not None:
        found["cluster"] = list(engines)
    told: dict[str, Any] = without_home(found)
    return told


def _describe_model(plan: Plan, role: Role) -> dict[str, Any]:
    model = plan.models[role]
    return {
        "name": model.name,
        "catalog": model.entry.name if model.entry else None,
        "origin": origin(model),
        "scored": _describe_file(model.quantised),
        "full": _describe_file(model.full) if model.full else None,
        "checked_against": _describe_file(plan.reference_file(model)) if plan.checkable else None,
        "vision": _describe_vision(model.vision) if model.vision else None,
        "checkpoint": {
            "repository": model.repository,
            "commit": model.commit,
            "merged_into": asdict(model.base) if model.base is not None else None,
            "tower": asdict(model.tower) if model.tower is not None else None,
            "files": [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in model.files],
        },
        "chat_template": describe_prompts(model, plan.options.prompting(role)),
        "warnings": list(model.warnings),
    }


def _describe_vision(files: VisionFiles | ProjectorFiles) -> dict[str, Any]:
    """What a model is shown pictures with."""
    found: dict[str, dict[str, Any]] = {
        name: {"path": str(path), "sha256": sha256} for name, (path, sha256) in files.files.items()
    }
    if isinstance(files, ProjectorFiles):
        found["projector"]["precision"] = files.projector.precision
    return found


def _describe_file(file: GgufFile) -> dict[str, Any]:
    return {"path": str(file.path), "sha256": file.sha256, "size": file.size, "file_type": file.file_type}


def describe_task(task: Task) -> dict[str, Any]:
    """Each split's size, official size and files."""
    return {
        name: {
            "questions": len(task.splits[name].questions),
            "expected": task.splits[name].expected,
            "files": [
                {"path": f.path, "sha256": f.sha256, "source": f.source} for f in task.splits[name].files
            ],
        }
        for name in task.splits
    }


def _model_identity(plan: Outline, role: Role) -> list[Any]:
    """Name, content, and what the catalog says of it: the same files from a folder are prompted otherwise."""
    model = plan.models[role]
    entry = model.entry
    known = None if entry is None else [entry.name, entry.family, entry.fixed_template, entry.known_context]
    found: list[Any] = [model.name, plan.reference_file(model).sha256, known]
    if model.vision is not None:
        found += [sha256 for _, sha256 in model.vision.files.values()]
        if entry is None:  # a folder's note says how its model is prompted
            found.append(model.vision.family)
    template = chat_template_record(model, plan.options.prompting(role))
    return found if template.sha256 is None else [*found, TEMPLATES]


def _quant_identity(quant: QuantConfig, home: Path) -> dict[str, Any]:
    """The configuration, with the content of its importance matrix in place of the path.

    Whether it wants flash attention stands there as it did before modes were chosen by the weights: runs of then are
    found, and the mode tells the rest.
    """
    matrix = file_sha256(quant.imatrix, home) if quant.imatrix else None
    flash = quant.flash_attention == "on"
    return quant.model_dump(mode="json") | {"imatrix": matrix, "flash_attention": flash}
