"""A sweep as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.report import sections, sweep_sections, words
from medbench_local.report.badge import sweep_badge
from medbench_local.report.identity import sweep_signature
from medbench_local.report.markdown import code, escaped, listed, section_lines
from medbench_local.results.sweep import Sweep

HEADING = "Medical models against the models they were built from"


def markdown(found: Sweep) -> str:
    """The text of a sweep's ``report.md``."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Sweep) -> Iterator[str]:
    yield f"# {HEADING}"
    yield from ["", escaped(f"Win, tie and loss rates over {sweep_sections.state_of(found)}.")]
    for section in (
        *sweep_sections.rates(found),
        *sweep_sections.differences(found),
        *sweep_sections.ablations(found),
        sweep_sections.study(found),
    ):
        yield from section_lines(section)
    for run in found.runs:
        yield from [
            "",
            f"## {escaped(words.title(run.results))}",
            "",
            f"{escaped(words.settings(run.results))}.",
            "",
        ]
        yield from listed([*words.rates(run.results), *words.verification(run.results)])
        for section in sections.verdicts(run.results):
            yield from section_lines(section, level=3)
        yield from ["", *listed([f"Warning: {words.plain(line)}" for line in run.results.warnings])]
    yield from section_lines(sweep_sections.runs(found))
    if told := sweep_sections.commands(found):
        yield from ["", "## Commands", "", "Each computes one of the runs again:"]
        for command in told:
            yield from ["", *code(command)]
    yield from ["", "## Signature", "", *code(sweep_signature(found))]
    yield from ["", "## Badge", "", "For a README:", "", *code(sweep_badge(found))]
