# SPDX-License-Identifier: BSD-3-Clause
"""The pages that `make docs` has built, in Chromium; skipped where there are none."""

import re
import time
from pathlib import Path

import pytest

BUILT = Path(__file__).resolve().parents[1] / "doc" / "_build" / "html"
PAGES = [page for page in sorted(BUILT.rglob("*.html")) if "_modules" not in page.parts]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not PAGES, reason="the documentation is not built: make docs"),
]

# Where an element holds more than it shows. Of what is drawn (formulas, icons), and of what only
# screen readers see, the layout is not the page's.
OVERFLOW = """
const shown = document.documentElement;
const cut = shown.scrollWidth > shown.clientWidth + 1 ? [`the page: ${shown.scrollWidth}`] : [];
for (const element of document.querySelectorAll("main *, header *")) {
  if (element.closest("svg, math, .visually-hidden")) continue;
  const style = getComputedStyle(element);
  if (style.display === "inline" || style.visibility === "hidden" || !element.clientWidth) continue;
  if (element.scrollWidth > element.clientWidth + 1) {
    const text = element.textContent.trim().slice(0, 40);
    cut.push(`${element.tagName} ${element.scrollWidth} > ${element.clientWidth}: ${text}`);
  }
}
return cut;
"""


def show(chromium, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.parametrize("width", [1280, 375])
def test_nothing_is_cut(chromium, width):
    show(chromium, width)
    found = {}
    for page in PAGES:
        chromium.get(page.as_uri())
        if cut := chromium.execute_script(OVERFLOW):
            found[str(page.relative_to(BUILT))] = cut[:3]
    assert found == {}


def test_what_is_cut_is_found(chromium, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<main><pre style='overflow-x: auto'>" + "x" * 200 + "</pre></main>")
    show(chromium, 375)
    chromium.get(page.as_uri())
    assert any("PRE" in cut for cut in chromium.execute_script(OVERFLOW))


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("install", "install"),
        ("text", "your_data"),
        ("ImageFolder", "your_data"),
        ("pipeline", "in_a_pipeline"),
        ("cleanlab", "coming_from_cleanlab"),
        ("augmentation", "your_data"),
    ],
)
def test_search_finds(chromium, words, page):
    chromium.get(f"{(BUILT / 'search.html').as_uri()}?q={words}")
    links = []
    deadline = time.monotonic() + 20
    while not any(page in link for link in links[:8]) and time.monotonic() < deadline:
        time.sleep(0.1)
        links = chromium.execute_script(
            "return [...document.querySelectorAll('#search-results li a')].map((a) => a.href)"
        )
    assert any(page in link for link in links[:8]), links


def test_pages_need_no_network():
    loaded = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(?:https?:)?//[^\"]+")
    found = {
        page.name: loaded.findall(text)
        for page in PAGES
        if loaded.search(text := page.read_text(encoding="utf-8"))
    }
    assert found == {}


def test_pictures_have_a_text_and_formulas_are_drawn():
    n_formulas = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        n_formulas += text.count("<math ")
        article = text[text.find("<article") : text.find("</article")]
        for picture in re.findall(r"<img [^>]*>", article):
            alt = re.search(r'alt="([^"]*)"', picture)
            # The thumbnail of an example stands within the link that names it.
            assert "thumb" in picture or (alt and len(alt[1]) > 20), (page.name, picture)
    assert n_formulas > 100
