"""A run or a sweep as LaTeX: tables for a paper, ruled by booktabs.

The text is a part of a document, not a whole one: it is read with ``\\input``. Names are escaped for LaTeX, and so that
the beginning of a row is not taken for an argument of the row before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medbench_local.report import sweep_sections, words
from medbench_local.report.identity import signature, sweep_signature
from medbench_local.report.study import beside_the_study
from medbench_local.results.schema import Comparison, Results
from medbench_local.results.sweep import ShotsSummary, Sweep
from medbench_local.statistics.summary import Rates
from medbench_local.text import BIDI_CONTROLS

LAST_LATIN = "\u024f"
"""Letters up to here are set by every LaTeX; others need one that knows fonts of the system."""

MARKS = {"win": r"\textuparrow", "loss": r"\textdownarrow", "tie": ""}
"""Verdicts in a table that has no room for words."""

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\char34{}",
    "…": r"\ldots{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    **{char: f"{{{char}}}" for char in "[]*-,'"},  # arguments after a row's end; ligatures
    "\u2068": "",
    "\u2069": "",
}


def escaped(text: str) -> str:
    """A line of text so that LaTeX sets it and acts on nothing in it."""
    plain = "".join("" if char in BIDI_CONTROLS else char for char in text)
    found = "".join(_ESCAPED.get(char, char) for char in words.plain(plain))
    for alone in "-,'":  # one of them is no ligature
        found = found.replace(f"{{{alone}}}{{{alone}}}", f"{alone}{{}}{alone}{{}}").replace(
            f"{{{alone}}}", alone
        )
    return found


def latex(results: Results) -> str:
    """A run's table of verdicts."""
    return "\n".join(_run(results)) + "\n"


def sweep_latex(found: Sweep) -> str:
    """A sweep's tables: pairs and tasks, rates, ablations, what the study published."""
    return "\n".join(_sweep(found)) + "\n"


def _run(results: Results) -> Iterator[str]:
    names = [*words.names(results), *(c.task for c in results.comparisons)]
    yield from _head([signature(results)], names, packages="booktabs")
    if not results.comparisons:
        yield "% no comparison was made"
        return
    yield from _begin("table", _caption_of_run(results), f"verdicts-{results.identity or 'run'}")
    yield r"\begin{tabular}{lrrrrcl}"
    yield r"\toprule"
    interval = f"{results.confidence * 100:g}\\,\\% interval"
    yield f"task & questions & medical (\\%) & base (\\%) & difference & {interval} & verdict \\\\"
    for shots in sorted({c.shots for c in results.comparisons}):
        yield r"\midrule"
        yield f"\\multicolumn{{7}}{{l}}{{{shots}-shot}} \\\\"
        for c in results.comparisons:
            if c.shots == shots:
                low, high = (words.points(bound) for bound in c.ci)
                cells = (
                    escaped(words.task(c)),
                    f"{c.n:,}",
                    f"{c.accuracy.medical * 100:.1f}",
                    f"{c.accuracy.base * 100:.1f}",
                    f"${words.points(c.difference)}$",
                    f"$[{low}, {high}]$",
                    escaped(words.verdict(c, results.confidence)),
                )
                yield f"{' & '.join(cells)} \\\\"
    yield from _end("table")


def _caption_of_run(results: Results) -> str:
    medical, base = map(escaped, words.names(results))
    return (
        f"{medical} (medical) against {base} (base): share of test questions that each answers correctly with its own "
        f"best prompt, and the difference in percentage points with the {results.confidence * 100:g}\\,\\% interval of "
        f"a paired bootstrap over the questions. Win or loss: the interval lies above or below 0; a tie holds 0, or "
        f"ends there. {_how([results])}"
    )


def _how(several: Sequence[Results]) -> str:
    """Precision, scoring, protocol and limit, for a caption."""
    precisions = escaped(", ".join(dict.fromkeys(words.plain(r.precision) for r in several)))
    protocols = escaped(", ".join(dict.fromkeys(words.plain(r.protocol) for r in several)))
    scoring = escaped(", ".join(dict.fromkeys(c.scoring for r in several for c in r.comparisons)))
    text = f"Precision {precisions}; protocol {protocols}; scoring {scoring}; llama.cpp."
    limits = sorted({r.limit for r in several if r.limit is not None})
    if limits:
        text += f" At most {' or '.join(f'{limit:,}' for limit in limits)} questions of a task."
    open_ones = [c for r in several for c in r.comparisons if not c.verified]
    if open_ones:
        total = sum(len(r.comparisons) for r in several)
        text += f" {len(open_ones)} of {words.counted(total, 'verdict')} {_open_said(open_ones)}."
    return text


def _sweep(found: Sweep) -> Iterator[str]:
    several = [run.results for run in found.runs]
    names = [
        *(name for r in several for name in words.names(r)),
        *(c.task for r in several for c in r.comparisons),
    ]
    yield from _head([sweep_signature(found), *map(signature, several)], names, packages="booktabs,graphicx")
    for label in found.missing:
        yield f"% not finished, and not in these tables: {words.plain(label)}"
    for summary in found.summaries:
        yield from _differences(found, summary)
        yield from _rates(found, summary)
    yield from _study(found)


