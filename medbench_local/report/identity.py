"""What identifies a run, from results.json alone: whoever prints it, and whenever, says the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medbench_local.files.hashes import content_key
from medbench_local.report.words import counted, isolated, plain
from medbench_local.results.identification import ChatTemplateRecord, LlamaCpp, SplitRecord
from medbench_local.results.partial import PartialResults
from medbench_local.results.record import ROLES, Role
from medbench_local.results.schema import ModelRecord, Results
from medbench_local.results.sweep import Sweep

UNKNOWN = "unknown"
"""What a file of an earlier release does not say."""

HEX = 12
"""Digits of a hash that are shown."""


def signature(results: Results) -> str:
    """A line to paste beside a published figure: everything that identifies the run."""
    models, engine = results.models, results.llama_cpp
    known = results.identity is not None
    scoring = [results.scoring] if results.scoring else [c.scoring for c in results.comparisons]
    shots = results.shots or [c.shots for c in results.comparisons]
    parts = {
        "medbench-local": results.version or UNKNOWN,
        "run": results.identity or UNKNOWN,
        "medical": _named(models.medical.name, _content(models.medical)),
        "base": _named(models.base.name, _content(models.base)),
        **_so_far(results),
        "precision": results.precision,
        "reported": _several(c.precision for c in results.comparisons),
        "protocol": _named(results.protocol, _digest(results.protocol_content)),
        "scoring": _several(scoring),
        "shots": _several(str(number) for number in shots),
        "limit": UNKNOWN if not known else "none" if results.limit is None else str(results.limit),
        "system-prompt": UNKNOWN if not known else _digest(results.system_prompt) or "default",
        "chat-templates": _templates(results),
        "data": _digest(_hashes(results.data)) or UNKNOWN,
        "engine": _mode(results),
        "llama.cpp": (engine and engine.build) or UNKNOWN,
        "llama-cpp-python": (engine and engine.bindings) or UNKNOWN,
        "device": (engine and engine.device) or UNKNOWN,
    }
    # a name that holds the mark between the parts must not make up a part
    return "|".join(f"{name}:{plain(value).replace('|', '/')}" for name, value in parts.items())


def _so_far(results: Results) -> dict[str, str]:
    """How many comparisons there are of a run that is not finished."""
    if not isinstance(results, PartialResults):
        return {}
    done = len(results.comparisons)
    return {"comparisons": f"{done} of {done + len(results.missing)}"}


def sweep_signature(found: Sweep) -> str:
    """The same of a sweep, with the identities of its runs, which have signatures of their own."""
    parts = {
        "medbench-local": _several(run.results.version or UNKNOWN for run in found.runs),
        "sweep": found.identity or UNKNOWN,
        "pairs": f"{len(found.runs)} of {len(found.runs) + len(found.missing)}",
        "runs": _several(run.results.identity or UNKNOWN for run in found.runs),
    }
    return "|".join(f"{name}:{plain(value).replace('|', '/')}" for name, value in parts.items())


def _content(model: ModelRecord) -> str:
    """The weights that were scored, and those that pictures were seen with."""
    seeing = f"+{model.vision_sha256[:HEX]}" if model.vision_sha256 else ""
    return model.sha256[:HEX] + seeing


def _mode(results: Results) -> str:
    """The engine's mode; both, where the check was made in another one."""
    checked = f", checked in {plain(results.check_mode)}" if results.check_mode else ""
    return plain(results.mode) + checked


@dataclass(frozen=True)
class Fact:
    """One thing that identifies a run.

    Attributes:
        name: what it is.
        text: what it was; says so where the file does not tell.
    """

    name: str
    text: str


def facts(results: Results) -> list[Fact]:
    """What made the results, and of what data, for people."""
    found = facts_of_run(results)
    found += [
        Fact(f"data of {isolated(plain(task))}", _data(splits))
        for task, splits in (results.data or {}).items()
    ]
    return found


