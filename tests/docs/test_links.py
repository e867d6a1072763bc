"""Links within the project lead somewhere, anchors included; every page is reached from the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, headings, links, name_of


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for line, target in links(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or not file.is_relative_to(ROOT):
            lost.append(f"{name_of(page)}:{line}: there is no {target}")
        elif anchor and anchor not in set(headings(file)):
            lost.append(f"{name_of(page)}:{line}: {name_of(file)} has no heading #{anchor}")
    assert lost == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = {(page.parent / target.partition("#")[0]).resolve() for _, target in links(page)}
        waiting += [target for target in targets if target in PAGES]
    assert [name_of(page) for page in PAGES if page not in reached] == []


def test_the_index_has_every_page_of_docs() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / target.partition("#")[0]).resolve() for _, target in links(index)}
    pages = [page for page in PAGES if page.parent == index.parent and page != index]
    assert [name_of(page) for page in pages if page not in named] == []


def test_anchors_are_those_of_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '# What "verified" means\n\n## `a` and B, 2\n\n## a and b, 2\n\n```sh\n# no heading\n```\n'
    )
    assert list(headings(page)) == ["what-verified-means", "a-and-b-2", "a-and-b-2-1"]
