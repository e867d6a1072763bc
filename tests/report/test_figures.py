from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from medbench_local.report.figures import SVG, figures
from tests.report.examples import CASES, comparison, results


@pytest.mark.parametrize("case", CASES)
def test_figures_are_the_same_bytes_again(case: str) -> None:
    assert figures(CASES[case]) == figures(CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_figures_are_named_and_hold_nothing_but_drawing(case: str) -> None:
    ids: list[str] = []
    for figure in figures(CASES[case]):
        root = ElementTree.fromstring(figure.svg)
        assert root.get("role") == "img"
        labels = (root.get("aria-labelledby") or "").split()
        own = [element.get("id") for element in root.iter() if element.get("id")]
        ids += [name for name in own if name]
        assert set(labels) <= set(own)
        kinds = {element.tag.removeprefix(f"{{{SVG}}}") for element in root.iter()}
        assert kinds <= {
            "svg",
            "title",
            "desc",
            "g",
            "defs",
            "path",
            "use",
            "text",
            "tspan",
            "clipPath",
            "rect",
        }
        for element in root.iter():
            assert not any(name.lower().startswith("on") for name in element.attrib)
        targets = re.findall(r'(?:href="|url\()#([^")]+)', figure.svg)
        assert set(targets) <= set(ids)
    assert len(ids) == len(set(ids))


def test_what_has_nothing_to_show_is_left_out() -> None:
    assert [f.title for f in figures(CASES["no comparison"])] == []
    assert [f.title for f in figures(CASES["no candidates"])] == [
        "Accuracy differences",
        "Equivalence of precisions",
    ]
    assert [f.title for f in figures(CASES["all not verified"])] == [
        "Accuracy differences",
        "Prompt candidates",
    ]
    assert len(figures(CASES["every kind"])) == 3


def test_the_text_of_a_figure_says_every_verdict() -> None:
    forest = figures(CASES["every kind"])[0].svg
    assert "medqa, 3-shot: +6.2 points, win" in forest
    assert "pubmedqa, 0-shot: +6.2 points, not verified" in forest


def test_bars_lie_where_the_numbers_say() -> None:
    """The interval of a win lies wholly to the right of the zero line, that of a loss to the left."""
    for verdict, side in (("win", 1), ("loss", -1)):
        svg = figures(results([comparison(verdict=verdict, candidates=0)]))[0].svg  # type: ignore[arg-type]
        zero = re.search(r'd="M ([\d.]+) [\d.]+\s+L \1 [\d.]+\s+"[^>]*stroke: #1f2933', svg)
        colour = "#1a7f37" if side == 1 else "#c0262d"
        bar = re.search(
            rf'd="M ([\d.]+) [\d.]+\s+L ([\d.]+) [\d.]+\s+"[^>]*stroke: {colour}; stroke-width: 2.4', svg
        )
        assert zero is not None
        assert bar is not None
        assert all((float(end) - float(zero[1])) * side > 0 for end in bar.groups())
