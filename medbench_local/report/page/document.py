"""The page put together: template, style and scripts in one file, with a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.report import clusters, lead, sections, words
from medbench_local.report.page import plots, tables
from medbench_local.report.page.origin import origin
from medbench_local.report.page.questions import packed
from medbench_local.report.page.tables import Table
from medbench_local.report.reading import HOW_TO_READ
from medbench_local.report.tabular import as_csv
from medbench_local.results.evidence import ChosenPrompt, Evidence
from medbench_local.results.record import VERDICTS
from medbench_local.results.schema import Results

FOLDER = Path(__file__).parent
TEMPLATE = "template.html"
STYLE = "style.css"
SCRIPTS = ("tables.js", "inflate.js", "questions.js")
"""One script in the page, in this order."""


def html(results: Results, evidence: Evidence | None = None) -> str:
    """The text of ``report.html``.

    Args:
        results: of the run.
        evidence: what else its folder says; without it the page has no questions and no texts of prompts.
    """
    from jinja2 import StrictUndefined  # slow to import
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from markupsafe import Markup

    evidence = evidence or Evidence()
    style, script = _text(STYLE), _script()
    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["state"] = tables.state
    page = environment.from_string(_text(TEMPLATE)).render(
        policy=policy(style, script),
        style=Markup(style),  # this package's own, as the script is
        script=Markup(script),
        **_content(results, evidence),
    )
    return page + "\n"


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy: this style and this script, pictures that lie in the file, and nothing else."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _script() -> str:
    parts = "\n".join(_text(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _content(results: Results, evidence: Evidence) -> dict[str, Any]:
    verdicts = _verdicts(results)
    check = [*map(tables.table, sections.checks(results)), tables.equivalence(results)]
    content = {
        "title": words.title(results),
        "lead": lead.lead(results),
        "settings": words.settings(results),
        "unfinished": words.unfinished(results),
        "tiles": _tiles(results),
        "warnings": [words.plain(line) for line in results.warnings],
        "verdicts": verdicts,
        "terms": _terms(results),
        "facts": [*_rates(results), *clusters.differences(results)],
        "evidence": [
            *map(tables.table, sections.evidence(results)),
            *map(tables.table, clusters.sections(results)),
            *map(tables.table, sections.thinking(results)),
        ],
        "mattered": [*lead.how_chosen(results), *lead.choice_mattered(results)],
        "prompts": [
            *(tables.prompts(section, results) for section in sections.prompts(results)),
            *map(tables.table, sections.ablations(results)),
        ],
        "texts": [_prompt(prompt) for prompt in evidence.prompts],
        "verification": words.verification(results),
        "check": [*filter(None, check), *map(tables.table, sections.ladder(results))],
        "packed": packed(results, evidence),
        "about_questions": [words.plain(line) for line in evidence.notes],
        "notes": words.notes(results),
        "origin": origin(results, evidence),
        "reading": HOW_TO_READ,
        "csv": "\n".join(words.plain(line) for line in as_csv(results).splitlines()),
        "models": dict(zip(("medical", "base"), words.names(results), strict=True)),
    }
    return content | {"contents": _contents(content)}


def _contents(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Anchor and title of each part that the page has."""
    parts = (
        ("verdicts", "Verdicts", content["verdicts"]),
        ("behind", "Behind the verdicts", content["evidence"]),
        ("prompts", "Prompts", content["prompts"]),
        ("check", "Precision check", content["verification"] or content["check"]),
        ("questions", "Questions", True),
        ("notes", "Notes", content["notes"]),
        ("provenance", "Provenance", True),
        ("reading", "How to read this", True),
        ("numbers", "All numbers", True),
    )
    return [(anchor, title) for anchor, title, there in parts if there]


def _verdicts(results: Results) -> list[Table]:
    """One table for each number of shots, all on one scale."""
    on = plots.scale(
        [value * 100 for c in results.comparisons for value in (*c.ci, c.difference, 0.0)], least=2.0
    )
    numbers = sorted({c.shots for c in results.comparisons})
    return [
        tables.forest(section, [c for c in results.comparisons if c.shots == shots], on)
        for shots, section in zip(numbers, sections.verdicts(results), strict=True)
    ]


@dataclass(frozen=True)
class Tile:
    """How many comparisons have one verdict, and for how many of them that is known to be that of full precision."""

    verdict: str
    count: int
    verified: str


def _tiles(results: Results) -> list[Tile]:
    """One for each verdict; none where there is one comparison, which the first sentence has told."""
    if len(results.comparisons) < 2:
        return []
    found = []
    for verdict in reversed(VERDICTS):
        these = [c for c in results.comparisons if c.verdict == verdict]
        verified = sum(c.verified for c in these)
        unchecked = all(not c.check.checked for c in these)
        said = (
            ""
            if not these
            else "verified"
            if verified == len(these)
            else words.PROVISIONAL
            if all(c.provisional for c in these)
            else "not checked"
            if unchecked
            else "not verified"
            if not verified
            else f"{verified} verified"
        )
        found.append(Tile(verdict, len(these), said))
    return found


def _rates(results: Results) -> list[str]:
    """The rates of win, tie and loss; not where nothing was checked, and they could be anything."""
    return words.rates(results) if any(c.verified for c in results.comparisons) else []


def _terms(results: Results) -> list[tuple[str, str]]:
    """What the words mean that the tables of verdicts use, to stand below them."""
    said = " ".join(words.verdict(c, results.confidence) for c in results.comparisons)
    known = dict(HOW_TO_READ)
    terms = [(name, known[name]) for name in ("win", "loss", "tie", "doubtful") if name in said]
    unsure = [c for c in results.comparisons if not (c.verified or c.provisional)]
    if unsure:
        name = words.NOT_CHECKED if words.not_checked(unsure) else "unverified"
        terms.append((name, f"{known['unverified']} {'; '.join(_unverified(results))}."))
    return terms


def _unverified(results: Results) -> list[str]:
    """Why verdicts are not verified, and what would settle them."""
    return [line for line in words.verification(results) if "not verified" in line or "not checked" in line]


def _prompt(prompt: ChosenPrompt) -> dict[str, str]:
    """A prompt's text, and what of its end nobody would see."""
    end = prompt.text[len(prompt.text.rstrip()) :]
    invisible = {"": "", " ": "It ends with a blank.", "\n": "It ends with a line break."}
    return {
        "name": f"{words.named(prompt.task, prompt.shots, prompt.thinkers)}: {prompt.role}",
        "text": words.lines(prompt.text),
        "end": invisible.get(end, f"It ends with {len(end)} blanks and line breaks."),
    }
