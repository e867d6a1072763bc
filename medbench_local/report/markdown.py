"""A run as Markdown: tables that line up in a text editor and render on any forge."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from medbench_local.report import clusters, sections, words
from medbench_local.report.identity import signature
from medbench_local.report.reading import HOW_TO_READ
from medbench_local.report.section import Column, Section
from medbench_local.results.schema import Results

SPECIAL = re.compile(r"[\\`*\[\]<>|#~&$]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown would act on; an underscore between letters or digits is read as it is."""


def markdown(results: Results) -> str:
    """The text of ``report.md``."""
    return "\n".join(_lines(results)) + "\n"


def escaped(text: str) -> str:
    """A line of plain text so that Markdown shows it and acts on nothing in it."""
    return SPECIAL.sub(lambda found: "\\" + found.group(), text)


def _lines(results: Results) -> Iterator[str]:
    yield f"# {escaped(words.title(results))}"
    yield ""
    yield f"{escaped(words.settings(results))}."
    yield ""
    for line in words.unfinished(results):
        yield from [f"**{escaped(line)}**", ""]
    yield from listed([*words.rates(results), *words.verification(results), *clusters.differences(results)])
    for section in sections.verdicts(results):
        yield from section_lines(section)
    yield from ["", "## How to read this", ""]
    yield from (f"- **{escaped(term)}**: {escaped(meaning)}" for term, meaning in HOW_TO_READ)
    for section in sections.details(results):
        yield from section_lines(section)
    yield from _named("Notes", words.notes(results))
    yield from _named("Warnings", [words.plain(line) for line in results.warnings])
    for section in sections.provenance(results):
        yield from section_lines(section)
    yield from ["", "## Signature", "", *code(signature(results)), ""]
    yield escaped(words.work(results))


def code(line: str) -> list[str]:
    """A line to be copied, which nothing in it may end."""
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)  # not other letters in the line: in a command "'" ends a word
    return [f"{fence}text", line, fence]


def _named(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ["", f"## {title}", ""]
        yield from listed(lines)


def listed(lines: Sequence[str]) -> Iterator[str]:
    """Lines of text as a list."""
    return (f"- {escaped(line)}" for line in lines)


def section_lines(section: Section, *, level: int = 2) -> Iterator[str]:
    """A section with its heading, table and note."""
    yield from ["", f"{'#' * level} {escaped(section.title)}", ""]
    yield from table(section)
    if section.note:
        yield from ["", escaped(section.note)]


def table(section: Section) -> Iterator[str]:
    """The lines of a table, its columns padded to one width."""
    columns = section.columns
    rows = [[escaped(text.strip()) for text in row] for row in section.rows]
    names = [escaped(column.heading) for column in columns]
    widths = [max(3, *(cell_len(row[i]) for row in (names, *rows))) for i in range(len(columns))]
    yield _row(names, widths, columns)
    yield _row(
        ["-" * (width - 1) + (":" if c.numeric else "-") for c, width in zip(columns, widths, strict=True)],
        widths,
        columns,
    )
    for row in rows:
        yield _row(row, widths, columns)


def _row(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    padded = []
    for text, width, column in zip(cells, widths, columns, strict=True):
        blanks = " " * (width - cell_len(text))
        padded.append(blanks + text if column.numeric else text + blanks)
    return f"| {' | '.join(padded)} |"
