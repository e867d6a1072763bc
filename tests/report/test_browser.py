"""The page in a real browser: one for all tests of this file, because starting it takes longer than they do."""

from __future__ import annotations

import io
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from medbench_local.report.page import html
from medbench_local.report.page.document import FOLDER
from tests.report import asked
from tests.report.browser import browser, opened
from tests.report.examples import CASES, comparison, results

KINDS = CASES["every kind"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    many = [asked.question(number) for number in range(10_000)]
    thinkers = [asked.question(1, thinkers=who) for who in ("both", "medical", "none")]
    one = results([comparison()])
    texts = {
        "kinds": html(KINDS, asked.some(KINDS)),
        "many": html(one, asked.evidence(many, one)),
        "thinking": html(one, asked.evidence(thinkers, one)),
        "hostile": html(CASES["hostile"], asked.hostile(CASES["hostile"])),
        "bare": html(CASES["hostile"]),
        "long": html(CASES["long names"], asked.some(CASES["long names"], 5)),
        "forty": html(CASES["forty"]),
        "pictures": html(CASES["pictures"]),
    }
    # names must be inert because they are escaped, not because a policy stops them
    for name in ("hostile", "bare"):
        without = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", texts[name])
        assert len(without) < len(texts[name])
        texts[f"{name} without policy"] = without
    found = {}
    for name, text in texts.items():
        found[name] = folder / f"{name.replace(' ', '-')}.html"
        found[name].write_text(text, encoding="utf-8")
    return found


def test_the_browser_of_these_tests_runs_scripts_and_complains(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<title>a</title><script>document.title='injected'; console.error('seen')</script>")
    with pytest.raises(AssertionError, match="seen"), opened(chromium, file) as page:
        assert page.title() == "injected"


@pytest.mark.parametrize("name", ["hostile", "hostile without policy", "bare", "bare without policy"])
def test_nothing_breaks_out(chromium: Browser, files: dict[str, Path], name: str) -> None:
    with opened(chromium, files[name]) as page:
        assert page.title() != "injected"
        data = page.locator("#packed").count()
        assert page.locator("script").count() == 1 + data
        assert page.locator("img, iframe, object, embed, base, form, link").count() == 0
        assert page.locator("[style*='url'], [onerror], [onload]").count() == 0
        if not data:
            return
        for number, text in enumerate(asked.BREAKING_OUT):
            page.locator(".row").nth(number).click()
            shown = page.locator("#question").inner_text()
            visible = re.sub(r"[\x00\x07\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
            visible = visible.replace("\u2028", " ").replace("\u2029", " ")
            # id, subject, question, option, what both wrote and thought; the comparison's name beside
            assert page.locator("#question").text_content().count(visible) == 9  # type: ignore[union-attr]
            assert visible in shown
        assert page.title() != "injected"
        assert page.locator("script").count() == 2


def test_the_policy_stops_what_is_not_the_page_s_own(chromium: Browser, files: dict[str, Path]) -> None:
    with pytest.raises(AssertionError) as complaint:
        _add_a_script(chromium, files["kinds"])
    said = str(complaint.value)
    assert "Executing inline script violates" in said
    assert "Applying inline style violates" in said


def _add_a_script(chromium: Browser, file: Path) -> None:
    with opened(chromium, file) as page:
        page.evaluate(
            "() => { const made = document.createElement('script'); made.textContent = 'document.title = 1';"
            " document.body.append(made);"
            " document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">'); }"
        )
        assert page.title() != "1"


def count(page: Page) -> str:
    return page.locator("#count").inner_text()


def test_filters_and_their_numbers(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["kinds"]) as page:
        assert (
            count(page)
            == "240 questions: 60 only medical right, 40 only base right, 80 both right, 60 both wrong"
        )
        page.get_by_text("only base right (40)").click()
        assert count(page).startswith("40 of 240 questions: 0 only medical right, 40 only base right")
        page.get_by_label("Task").select_option("pubmedqa")
        assert count(page).startswith("10 of 240 questions")
        page.get_by_text("all (60)").click()
        page.get_by_label("Subject").select_option("anatomy")
        assert count(page).startswith("20 of 240")
        page.get_by_label("near-tie").check()
        assert count(page).startswith("1 of 240")
        page.get_by_label("flipped").check()
        assert count(page).startswith("1 of 240")
        page.get_by_role("button", name="Clear").click()
        page.get_by_label("Shots").select_option("0")
        assert count(page).startswith("120 of 240")
        expect(page.get_by_label("Who thinks")).to_be_hidden()


def test_search_looks_at_question_options_and_what_was_written(
    chromium: Browser, files: dict[str, Path]
) -> None:
    with opened(chromium, files["kinds"]) as page:
        for words, found in (
            ("NUMBER17?", 4),
            ("patient fever number3?", 4),
            ("disease 40", 16),  # an option of four questions
            ("the answer is (b)", 48),
            ("let me think", 36),
            ("no such words", 0),
        ):
            page.get_by_label("Search").fill(words)
            expect(page.locator("#count")).to_contain_text(f"{found} of 240 questions")
        assert page.locator(".row").count() == 0
        page.get_by_label("Search").press("Escape")
        assert count(page).startswith("240 questions")


def test_a_question_is_shown_with_both_models_answers(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["kinds"], anchor=f"#q=medqa/3/{quote('q/35', safe='')}") as page:
        shown = page.locator("#question")
        assert "What is the diagnosis of patient number35?\nHe has had fever" in shown.inner_text()
        options = shown.locator(".options li")
        assert options.count() == 4
        assert options.nth(3).get_attribute("class") == "correct"  # 35 % 4
        assert (
            re.sub(r"\s+", " ", options.nth(0).inner_text())
            == "A disease 35 medical 70.0 % chosen base 70.0 % chosen"
        )
        tracks = [options.nth(i).locator(".medical .track").bounding_box() for i in range(4)]
        fills = [options.nth(i).locator(".medical .fill").bounding_box() for i in range(4)]
        shares = [
            fill["width"] / track["width"]
            for fill, track in zip(fills, tracks, strict=True)
            if fill and track
        ]
        assert shares == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.01)
        assert "both wrong" in shown.inner_text()
        thought = shown.get_by_text("What llama-2-7b thought")
        assert "Let me think" not in shown.inner_text()
        thought.click()
        assert "Let me think" in shown.inner_text()
        page.goto(files["kinds"].as_uri() + "#q=medqa/3/q%2F0")
        expect(shown).to_contain_text("meditron-7b: near-tie")
        expect(shown).to_contain_text("llama-2-7b: flipped")
        picture = shown.locator("img")
        assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [8, 6]
        assert picture.get_attribute("alt") == "picture 1 of 1"


def test_an_address_opens_its_question_whatever_is_filtered(
    chromium: Browser, files: dict[str, Path]
) -> None:
    with opened(chromium, files["kinds"]) as page:
        page.get_by_text("only base right (40)").click()
        page.evaluate("location.hash = '#q=medmcqa/0/q/3'")  # as somebody writes it by hand
        expect(page.locator("#question")).to_contain_text("patient number3?")
        expect(page.locator("#question")).to_contain_text("medmcqa, 0-shot")
        assert count(page).startswith("240 questions")
        page.evaluate("location.hash = '#q=medmcqa/0/q/999'")
        expect(page.get_by_text("The question that the address names is not in this file.")).to_be_visible()
    with opened(chromium, files["thinking"], anchor="#q=medqa/3/q%2F1/medical") as page:
        expect(page.locator("#question")).to_contain_text("medqa, 3-shot, medical thinks")
        page.get_by_label("Who thinks").select_option("none")
        assert count(page).startswith("1 of 3 questions")
        own = page.get_by_role("link", name="link to this question")
        assert own.get_attribute("href") == "#q=medqa/3/q%2F1/none"


def test_the_list_works_with_keys_alone(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["kinds"]) as page:
        page.get_by_label("Search").focus()
        page.keyboard.press("ArrowDown")
        listed = page.get_by_role("listbox")
        expect(listed).to_be_focused()
        page.keyboard.press("ArrowDown")
        assert listed.get_attribute("aria-activedescendant") == "row-1"
        assert page.locator("#row-1").get_attribute("aria-selected") == "true"
        assert page.locator("#row-1").get_attribute("aria-setsize") == "240"
        expect(page.locator("#question")).to_contain_text("patient number1?")
        expect(page).to_have_url(re.compile("#q=medqa/3/q%2F1$"))
        page.keyboard.press("End")
        expect(page.locator("#question")).to_contain_text("patient number59?")
        expect(page.locator("#row-239")).to_be_visible()
        page.keyboard.press("Home")
        page.keyboard.press("PageDown")
        page.keyboard.press("Enter")
        expect(page.locator("#question")).to_be_focused()
        page.keyboard.press("Escape")
        expect(listed).to_be_focused()
        outline = "element => getComputedStyle(element).outlineStyle"
        assert listed.evaluate(outline) == "solid"


def test_the_first_tab_skips_to_the_verdicts(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["kinds"]) as page:
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the verdicts")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        assert page.evaluate(
            "[...document.querySelectorAll('nav a, .skip')].every(a => document.querySelector(a.hash) !== null)"
        )
        unlabelled = (
            "[...document.querySelectorAll('input, select')].filter(one => !one.labels.length).length"
        )
        assert page.evaluate(unlabelled) == 0


def test_ten_thousand_questions_stay_few_elements(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["many"]) as page:
        assert count(page).startswith("10,000 questions: 2,499 only medical right, 1,666 only base right")
        page.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight / 2 }")
        expect(page.locator("#row-5000")).to_be_visible()
        assert page.locator(".row").count() < 40
        assert page.locator("#questions *").count() < 300
        page.get_by_label("Search").fill("number9876?")
        expect(page.locator("#count")).to_have_text(re.compile("^1 of 10,000 questions"))
        expect(page.locator("#question")).to_contain_text("patient number9876?")
        page.get_by_label("Search").fill("")
        page.locator("label[for=outcome-base]").click()
        expect(page.locator("#count")).to_have_text(re.compile("^1,666 of 10,000 questions"))
        page.locator("#list").press("End")
        expect(page.locator("#question")).to_contain_text("patient number9992?")


