"""The reports of a sweep, each read with something that did not write it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path

import pypdf
import pytest

from medbench_local.report import sweep_sections
from medbench_local.report.files import SWEEP_FORMATS, write_sweep_reports
from medbench_local.report.identity import sweep_signature
from medbench_local.report.study import beside_the_study
from medbench_local.report.tabular import rates_csv
from medbench_local.results.folder import RunFolder
from medbench_local.results.sweep import Sweep
from medbench_local.text import plain
from tests.report.examples import CASES, SCRIPT, comparison, results
from tests.report.sweeps import SWEEPS, study_sized, sweep_of

UNESCAPED_PIPE = re.compile(r"(?<!\\)(?:\\\\)*\|")
VOID = {"meta", "line"}


class Page(HTMLParser):
    """The elements of a page as another parser sees them; fails where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.style = ""
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
            return
        self.text.append(data)
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


@pytest.mark.parametrize("case", SWEEPS)
def test_a_page_needs_nothing_from_outside_and_its_policy_allows_its_own_style_only(case: str) -> None:
    page = Page(SWEEP_FORMATS["html"](SWEEPS[case]))
    assert not set(page.tags) & {"script", "img", "iframe", "object", "embed", "link", "form", "base"}
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "action", "style")
        assert not (name in ("href", "xlink:href") and not (value or "").startswith("#"))
    (policy,) = (value for _, value in page.attributes if value and value.startswith("default-src"))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert {v[1:] for n, v in page.attributes if n == "href" and v} <= set(ids)


def test_the_page_has_rates_map_forests_study_and_signature() -> None:
    found = study_sized()
    page = Page(SWEEP_FORMATS["html"](found))
    rows = [[" ".join(cell.split()) for cell in row] for row in page.rows]
    summary = found.summaries[0]
    low, high = summary.pooled.win_rate * 100, summary.pooled.win_rate_high * 100
    assert ["pooled over all comparisons", "154", f"{low:.1f} to {high:.1f} %"] in [row[:3] for row in rows]
    for run in found.runs:
        models = run.results.models
        shown = [
            f"{'0.0' if c.difference == 0 else f'{c.difference * 100:+.1f}'}{c.verdict}{'' if c.verified else '?'}"
            for c in run.results.comparisons
        ]
        name = f"{models.medical.name}against {models.base.name}"
        assert [name, *shown, *["–"] * (13 - len(shown))] in rows
        for c in run.results.comparisons:
            assert any(
                row[0] == c.task and row[1] == f"{c.n:,}" and c.verdict in row[4]
                for row in rows
                if len(row) == 5
            )
    assert page.tags.count("svg") == 154
    assert sweep_signature(found) in page.text


def test_bars_lie_where_the_numbers_say() -> None:
    found = sweep_of([("a", "b", CASES["one comparison"])])
    c = found.runs[0].results.comparisons[0]
    page = SWEEP_FORMATS["html"](found)
    low, high = (round(bound * 100, 3) for bound in c.ci)
    assert f'x1="{low}" x2="{high}"' in page
    reach = re.search(r'viewBox="-(\d+) -1 (\d+) 2"', page)
    assert reach is not None
    assert int(reach[2]) == 2 * int(reach[1]) >= 2 * max(abs(low), abs(high))


@pytest.mark.parametrize("case", [*SWEEPS, "study"])
def test_every_table_of_the_markdown_has_one_number_of_columns(case: str) -> None:
    found = study_sized() if case == "study" else SWEEPS[case]
    lines = SWEEP_FORMATS["md"](found).splitlines()
    tables = [list(group) for is_row, group in groupby(lines, lambda line: line.startswith("|")) if is_row]
    assert tables
    for table in tables:
        assert len({len(UNESCAPED_PIPE.findall(line)) for line in table}) == 1
    assert sweep_signature(found).replace("`", "'") in lines


@pytest.mark.parametrize("case", SWEEPS)
def test_csv_and_json_have_every_comparison_of_every_pair(case: str) -> None:
    found = SWEEPS[case]
    rows = list(csv.DictReader(io.StringIO(SWEEP_FORMATS["csv"](found))))
    wanted = [
        (label, c)
        for label, run in zip(found.labels, found.runs, strict=True)
        for c in run.results.comparisons
    ]
    assert [(row["pair"], float(row["difference"])) for row in rows] == [
        (label, c.difference) for label, c in wanted
    ]
    assert all(row["signature"].startswith("medbench-local:") for row in rows)
    data = json.loads(SWEEP_FORMATS["json"](found))
    tasks = [c["task"] for pair in data["pairs"] for c in pair["results"]["comparisons"]]
    assert tasks == [c.task for _, c in wanted]
    assert data["not_finished"] == list(found.missing)


def test_rates_as_csv_have_both_bounds() -> None:
    found = study_sized()
    rows = list(csv.DictReader(io.StringIO(rates_csv(found))))
    assert len(rows) == 14
    (pooled,) = (row for row in rows if row["of"] == "pooled")
    verdicts = [c for run in found.runs for c in run.results.comparisons]
    wins = sum(c.verdict == "win" and c.verified for c in verdicts)
    unsettled = sum(not c.verified for c in verdicts)
    assert float(pooled["win_rate"]) == wins / 154
    assert float(pooled["win_rate_high"]) == (wins + unsettled) / 154
    (mean,) = (row for row in rows if row["of"] == "mean of pairs")
    own = [float(row["win_rate"]) for row in rows if row["of"] == "pair"]
    assert float(mean["win_rate"]) == pytest.approx(sum(own) / 12)