def _differences(found: Sweep, summary: ShotsSummary) -> Iterator[str]:
    shots = summary.shots
    grid = sweep_sections.grid(found, shots)
    confidences = ", ".join(dict.fromkeys(f"{r.results.confidence * 100:g}" for r in found.runs))
    asked = {task: sorted({c.n for c in grid.of_task(task)}) for task in grid.tasks}
    caption = (
        f"Accuracy of the medical model minus that of its base model, {shots}-shot, in percentage points. "
        f"\\textuparrow\\ win and \\textdownarrow\\ loss: the {confidences}\\,\\% interval of a paired bootstrap over "
        f"the questions lies above or below 0; all others are ties. $n$: test questions. {_open_mark(grid.comparisons)}"
        f"{_how([run.results for run in found.runs])}{_partial(found)}"
    )
    yield from _begin("table*", caption, f"differences-{shots}-shot-{found.identity or 'sweep'}")
    yield r"\scriptsize"
    yield r"\setlength{\tabcolsep}{2.5pt}"
    yield f"\\begin{{tabular}}{{l{'r' * len(grid.tasks)}}}"
    yield r"\toprule"
    heads = (f"\\rotatebox{{90}}{{{escaped(words.plain(task))}}}" for task in grid.tasks)
    yield f"medical against base & {' & '.join(heads)} \\\\"
    numbers = (f"{n[0]:,}" if len(n) == 1 else f"{n[0]:,}--{n[-1]:,}" for n in asked.values())
    yield f"$n$ & {' & '.join(numbers)} \\\\"
    yield r"\midrule"
    for (medical, base), row in zip(grid.pairs, grid.rows, strict=True):
        name = f"\\shortstack[l]{{{escaped(medical)}\\\\against {escaped(base)}}}"
        yield f"{name} & {' & '.join(map(_cell, row))} \\\\"
    yield from _end("table*")


def _open_said(comparisons: Sequence[Comparison]) -> str:
    return f"{words.open_word(comparisons)} at full precision"


def _open_mark(comparisons: Sequence[Comparison]) -> str:
    """What the question mark means, where there is one."""
    open_ones = [c for c in comparisons if not c.verified]
    return f"?: {_open_said(open_ones)}. " if open_ones else ""


def _cell(comparison: Comparison | None) -> str:
    """A difference with the marks of its verdict."""
    if comparison is None:
        return "--"
    mark = MARKS[comparison.verdict] + ("" if comparison.verified else "?")
    number = f"${words.points(comparison.difference)}$"
    return f"{number}{mark}" if mark else number


def _partial(found: Sweep) -> str:
    if not found.missing:
        return ""
    total = len(found.missing) + len(found.runs)
    return f" {len(found.runs)} of {total} pairs are finished; the others are not in this table."


def _rates(found: Sweep, summary: ShotsSummary) -> Iterator[str]:
    bounds = ""
    if summary.not_verified:
        bounds = " Ranges: from the verdicts that are settled to all that full precision may still give."
    caption = (
        f"Win, tie and loss rates of the medical models, {summary.shots}-shot, in \\% of comparisons.{bounds}"
        f"{_partial(found)}"
    )
    yield from _begin("table", caption, f"rates-{summary.shots}-shot-{found.identity or 'sweep'}")
    yield r"\begin{tabular}{lrrrr}"
    yield r"\toprule"
    yield r"pair & comparisons & win & tie & loss \\"
    yield r"\midrule"
    for label, rates in summary.pairs.items():
        yield _rates_row(escaped(label), rates)
    yield r"\midrule"
    yield _rates_row("pooled over all comparisons", summary.pooled)
    yield _rates_row("mean of the pairs' rates", summary.mean)
    yield r"\midrule"
    for name, ablated in sweep_sections.ablation_rows(summary.ablation):
        if ablated is None:
            yield f"{escaped(name)} & \\multicolumn{{4}}{{r}}{{not scored}} \\\\"
        else:
            yield _rates_row(escaped(name), ablated)
    yield from _end("table")


def _rates_row(name: str, rates: Rates) -> str:
    shares = (
        _share(getattr(rates, f"{verdict}_rate"), getattr(rates, f"{verdict}_rate_high"))
        for verdict in ("win", "tie", "loss")
    )
    return f"{name} & {rates.n} & {' & '.join(shares)} \\\\"


def _share(low: float, high: float) -> str:
    return f"{low * 100:.1f}" if low == high else f"{low * 100:.1f}--{high * 100:.1f}"


def _study(found: Sweep) -> Iterator[str]:
    beside = beside_the_study(found)
    caption = (
        "What the study published (Jeong et al., EMNLP 2024, and its extended version), beside this sweep, in \\% of "
        f"comparisons. What differs: {escaped('; '.join(beside.differences))}."
    )
    yield from _begin("table", caption, f"study-{found.identity or 'sweep'}")
    yield r"\begin{tabular}{llrrr}"
    yield r"\toprule"
    yield r"rates & of & win & tie & loss \\"
    yield r"\midrule"
    for row in beside.rows:
        shares = (escaped(share.removesuffix(" %")).replace(" to ", "--") for share in row.shares)
        yield f"{escaped(row.name)} & {escaped(row.whose)} & {' & '.join(shares)} \\\\"
    yield from _end("table")


def _head(signatures: Sequence[str], names: Sequence[str], *, packages: str) -> Iterator[str]:
    yield f"% \\usepackage{{{packages}}}"
    for line in signatures:
        yield f"% {line}"
    if any(char > LAST_LATIN and char not in BIDI_CONTROLS for name in names for char in words.plain(name)):
        yield "% names hold letters that LuaLaTeX or XeLaTeX sets with a font that has them, and pdfLaTeX does not"


def _begin(kind: str, caption: str, label: str) -> Iterator[str]:
    yield f"\\begin{{{kind}}}"
    yield r"\centering"
    yield f"\\caption{{{caption}}}"
    yield f"\\label{{tab:{label}}}"


def _end(kind: str) -> Iterator[str]:
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield f"\\end{{{kind}}}"
