from __future__ import annotations

import html as html_text
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from medbench_local.report.page import html
from tests.report.examples import CASES, EMOJI, RIGHT_TO_LEFT, comparison, results

VOID = {"meta", "path", "use", "rect"}


class Page(HTMLParser):
    """The elements of a page as another parser sees them; fails where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("case", CASES)
def test_a_page_is_well_formed_inert_and_needs_nothing_from_outside(case: str) -> None:
    page = Page(html(CASES[case]))
    assert not page.tags & {"script", "img", "iframe", "object", "embed", "link", "a", "form", "base"}
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "action")
        assert not (name in ("href", "xlink:href") and not (value or "").startswith("#"))


@pytest.mark.parametrize("case", ["every kind", "one comparison", "other scripts", "forty"])
def test_everything_is_on_the_page(case: str) -> None:
    text = " ".join(Page(html(CASES[case])).text)
    for wanted in CASES[case].comparisons:
        assert wanted.task in text
        assert wanted.reported in text
    assert "How to read this" in text
    assert "medbench-local:" in text


def test_a_right_to_left_name_does_not_turn_round_what_follows_it() -> None:
    page = html(CASES["other scripts"])
    assert f"<h1>\u2068{RIGHT_TO_LEFT}\u2069 against {EMOJI}</h1>" in page
    assert f"\u2068{RIGHT_TO_LEFT}\u2069, 3-shot" in page


def test_equal_results_are_equal_bytes_but_for_timing() -> None:
    one, again, slower = (html(results([comparison()], seconds=s)) for s in (1.0, 1.0, 99.0))
    assert one == again
    assert sum(a != b for a, b in zip(one.splitlines(), slower.splitlines(), strict=True)) == 1


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs chromium or google-chrome on PATH")
    return found


def opened(chromium: str, folder: Path, text: str) -> tuple[str, str]:
    """The page's elements after a real browser ran it, and what it wrote to its console."""
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    log = done.stderr.decode(errors="replace")
    return done.stdout.decode(), "\n".join(line for line in log.splitlines() if "CONSOLE" in line)


def test_the_browser_of_these_tests_runs_scripts_and_reports_errors(chromium: str, tmp_path: Path) -> None:
    dom, console = opened(
        chromium,
        tmp_path,
        "<title>a</title><script>document.title='injected'; console.error('seen')</script>",
    )
    assert "<title>injected</title>" in dom
    assert "seen" in console


@pytest.mark.parametrize("case", ["every kind", "hostile"])
def test_a_browser_shows_the_verdicts_and_runs_nothing(chromium: str, tmp_path: Path, case: str) -> None:
    # without the page's own policy: names must be inert because they are escaped, not because scripts are off
    text = html(CASES[case])
    start = text.index('<meta http-equiv="Content-Security-Policy"')
    without_policy = text[:start] + text[text.index("\n", start) :]
    for name, page in (("with", text), ("without", without_policy)):
        if name == "without" and case != "hostile":
            continue
        folder = tmp_path / name
        folder.mkdir()
        dom, console = opened(chromium, folder, page)
        assert console == ""
        shown = Page(dom)
        assert html_text.unescape(dom[dom.index("<title>") + 7 : dom.index("</title>")]) != "injected"
        assert "script" not in shown.tags
        assert "img" not in shown.tags
        text_shown = " ".join(shown.text)
        for wanted in CASES[case].comparisons:
            assert wanted.reported in text_shown
