"""Figures for a paper, read with an XML parser, a PDF reader and a browser."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from xml.etree import ElementTree

import pypdf
import pytest
from playwright.sync_api import Browser

from medbench_local.report.paper_figures import PaperFigure, paper_figures
from tests.report.browser import browser
from tests.report.sweeps import SWEEPS, study_sized

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def study() -> dict[str, PaperFigure]:
    """The figures of twelve pairs on thirteen tasks."""
    return {figure.name: figure for figure in paper_figures(study_sized())}


def svg_texts(figure: PaperFigure) -> list[str]:
    root = ElementTree.fromstring(figure.svg)
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def test_both_are_drawn_for_each_number_of_shots(study: dict[str, PaperFigure]) -> None:
    assert list(study) == ["heat-map-3-shot", "forest-3-shot"]
    assert [f.name for f in paper_figures(SWEEPS["plain"])] == [
        "heat-map-0-shot",
        "forest-0-shot",
        "heat-map-3-shot",
        "forest-3-shot",
    ]
    assert paper_figures(SWEEPS["no comparison"])[0].name == "heat-map-3-shot"


def test_the_heat_map_holds_every_number_and_verdict(study: dict[str, PaperFigure]) -> None:
    texts = svg_texts(study["heat-map-3-shot"])
    (page,) = pypdf.PdfReader(io.BytesIO(study["heat-map-3-shot"].pdf)).pages
    pdf = page.extract_text()
    for run in study_sized().runs:
        assert run.results.models.medical.name in texts
        assert run.results.models.medical.name in pdf
        for c in run.results.comparisons:
            shown = "0.0" if c.difference == 0 else f"{c.difference * 100:+.1f}"
            assert shown in texts
            assert shown in pdf
    comparisons = [c for run in study_sized().runs for c in run.results.comparisons]
    for verdict in ("win", "tie", "loss"):
        settled = sum(c.verdict == verdict and c.verified for c in comparisons)
        assert texts.count(verdict) == settled
        assert texts.count(f"{verdict}?") == sum(c.verdict == verdict for c in comparisons) - settled
    assert texts.count("–") == 2


@pytest.mark.parametrize("name", ["heat-map-3-shot", "forest-3-shot"])
def test_a_pdf_is_as_wide_as_a_page_and_its_fonts_are_in_it(study: dict[str, PaperFigure], name: str) -> None:
    (page,) = pypdf.PdfReader(io.BytesIO(study[name].pdf)).pages
    assert page.mediabox.width <= 7.01 * 72
    assert page.mediabox.height <= 9.5 * 72
    resources = page["/Resources"]
    fonts = [font.get_object() for font in resources["/Font"].values()]  # type: ignore[index]
    assert fonts
    for font in fonts:
        inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        assert "/FontFile2" in inner["/FontDescriptor"]


def test_equal_sweeps_are_equal_bytes(study: dict[str, PaperFigure]) -> None:
    made_anew = study_sized.__wrapped__()
    assert paper_figures(made_anew) == list(study.values())


@pytest.mark.parametrize("case", SWEEPS)
def test_hostile_names_are_text_and_nothing_else(case: str) -> None:
    for figure in paper_figures(SWEEPS[case]):
        root = ElementTree.fromstring(figure.svg)
        kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert kinds & {"script", "foreignObject", "image", "a"} == set()
        pypdf.PdfReader(io.BytesIO(figure.pdf))
        if case == "hostile" and "3-shot" in figure.name:
            assert any(text.startswith("a|b`c") for text in svg_texts(figure))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.mark.parametrize("pairs", [1, 3, 12])
def test_no_label_lies_on_another_or_outside(
    chromium: Browser, study: dict[str, PaperFigure], pairs: int
) -> None:
    page = chromium.new_page(viewport={"width": 1400, "height": 1600})
    for figure in study.values() if pairs == 12 else paper_figures(study_sized(pairs)):
        svg = figure.svg.decode()
        page.set_content(f"<body style='margin:0'>{svg[svg.index('<svg') :]}</body>")
        boxes, area = page.evaluate(
            """() => {
              const corners = t => { const b = t.getBBox(), m = t.getScreenCTM();
                return [[b.x, b.y], [b.x + b.width, b.y], [b.x + b.width, b.y + b.height], [b.x, b.y + b.height]]
                  .map(([x, y]) => [m.a * x + m.c * y + m.e, m.b * x + m.d * y + m.f]); };
              const r = document.querySelector('svg').getBoundingClientRect();
              return [[...document.querySelectorAll('text')].map(t => [t.textContent, corners(t)]),
                      [r.left, r.top, r.right, r.bottom]]; }"""
        )
        left, top, right, bottom = area
        for text, corners in boxes:
            assert all(left - 1 <= x <= right + 1 and top - 1 <= y <= bottom + 1 for x, y in corners), text
        for (one, first), (other, second) in itertools.combinations(boxes, 2):
            assert not _overlap(first, second), (figure.name, one, other)


def _overlap(first: list[list[float]], second: list[list[float]], slack: float = 2.0) -> bool:
    """Whether two rectangles, which may be turned, share more than their borders: no side separates them."""
    for corners in (first, second):
        for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
            nx, ny = by - ay, ax - bx
            size = (nx * nx + ny * ny) ** 0.5 or 1
            one = [(x * nx + y * ny) / size for x, y in first]
            other = [(x * nx + y * ny) / size for x, y in second]
            if max(one) <= min(other) + slack or max(other) <= min(one) + slack:
                return False
    return True
