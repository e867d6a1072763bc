"""A run as one HTML file: nothing from outside, no script, every name escaped."""

from __future__ import annotations

from pathlib import Path

from medbench_local.report import clusters, sections, words
from medbench_local.report.figures import figures
from medbench_local.report.identity import signature
from medbench_local.report.reading import HOW_TO_READ
from medbench_local.report.tabular import as_csv
from medbench_local.results.evidence import Evidence
from medbench_local.results.schema import Results

TEMPLATE = Path(__file__).with_name("page.html")
STATES = ("win", "tie", "loss", "not verified", "equivalent", "different", "inconclusive")


def html(results: Results, evidence: Evidence | None = None) -> str:
    """The text of ``report.html``; of the evidence its notes so far."""
    from jinja2 import StrictUndefined  # slow to import
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from markupsafe import Markup

    environment = ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined)
    environment.filters["state"] = _state
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        title=words.title(results),
        settings=words.settings(results),
        tiles={name: _count(results, name) for name in STATES[:4]},
        warnings=[words.plain(line) for line in results.warnings],
        verdicts=sections.verdicts(results),
        facts=[*words.rates(results), *words.verification(results), *clusters.differences(results)],
        reading=HOW_TO_READ,
        figures=[
            # the figures are this package's own markup; the names in them were escaped by the XML writer
            {"title": figure.title, "caption": figure.caption, "svg": Markup(figure.svg)}
            for figure in figures(results)
        ],
        details=sections.details(results),
        notes=[*words.notes(results), *(evidence.notes if evidence else ())],
        provenance=sections.provenance(results),
        signature=signature(results),
        csv="\n".join(words.plain(line) for line in as_csv(results).splitlines()),
        work=words.work(results),
    )
    return page + "\n"


def _count(results: Results, reported: str) -> int:
    return sum(comparison.reported == reported for comparison in results.comparisons)


def _state(text: str) -> str:
    """The class of a verdict or an outcome; "" for anything else."""
    name = words.state(text)
    return name.replace(" ", "-") if name in STATES else ""