def test_a_browser_that_cannot_unpack_shows_the_same(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["many"], before="delete window.DecompressionStream") as page:
        assert page.evaluate("typeof DecompressionStream") == "undefined"
        assert count(page).startswith("10,000 questions: 2,499 only medical right, 1,666 only base right")
        page.locator("#list").press("End")
        expect(page.locator("#question")).to_contain_text("patient number9999?")


@pytest.mark.parametrize(
    ("level", "strategy"), [(0, zlib.Z_DEFAULT_STRATEGY), (9, zlib.Z_FIXED), (9, 0), (1, 0)]
)
def test_what_zlib_packs_is_unpacked(chromium: Browser, level: int, strategy: int) -> None:
    data = b"".join(b"%d bottles of %s\n" % (n, b"beer wine gin".split()[n % 3]) for n in range(5000))
    data += bytes(range(256)) * 3 + b"\0" * 70_000
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    packed = packer.compress(data) + packer.flush()
    script = (FOLDER / "inflate.js").read_text(encoding="utf-8")
    page = chromium.new_page()
    found = page.evaluate(
        f"packed => {{ {script}; let sum = 0; const out = inflated(new Uint8Array(packed));"
        " for (const byte of out) sum = (sum * 31 + byte) % 1000003; return [out.length, sum]; }",
        list(packed),
    )
    page.close()
    expected = 0
    for byte in data:
        expected = (expected * 31 + byte) % 1_000_003
    assert found == [len(data), expected]


