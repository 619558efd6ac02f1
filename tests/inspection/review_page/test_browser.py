# SPDX-License-Identifier: BSD-3-Clause
"""The review page in Chromium: what a reviewer does, what hostile data cannot do, and its speed."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.inspection import ReviewPage, read_review

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"


def page_of(precomputed, **settings):
    return ReviewPage(*precomputed, **{"plan": 8, "random_state": 0, **settings})


def saved(folder, name="review-decisions.json"):
    """Return the path of a file that the browser is writing."""
    path = folder / name
    for _ in range(200):
        if path.exists() and path.stat().st_size:
            return path
        time.sleep(0.02)
    raise AssertionError(f"{name} was not saved")


def test_keys_decide_the_plan_as_the_direct_call_does(open_page, precomputed, texts, tmp_path):
    from selenium.webdriver.common.keys import Keys

    scorer, _, y = precomputed
    page = page_of(precomputed, show=texts)
    reader = open_page(page)
    codes = np.searchsorted(scorer.classes_, y)
    for row, key in zip(page.plan_.rows, "kdokokdk", strict=True):
        assert reader.selected.split("\n")[1].startswith(f"#{row} ·")
        reader.press(key)
        if key == "o":
            other = scorer.classes_[(codes[row] + 1) % 3]
            reader.driver.switch_to.active_element.send_keys(other, Keys.ENTER)
    assert "The plan is done" in reader.status
    reader.press("e")
    review = read_review(saved(tmp_path), scorer)
    wrong = np.array([key != "k" for key in "kdokokdk"])
    assert_array_equal(review.plan.rows, page.plan_.rows)
    assert_array_equal(review.rows, np.sort(page.plan_.rows))
    assert_array_equal(review.verdicts, wrong[np.argsort(page.plan_.rows)])
    others = {
        row: (codes[row] + 1) % 3
        for row, key in zip(page.plan_.rows, "kdokokdk", strict=True)
        if key == "o"
    }
    has_label = review.labels >= 0
    assert dict(zip(review.rows[has_label], review.labels[has_label], strict=True)) == others
    by_review, direct = scorer.calibrate(review), scorer.calibrate(page.plan_.rows, wrong)
    assert_allclose(by_review.noise_rate, direct.noise_rate, rtol=1e-6)
    assert_allclose(by_review.noise_rate_interval, direct.noise_rate_interval, rtol=1e-6)
    assert_allclose(by_review.error_probability, direct.error_probability, rtol=1e-5)


def test_rows_of_the_plan_are_judged_blind(open_page, precomputed):
    scorer, P, _ = precomputed
    page = page_of(precomputed, show=[f"text {i}" for i in range(len(P))])
    reader = open_page(page)
    assert reader.rows()[0][0].endswith("→ hidden")
    assert "hidden until you have decided" in reader.find("#seen").text
    assert reader.find("#details").text == ""
    reader.press("s")
    assert "hidden until" in reader.status
    assert "0 decided" in reader.find("#count").text

    suspects = set(np.flatnonzero(scorer.error_probability_ > 0.5))
    seen = suspects - set(page.plan_.rows)
    assert len(seen) < len(suspects)
    assert reader.find("#count-suspects").text == str(len(seen))
    counted = sum(int(text) for text in reader.texts("#pairs td button"))
    better = scorer.suggested_label_ != precomputed[2]
    assert counted == sum(better[row] for row in seen)
    reader.choose_queue("all")
    reader.script("arguments[0].scrollTop = 1e6", reader.find("#list"))
    reader.wait("document.querySelector('#row-199')")
    last = [lines[1].split(" ")[0] for lines in reader.rows()[-8:]]
    assert last == [f"#{row}" for row in sorted(page.plan_.rows)]

    reader.choose_queue("plan")
    reader.press("k")
    assert not reader.rows()[0][0].endswith("hidden")


def test_without_blinding_all_is_seen(open_page, precomputed, texts):
    reader = open_page(page_of(precomputed, show=texts, blind=False))
    assert {"Class probabilities", "Nearest rows, with their labels"} <= set(
        reader.texts("#details h3")
    )
    assert "hidden" not in "".join(reader.texts(".row"))


def would_warn(reader):
    """Whether closing the page now would ask back."""
    return reader.script(
        "const event = new Event('beforeunload', { cancelable: true });"
        "dispatchEvent(event); return event.defaultPrevented"
    )


def test_decisions_survive_a_reload_and_are_taken_back(open_page, precomputed, texts):
    reader = open_page(page_of(precomputed, show=texts))
    reader.choose_queue("suspects")
    first = reader.selected.split("\n")
    assert not would_warn(reader)
    reader.press("s", "d")
    assert would_warn(reader)
    assert "2 decided, not saved" in reader.find("#count").text
    reader.driver.refresh()
    reader.wait()
    assert "2 decisions from before" in reader.status
    assert would_warn(reader)
    reader.choose_queue("decided")
    assert reader.selected.split("\n")[:2] == first[:2]
    assert reader.find(".row .decision").text == "→ " + first[0].split(" → ")[1]
    reader.choose_queue("suspects")
    reader.press("x", "u")
    assert reader.selected.split("\n")[:2] == first[:2]
    assert "2 decided" in reader.find("#count").text  # the two of before
    reader.press("u")
    assert "nothing to undo" in reader.status
    reader.press("e")
    assert not would_warn(reader)


def test_decisions_are_loaded_and_those_of_another_report_refused(
    open_page, precomputed, texts, tmp_path
):
    reader = open_page(page_of(precomputed, show=texts))
    reader.choose_queue("suspects")
    reader.press("s", "d", "e")
    content = json.loads(saved(tmp_path).read_text())
    reader.press("u", "u")
    refused = {
        "another report": {**content, "fingerprint": "0" * 32},
        "not a file of decisions": {**content, "format": "something"},
        "is damaged": {
            **content,
            "decisions": [{"row": 0, "decision": "constructor", "label": None}],
        },
        "Row 200 is not": {
            **content,
            "decisions": [{"row": 200, "decision": "drop", "label": None}],
        },
    }
    for words, other in refused.items():
        file = tmp_path / "other.json"
        file.write_text(json.dumps(other))
        reader.find("#file").send_keys(str(file))
        reader.wait(f"document.querySelector('#status').textContent.includes('{words}')")
        assert reader.find("#count").text.startswith("0 decided")
    reader.find("#file").send_keys(str(tmp_path / "review-decisions.json"))
    reader.wait("document.querySelector('#count').textContent.startsWith('2 decided')")
    reader.press("u")
    assert reader.find("#count").text.startswith("0 decided")


def test_pairs_texts_and_cuts_choose_rows(open_page, precomputed, texts):
    from selenium.webdriver.common.keys import Keys

    scorer, _, y = precomputed
    reader = open_page(page_of(precomputed, show=texts, plan=0))
    assert reader.find("#queues :checked").get_attribute("value") == "suspects"
    start = reader.find("#pairs button[tabindex='0']")
    start.send_keys(Keys.ARROW_DOWN)
    pair = reader.driver.switch_to.active_element
    assert pair.get_attribute("aria-label") != start.get_attribute("aria-label")
    given, suggested = pair.get_attribute("aria-label").split(":")[0].split(" → ")
    pair.send_keys(Keys.ENTER)
    found = (y == given) & (scorer.suggested_label_ == suggested)
    found &= scorer.error_probability_ > 0.5
    assert [lines[0] for lines in reader.rows()] == [f"{given} → {suggested}"] * found.sum()
    reader.find("#clear").click()
    reader.choose_queue("all")
    reader.find("#find").send_keys("TEXT 17 of")
    assert [lines[1] for lines in reader.rows()] == ["#17 · text 17 of the set"]
    reader.find("#clear").click()
    reader.choose_queue("suspects")
    reader.find("#cut").send_keys("90%")
    n = (scorer.error_probability_.astype(np.float32) > 0.9).sum()
    assert reader.find("#count-suspects").text == str(n)
    assert f"{n} rows above it: expect" in reader.find("#expected").text


def test_no_better_label_is_said_and_not_taken(open_page, precomputed, texts):
    scorer, _, y = precomputed
    reader = open_page(page_of(precomputed, show=texts, plan=0))
    reader.choose_queue("all")
    row = np.flatnonzero(scorer.suggested_label_ == y)[0]
    reader.find("#find").send_keys(f"text {row} of")
    assert "no better label" in reader.selected
    reader.press("s")
    assert "No better label" in reader.status
    assert reader.find("#count").text == "0 decided"


@pytest.mark.filterwarnings("ignore:The page would be larger:UserWarning")
def test_what_the_file_leaves_out_is_said(open_page, precomputed, texts):
    reader = open_page(page_of(precomputed, show=texts, max_bytes=1, blind=False))
    assert "200 rows worth a look have no texts here" in reader.find("#notice").text
    assert "This file holds only numbers of this row" in reader.find("#seen").text
    reader = open_page(page_of(precomputed, show=texts))
    assert not reader.find("#notice").is_displayed()


@pytest.mark.parametrize("width", [1280, 375])
def test_long_names_and_values_stay_in_the_card(open_page, precomputed, width):
    values = {"a_name_of_a_column_without_blank_" * 2: "a_value_without_blank_" * 4, "b": 0.5}
    shown = pd.DataFrame(values, index=range(len(precomputed[2])))
    reader = open_page(page_of(precomputed, show=shown, blind=False), width=width)
    card = "document.getElementById('card')"
    assert reader.script(f"return {card}.querySelectorAll('table').length") > 0
    assert reader.script(f"return {card}.scrollWidth <= {card}.clientWidth")
    assert reader.script("return document.documentElement.scrollWidth <= innerWidth")


def test_keys_do_nothing_outside_the_list(open_page, precomputed, texts):
    reader = open_page(page_of(precomputed, show=texts))
    reader.find("#find").send_keys("kdx")
    reader.find("#save").send_keys("k")
    assert reader.find("#count").text == "0 decided"


HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "a\u202egnp.exe \x00 \u200b\ud800 \u2028 -->",
)


def test_hostile_names_and_texts_are_text(open_page, precomputed, tmp_path):
    scorer, P, y = precomputed
    page = ReviewPage(
        scorer,
        P,
        y,
        show=[HOSTILE[i % 3] for i in range(len(y))],
        ids=[f"=1+1 {HOSTILE[i % 3]}" for i in range(len(y))],
        class_names=HOSTILE,
        title=" ".join(HOSTILE),
        plan=8,
        random_state=0,
    )
    reader = open_page(page)
    reader.choose_queue("suspects")
    reader.press("s", "d", "k")
    assert reader.script("return window.hacked") is None
    assert HOSTILE[0] in reader.find("#title").text
    assert "a\\u202Egnp.exe" in reader.find("#title").text
    assert reader.script("return document.querySelectorAll('img').length") == 0
    shown = reader.script("return document.body.innerText")
    assert not set(shown) & set("\u202e\x00\u200b\u2028")
    reader.find("#table").click()
    lines = saved(tmp_path, "review-decisions.csv").read_text().split("\n")
    assert lines[0].strip() == "row,id,given,decision,label"
    assert lines[1].split(",")[1].startswith("\"'=1+1")
    assert reader.errors == []


def test_asks_for_nothing_and_runs_nothing_else(open_page, precomputed, tmp_path):
    rng = np.random.default_rng(0)
    path = page_of(precomputed, show=rng.random((200, 8, 8))).write(tmp_path / "own.html")
    reader = open_page(path)
    reader.press("k", "e")
    assert {url.split(":")[0] for url in reader.requests()} <= {"file", "data", "blob"}
    assert [url for url in reader.requests() if url.startswith("file")] in ([], [path.as_uri()])
    assert reader.errors == []
    changed = tmp_path / "changed.html"
    extra = "<script>window.hacked = 1</script><img src='https://example.org/x.png' /></body>"
    changed.write_text(path.read_text().replace("</body>", extra))
    reader = open_page(changed)
    assert reader.script("return window.hacked") is None
    assert len(reader.errors) == 2
    assert not any(url.startswith("https") for url in reader.requests())


def test_a_notebook_shows_the_first_rows_in_a_sandbox(open_page, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=500)
    P = np.c_[1 - y, y] * 0.6 + 0.2
    scorer = LabelErrorScorer("precomputed").fit(P, y)
    page = ReviewPage(scorer, P, y, show=[f"<b>{i}" for i in range(500)], random_state=0)
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<html data-ready='true'><body>{page._repr_html_()}</body></html>")
    reader = open_page(notebook)
    reader.driver.switch_to.frame(0)
    reader.wait()
    content = "document.querySelector('{}').textContent"
    assert "These are 300 of the rows" in reader.script("return " + content.format("#notice"))
    assert reader.script("return " + content.format("#count-all")) == "300"
    assert reader.script("return " + content.format("#count-plan")) == "100"
    reader.press("k")  # there is no storage to keep it in
    reader.wait(content.format("#count") + ".startsWith('1 decided')")


@pytest.fixture(scope="module")
def large():
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=60_000)
    P = rng.dirichlet(np.ones(10), size=60_000).astype(np.float32)
    P[np.arange(60_000), y] += 1
    P /= P.sum(axis=1, keepdims=True)
    scorer = LabelErrorScorer("precomputed").fit(P, y)
    show = np.tile(rng.integers(256, size=(100, 8, 8), dtype=np.uint8), (600, 1, 1))
    return ReviewPage(scorer, P, y, show=show, neighbors=0, max_rows=500, random_state=0)


def test_many_rows_are_shown_fast_with_few_nodes(open_page, large):
    from selenium.webdriver.common.keys import Keys

    ready = []
    for _ in range(3):  # other processes may have been busy
        reader = open_page(large)
        ready.append(reader.script("return performance.getEntriesByName('ready')[0].startTime"))
        if ready[-1] < 2000:
            break
    assert min(ready) < 2000
    reader.choose_queue("all")
    count = "return document.querySelectorAll('*').length"
    assert reader.script(count) < 1000
    reader.press(Keys.END)
    assert reader.script("return document.querySelector('[aria-selected=true]').id") == "row-59999"
    assert reader.script(count) < 1000


def test_a_list_that_is_too_tall_scrolls_scaled(open_page, large):

    reader = open_page(large)
    reader.script(
        "window.tall = new RowList((i) => [String(i)], () => {});"
        "tall.show(Array.from({ length: 1_000_000 }, (_, i) => i))"
    )
    assert reader.script("return document.querySelector('#sheet').offsetHeight") == 370_000 * 48
    inside = (
        "const box = document.querySelector('#list').getBoundingClientRect();"
        "const row = document.querySelector('#row-' + arguments[0]).getBoundingClientRect();"
        "return [row.top - box.top, box.bottom - row.bottom]"
    )
    for index in (0, 999_999, 500_000):
        reader.script("tall.select(arguments[0])", index)
        assert min(reader.script(inside, index)) >= -4  # browsers round that far from the top
    reader.script("document.querySelector('#list').scrollTop = 1e9")
    reader.wait("document.querySelector('#row-999999')")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("light", {}),
        ("dark", {"dark": True}),
        ("narrow", {"width": 375, "height": 667}),
        ("zoomed", {"width": 640, "height": 400}),
    ],
)
def test_accessible(open_page, precomputed, name, settings):
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci")
    rng = np.random.default_rng(0)
    reader = open_page(page_of(precomputed, show=rng.random((200, 8, 8))), **settings)
    reader.script(AXE.read_text())
    reader.press("k")
    if name in ("narrow", "zoomed"):
        reader.find("summary").click()
    for queue in ("plan", "suspects"):
        reader.choose_queue(queue)
        violations = reader.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then((found) => done(found.violations.map("
            "(v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 200)).join(' | '))))"
        )
        assert violations == []
    width = reader.script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