def test_hostile_names_do_nothing_anywhere() -> None:
    found = SWEEPS["hostile"]
    page = SWEEP_FORMATS["html"](found)
    assert SCRIPT not in page
    assert "injected" in page, "it is shown"
    assert SCRIPT not in SWEEP_FORMATS["md"](found).replace("```text", "")
    for text in (page, SWEEP_FORMATS["md"](found), SWEEP_FORMATS["latex"](found)):
        assert not {"\x1b", "\x00", "\u202e"} & set(text)


def test_the_commands_of_the_runs_are_there_where_their_folders_say_them(tmp_path: Path) -> None:
    found = SWEEPS["partial"]
    assert "Commands" not in SWEEP_FORMATS["html"](found)
    first, *others = found.runs
    folder = RunFolder(tmp_path)
    folder.write_manifest({"command": "medbench-local compare a b --tasks '</pre>x;```y'"})
    told = replace(found, runs=(replace(first, folder=folder), *others))
    page = SWEEP_FORMATS["html"](told)
    assert "medbench-local compare a b --tasks &#39;&lt;/pre&gt;x;```y&#39;" in page
    assert "````text\nmedbench-local compare a b --tasks '</pre>x;```y'\n````" in SWEEP_FORMATS["md"](told)


def test_a_partial_sweep_says_which_pairs_are_not_in_it() -> None:
    found = SWEEPS["partial"]
    said = "partial: 2 of 3 pairs finished; not yet e against f"
    assert sweep_sections.state_of(found) == said
    for ending in ("html", "md"):
        assert said in SWEEP_FORMATS[ending](found)
    assert sweep_sections.rates(found)[0].note == "Over the 2 pairs that are finished."
    assert "|pairs:2 of 3|" in sweep_signature(found)


def test_what_was_not_checked_is_not_called_unverified() -> None:
    unchecked = results([comparison(check=CASES["all not verified"].comparisons[0].check)])
    text = SWEEP_FORMATS["md"](sweep_of([("a", "b", unchecked)]))
    assert "1 verdict not checked: hence bounds in place of rates" in text
    assert "tie?" in text
    assert "not verified" not in text


def test_the_study_s_rates_stand_beside_ours_with_what_differs() -> None:
    found = study_sized()
    beside = beside_the_study(found)
    headline, pooled, mean = beside.rows[:3]
    assert headline.shares == ("12.1 %", "49.8 %", "38.2 %")
    assert (pooled.whose, mean.whose) == ("this sweep, pooled", "this sweep, mean of pairs")
    (own,) = (row for row in beside.rows if row.whose == "this sweep, this pair")
    rates = found.summaries[0].pairs["meditron-7b against llama-2-7b"]
    assert own.shares[2] == f"{rates.loss_rate * 100:.1f} to {rates.loss_rate_high * 100:.1f} %"
    said = beside.differences
    assert "pairs: 10 of the study's 10, and 2 others" in said
    assert "tasks: 13 of the study's 13" in said
    assert "engine: llama.cpp, the study's was vLLM" in said
    limited = CASES["all not verified"].model_copy(update={"limit": 40})
    said = beside_the_study(sweep_of([("a", "b", limited)])).differences
    assert "at most 40 questions of a task, the study asked all" in said
    assert "precision: q8_0, the study's was each checkpoint's own in 16 bits" in said
    zero_shot = results([comparison(shots=0)])
    rows = beside_the_study(sweep_of([("a", "b", zero_shot)])).rows
    assert not [row for row in rows if row.ours], "no zero-shot rates were published"


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs chromium or google-chrome on PATH")
    return found


@pytest.mark.parametrize("case", ["study", "hostile"])
def test_a_browser_shows_it_light_dark_narrow_and_printed(browser: str, tmp_path: Path, case: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    found: Sweep = study_sized() if case == "study" else SWEEPS[case]
    file = tmp_path / "report.html"
    file.write_text(SWEEP_FORMATS["html"](found), encoding="utf-8")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        grounds = []
        for scheme, width in (("light", 1200), ("dark", 1200), ("light", 390)):
            page = started.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("request", lambda asked, said=said: said.append(asked.url))
            page.goto(file.as_uri())
            assert said == [file.as_uri()], "nothing is asked for, and no policy is broken"
            assert page.title() == "Medical models against the models they were built from"
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            if (scheme, width) == ("light", 1200):
                printed = pypdf.PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
        started.close()
    assert grounds[0] != grounds[1]
    text = " ".join(" ".join(sheet.extract_text().split()) for sheet in printed.pages).replace(" ", "")
    for run in found.runs:
        for c in run.results.comparisons:
            if case == "study":
                low, high = (("0.0" if b == 0 else f"{b * 100:+.1f}") for b in c.ci)
                assert f"[{low},{high}]" in text
                assert plain(c.task) in text
    assert all(sheet.mediabox.width > sheet.mediabox.height for sheet in printed.pages)


def test_all_files_are_written(tmp_path: Path) -> None:
    write_sweep_reports(tmp_path, SWEEPS["plain"])
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        "report.html",
        "report.md",
        "report.csv",
        "rates.csv",
        "report.tex",
        *(
            f"figures/{name}-{n}-shot.{end}"
            for name in ("forest", "heat-map")
            for n in (0, 3)
            for end in ("svg", "pdf")
        ),
    }
    for path in (tmp_path / "figures").glob("*.pdf"):
        assert len(pypdf.PdfReader(path).pages) == 1