def column(page: Page, table: str, number: int) -> list[str]:
    return page.locator(table).locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def test_headings_sort(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["kinds"]) as page:
        table = "#behind table >> nth=0"
        first = column(page, table, 1)
        heading = page.locator(f"{table} >> th").filter(has_text="only medical right")
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == "ascending"
        assert column(page, table, 2) == ["105", "200", "239", "239"]
        heading.get_by_role("button").press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        assert column(page, table, 2) == ["239", "239", "200", "105"]
        heading.get_by_role("button").press("Enter")
        assert heading.get_attribute("aria-sort") is None
        assert column(page, table, 1) == first
        p = page.locator(f"{table} >> th").filter(has_text="exact McNemar").get_by_role("button")
        p.click()
        assert column(page, table, 4) == ["< 0.001", "< 0.001", "< 0.001", "0.84"]
        # a name that a blank repeated is still there when rows part
        model = page.locator("#prompts th").filter(has_text="model").get_by_role("button")
        model.first.click()
        assert "" not in column(page, "#prompts table >> nth=0", 1)
        assert column(page, "#prompts table >> nth=0", 2) == ["base"] * 4 + ["medical"] * 4


CONTRASTS = """() => {
  const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parsed = text => text.match(/[\\d.]+/g).map(Number);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parsed(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest('script, .hidden, .skip')) continue;
    const style = getComputedStyle(element);
    const drawn = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(parsed(drawn)), light(ground(element.closest('svg')?.parentElement ?? element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push([element.tagName, element.getAttribute('class'), ratio.toFixed(2), node.data].join(' '));
  }
  return [...new Set(low)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(chromium: Browser, files: dict[str, Path], scheme: str) -> None:
    with opened(chromium, files["kinds"], color_scheme=scheme, anchor="#q=medqa/3/q%2F0") as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (
            sum(map(int, re.findall(r"\d+", ground))) < 120
            if scheme == "dark"
            else ground == "rgb(245, 247, 248)"
        )
        assert page.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("name", ["kinds", "hostile", "long", "forty", "pictures"])
def test_a_phone_shows_the_page_without_scrolling_sideways(
    chromium: Browser, files: dict[str, Path], name: str
) -> None:
    with opened(chromium, files[name], width=390) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => (one.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        cut = (
            "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth + 8)"
            ".map(one => one.textContent.slice(0, 80))"
        )
        assert page.evaluate(cut) == []


def letters(text: str) -> str:
    """Without blanks and ligatures, which a PDF sets as it likes."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