def facts_of_run(results: Results) -> list[Fact]:
    """What made the results, for people, without the data."""
    unsaid = "not known: the file is of a release that did not write it down"
    engine, models = results.llama_cpp, results.models
    found = [
        Fact("run", plain(results.identity or unsaid)),
        Fact("computed by", f"medbench-local {plain(results.version)}" if results.version else unsaid),
        Fact(
            "engine",
            f"{_engine(engine)}; {_mode(results)} mode" if engine else f"{_mode(results)} mode; {unsaid}",
        ),
        Fact("medical", _model(models.medical)),
        Fact("base", _model(models.base)),
        Fact("protocol", _protocol(results) or f"{plain(results.protocol)}; its content is {unsaid}"),
    ]
    if results.identity is None:
        found.append(Fact("data, limit", unsaid))
    else:
        most = (
            "none" if results.limit is None else f"{counted(results.limit, 'question')} of a task and split"
        )
        found += [Fact("limit", most), Fact("system prompts", _system_prompts(results.system_prompt))]
        found += [
            Fact(f"prompts of {role}", _written_by(record))
            for role, record in (results.chat_templates or {}).items()
        ]
    return found


def _system_prompts(given: str | Mapping[Role, str] | None) -> str:
    if given is None:
        return "the default ones"
    if isinstance(given, str):
        return plain(given) if given.strip() else "none: an empty one was asked for"
    return "; ".join(f"{role}: {_system_prompts(given.get(role))}" for role in ROLES)


def _written_by(record: ChatTemplateRecord) -> str:
    digest = f", sha256 {record.sha256[:HEX]}" if record.sha256 else ""
    day = f", told that it is {plain(record.day)}" if record.day else ""
    return _SOURCES[record.source] + digest + day


_SOURCES = {
    "study": "written as in the study",
    "model": "written by the chat template that came with the model",
    "given": "written by a chat template that was asked for",
    "none": "plain text, without a chat template",
}


def _templates(results: Results) -> str:
    """What wrote the prompts, medical before base; once, if both were written by the same."""
    if results.chat_templates is None:
        return UNKNOWN
    return _several(
        record.source if record.sha256 is None else _named(record.source, record.sha256[:HEX])
        for record in results.chat_templates.values()
    )


def _engine(engine: LlamaCpp) -> str:
    return plain(
        f"llama.cpp {engine.build or UNKNOWN}, llama-cpp-python {engine.bindings or UNKNOWN}, "
        f"{engine.device or 'unknown device'}"
    )


def _model(model: ModelRecord) -> str:
    rest = plain(f"{model.source}, {model.file_type}, sha256 {model.sha256}")
    return f"{isolated(plain(model.name))}, {rest}"


def _protocol(results: Results) -> str:
    digest = _digest(results.protocol_content)
    return f"{plain(results.protocol)}, content {digest}" if digest else ""


def _data(splits: Mapping[str, SplitRecord]) -> str:
    return "; ".join(
        f"{plain(name)} {_expected(split)}, "
        + ", ".join(plain(f"{file.name} sha256 {file.sha256[:HEX]}") for file in split.files)
        for name, split in splits.items()
    )


def _expected(split: SplitRecord) -> str:
    of = "" if split.expected in (None, split.questions) else f" of {split.expected:,}"
    return f"{split.questions:,}{of}"


def _hashes(data: Mapping[str, Mapping[str, SplitRecord]] | None) -> object:
    """The contents of all files, whatever they are called and wherever they lay."""
    if data is None:
        return None
    return {
        task: {name: [file.sha256 for file in split.files] for name, split in splits.items()}
        for task, splits in data.items()
    }


def _digest(value: object) -> str:
    """The first digits of a hash of ``value``; "" for nothing."""
    return "" if value is None else content_key(value)[:HEX]


def _named(name: str, digest: str) -> str:
    return f"{name}@{digest or UNKNOWN}"


def _several(values: Iterable[str]) -> str:
    return "+".join(dict.fromkeys(values)) or "nothing"
