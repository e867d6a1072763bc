"""Makes the pictures of the documentation: `python docs/images/make.py` (the run of the embedded pair takes a minute).

It needs `pip install playwright` and a Chromium, the system's (`chromium`, `google-chrome`) or playwright's own.

terminal.png is what `medbench-local compare demo-med demo-base` prints, drawn by rich; report.png is the top of the
page that lies in the run's folder, and report-dark.png the same in the dark, if the page has such colours.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI

from medbench_local import Run, compare
from medbench_local.report.terminal import show_results

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLUMNS, PAGE_WIDTH, PAGE_HEIGHT = 100, 1000, 1100


def main() -> None:
    """Run the comparison and write the pictures beside this file."""
    with tempfile.TemporaryDirectory() as folder, within(Path(folder)), browser() as chromium:
        run = compare("demo-med", "demo-base")
        shoot(chromium, terminal_page(run), HERE / "terminal.png")
        page = (run.folder.path / "report.html").resolve()
        shoot(chromium, page.as_uri(), HERE / "report.png", height=PAGE_HEIGHT)
        if "prefers-color-scheme: dark" in page.read_text(encoding="utf-8"):
            shoot(chromium, page.as_uri(), HERE / "report-dark.png", scheme="dark", height=PAGE_HEIGHT)


def terminal_page(run: Run) -> str:
    """What a terminal of `COLUMNS` columns shows of a run, as an address that holds the picture."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print("$ medbench-local compare demo-med demo-base\n", highlight=False)
    console.print(show_results(run.results, run.folder.path))
    own_fonts = re.sub(
        r"@font-face \{\{.*?\}\}\s", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL
    )  # no fonts of a server
    svg = console.export_svg(title="medbench-local", theme=MONOKAI, code_format=own_fonts)
    picture = Path("terminal.svg")
    picture.write_text(svg.replace("Fira Code", "DejaVu Sans Mono"), encoding="utf-8")
    return picture.resolve().as_uri()


def shoot(chromium: Browser, address: str, target: Path, *, scheme: str = "light", height: int = 0) -> None:
    """Write what is at ``address`` as a PNG: its first ``height`` pixels, or all of an SVG."""
    page = chromium.new_page(
        viewport={"width": PAGE_WIDTH, "height": height or PAGE_HEIGHT},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=1.5,
    )
    page.goto(address)
    if height:
        page.screenshot(path=target)
    else:
        box = page.evaluate(
            "(() => { const b = document.documentElement.viewBox.baseVal; return [b.width, b.height]; })()"
        )
        page.set_viewport_size({"width": PAGE_WIDTH, "height": round(PAGE_WIDTH * box[1] / box[0])})
        page.screenshot(path=target, omit_background=True)
    page.close()
    Image.open(target).quantize(128).save(target, optimize=True)  # few colours: a quarter of the bytes
    print(target)


@contextmanager
def within(folder: Path) -> Iterator[None]:
    """Be in ``folder`` for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=installed)
        yield chromium
        chromium.close()


if __name__ == "__main__":
    main()