def printed(page: Page) -> str:
    pages = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True))).pages
    return "\n".join(one.extract_text() for one in pages)


def test_print_loses_no_column(chromium: Browser, files: dict[str, Path]) -> None:
    for name in ("kinds", "pictures"):
        with opened(chromium, files[name], color_scheme="dark") as page:
            words = page.evaluate(
                "[...document.querySelectorAll('table.sortable th, table.sortable td')].flatMap("
                "cell => cell.textContent.split(/[\\s-]+/)).filter(Boolean)"
            )
            said = letters(printed(page))
            assert len(words) > 300
            missing = {word for word in words if letters(word) not in said}
            assert missing == set()
            # the last column, and as often as it is there: the outcome
            last = page.evaluate(
                "[...document.querySelectorAll('table.sortable')].flatMap(table => [...table.tBodies[0].rows])"
                ".map(row => row.cells[row.cells.length - 1].textContent.trim()).filter(Boolean)"
            )
            for outcome in ("equivalent", "inconclusive"):
                assert said.count(outcome) >= last.count(outcome)
            page.emulate_media(media="print")
            page.set_viewport_size({"width": 690, "height": 900})  # A4 between the margins
            right = (
                "Math.max(...[...document.querySelectorAll('td, th, pre')]"
                ".map(one => one.getBoundingClientRect().right))"
            )
            assert page.evaluate(right) <= 690
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_print_has_texts_that_are_folded_and_the_questions_that_match(
    chromium: Browser, files: dict[str, Path]
) -> None:
    with opened(chromium, files["kinds"]) as page:
        said = printed(page)
        flat = letters(said)
        assert letters("Question of medical: (A) yes (B) no Answer:") in flat
        assert letters("medbench-local compare meditron-7b llama-2-7b --tasks medqa,medmcqa,pubmedqa") in flat
        assert letters("240 questions: 60 only medical right") in flat
        # unfiltered, those that decide
        assert flat.count("patientnumber4?") == 4
        assert "patientnumber0?" not in flat
        assert page.locator("#printed > *").count() == 0
        assert page.locator("details[open]").count() == 0

        page.get_by_label("Search").fill("number17?")
        expect(page.locator("#count")).to_contain_text("4 of 240")
        flat = letters(printed(page))
        assert letters("Filters: with “number17?”") in flat
        assert flat.count(letters("patient number17? He has had fever for 17 days.")) == 4
        assert flat.count(letters("disease 18")) == 4
        assert flat.count("✓correct") == 4
