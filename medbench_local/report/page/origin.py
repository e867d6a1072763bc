"""Where a run came from, in full: facts, hashes of models and data, the protocol key by key."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from medbench_local.report import citation, identity, words
from medbench_local.report.page.tables import Table, table
from medbench_local.report.section import Column, Section
from medbench_local.results.evidence import Evidence
from medbench_local.results.schema import Results

UNSAID = "not known: nobody wrote it down"


@dataclass(frozen=True)
class Origin:
    """What the page says of where a run came from.

    Attributes:
        day: when it was computed, in a sentence; "" where nobody wrote it down.
        command: that computes it anew; "" where nobody wrote it down.
        signature: all that identifies it, in one line.
        facts: of the run, the machine and the models.
        data: the files that questions were read from; None where the file does not say.
        files: those of the models; None where the file does not say.
        protocol: its content as YAML; "" where the file does not say.
        citations: of the method and of the tool.
    """

    day: str
    command: str
    signature: str
    facts: Table
    data: Table | None
    files: Table | None
    protocol: str
    citations: tuple[str, ...]


def origin(results: Results, evidence: Evidence) -> Origin:
    """All of it."""
    started = evidence.started or results.timing.started
    return Origin(
        day=f"Computed on {words.plain(started[:10])}." if started else "",
        command=words.plain(evidence.command),
        signature=identity.signature(results),
        facts=_facts(results, evidence),
        data=_data(results),
        files=_files(results),
        protocol=_protocol(results),
        citations=(citation.STUDY, citation.tool(results)),
    )


def _facts(results: Results, evidence: Evidence) -> Table:
    rows = [("computed on", words.plain(evidence.started or results.timing.started or UNSAID))]
    rows += [(fact.name, fact.text) for fact in identity.facts_of_run(results)]
    for role, model in (("medical", results.models.medical), ("base", results.models.base)):
        if model.full_sha256:
            rows.append((f"{role}, full precision", f"sha256 {words.plain(model.full_sha256)}"))
        if model.vision_sha256:
            rows.append((f"{role}, what it sees with", f"sha256 {words.plain(model.vision_sha256)}"))
    said = {name for name, _ in rows}
    rows += [
        (words.plain(name), words.plain(text)) for name, text in evidence.facts.items() if name not in said
    ]
    rows.append(("work", words.work(results)))
    columns = (Column("item", name_of_row=True), Column("value"))
    return table(Section("What made these results", "", columns, tuple(rows)))


def _data(results: Results) -> Table | None:
    splits = [
        (words.isolated(words.plain(task)), words.plain(name), split)
        for task, its in (results.data or {}).items()
        for name, split in its.items()
    ]
    official = any(split.expected is not None for _, _, split in splits)
    rows: list[tuple[str, ...]] = []
    for task, name, split in splits:
        counts = [f"{split.questions:,}"]
        if official:
            counts.append("" if split.expected is None else f"{split.expected:,}")
        for file in split.files:
            rows.append((task, name, *counts, *map(words.plain, (file.name, file.source, file.sha256))))
            counts = ["" for _ in counts]
    if not rows:
        return None
    columns = (
        Column("task", name_of_row=True),
        Column("split"),
        Column("questions", numeric=True),
        *([Column("officially", numeric=True)] if official else []),
        Column("file"),
        Column("from"),
        Column("sha256"),
    )
    return table(Section("Data", "", columns, tuple(rows)))


def _files(results: Results) -> Table | None:
    rows = [
        (role, words.plain(file.name), words.plain(file.sha256))
        for role, model in (("medical", results.models.medical), ("base", results.models.base))
        for file in model.files or ()
    ]
    if not rows:
        return None
    columns = (Column("model", name_of_row=True), Column("file"), Column("sha256"))
    return table(Section("Files of the models", "", columns, tuple(rows)))


def _protocol(results: Results) -> str:
    if results.protocol_content is None:
        return ""
    text: str = yaml.safe_dump(results.protocol_content, sort_keys=False, allow_unicode=True, width=1000)
    return words.lines(text.rstrip("\n"))
