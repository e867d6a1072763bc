"""The exact prompts that a finished run asked, to be run on another engine and compared with `validate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from medbench_local.acquire.prepare import prepare_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.model import models
from medbench_local.catalog.names import ShotImages
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.catalog.protocol import Protocol, Scoring
from medbench_local.catalog.quantisation import load_quant
from medbench_local.catalog.task import task_names
from medbench_local.errors import InputError, UsageError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.hashes import text_sha256
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import SourceFile
from medbench_local.paths import user_path
from medbench_local.progress import Progress
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.export import ExportedPrompt, ExportedThinking, exported_prompt
from medbench_local.prompts.prompt import Prompt
from medbench_local.prompts.prompt_style import PromptStyle, prompt_style_for, template_in_force
from medbench_local.prompts.prompting import Prompting, prompting_of
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import ROLES, Role
from medbench_local.results.samples import samples_name
from medbench_local.results.schema import Comparison
from medbench_local.scoring.prompt_styles import prompt_style_of, tokens_for
from medbench_local.scoring.rules import RULES
from medbench_local.scoring.rules.thinking import read_behind
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import Question, Task
from medbench_local.tasks.sample import sampled_rows


def prompts_of_run(
    folder: RunFolder, *, data_dir: Path | None, offline: bool, progress: Progress
) -> list[ExportedPrompt]:
    """The test prompts of both models in all comparisons, each held against the hash the run kept of it.

    Args:
        folder: of a finished run.
        data_dir: where the data sets' official files lie; None for the hub.
        offline: never touch the network.
        progress: listens.

    Raises:
        UsageError: the run is not finished.
        InputError: a file of the run is malformed, or the data are not those that the run read.
        AcquireError: the data cannot be fetched.
    """
    results = folder.results()
    if results is None:
        raise UsageError(
            f"The run {folder.name} is not finished.",
            advice="Run its command again; it resumes.",
        )
    manifest = folder.manifest()
    styles = {role: _prompt_style(folder, manifest, role) for role in ROLES}
    protocol = folder.protocol()
    found: list[ExportedPrompt] = []
    tasks: dict[str, Task] = {}
    asked: set[tuple[Role, str, int, Scoring]] = set()
    for comparison in results.comparisons:
        if comparison.task not in tasks:
            name = _task_name(folder, manifest, comparison.task)
            tasks[comparison.task] = load_task(name, data_dir=data_dir, offline=offline, progress=progress)
        for role in ROLES:
            scoring = _rule_of(comparison, role, protocol)
            # Where models think, a model is asked the same in comparisons that differ in what the other one does.
            if (once := (role, comparison.task, comparison.shots, scoring)) not in asked:
                asked.add(once)
                task = tasks[comparison.task]
                found += _prompts(folder, task, comparison, role, styles[role], scoring, protocol)
    return found


def _rule_of(comparison: Comparison, role: Role, protocol: Protocol) -> Scoring:
    """How one model's prompts became answers."""
    at_once = comparison.thinkers == "medical" and role == "base"
    return protocol.thinking.reading if at_once else comparison.scoring


def _prompts(
    folder: RunFolder,
    task: Task,
    comparison: Comparison,
    role: Role,
    prompt_style: PromptStyle,
    scoring: Scoring,
    protocol: Protocol,
) -> list[ExportedPrompt]:
    choice = getattr(comparison.prompt, role)
    format = None if choice.format == "default" else int(choice.format)
    pool = task.questions("demonstrations")
    shown = []
    if choice.demonstrations is not None:
        rows = demonstration_rows(choice.demonstrations, len(pool), comparison.shots)
        shown = [pool[row] for row in rows]
    rule = RULES[scoring]
    questions = task.questions("test")
    most = None if comparison.thinkers is None else protocol.thinking.questions
    items = sampled_rows(len(questions), most)
    name = samples_name(role, comparison.task, comparison.shots, comparison.thinkers)
    found = []
    for number, row in enumerate(json_lines(SourceFile(folder.samples_file(name)))):
        dropped = row.integer("dropped_demonstrations", 0, comparison.shots)
        if number >= len(items):
            raise row.error(f"the task has {len(items)} test questions only", name="id")
        item = items[number]
        prompt = rule.render(prompt_style, task.id, questions[item], shown[dropped:], format)
        if prompt.sha256 != row.text("prompt_sha256"):
            raise row.error(
                f"the prompt of question {questions[item].id} is not the one that the run asked: its data, or "
                "this version of the package, are others",
                name="prompt_sha256",
            )
        exported = exported_prompt(
            prompt_style.name,
            task.id,
            "test",
            item,
            questions[item],
            prompt,
            shots=comparison.shots,
            format=format,
            demonstrations=choice.demonstrations,
        )
        found.append(with_scoring(exported, prompt, questions[item], scoring, protocol))
    return found


