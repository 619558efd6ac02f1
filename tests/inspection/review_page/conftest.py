# SPDX-License-Identifier: BSD-3-Clause
"""Rows for review pages, and the pages in Chromium."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.datasets import make_label_noise

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="session")
def precomputed():
    """Return a fitted scorer of 200 rows of three classes, its probabilities and noisy labels."""
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=200)
    noisy, _ = make_label_noise(codes, rate=0.15, random_state=0)
    logits = 4 * np.eye(3)[codes] + rng.normal(size=(200, 3))
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.array(CLASSES)[noisy]
    return LabelErrorScorer("precomputed").fit(P, y), P, y


@pytest.fixture(scope="session")
def texts():
    return [f"text {i} of the set" for i in range(200)]


@pytest.fixture
def open_page(chromium, tmp_path):
    """Return a function that opens a page in a browser without decisions, and waits for it."""
    chromium.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )

    def show(page, *, width=1280, height=800, dark=False):
        path = page if isinstance(page, Path) else page.write(tmp_path / "review.html")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for log in ("browser", "performance"):
            chromium.get_log(log)  # what an earlier page has left
        chromium.get(path.as_uri())
        return Reader(chromium)

    yield show
    chromium.switch_to.default_content()
    if chromium.current_url.startswith("file:"):  # a test that is skipped opens none
        chromium.execute_script("localStorage.clear()")
    chromium.get("about:blank")


class Reader:
    """What a person does with the page, and sees."""

    def __init__(self, driver):
        self.driver = driver
        self.wait()

    def wait(self, condition="document.documentElement.dataset.ready === 'true'"):
        for _ in range(1000):
            if self.script(f"return Boolean({condition})"):
                return
            time.sleep(0.02)
        raise AssertionError(f"the page does not come to {condition}")

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector):
        nodes = "[...document.querySelectorAll(arguments[0])]"
        return self.script(f"return {nodes}.map((node) => node.innerText)", selector)

    def press(self, *keys):
        """Press keys while the list has the focus."""
        self.find("#list").send_keys(*keys)

    def choose_queue(self, name):
        self.find(f"#queues [value={name}]").click()

    def rows(self):
        """Return the lines of the rows that are drawn, from the top."""
        nodes = self.script(
            "return [...document.querySelectorAll('.row')].sort((a, b) =>"
            "a.ariaPosInSet - b.ariaPosInSet).map((row) => row.innerText)"
        )
        return [text.split("\n") for text in nodes]

    @property
    def status(self):
        return self.find("#status").text

    @property
    def selected(self):
        """Return the text of the selected row of the list."""
        return self.find("[aria-selected=true]").text

    @property
    def errors(self):
        """Return what the console holds of errors and refused content."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Return the addresses that were asked for, without what the page's policy refused."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        refused = {
            message["params"]["requestId"]
            for message in messages
            if message["method"] == "Network.loadingFailed"
            and message["params"].get("blockedReason") == "csp"
        }
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
            and message["params"]["requestId"] not in refused
        ]
