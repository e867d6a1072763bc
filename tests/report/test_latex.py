"""LaTeX that compiles: what a parser of LaTeX sees of it, and names that come back out of it as they were."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker

from medbench_local.report.latex import escaped, latex, sweep_latex
from medbench_local.text import BIDI_CONTROLS, plain
from tests.report.examples import CASES, comparison, results
from tests.report.sweeps import SWEEPS, study_sized

TEXTS: dict[str, Callable[[], str]] = {
    **{f"run, {name}": cache(partial(latex, found)) for name, found in CASES.items()},
    **{f"sweep, {name}": cache(partial(sweep_latex, found)) for name, found in SWEEPS.items()},
    "study": cache(lambda: sweep_latex(study_sized())),
}
ROW_END = re.compile(r"\\\\$", re.MULTILINE)
KNOWN = {
    *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "multicolumn"),
    *("rotatebox", "shortstack", "scriptsize", "setlength", "tabcolsep", "textuparrow", "textdownarrow"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"),
    *("textasciigrave", "char", "ldots"),
}
SPELT = {
    r"\char34{}": '"',
    r"\textasciigrave{}": "`",
    r"\ldots{}": "…",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
}
"""Macros that the parser of the tests reads otherwise than LaTeX sets them."""
HOLDER = {macro: chr(0x10FF00 + place) for place, macro in enumerate(SPELT)}


def tables(text: str) -> list[LatexEnvironmentNode]:
    """The tabulars of a text, as another program parses it; it refuses what is not balanced."""
    nodes, _, _ = LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    outer = [node for node in nodes if isinstance(node, LatexEnvironmentNode)]
    assert {node.environmentname for node in outer} <= {"table", "table*"}
    return [
        inner
        for node in outer
        for inner in node.nodelist
        if isinstance(inner, LatexEnvironmentNode) and inner.environmentname == "tabular"
    ]


@pytest.mark.parametrize("case", TEXTS)
def test_every_row_has_the_columns_of_its_table(case: str) -> None:
    text = TEXTS[case]()
    assert bool(tables(text)) == ("begin{tabular}" in text)
    for found in re.finditer(r"\\begin\{tabular\}\{([lcr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        columns, body = found.groups()
        for row in (line for line in body.splitlines() if ROW_END.search(line)):
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + spans == len(columns), row
        for rule in ("toprule", "midrule", "bottomrule"):
            assert f"\\{rule}\n" in body


@pytest.mark.parametrize("case", TEXTS)
def test_only_commands_that_every_latex_with_booktabs_knows_are_used(case: str) -> None:
    body = "\n".join(line for line in TEXTS[case]().splitlines() if not line.startswith("%"))
    assert set(re.findall(r"\\([a-zA-Z]+)", body.replace("\\\\", " "))) <= KNOWN
    assert not re.search(r"\\\\\s*[*\[]", body), (
        "a row that begins so is taken for an argument of the row before it"
    )


@given(st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=30))
def test_a_name_comes_back_as_it_was(name: str) -> None:
    wanted = plain("".join(char for char in name if char not in BIDI_CONTROLS))
    shown = escaped(name)
    bare = re.sub("|".join(map(re.escape, SPELT)), lambda macro: HOLDER[macro[0]], shown)
    found = LatexNodes2Text(strict_latex_spaces=True, keep_comments=True).latex_to_text(bare)
    for macro, char in SPELT.items():
        found = found.replace(HOLDER[macro], char)
    assert found == wanted
    assert not re.search(r"(?<!\\)[&%$#_~^]", shown)
    assert not re.search(r"--|''|,,|``|<<|>>|\?`|!`", shown), "ligatures"


@pytest.mark.parametrize(
    "name", ["[1]", "*", "a--b", "50% & more", "a_b^c~d", "\\input{x}", "#1", "{", "x$y$"]
)
def test_names_that_latex_acts_on(name: str) -> None:
    text = latex(results([comparison(name)], medical=name))
    assert len(tables(text)) == 1
    (row,) = (line for line in text.splitlines() if line.endswith("tie \\\\"))
    assert row.startswith(f"{escaped(name)} & 1,273 & ")


def test_numbers_and_verdicts_are_in_it() -> None:
    text = latex(CASES["every kind"])
    assert r"medqa & 1,273 & 45.6 & 39.4 & $+6.2$ & $[+3.1, +9.3]$ & win \\" in text
    assert r"pubmedqa & 1,273 & 45.6 & 39.4 & $+6.2$ & $[+3.1, +9.3]$ & win, unverified \\" in text
    assert r"95\,\% interval of a paired bootstrap" in text
    assert "1 of 4 verdicts not verified at full precision." in text
    assert "% medbench-local:unknown|run:unknown|medical:meditron-7b@" in text


def test_the_table_of_a_sweep_has_every_pair_and_task_and_says_how() -> None:
    found = study_sized()
    text = sweep_latex(found)
    first = text[: text.index(r"\end{table*}")]
    for run in found.runs:
        assert run.results.models.medical.name in first
        for c in run.results.comparisons:
            assert f"${c.difference * 100:+.1f}$" in first or c.difference == 0
    assert first.count("rotatebox") == 13
    assert "against llama-2-7b} &" in first
    assert "& -- & -- \\\\" in first, "two tasks that a pair lacks"
    for said in (
        "Precision q8\\_0",
        "protocol laptop",
        "95\\,\\% interval",
        "10 of 154 verdicts not verified",
    ):
        assert said in first
    assert "pooled over all comparisons & 154 & " in text
    assert "3-shot & study (EMNLP 2024) & 12.1 & 49.8 & 38.2" in text


def test_a_partial_sweep_says_so() -> None:
    text = sweep_latex(SWEEPS["partial"])
    assert "2 of 3 pairs are finished; the others are not in this table." in text
    assert "% not finished, and not in these tables: e against f" in text


def test_letters_that_need_another_latex_are_said() -> None:
    assert "LuaLaTeX" in latex(CASES["other scripts"])
    assert "LuaLaTeX" not in latex(results([comparison("médecine")]))


@pytest.mark.parametrize("case", ["run, hostile", "run, every kind", "sweep, plain", "study"])
def test_it_compiles(case: str, tmp_path: Path) -> None:
    engine = shutil.which("lualatex") or shutil.which("xelatex") or shutil.which("pdflatex")
    if engine is None:
        pytest.skip("needs a LaTeX on PATH")
    (tmp_path / "table.tex").write_text(TEXTS[case](), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs,graphicx}\n"
        "\\begin{document}\\input{table}\\end{document}\n"
    )
    done = subprocess.run(
        [engine, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