def with_scoring(
    row: ExportedPrompt, prompt: Prompt, question: Question, scoring: Scoring, protocol: Protocol
) -> ExportedPrompt:
    """A row with what another engine needs to score it as a run does.

    Args:
        row: of the prompt.
        prompt: written by the rule of ``scoring``.
        question: that it asks.
        scoring: how options are scored.
        protocol: says how a model thinks.
    """
    rule = RULES[scoring]
    return replace(
        row,
        scoring=scoring,
        think=_thinking(prompt, protocol) if rule.thinks else None,
        gap=prompt.gap if rule.scores_option_texts else None,
        text_sha256=text_sha256(question.text, question.options),
    )


def _thinking(prompt: Prompt, protocol: Protocol) -> ExportedThinking:
    lead, endings = read_behind(prompt, protocol)
    own, marks = protocol.thinking, prompt.marks
    return ExportedThinking(marks.close, marks.forced, own.budget, own.reading, lead, endings)


def _prompt_style(folder: RunFolder, manifest: Mapping[str, Any], role: Role) -> PromptStyle:
    """How the run spoke to the model: the catalog's way, or the chat template of the file that was scored."""
    try:
        model = manifest["models"][role]
        name, known, path = str(model["name"]), model["catalog"], user_path(model["scored"]["path"])
        settings = manifest["settings"]
        others = (settings.get(name) for name in ("think_open", "think_close"))
        asked = prompting_of(role, settings.get("chat_template"), settings["system_prompt"], *others)
    except (KeyError, TypeError) as error:
        raise InputError(folder.manifest_file, f"key {error}", "expected the manifest of a run") from error
    entry = models().get(known) if known is not None else None
    own, tokens = None, {}
    if path.is_file():
        header = read_gguf_header(path)
        own = header.chat_template
        tokens = tokens_for(header, template_in_force(entry, own, asked))
    elif template_in_force(entry, "unknown", asked) is not None:
        raise InputError(path, "", "the file that the run scored is gone; its chat template is needed")
    protocol = folder.protocol()
    return prompt_style_for(
        entry,
        chat_template=own,
        tokens=tokens,
        asked=asked,
        overrides=protocol.prompts,
        name=name,
        shot_images=protocol.shot_images,
    )


def _task_name(folder: RunFolder, manifest: Mapping[str, Any], task: str) -> str:
    """What `load_task` takes: a known name, or the folder or the file that a task of one's own was read from."""
    if task in task_names():
        return task
    try:
        file = user_path(manifest["data"][task]["test"]["files"][0]["path"])
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(folder.manifest_file, f"key {error}", f"says nothing of the task {task}") from error
    if file.name == "test.jsonl":
        return str(file.parent)
    if file.stem == task:
        return str(file)
    raise UsageError(
        f"The run does not name the file that describes the data of {task}.",
        advice="Prompts of catalog tasks, of tables and of folders of questions can be written anew.",
    )


def prompt_style_by_name(
    model: str,
    asked: Prompting,
    *,
    overrides: PromptOverrides,
    shot_images: ShotImages,
    home: Path,
    offline: bool,
    progress: Progress,
) -> PromptStyle:
    """The way ``model`` is prompted.

    A model of the study needs no files for that, unless a chat template is asked for that writes special tokens; any
    other one is converted (once) to read its own template and tokens.

    Raises:
        MedbenchError: the model is not known, or its files cannot be had or read.
    """
    source = resolve_model(model)
    needs_tokens = "_token" in (template_in_force(source.entry, None, asked) or "")
    if source.entry is not None and not source.entry.own_template and not needs_tokens:
        return prompt_style_for(source.entry, asked=asked, overrides=overrides, shot_images=shot_images)
    prepared = prepare_model(source, quant=load_quant("full"), home=home, offline=offline, progress=progress)
    return prompt_style_of(prepared, asked, overrides=overrides, shot_images=shot_images)
