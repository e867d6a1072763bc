"""One line for a README: what was found, on what, when; a badge that says no more, and where the report is."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from medbench_local.report import words
from medbench_local.report.markdown import escaped
from medbench_local.results.record import Verdict
from medbench_local.results.schema import Comparison, Results
from medbench_local.results.summary import counted
from medbench_local.results.sweep import Sweep
from medbench_local.statistics.doubt import doubt

BADGES = "https://img.shields.io/static/v1"
"""Draws the badge where the README is shown; nothing is fetched to write the line."""

LINK = "report.html"
"""Where the badge leads unless told otherwise: the report, beside the README."""

_PLURAL: dict[Verdict, str] = {"win": "wins", "tie": "ties", "loss": "losses"}


def badge(results: Results, link: str = LINK) -> str:
    """The line of a run.

    Args:
        results: of the run.
        link: address of the report.
    """
    comparisons = counted(results.comparisons)
    tasks = list(dict.fromkeys(words.plain(c.task) for c in comparisons))
    named = ", ".join(tasks) if len(tasks) <= 3 else words.counted(len(tasks), "task")
    shots = "/".join(str(n) for n in sorted({c.shots for c in comparisons}))
    on = f"{named}, {shots}-shot" if comparisons else "no task"
    if results.limit is not None:
        on += f", at most {words.counted(results.limit, 'question')} of each"
    return _line(
        words.title(results),
        _counts([(c, results.confidence) for c in comparisons]),
        f"{on}, {words.precision(results)}, {results.timing.started[:10]}",
        link,
    )


def sweep_badge(found: Sweep, link: str = LINK) -> str:
    """The line of a sweep; arguments as of `badge`."""
    several = [run.results for run in found.runs]
    comparisons = [(c, r.confidence) for r in several for c in counted(r.comparisons)]
    total = len(found.runs) + len(found.missing)
    who = words.counted(total, "pair") if not found.missing else f"{len(found.runs)} of {total} pairs"
    tasks = len({c.task for c, _ in comparisons})
    precisions = ", ".join(dict.fromkeys(words.plain(r.precision) for r in several))
    dates = sorted(r.timing.started[:10] for r in several)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    on = f"{words.counted(tasks, 'task')}, {precisions}, {when}"
    return _line(f"medical models, {who}", _counts(comparisons), on, link)


def _counts(comparisons: Sequence[tuple[Comparison, float]]) -> str:
    """Settled verdicts by kind, and the others by what they are: "2 wins, 1 tie, 0 losses, 1 not verified"."""
    doubtful = [c for c, level in comparisons if doubt(c.verdict, c.n, c.mcnemar_p, confidence=level)]
    sound = [c for c, _ in comparisons if c not in doubtful]
    parts = []
    for verdict, plural in _PLURAL.items():
        count = sum(c.verdict == verdict and c.verified for c in sound)
        parts.append(f"{count} {verdict if count == 1 else plural}")
    if open_ones := [c for c in sound if not c.verified]:
        parts.append(f"{len(open_ones)} {words.open_word(open_ones)}")
    if doubtful:
        parts.append(f"{len(doubtful)} doubtful")
    return ", ".join(parts)


def _line(who: str, counts: str, on: str, link: str) -> str:
    who, on = _bare(who), _bare(on)
    # one grey for everything: a colour would be a verdict of its own
    address = f"{BADGES}?{urlencode({'label': who, 'message': counts, 'color': '555'}, quote_via=quote)}"
    target = quote(link, safe="/:?#@!$&*+,;=%~.-_")
    return f"[![{escaped(f'{who}: {counts}')}]({address})]({target}) {escaped(f'{on}; medbench-local')}"


def _bare(text: str) -> str:
    """Without the marks that keep scripts apart, which a badge shows as boxes."""
    return text.replace(words.FIRST_STRONG_ISOLATE, "").replace(words.POP_ISOLATE, "")
